"""Local and accumulated noise of quantized weights: against models whose weights are replaced one by one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, qdq_loss_debug, quantize_static

from aimet_hooks import UsageError, compare_quantized, demo
from aimet_hooks.adapters.onnx_graph import output_noise
from aimet_hooks.adapters.onnx_graph.stored import OnnxWeights
from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.quantization.quantizer import quantize_dequantize
from tests.unit.adapters.onnx_networks import array, network, node, quiet, run
from tests.unit.quantization.networks import onnx_network
from tests.unit.quantization.test_activations import Reader, images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Quantize = Callable[[np.ndarray], np.ndarray]


def with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return copy


def replaced(model: onnx.ModelProto, weights: Mapping[str, Quantize]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in weights:
            values = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name](values).astype(values.dtype), tensor.name))
    return copy


def whole(bitwidth: int) -> Quantize:
    """One scale for all of a weight, however it lies."""
    return lambda weight: quantize_dequantize(weight.reshape(1, -1), bitwidth=bitwidth).reshape(weight.shape)


def along(axis: int) -> Quantize:
    """4 bits, a scale for every slice of this axis."""

    def quantize(weight: np.ndarray) -> np.ndarray:
        return np.moveaxis(quantize_dequantize(np.moveaxis(weight, axis, 0), bitwidth=4), 0, axis)

    return quantize


def sqnr(x: np.ndarray, y: np.ndarray) -> float:
    noise = np.square(x.astype(np.float64) - y).sum()
    return float(10 * np.log10(np.square(x.astype(np.float64)).sum() / noise)) if noise else 200.0


def expected(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray], layers: Mapping[str, tuple[str, str, Quantize]]
) -> dict[str, tuple[float, float]]:
    """From whole runs of models; for each layer its weight, its output, and how the weight is quantized."""
    outputs = [output for _, output, _ in layers.values()]
    original = run(with_outputs(model, outputs), feeds)
    everything = {weight: quantize for weight, _, quantize in layers.values()}
    accumulated = run(with_outputs(replaced(model, everything), outputs), feeds)
    found = {}
    for at, (name, (weight, output, quantize)) in enumerate(layers.items()):
        (local,) = run(with_outputs(replaced(model, {weight: quantize}), [output]), feeds)
        found[name] = (sqnr(original[at], local), sqnr(original[at], accumulated[at]))
    return found


def assert_same(frame: Any, wanted: Mapping[str, tuple[float, float]], tolerance: float = 0.01) -> None:
    assert list(frame.index) == list(wanted)
    figures = frame[["local_sqnr", "accumulated_sqnr"]].to_numpy()
    np.testing.assert_allclose(figures, list(wanted.values()), rtol=0, atol=tolerance)


@pytest.mark.parametrize("bitwidth", [4, 8])
def test_demo_network_against_models_with_replaced_weights(bitwidth: int) -> None:
    model = onnx.load(demo.model_path())
    names = [layer.name for layer in stored_weights(demo.model_path()).layers]
    nodes = {made.name: made for made in model.graph.node}
    layers = {name: (nodes[name].input[1], nodes[name].output[0], whole(bitwidth)) for name in names}
    x = images()
    frame = compare_quantized(demo.model_path(), np.array_split(x, 4), bitwidth=bitwidth)
    assert list(frame.columns) == ["kind", "local_sqnr", "accumulated_sqnr"]
    assert frame.index.name == "layer"
    assert frame["kind"].to_dict() == {name: nodes[name].op_type for name in names}
    assert_same(frame, expected(model, {"image": x}, layers))
    assert frame.loc["stem", "local_sqnr"] == frame.loc["stem", "accumulated_sqnr"]


KINDS = {
    "grouped": (node("Conv", "x w", "y", "l", group=2), (6, 2, 3, 3), 0, (2, 4, 6, 6)),
    "matmul": (node("MatMul", "x w", "y", "l"), (4, 3), 1, (2, 4)),
    "batched": (node("MatMul", "x w", "y", "l"), (2, 4, 3), 2, (2, 5, 4)),
    "left": (node("MatMul", "w x", "y", "l"), (3, 4), 0, (4, 2)),
    "gemm": (node("Gemm", "x w", "y", "l", alpha=2.0), (4, 3), 1, (2, 4)),
    "turned": (node("Gemm", "x w", "y", "l", transB=1), (3, 4), 0, (2, 4)),
    "left turned": (node("Gemm", "w x", "y", "l", transA=1), (4, 3), 1, (4, 2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_put_back_as_they_lie(kind: str) -> None:
    layer, shape, axis, taken = KINDS[kind]
    weight = array(*shape) * np.moveaxis(
        np.geomspace(0.1, 3, shape[axis], dtype=np.float32).reshape(-1, *[1] * (len(shape) - 1)), 0, axis
    )
    model = network([layer], {"w": weight}, inputs={"x": taken})
    wanted = expected(model, {"x": array(*taken)}, {"l": ("w", "y", along(axis))})
    frame = compare_quantized(model, array(*taken), bitwidth=4, per_channel=True)
    assert_same(frame, wanted)
    assert frame.loc["l", "local_sqnr"] < 40


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions(groups: int) -> None:
    weight = array(4, 6 // groups, 3, 3)
    model = network([node("ConvTranspose", "x w", "y", "up", group=groups)], {"w": weight}, inputs={"x": (1, 4, 5, 5)})

    def quantize(values: np.ndarray) -> np.ndarray:
        parts = np.split(values, groups)
        return np.concatenate([along(1)(part) for part in parts])

    wanted = expected(model, {"x": array(1, 4, 5, 5)}, {"up": ("w", "y", quantize)})
    assert_same(compare_quantized(model, array(1, 4, 5, 5), bitwidth=4, per_channel=True), wanted)


def test_turned_constant_and_shared_weights_change_one_layer_at_a_time() -> None:
    values = numpy_helper.from_array(array(4, 4, seed=3), "value")
    nodes = [
        helper.make_node("Constant", [], ["c"], value=values),
        node("Transpose", "w", "t", perm=[1, 0]),
        node("Identity", "w", "same"),
        node("MatMul", "x t", "a", "one"),
        node("Relu", "a", "b", "relu"),
        node("MatMul", "b same", "d", "two"),
        node("Gemm", "d c", "y", "three"),
    ]
    shape = {"inputs": {"x": (5, 4)}}
    frame = compare_quantized(network(nodes, {"w": array(4, 4)}, **shape), array(5, 4), bitwidth=3)
    plain = [
        node("MatMul", "x t", "a", "one"),
        node("Relu", "a", "b", "relu"),
        node("MatMul", "b same", "d", "two"),
        node("Gemm", "d c", "y", "three"),
    ]
    weights = {"t": array(4, 4).T.copy(), "same": array(4, 4), "c": array(4, 4, seed=3)}
    layers = {"one": ("t", "a", whole(3)), "two": ("same", "d", whole(3)), "three": ("c", "y", whole(3))}
    assert_same(frame, expected(network(plain, weights, **shape), {"x": array(5, 4)}, layers))


@pytest.mark.parametrize("flag", [True, False])
def test_branches_read_what_is_changed(flag: bool) -> None:
    """One reads the layer's output by name, the other has a value of its own of another layer's name."""

    def graph(label: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        made = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
        return helper.make_graph(list(nodes), label, [], [made])

    inner = helper.make_node(
        "If",
        ["flag"],
        ["deep"],
        then_branch=graph("t2", node("Neg", "a", "n")),
        else_branch=graph("e2", node("Abs", "a", "m")),
    )
    choice = helper.make_node(
        "If",
        ["flag"],
        ["b"],
        "choice",
        then_branch=graph("t", inner, node("Relu", "deep", "r")),
        else_branch=graph("e", node("Exp", "x", "p"), node("Add", "p a", "s")),
    )
    nodes = [node("MatMul", "x w", "a", "one"), choice, node("MatMul", "b v", "y", "two")]
    model = network(nodes, {"w": array(4, 4), "v": array(4, 3)}, inputs={"x": (5, 4), "flag": [TensorProto.BOOL, ()]})
    feeds = {"x": array(5, 4), "flag": np.array(flag)}
    layers = {"one": ("w", "a", whole(4)), "two": ("v", "y", whole(4))}
    assert_same(compare_quantized(model, feeds, bitwidth=4), expected(model, feeds, layers))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("opset", "ir_version"), [(11, 3), (17, 8), (21, 10)])
def test_types_and_versions(dtype: Any, opset: int, ir_version: int) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [node("MatMul", "x w", "a", "one"), node("MatMul", "a v", "y", "two")]
    weights = {"w": array(4, 4, dtype=dtype), "v": array(4, 3, dtype=dtype)}
    model = network(nodes, weights, inputs={"x": (5, 4)}, dtype=kind, opset=opset, ir_version=ir_version)
    x = array(5, 4, dtype=dtype)
    layers = {"one": ("w", "a", whole(4)), "two": ("v", "y", whole(4))}
    assert_same(compare_quantized(model, x, bitwidth=4), expected(model, {"x": x}, layers), tolerance=0.1)


def test_what_is_undefined_is_nan_and_no_noise_is_200() -> None:
    nodes = [node("MatMul", "x w", "y", "exact")]
    exact = network(nodes, {"w": np.array([[1, -1], [0, 1]], np.float32)}, inputs={"x": ("N", 2)})
    assert compare_quantized(exact, array(3, 2)).loc["exact", ["local_sqnr", "accumulated_sqnr"]].tolist() == [200, 200]
    for x in (np.zeros((3, 2)), np.full((3, 2), np.nan), np.full((3, 2), np.inf), np.empty((0, 2))):
        frame = compare_quantized(exact, x.astype(np.float32))
        assert frame[["local_sqnr", "accumulated_sqnr"]].isna().all(axis=None)
    bad = network(nodes, {"w": np.array([[1, np.nan], [0, 1]], np.float32)}, inputs={"x": ("N", 2)})
    assert compare_quantized(bad, array(3, 2))["local_sqnr"].isna().all()


def test_layers_are_measured_first_to_last() -> None:
    """ONNX Runtime starts with the last end of a graph: in another order it holds the tensors of all layers."""
    weights = OnnxWeights(onnx_network())
    made = output_noise._Comparison(onnx_network(), weights, lambda weight: weight).model.graph
    sums = [made_by.output[0] for made_by in made.node if made_by.op_type == "ReduceSumSquare"]
    ends = [
        next(layer.name for layer in weights.layers if name.endswith(f"/{weights.output(layer.name)}"))
        for name in reversed(sums)
    ]
    assert list(dict.fromkeys(ends)) == [layer.name for layer in weights.layers]


def test_a_model_without_layers_has_no_rows() -> None:
    frame = compare_quantized(network([node("Relu", "x", "y")], inputs={"x": (2, 3)}), array(2, 3))
    assert frame.empty
    assert list(frame.columns) == ["kind", "local_sqnr", "accumulated_sqnr"]


def test_names_that_are_taken_and_shared_and_missing() -> None:
    nodes = [
        node("MatMul", "x w", "aimet_hooks/alone/y", "twice"),
        node("MatMul", "aimet_hooks/alone/y v", "y", "twice"),
        node("Neg", "y", "z"),
    ]
    model = network(nodes, {"w": array(4, 4), "v": array(4, 3)}, inputs={"x": (5, 4)}, outputs=["z"])
    layers = {"aimet_hooks/alone/y": ("w", "aimet_hooks/alone/y", whole(4)), "y": ("v", "y", whole(4))}
    for made in model.graph.node:
        made.name = ""
    wanted = expected(model, {"x": array(5, 4)}, layers)
    for made in model.graph.node[:2]:
        made.name = "twice"
    assert_same(compare_quantized(model, array(5, 4), bitwidth=4), wanted)


def test_local_functions_are_written_out() -> None:
    body = helper.make_function(
        "own",
        "Layer",
        ["a", "b"],
        ["c"],
        [node("MatMul", "a b", "m", "inner"), node("Relu", "m", "c")],
        [helper.make_opsetid("", 17)],
    )
    calls = [
        helper.make_node("Layer", [one, weight], [other], domain="own")
        for one, weight, other in (("x", "w", "h"), ("h", "v", "y"))
    ]
    model = network(
        calls, {"w": array(4, 4), "v": array(4, 3)}, inputs={"x": (5, 4)}, domains=["own"], functions=[body]
    )
    frame = compare_quantized(model, array(5, 4), bitwidth=4)
    assert len(frame) == 2
    assert frame["local_sqnr"].between(10, 40).all()


def test_the_model_stays_as_it_is_and_external_data_is_read(tmp_path: Path) -> None:
    model = onnx_network()
    before = model.SerializeToString()
    x = array(2, 3, 16, 16)
    inside = compare_quantized(model, x, session_options=quiet(), providers=["CPUExecutionProvider"])
    assert model.SerializeToString() == before
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    np.testing.assert_allclose(
        compare_quantized(path, x)["accumulated_sqnr"], inside["accumulated_sqnr"], rtol=0, atol=0.01
    )


def test_mistakes_are_named() -> None:
    model = onnx_network()
    with pytest.raises(UsageError, match=re.escape("has shape (2, 4, 16, 16), the model takes (any, 3, any, any)")):
        compare_quantized(model, array(2, 4, 16, 16))
    with pytest.raises(UsageError, match="inputs has no batch"):
        compare_quantized(model, iter(()))
    with pytest.raises(UsageError, match="per_channel is 'yes'; give True or False"):
        compare_quantized(model, array(1, 3, 8, 8), per_channel="yes")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="bitwidth is 40"):
        compare_quantized(model, array(2, 3, 16, 16), bitwidth=40)
    with pytest.raises(UsageError, match=r"model is a torch\.nn\.Module"):
        compare_quantized(torch.nn.Linear(2, 2), array(2, 2))


def test_accumulated_noise_is_the_cross_model_error_of_onnxruntime(tmp_path: Path) -> None:
    """With weights of 8 bits as ONNX Runtime quantizes them, and activations of 16 bits, which hardly add noise."""
    nodes = [
        node("MatMul", "x w", "a", "one"),
        node("Tanh", "a", "b", "tanh"),
        node("MatMul", "b v", "y", "two"),
        node("Sigmoid", "y", "z", "last"),
    ]
    weights = {"w": array(16, 32), "v": array(32, 8)}
    model = network(nodes, weights, inputs={"x": (64, 16)}, outputs=["z"], opset=21, ir_version=10)
    onnx.save(model, tmp_path / "float.onnx")
    x = array(64, 16)
    quantize_static(
        *(tmp_path / "float.onnx", tmp_path / "qdq.onnx", Reader({"x": x})),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt16,
        weight_type=QuantType.QInt8,
        extra_options={"WeightSymmetric": True},
    )
    collected = []
    for name in ("float", "qdq"):
        qdq_loss_debug.modify_model_output_intermediate_tensors(tmp_path / f"{name}.onnx", tmp_path / "seen.onnx")
        collected.append(qdq_loss_debug.collect_activations(str(tmp_path / "seen.onnx"), Reader({"x": x})))
    errors = qdq_loss_debug.compute_activation_error(
        qdq_loss_debug.create_activation_matching(collected[1], collected[0])
    )
    found = compare_quantized(tmp_path / "float.onnx", x)
    for layer, tensor in (("one", "a"), ("two", "y")):
        assert found.loc[layer, "accumulated_sqnr"] == pytest.approx(errors[tensor]["xmodel_err"], abs=0.1)
