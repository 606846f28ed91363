"""Which layer another can be equalized with: where one is named, the network really computes the same afterwards."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper
from torch import nn

from aimet_hooks.adapters.stored_weights import stored_weights
from tests.unit.adapters.onnx_networks import array, network, node, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FACTOR, CHANNEL = 8.0, 1


def partner_of(model: Any, name: str) -> str:
    """The partner's name, or why there is none."""
    found = stored_weights(model).partners()[name]
    return found.layer or found.reason


# -- ONNX --------------------------------------------------------------------------------------------------------------


def changes_outputs(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, np.ndarray],
    outputs_of: tuple[str, int],
    inputs_of: tuple[str, int],
    **options: Any,
) -> bool:
    """Whether a network changes by a factor for one channel of a weight's axis, and its inverse for another's."""
    scaled = {name: values.copy() for name, values in weights.items()}
    for (name, axis), factor in ((outputs_of, FACTOR), (inputs_of, 1 / FACTOR)):
        np.moveaxis(scaled[name], axis, 0)[CHANNEL] *= np.float32(factor)
    feeds = {
        name: np.ones(shape[1], np.int64) if isinstance(shape, list) else array(*shape, seed=7)
        for name, shape in options["inputs"].items()
    }
    before, after = (run(network(nodes, values, **options), feeds) for values in (weights, scaled))
    return not all(np.allclose(*pair, rtol=1e-3, atol=1e-4) for pair in zip(before, after, strict=True))


SQUARE = {"x": (4, 4)}
IMAGES = {"x": (1, 4, 4, 4)}
KERNELS = {"w": array(4, 4, 1, 1), "v": array(4, 4, 1, 1, seed=1)}
MATRICES = {"w": array(4, 4), "v": array(4, 4, seed=1)}
SUMS_OVER_OTHERS = "'second' does not sum over its output channels"
RELU = node("Relu", "a", "b")


def test_products_have_partners_only_along_one_axis() -> None:
    first = {"right": (node("MatMul", "x w", "a", "first"), 1), "left": (node("MatMul", "w x", "a", "first"), 0)}
    second = {
        "right": (node("MatMul", "b v", "y", "second"), 0),
        "left": (node("MatMul", "v b", "y", "second"), 1),
        "Gemm": (node("Gemm", "b v", "y", "second"), 0),
        "Gemm, transA": (node("Gemm", "b v", "y", "second", transA=1), 0),
        "Gemm, left": (node("Gemm", "v b", "y", "second"), 1),
        "Gemm, left, transB": (node("Gemm", "v b", "y", "second", transB=1), 1),
    }
    expected = {
        "right": ["right", "Gemm", "Gemm, left, transB"],
        "left": ["left", "Gemm, transA", "Gemm, left"],
    }
    for side, (before, outputs) in first.items():
        for name, (after, inputs) in second.items():
            nodes = [before, RELU, after]
            fits = name in expected[side]
            assert partner_of(network(nodes, MATRICES, inputs=SQUARE), "first") == (
                "second" if fits else SUMS_OVER_OTHERS
            )
            assert changes_outputs(nodes, MATRICES, ("w", outputs), ("v", inputs), inputs=SQUARE) != fits, (side, name)


