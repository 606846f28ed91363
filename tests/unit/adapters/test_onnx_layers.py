"""Which nodes of an ONNX model are layers, what they cost, and why some cannot be replaced."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.unit.adapters.onnx_networks import (
    array,
    full_rank_error,
    layers_of,
    macs_by_shape_inference,
    network,
    node,
    reasons_of,
)


def test_macs_are_counted_by_hand_for_a_known_network() -> None:
    nodes = [
        node("Conv", "x w1 b1", "a", "conv", strides=[2, 1], pads=[1, 0, 0, 2]),  # (3, 8, 4, 8)
        node("Conv", "a w2", "b", "depthwise", group=8),  # (3, 8, 2, 6)
        node("Flatten", "b", "c"),
        node("Gemm", "c w3", "d", "fc", transB=1),
        node("MatMul", "d w4", "y", "head"),
    ]
    weights = {"w1": array(8, 4, 2, 3), "b1": array(8), "w2": array(8, 1, 3, 3), "w3": array(5, 96), "w4": array(5, 7)}
    model = network(nodes, weights, inputs={"x": (3, 4, 8, 8)})
    layers = layers_of(model)
    assert {name: (layer.macs, layer.weights, layer.samples) for name, layer in layers.items()} == {
        "conv": (3 * 8 * 4 * 2 * 3 * 4 * 8, 8 * 4 * 2 * 3, 3),
        "depthwise": (3 * 8 * 3 * 3 * 2 * 6, 8 * 3 * 3, 3),
        "fc": (3 * 96 * 5, 96 * 5, 3),
        "head": (3 * 5 * 7, 5 * 7, 3),
    }
    assert layers["conv"].info.macs == 8 * 4 * 2 * 3 * 4 * 8, "MACs of an event are per sample"
    assert sum(layer.macs for layer in layers.values()) == macs_by_shape_inference(model)
    assert {name: layer.weight_shape for name, layer in layers.items()} == {
        "conv": (8, 4, 2, 3),
        "depthwise": (8, 1, 3, 3),
        "fc": (5, 96),
        "head": (7, 5),
    }


def test_other_layers_with_weights_count_and_are_skipped() -> None:
    nodes = [
        node("ConvTranspose", "x w1", "a", "up", strides=[2, 2]),  # (2, 3, 16, 16)
        node("Einsum", "a w2", "b", "einsum", equation="...hw,wv->...hv"),
        node("Reshape", "b shape", "c"),
        node("LSTM", "c w3 r3", "d", "lstm", hidden_size=6),
        node("GRU", "c w4 r4", "e", "gru", hidden_size=6),
        node("Gather", "table ids", "f", "embedding"),
        node("ReduceSum", "d", "d0", keepdims=0),
        node("ReduceSum", "e", "e0", keepdims=0),
        node("ReduceSum", "f", "f0", keepdims=0),
        node("Sum", "d0 e0 f0", "y"),
    ]
    weights = {
        "w1": array(4, 3, 2, 2),
        "w2": array(16, 5),
        "shape": np.array([16, 2, 15], np.int64),
        "w3": array(1, 24, 15),
        "r3": array(1, 24, 6),
        "w4": array(1, 18, 15),
        "r4": array(1, 18, 6),
        "table": array(11, 3),
    }
    layers = layers_of(network(nodes, weights, inputs={"x": (2, 4, 8, 8), "ids": [TensorProto.INT64, (4,)]}))
    assert {name: (layer.macs, layer.weights) for name, layer in layers.items()} == {
        "up": (2 * 4 * 8 * 8 * 3 * 2 * 2, 4 * 3 * 2 * 2),
        "einsum": (2 * 3 * 16 * 16 * 5, 16 * 5),
        "lstm": (16 * 2 * 24 * (15 + 6), 24 * (15 + 6)),
        "gru": (16 * 2 * 18 * (15 + 6), 18 * (15 + 6)),
        "embedding": (0, 33),
    }
    assert {name: layer.reason for name, layer in layers.items()} == {
        "up": "ConvTranspose is not supported",
        "einsum": "Einsum is not supported",
        "lstm": "LSTM is not supported",
        "gru": "GRU is not supported",
        "embedding": "Gather is not supported",
    }


@pytest.mark.parametrize(
    ("nodes", "weight", "reason"),
    [
        ([node("Conv", "x w", "y", "n", group=4)], array(4, 1, 3, 3), "depthwise convolution (group=4)"),
        ([node("Conv", "x w", "y", "n", group=2)], array(6, 2, 3, 3), "grouped convolution (group=2)"),
        ([node("MatMul", "w x", "y", "n")], array(5, 8), "its weight is the left operand"),
        ([node("MatMul", "x w", "y", "n")], array(4, 8, 3), "its weight has 3 dimensions, not 2"),
        ([node("MatMul", "x w", "y", "n")], array(8), "its weight has 1 dimensions, not 2"),
    ],
)
def test_a_layer_that_cannot_be_replaced_says_why(nodes: list, weight: np.ndarray, reason: str) -> None:
    model = network(nodes, {"w": weight})
    layer = layers_of(model)["n"]
    assert layer.reason == reason
    assert layer.weight_shape == weight.shape, "(out, in, *kernel), or what cannot be read so"
    assert layer.macs == macs_by_shape_inference(model)


def test_gemm_with_a_transposed_input_or_a_weight_on_the_left_is_skipped() -> None:
    nodes = [node("Gemm", "x w", "a", "transposed", transA=1), node("Gemm", "v x", "b", "left")]
    nodes.append(node("Concat", "a b", "y", axis=1))
    layers = layers_of(network(nodes, {"w": array(3, 5), "v": array(4, 3)}, inputs={"x": (3, 4)}))
    assert layers["transposed"].reason == "its input is transposed (transA=1)"
    assert layers["left"].reason == "its weight is the left operand"
    assert (layers["transposed"].macs, layers["left"].macs) == (4 * 3 * 5, 4 * 3 * 4)


def test_three_dimensional_convolution_is_skipped() -> None:
    model = network([node("Conv", "x w", "y", "n")], {"w": array(5, 4, 2, 2, 2)}, inputs={"x": (1, 4, 4, 4, 4)})
    assert reasons_of(model) == {"n": "3-D convolution is not supported"}
    assert layers_of(model)["n"].macs == 5 * 4 * 8 * 27


def test_products_of_two_activations_are_no_layers() -> None:
    nodes = [
        node("MatMul", "x w", "q", "query"),
        node("Transpose", "x", "k", perm=[0, 1, 3, 2]),
        node("MatMul", "q k", "s", "scores"),
        node("Einsum", "s x", "y", "mixed", equation="abij,abjk->abik"),
    ]
    assert list(layers_of(network(nodes, {"w": array(8, 8)}))) == ["query"]


def test_products_of_constants_are_no_layers() -> None:
    nodes = [node("MatMul", "v w", "p", "folded"), node("MatMul", "x w", "q", "kept"), node("Add", "p q", "y")]
    assert list(layers_of(network(nodes, {"v": array(8, 8), "w": array(8, 8)}))) == ["kept"]


def test_weights_that_are_computed_are_skipped_with_the_node_that_computes_them() -> None:
    nodes = [
        node("Transpose", "w", "wt"),
        node("MatMul", "x wt", "a", "transposed"),
        node("Mul", "v scale", "vs"),
        node("Identity", "vs", "vi"),
        node("Conv", "a vi", "b", "scaled"),
        node("Conv", "b k", "c", "given"),
        node("Relu", "k", "kr"),
        node("Conv", "c kr", "y", "from_input"),
    ]
    weights = {"w": array(8, 8), "v": array(4, 4, 1, 1), "scale": array(1)}
    model = network(nodes, weights, inputs={"x": (2, 4, 8, 8), "k": (4, 4, 1, 1)})
    assert reasons_of(model) == {
        "transposed": "its weight is not constant but computed from constants by a Transpose node",
        "scaled": "its weight is not constant but computed from constants by a Mul node",
        "given": "its weight is an input of the graph, not constant",
        "from_input": "its weight is not constant but computed by a Relu node",
    }


def test_a_weight_that_is_drawn_at_random_is_not_constant() -> None:
    nodes = [node("RandomNormal", "", "w", shape=[4, 4, 1, 1]), node("Conv", "x w", "y", "n")]
    assert reasons_of(network(nodes)) == {"n": "its weight is not constant but computed by a RandomNormal node"}


def test_a_gemm_whose_weight_is_an_input_is_skipped() -> None:
    model = network([node("Gemm", "x w", "y", "n")], inputs={"x": (2, 4), "w": (4, 3)})
    assert reasons_of(model) == {"n": "its weight is an input of the graph, not constant"}


def test_a_weight_of_integers_is_skipped() -> None:
    nodes = [node("Cast", "x", "i", to=TensorProto.INT32), node("MatMul", "i w", "p", "n")]
    nodes.append(node("Cast", "p", "y", to=TensorProto.FLOAT))
    assert reasons_of(network(nodes, {"w": np.ones((8, 3), np.int32)})) == {"n": "its weight is of type INT32"}


def test_a_shared_weight_is_skipped_with_the_other_user() -> None:
    nodes = [node("MatMul", "x w", "a", "first"), node("MatMul", "a w", "y", "second")]
    assert reasons_of(network(nodes, {"w": array(8, 8)})) == {
        "first": "its weight is shared with 'second'",
        "second": "its weight is shared with 'first'",
    }


def test_a_weight_that_is_shared_through_identities_is_skipped() -> None:
    nodes = [
        node("Identity", "w", "w1"),
        node("Identity", "w1", "w2"),
        node("MatMul", "x w2", "a", "first"),
        node("MatMul", "a w", "y", "second"),
    ]
    assert reasons_of(network(nodes, {"w": array(8, 8)})) == {
        "first": "its weight is shared with 'second'",
        "second": "its weight is shared with 'first'",
    }


def test_a_weight_that_is_an_output_of_the_graph_is_skipped() -> None:
    nodes = [node("Identity", "w", "w1"), node("MatMul", "x w", "y", "n")]
    model = network(nodes, {"w": array(8, 8)}, outputs=("y", "w1"))
    assert reasons_of(model) == {"n": 'its weight is shared with "the graph\'s output"'}


def test_a_weight_that_the_node_reads_twice_is_skipped() -> None:
    model = network([node("Gemm", "x w w", "y", "n")], {"w": array(4, 4)}, inputs={"x": (4, 4)})
    assert reasons_of(model) == {"n": "its weight is shared with 'n'"}


def test_an_identity_that_nobody_reads_shares_nothing() -> None:
    nodes = [node("Identity", "w", "unread"), node("MatMul", "x w", "y", "n")]
    model = network(nodes, {"w": array(8, 8)})
    assert reasons_of(model) == {"n": None}
    assert full_rank_error(model) < 1e-5


def branches(inner: str, weights: dict[str, np.ndarray]) -> list:
    """An If whose branches are a MatMul named ``inner`` with the weight "w" and one with a weight of its own."""
    graphs = {}
    for label, own in (("then_branch", {}), ("else_branch", weights)):
        value = next(iter(own), "w")
        output = f"{label}_output"
        graphs[label] = helper.make_graph(
            [node("MatMul", f"a {value}", output, inner)],
            label,
            [],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(item, name) for name, item in own.items()],
        )
    return [node("MatMul", "x w0", "a", "first"), node("If", "flag", "y", "choice", **graphs)]


def test_layers_in_branches_are_listed_and_skipped() -> None:
    weights = {"w0": array(8, 8), "w": array(8, 8), "flag": np.array(True)}
    layers = layers_of(network(branches("inner", {"v": array(8, 3)}), weights))
    assert {name: (layer.weights, layer.macs) for name, layer in layers.items()} == {
        "first": (64, 8 * 8 * 8 * 8),
        "inner": (24, 0),
        "choice/then_branch/0/inner": (64, 0),
    }
    assert layers["first"].reason is None
    assert layers["inner"].reason == "it lies in the else_branch of If node 'choice'; its MACs are not counted"
    assert "then_branch of If node 'choice'" in str(layers["choice/then_branch/0/inner"].reason)


def test_a_weight_that_a_branch_uses_too_is_shared() -> None:
    weights = {"w0": array(8, 8), "flag": np.array(True)}
    nodes = branches("inner", {"v": array(8, 8)})
    nodes[0].input[1] = "w"
    weights["w"] = weights.pop("w0")
    assert reasons_of(network(nodes, weights))["first"] == "its weight is shared with 'choice'"


def test_layers_in_the_body_of_a_loop_are_listed_with_constants_seen_through_identities() -> None:
    body = helper.make_graph(
        [
            node("Constant", "", "c", value=numpy_helper.from_array(array(8, 8))),
            node("Identity", "c", "ci"),
            node("MatMul", "state ci", "next", ""),
            node("Identity", "go", "go_on"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    weights = {"times": np.array(2, np.int64), "true": np.array(True)}
    layers = layers_of(network([node("Loop", "times true x", "y", "loop", body=body)], weights))
    assert list(layers) == ["next"]
    assert layers["next"].reason == "it lies in the body of Loop node 'loop'; its MACs are not counted"


def test_a_node_without_a_name_goes_by_its_first_output() -> None:
    nodes = [node("MatMul", "x v", "a"), node("MatMul", "a w", "y", "named")]
    assert list(layers_of(network(nodes, {"v": array(8, 8), "w": array(8, 8)}))) == ["a", "named"]


def test_nodes_of_one_name_go_by_their_outputs() -> None:
    nodes = [node("MatMul", "x v", "a", "same"), node("MatMul", "a w", "y", "same")]
    model = network(nodes, {"v": array(8, 8), "w": array(8, 8)})
    assert list(layers_of(model)) == ["a", "y"]
    assert full_rank_error(model) < 1e-5


def test_names_stay_unique_when_an_output_is_called_like_another_node() -> None:
    nodes = [node("MatMul", "x v", "a"), node("MatMul", "a w", "y", "a")]
    model = network(nodes, {"v": array(8, 8), "w": array(8, 8)})
    assert list(layers_of(model)) == ["a#0", "a"]
    assert full_rank_error(model) < 1e-5


@pytest.mark.parametrize("name", ["/model/layers.0/attn[1]/MatMul", "größe/層:0", "a b*?", "x/0"])
def test_any_name_is_taken_as_it_is(name: str) -> None:
    nodes = [node("MatMul", "x v", "a", name), node("MatMul", "a w", "y", f"{name}/0")]
    model = network(nodes, {"v": array(8, 8), "w": array(8, 8)})
    assert list(layers_of(model)) == [name, f"{name}/0"]
    assert full_rank_error(model) < 1e-5


def test_local_functions_are_written_out() -> None:
    body = [node("MatMul", "i k", "p", "product"), node("Add", "p b", "o")]
    function = helper.make_function("mine", "Linear", ["i", "k", "b"], ["o"], body, [helper.make_opsetid("", 17)])
    nodes = [helper.make_node("Linear", ["x", "v", "b"], ["a"], "one", domain="mine")]
    nodes.append(helper.make_node("Linear", ["a", "w", "b"], ["y"], "two", domain="mine"))
    weights = {"v": array(8, 8), "w": array(8, 8), "b": array(8)}
    model = network(nodes, weights, domains=["mine"], functions=[function])
    layers = layers_of(model)
    assert [(layer.kind, layer.macs, layer.reason) for layer in layers.values()] == [
        ("MatMul", 2 * 4 * 8 * 64, None)
    ] * 2
    assert full_rank_error(model) < 1e-5


def test_weights_of_four_bits_are_counted_one_by_one() -> None:
    attributes = {"K": 64, "N": 24, "bits": 4, "block_size": 32}
    nodes = [node("MatMulNBits", "x w scales", "y", "packed", domain="com.microsoft", **attributes)]
    weights = {"w": np.zeros((24, 2, 16), np.uint8), "scales": array(48)}
    layer = layers_of(network(nodes, weights, inputs={"x": (3, 5, 64)}, domains=["com.microsoft"]))["packed"]
    assert (layer.weights, layer.macs) == (64 * 24, 3 * 5 * 64 * 24)
    assert layer.reason == "MatMulNBits is a quantized operator"


def test_operators_of_other_domains_are_no_layers_unless_they_are_known() -> None:
    nodes = [
        node("FusedMatMul", "x w", "a", "fused", domain="com.microsoft", alpha=0.5),
        node("FusedConv", "a v", "y", "conv", domain="com.microsoft", activation="Relu"),
    ]
    layers = layers_of(network(nodes, {"w": array(8, 8), "v": array(4, 4, 1, 1)}, domains=["com.microsoft"]))
    assert {name: (layer.reason, layer.macs) for name, layer in layers.items()} == {
        "fused": ("FusedMatMul is not supported", 2 * 4 * 8 * 8 * 8),
        "conv": ("FusedConv is not supported", 2 * 4 * 4 * 8 * 8),
    }


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
def test_a_recurrent_layer_whose_first_output_nobody_wants_counts_all_the_same(kind: str) -> None:
    gates = {"GRU": 3, "LSTM": 4, "RNN": 1}[kind]
    weights = {"w": array(1, gates * 6, 4), "r": array(1, gates * 6, 6)}
    model = network([node(kind, "x w r", "_ y", "n", hidden_size=6)], weights, inputs={"x": (5, 2, 4)})
    layer = layers_of(model)["n"]
    assert layer.reason == f"{kind} is not supported"
    assert layer.weights == gates * 6 * 10
    assert layer.macs == layer.weights * 5 * 2