@pytest.mark.parametrize(
    ("first", "second", "weights", "outputs", "inputs", "expected"),
    [
        ("MatMul", "MatMul", {"w": array(2, 4, 4), "v": array(4, 4)}, 2, 0, "second"),
        ("MatMul", "MatMul", {"w": array(4, 4), "v": array(3, 4, 2)}, 1, 1, "second"),
        ("MatMul", "MatMul", {"w": array(4, 4), "v": array(4)}, 1, 0, "second"),
        ("MatMul", "Conv", {"w": array(4, 4), "v": array(4, 4, 1, 1)}, 1, 1, SUMS_OVER_OTHERS),
        ("Conv", "MatMul", {"w": array(4, 4, 1, 1), "v": array(4, 4)}, 0, 0, SUMS_OVER_OTHERS),
        ("Conv", "Conv", {"w": array(4, 4, 1, 1), "v": array(4, 2, 1, 1)}, 0, 1, "second"),
        ("ConvTranspose", "ConvTranspose", {"w": array(4, 4, 1, 1), "v": array(4, 3, 1, 1)}, 1, 0, "second"),
    ],
)
def test_channels_are_where_the_operators_have_them(
    first: str, second: str, weights: Mapping[str, np.ndarray], outputs: int, inputs: int, expected: str
) -> None:
    groups = {"group": 2} if weights["v"].shape == (4, 2, 1, 1) else {}
    nodes = [node(first, "x w", "a", "first"), RELU, node(second, "b v", "y", "second", **groups)]
    images = {"x": (2, 4, 4, 4) if "Conv" in first + second else (2, 4, 4) if len(weights["w"].shape) == 3 else (4, 4)}
    assert partner_of(network(nodes, weights, inputs=images), "first") == expected
    if not groups:  # whose halves have a channel 1 each
        changes = changes_outputs(nodes, weights, ("w", outputs), ("v", inputs), inputs=images)
        assert changes == (expected != "second")


def test_another_number_of_channels_is_no_partner() -> None:
    nodes = [
        node("Conv", "x w", "a", "first"),
        node("Add", "a s", "b"),  # which makes four channels of one
        node("Conv", "b v", "y", "second"),
    ]
    weights = {"w": array(1, 4, 1, 1), "s": array(4, 1, 1), "v": array(4, 4, 1, 1)}
    assert partner_of(network(nodes, weights, inputs=IMAGES), "first") == SUMS_OVER_OTHERS


def test_a_vector_as_the_weight_gives_no_channels() -> None:
    nodes = [node("MatMul", "x w", "a", "first"), node("MatMul", "a v", "y", "second")]
    weights = {"w": array(4), "v": array(4, 4)}
    assert partner_of(network(nodes, weights, inputs=SQUARE), "first").startswith("what it gives is not in proportion")


TOKENS = {"ids": [onnx.TensorProto.INT64, (2,)], "x": (4, 4)}


@pytest.mark.parametrize(
    ("nodes", "outputs", "reason"),
    [
        ([node("Gather", "w ids", "z", "embedding"), node("MatMul", "x w", "a", "first")], 1, "embedding"),
        (
            [
                node("Gather", "w ids", "z", "embedding"),
                node("Transpose", "w", "t", "turn", perm=[1, 0]),
                node("MatMul", "x t", "a", "first"),
            ],
            0,
            "embedding",
        ),
        (
            [
                node("Transpose", "w", "t", "turn"),
                node("Transpose", "w", "u", "again"),
                node("MatMul", "x t", "a", "first"),
                node("MatMul", "x u", "z", "other"),
                node("Gather", "w ids", "q", "embedding"),
            ],
            0,
            "again",
        ),
        (
            [
                node("Transpose", "w", "t", "turn"),
                node("MatMul", "x t", "a", "first"),
                node("MatMul", "x t", "z", "other"),
            ],
            0,
            "other",
        ),
        ([node("Identity", "w", "t"), node("MatMul", "x t", "a", "first"), node("Neg", "w", "z", "minus")], 1, "minus"),
    ],
)
def test_a_weight_with_another_reader_has_no_partner(nodes: list[onnx.NodeProto], outputs: int, reason: str) -> None:
    whole = [*nodes, RELU, node("MatMul", "b v", "y", "second")]
    reads_tokens = any(found.op_type == "Gather" for found in nodes)
    options = {"inputs": TOKENS if reads_tokens else SQUARE, "outputs": ["y", "z"]}
    assert partner_of(network(whole, MATRICES, **options), "first") == f"its weight is shared with {reason!r}"
    assert changes_outputs(whole, MATRICES, ("w", outputs), ("v", 0), **options)


def test_a_following_weight_with_another_reader_is_no_partner() -> None:
    nodes = [
        node("MatMul", "x w", "a", "first"),
        RELU,
        node("Transpose", "v", "t"),
        node("MatMul", "b t", "y", "second"),
        node("Neg", "v", "z", "minus"),
    ]
    options = {"inputs": SQUARE, "outputs": ["y", "z"]}
    found = partner_of(network(nodes, MATRICES, **options), "first")
    assert found == "'second' follows, but its weight is shared with 'minus'"
    assert changes_outputs(nodes, MATRICES, ("w", 1), ("v", 1), **options)


def test_a_turned_weight_of_its_own_has_a_partner() -> None:
    nodes = [
        node("Transpose", "w", "t"),
        node("Identity", "t", "u"),
        node("MatMul", "x u", "a", "first"),
        RELU,
        node("MatMul", "b v", "y", "second"),
    ]
    assert partner_of(network(nodes, MATRICES, inputs=SQUARE), "first") == "second"
    assert not changes_outputs(nodes, MATRICES, ("w", 0), ("v", 0), inputs=SQUARE)


@pytest.mark.parametrize(
    ("nodes", "outputs", "reason"),
    [
        ([RELU], ["y", "a"], "2 operations read its output (Relu, the graph's output)"),
        ([RELU], ["y", "b"], "2 operations read its output (Conv, the graph's output)"),
        ([RELU, node("Neg", "b", "z")], ["y", "z"], "2 operations read its output (Neg, Conv)"),
        ([RELU, node("Identity", "b", "z")], ["y", "z"], "2 operations read its output (Conv, the graph's output)"),
        ([node("Transpose", "a", "b", perm=[0, 2, 1, 3])], ["y"], "Transpose lies behind it"),
        ([node("Reshape", "a shape", "b")], ["y"], "Reshape lies behind it"),
        ([node("BatchNormalization", "a s s s s", "c"), node("Sigmoid", "c", "b")], ["y"], "Sigmoid lies behind it"),
    ],
)
def test_what_else_reads_or_mixes_the_channels_leaves_no_partner(
    nodes: list[onnx.NodeProto], outputs: list[str], reason: str
) -> None:
    whole = [node("Conv", "x w", "a", "first"), *nodes, node("Conv", "b v", "y", "second")]
    weights = {**KERNELS, "shape": np.array([2, 4, 2, 4]), "s": np.ones(4, np.float32)}
    options = {"inputs": IMAGES, "outputs": outputs}
    assert partner_of(network(whole, weights, **options), "first") == reason
    assert changes_outputs(whole, weights, ("w", 0), ("v", 1), **options)


@pytest.mark.parametrize(
    ("flatten", "second", "shape", "reason"),
    [
        (node("Flatten", "a", "b", axis=2), node("MatMul", "b v", "y", "second"), (4, 4), "Flatten lies behind it"),
        (node("Flatten", "a", "b"), node("MatMul", "v b", "y", "second"), (3, 16), SUMS_OVER_OTHERS),
        (node("Flatten", "a", "b"), node("Gemm", "b v", "y", "second", transA=1), (16, 3), SUMS_OVER_OTHERS),
        (node("Reshape", "a shape", "b"), node("MatMul", "b v", "y", "second"), (8, 3), "Reshape lies behind it"),
    ],
)
def test_flattening_keeps_only_channels_that_stay_in_blocks(
    flatten: onnx.NodeProto, second: onnx.NodeProto, shape: tuple[int, int], reason: str
) -> None:
    nodes = [node("Conv", "x w", "a", "first"), flatten, second]
    weights = {"w": array(4, 4, 1, 1), "v": array(*shape), "shape": np.array([-1, 8])}
    inputs = {"x": (16 if reason == SUMS_OVER_OTHERS else 4, 4, 2, 2)}
    model = network(nodes, weights, inputs=inputs)
    assert run(model, {"x": array(*inputs["x"])})[0].size > 0
    assert partner_of(model, "first") == reason


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (node("Gemm", "x w x", "a", "first"), node("MatMul", "b v", "y", "second"), "what it gives is not in"),
        (node("Gemm", "x w", "a", "first"), node("Gemm", "x v b", "y", "second"), "Gemm lies behind it"),
        (node("MatMul", "x w", "a", "first"), node("Relu", "b", "y", domain="own"), "Relu lies behind it"),
        (
            helper.make_node("FusedGemm", ["x", "w"], ["a"], "first", domain="com.microsoft", activation="Sigmoid"),
            node("MatMul", "b v", "y", "second"),
            "what it gives is not in proportion",
        ),
    ],
)
def test_what_is_added_or_fused_leaves_no_partner(first: onnx.NodeProto, second: onnx.NodeProto, reason: str) -> None:
    made = [first, RELU, second]
    assert partner_of(network(made, MATRICES, inputs=SQUARE, domains=["com.microsoft", "own"]), "first").startswith(
        reason
    )


# -- torch -------------------------------------------------------------------------------------------------------------


class Forward(nn.Module):
    """Two convolutions, and a forward that the test writes."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 4)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.how = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.how(self, x)


def counting(model: Forward, x: torch.Tensor) -> torch.Tensor:
    model.calls.add_(1)
    model.last = x
    return model.b(F.relu(model.a(x)))


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda m, x: m.b(F.max_pool2d(F.relu(m.a(x)), 2)), "b"),
        (lambda m, x: m.b(F.leaky_relu(m.a(x)).relu_()), "b"),
        (lambda m, x: m.c(torch.flatten(F.adaptive_avg_pool2d(m.a(x), 1), 1)), "c"),
        (lambda m, x: m.b(F.dropout(m.a(x), training=m.training)), "b"),
        (counting, "b"),
        (lambda m, x: m.b(F.relu6(m.a(x))), "relu6 lies behind it"),
        (lambda m, x: m.b(m.norm(F.relu(m.a(x)))), "BatchNorm2d lies behind it"),
        (lambda m, x: m.b(m.norm(m.norm(m.a(x)))), "BatchNorm2d lies behind it"),  # one that is folded twice
        (lambda m, x: m.b(m.a(x) + x), "add lies behind it"),
        (lambda m, x: m.b(m.a(x)) + m.a(x), "the model calls it 2 times as a module"),
        (lambda m, x: (y := m.a(x)) + m.b(y), "2 operations read its output (Conv2d, add)"),
        (lambda m, x: m.c(m.a(x)), "'c' does not sum over its output channels"),
        (lambda m, x: m.c(torch.flatten(m.a(x))), "flatten lies behind it"),
        (lambda m, x: m.a(x), "no other layer follows"),
        (lambda m, x: m.b(x), "torch.fx does not see the model call it as a module"),
        (
            lambda m, x: m.b(m.a(x)) if x.sum() > 0 else x,
            "torch.fx cannot trace the model: TraceError: symbolically traced",
        ),
    ],
)
def test_partners_in_torch_are_found_without_a_trace_in_the_model(forward: Any, expected: str) -> None:
    model = Forward(forward)
    before = [(module, dict(vars(module)), copy.copy(module._buffers)) for module in model.modules()]
    state = torch.get_rng_state()
    assert partner_of(model, "a").startswith(expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.calls == 0
    for module, attributes, buffers in before:
        assert vars(module) == attributes
        assert module._buffers == buffers


def test_shared_weights_have_no_partner() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[4].weight = model[2].weight
    assert partner_of(model, "2") == "its weight is shared with '4'"
    assert partner_of(model, "0") == "'2' follows, but its weight is shared with '4'"


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ([node("LeakyRelu", "a", "b", alpha=0.1), node("PRelu", "b s", "c")], "second"),
        ([node("AveragePool", "a", "b", kernel_shape=[2, 2]), node("Identity", "b", "c")], "second"),
        ([node("Add", "a s", "b"), node("Relu", "b", "c")], "second"),
        ([node("Relu", "a", "b"), node("Add", "b s", "c")], "Add lies behind it"),
        ([node("Clip", "a", "c")], "Clip lies behind it"),
        ([node("Add", "a x", "c")], "Add lies behind it"),
        ([node("Relu", "a", "c"), node("Neg", "a", "z")], "2 operations read its output (Relu, Neg)"),
    ],
)
def test_partners_in_onnx(between: list[onnx.NodeProto], expected: str) -> None:
    nodes = [node("Conv", "x w1", "a", "first"), *between, node("Conv", "c w2", "y", "second")]
    weights = {"w1": array(4, 4, 1, 1), "w2": array(4, 4, 1, 1), "s": array(4, 1, 1)}
    assert partner_of(network(nodes, weights), "first") == expected


def test_equalizing_partners_changes_no_output() -> None:
    nodes = [
        node("Conv", "x w1", "a", "first"),
        node("PRelu", "a s", "b"),
        node("MaxPool", "b", "c", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "c w2", "d", "depthwise", group=4),
        node("AveragePool", "d", "e", kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
        node("Flatten", "e", "f"),
        node("Gemm", "f w3", "y", "fc"),
    ]
    weights = {"w1": array(4, 4, 1, 1), "s": array(4, 1, 1), "w2": array(4, 1, 1, 1), "w3": array(4 * 9 * 9, 3)}
    inputs = {"x": (1, 4, 16, 16)}
    model = network(nodes, weights, inputs=inputs)
    assert (partner_of(model, "first"), partner_of(model, "depthwise")) == ("depthwise", "fc")
    scaled = {name: values.copy() for name, values in weights.items()}
    scaled["w1"][1] *= 40
    scaled["w2"][1] *= np.float32(3 / 40)
    scaled["w3"][81:162] /= 3
    x = {"x": array(*inputs["x"])}
    np.testing.assert_allclose(run(network(nodes, scaled, inputs=inputs), x), run(model, x), rtol=1e-4, atol=1e-4)


def test_what_a_traced_forward_puts_into_lists_and_dicts_is_taken_out_again() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
            self.calls, self.cache, self.seen = [0], {"before": 1}, {2}

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls[0] += 1
            self.cache["images"] = images
            self.seen.add(3)
            return self.second(self.first(images))

    model = Counting()
    assert stored_weights(model).partners()["first"].layer == "second"
    assert (model.calls, model.cache, model.seen) == ([0], {"before": 1}, {2})


class Tied(nn.Module):
    """A hidden layer and a head, which shares its weight with an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.hidden, self.head = nn.Embedding(6, 4), nn.Linear(4, 4), nn.Linear(4, 6, bias=False)
        self.last = nn.Linear(6, 2)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.last(F.relu(self.head(F.relu(self.hidden(self.embedding(tokens))))))


class Pair(nn.Module):
    """Two layers with a ReLU between them, and a forward that the test writes."""

    def __init__(self, forward: Any = None, **others: nn.Module) -> None:
        super().__init__()
        self.a, self.relu, self.b = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)
        for name, module in others.items():
            setattr(self, name, module)
        self.how = forward or (lambda model, x: model.b(model.relu(model.a(x))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.how(self, x)


class Standardized(nn.Linear):
    """As layers with weight standardization are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight / self.weight.norm(dim=1, keepdim=True), self.bias)


class StandardizedConvolution(nn.Conv2d):
    """The same by the method that nn.Conv2d's forward calls."""

    def _conv_forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super()._conv_forward(x, weight / weight.norm(), bias)


class Renamed(nn.Linear):
    """A subclass that computes the same."""

    def __init__(self) -> None:
        super().__init__(4, 4)


def keeps_outputs(model: nn.Module, first: str, second: str, x: torch.Tensor) -> bool:
    """Whether a model computes the same with a channel of one layer times a factor, and the other's divided by it."""
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        before = model(x)
        layer, following = scaled.get_submodule(first), scaled.get_submodule(second)
        layer.weight[CHANNEL] *= FACTOR
        if layer.bias is not None:
            layer.bias[CHANNEL] *= FACTOR
        following.weight[:, CHANNEL] /= FACTOR
        return torch.allclose(scaled(x), before, rtol=1e-3, atol=1e-5)


def hooked(model: Pair, name: str, *, before: bool = False) -> Pair:
    module = getattr(model, name)
    if before:
        module.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1,))
    else:
        module.register_forward_hook(lambda _module, _inputs, output: output + 1)
    return model


def forward_replaced() -> Pair:
    model = Pair()
    model.a.forward = lambda x: F.linear(x, model.a.weight.sign(), model.a.bias)
    return model


READS_WEIGHT = "the model reads its weight outside of it as well"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Pair, "b"),
        (lambda: Pair(a=Renamed()), "b"),
        (lambda: Pair(lambda m, x: m.b(m.relu(m.a(x.to(m.b.weight.dtype))))), "b"),
        (lambda: Pair(lambda m, x: m.b(m.relu(m.a(x))) + F.linear(x, m.a.weight)), READS_WEIGHT),
        (lambda: Pair(lambda m, x: m.b(m.relu(m.a(x))) + m.a.weight.norm()), READS_WEIGHT),
        (lambda: Pair(lambda m, x: m.b(m.relu(m.a(x))) + m.b.weight.norm()), f"'b' follows, but {READS_WEIGHT}"),
        (lambda: Pair(a=Standardized(4, 4)), "it has a forward of its own"),
        (lambda: Pair(b=Standardized(4, 4)), "'b' follows, but it has a forward of its own"),
        (lambda: hooked(Pair(), "a"), "it has a forward hook"),
        (lambda: hooked(Pair(), "b", before=True), "'b' follows, but it has a forward hook"),
        (lambda: hooked(Pair(), "relu"), "ReLU with a forward hook lies behind it"),
        (lambda: Pair(a=nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))), "its weight is computed from other"),
        (lambda: Pair(a=nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))), "its weight is computed from other"),
        (lambda: Pair(b=nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))), "'b' follows, but its weight is compu"),
    ],
)
def test_a_torch_layer_is_a_partner_only_if_it_can_be_scaled_by_itself(make: Callable[[], Pair], expected: str) -> None:
    torch.manual_seed(0)
    model = make().eval()
    assert partner_of(model, "a").startswith(expected)
    if "computed from" not in expected:  # which has no weight of its own to scale
        assert keeps_outputs(model, "a", "b", torch.rand(3, 4)) == (expected == "b")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_weights_that_are_computed_the_older_way_cannot_be_scaled(name: str) -> None:
    model = Pair(a=getattr(nn.utils, name)(nn.Linear(4, 4))).eval()
    assert partner_of(model, "a").startswith("its weight is computed from other parameters")


def test_a_forward_that_an_instance_was_given_is_its_own() -> None:
    assert partner_of(forward_replaced(), "a") == "it has a forward of its own"


def test_a_convolution_may_compute_its_weight_in_another_method() -> None:
    model = nn.Sequential(StandardizedConvolution(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
    assert partner_of(model, "0") == "it has a forward of its own"
    assert not keeps_outputs(model, "0", "2", torch.rand(1, 4, 3, 3))


def test_a_weight_shared_with_an_embedding_has_no_partner() -> None:
    model = Tied()
    tokens = torch.arange(6)
    assert partner_of(model, "head") == "its weight is shared with 'embedding.weight'"
    assert partner_of(model, "hidden") == "'head' follows, but its weight is shared with 'embedding.weight'"
    assert not keeps_outputs(model, "head", "last", tokens)
    assert not keeps_outputs(model, "hidden", "head", tokens)


def test_a_weight_that_another_module_holds_a_view_of_has_no_partner() -> None:
    model = Pair(lambda m, x: m.b(m.relu(m.a(x))) + m.table)
    model.register_buffer("table", model.a.weight.detach()[1])
    assert partner_of(model, "a") == "its weight is shared with 'table'"


def test_pooling_over_other_axes_than_the_kernel_may_mix_channels() -> None:
    volumes = nn.MaxPool3d((3, 1, 1), stride=1, padding=(1, 0, 0))  # takes the batch for channels, channels for depth
    model = nn.Sequential(nn.Conv2d(4, 4, 1), volumes, nn.Conv2d(4, 4, 1))
    assert partner_of(model, "0") == "MaxPool3d lies behind it"
    assert not keeps_outputs(model, "0", "2", torch.rand(1, 4, 3, 3))


@pytest.mark.parametrize("model", [nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4)), Pair(lambda m, x: m.a(x))])
def test_nothing_follows_the_last_layer(model: nn.Module) -> None:
    name = next(iter(stored_weights(model).layers)).name
    assert partner_of(model, name) == "no other layer follows"


def test_nothing_follows_the_last_node() -> None:
    model = network([node("MatMul", "x w", "y", "only")], MATRICES, inputs=SQUARE)
    assert partner_of(model, "only") == "no other layer follows"
