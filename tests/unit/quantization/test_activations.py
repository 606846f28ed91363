"""The table of activations: its figures, its batches, graphs and inputs of all kinds, and ONNX Runtime's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, qdq_loss_debug, quantize_static
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

from aimet_hooks import ActivationReport, ModelError, UnknownNameError, UsageError, analyze_activations, demo
from aimet_hooks.quantization.expected_noise import CLIPS
from aimet_hooks.quantization.quantizer import grid, quantize_dequantize
from tests.unit.adapters.onnx_networks import array, network, node, quiet, run

COLUMNS = [
    *("node", "op_type", "shape", "count", "non_finite", "min", "max", "mean", "std"),
    *("q0.1", "q1", "median", "q99", "q99.9", "zeros", "sqnr_asymmetric", "best_clip", "sqnr_clipped"),
]
PERCENTILES = {"q0.1": 0.1, "q1": 1, "median": 50, "q99": 99, "q99.9": 99.9}


def images(count: int = 60) -> np.ndarray:
    with np.load(demo.model_path().with_name("digits_test.npz")) as data:
        return data["images"][:count].astype(np.float32) / 16


def every_tensor(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All that nodes make, from one plain run."""
    model = onnx.load(path)
    names = [value for made in model.graph.node for value in made.output]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return dict(zip(names, run(model, feeds), strict=True))


def sqnr(x: np.ndarray, quantized: np.ndarray) -> float:
    return float(10 * np.log10((x.astype(np.float64) ** 2).sum() / ((x - quantized) ** 2).sum()))


def clipped(x: np.ndarray, clip: float, bitwidth: int) -> np.ndarray:
    ends = np.array([[-clip]]), np.array([[clip]])
    made = grid(*ends, bitwidth=bitwidth, symmetric=True)
    return made.dequantized(made.quantized(x.astype(np.float64)))


class Reader(CalibrationDataReader):
    def __init__(self, *batches: dict[str, np.ndarray]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> Any:
        return next(self.batches, None)


def chain(**changes: Any) -> onnx.ModelProto:
    """x -> Relu "r" -> MatMul "y"."""
    nodes = [node("Relu", "x", "r", "relu"), node("MatMul", "r w", "y", "product")]
    return network(nodes, {"w": array(4, 3)}, **{"inputs": {"x": ("N", 4)}, **changes})


@pytest.mark.parametrize("bitwidth", [4, 8])
def test_figures_are_those_of_numpy(bitwidth: int) -> None:
    x = images()
    report = analyze_activations(demo.model_path(), np.array_split(x, 4), bitwidth=bitwidth, bins=100)
    tensors = {"image": x, **every_tensor(demo.model_path(), {"image": x})}
    assert isinstance(report, ActivationReport)
    assert list(report.ranges.columns) == COLUMNS
    assert report.ranges.index.name == "tensor"
    assert list(report.ranges.index) == list(tensors) == list(report.histograms)
    for name, row in report.ranges.iterrows():
        values = tensors[name].astype(np.float64).ravel()
        expected = {"min": values.min(), "max": values.max(), "mean": values.mean(), "std": values.std()}
        expected |= {"zeros": (values == 0).mean(), "count": values.size, "non_finite": 0}
        for column, value in expected.items():
            np.testing.assert_allclose(row[column], value, rtol=1e-5, atol=1e-7, err_msg=f"{name} {column}")
        percentiles = np.percentile(values, list(PERCENTILES.values()), method="inverted_cdf")
        np.testing.assert_allclose(
            row[list(PERCENTILES)].astype(float), percentiles, rtol=0, atol=np.ptp(values) / 4094
        )
        quantized = quantize_dequantize(values[np.newaxis], bitwidth=bitwidth, symmetric=False)[0]
        assert row["sqnr_asymmetric"] == pytest.approx(sqnr(values, quantized), abs=0.05)
        assert row["sqnr_clipped"] == pytest.approx(sqnr(values, clipped(values, row["best_clip"], bitwidth)), abs=0.05)
        best = max(sqnr(values, clipped(values, np.abs(values).max() * k / CLIPS, bitwidth)) for k in range(1, CLIPS))
        assert row["sqnr_clipped"] > best - 0.05
        counts, edges = report.histograms[name]
        assert (counts.shape, edges.shape) == ((100,), (101,))
        assert np.abs(counts - np.histogram(values, edges)[0]).sum() <= 4  # batches of another size round otherwise
        assert counts.sum() == values.size


def test_producers_and_shapes_are_named() -> None:
    ranges = analyze_activations(chain(), [array(2, 4), array(3, 4)]).ranges
    assert ranges[["node", "op_type", "shape"]].to_numpy().tolist() == [
        ["", "Input", (None, 4)],
        ["relu", "Relu", (None, 4)],
        ["product", "MatMul", (None, 3)],
    ]
    assert ranges["count"].tolist() == [20, 20, 15]


def test_batches_of_every_kind_give_the_same() -> None:
    x, z = array(6, 4), array(6, 4, seed=9)
    model = network([node("Sub", "x z", "y", "sub")], inputs={"x": ("N", 4), "z": ("N", 4)})
    pairs = list(zip(np.array_split(x, 3), np.array_split(z, 3), strict=True))
    forms: list[Any] = [
        (x, z),
        {"z": z, "x": x.astype(np.float64)},
        pairs,
        (pair for pair in pairs),
        [list(pair) for pair in pairs],
        Reader(*({"x": one, "z": other} for one, other in pairs)),
        (torch.from_numpy(x).requires_grad_(), torch.from_numpy(z)),
    ]
    first, *others = (analyze_activations(model, inputs) for inputs in forms)
    assert first.ranges.loc["y", "min"] == (x - z).min()
    for other in others:
        numbers = [
            frame.drop(columns=["node", "op_type", "shape"]).astype(float) for frame in (first.ranges, other.ranges)
        ]
        pd.testing.assert_frame_equal(*numbers, rtol=1e-12)
        for name in first.histograms:
            for one, two in zip(first.histograms[name], other.histograms[name], strict=True):
                np.testing.assert_array_equal(one, two)


def test_one_batch_is_gone_before_the_next_is_asked_for() -> None:
    live = 0

    class Batch(np.ndarray):
        def __del__(self) -> None:
            nonlocal live
            live -= 1

    def batches() -> Any:
        nonlocal live
        for _ in range(5):
            live += 1
            yield np.ascontiguousarray(array(2, 4)).view(Batch)
            assert live <= 2

    assert analyze_activations(chain(), batches()).ranges["count"].tolist() == [40, 40, 30]


def test_tensors_are_chosen_by_name_and_pattern() -> None:
    model = chain()
    assert list(analyze_activations(model, array(2, 4), tensors="r").ranges.index) == ["r"]
    assert list(analyze_activations(model, array(2, 4), tensors=["y", "[rx]"]).histograms) == ["x", "r", "y"]
    assert list(analyze_activations(model, array(2, 4), tensors=["x"]).ranges.index) == ["x"]
    assert analyze_activations(model, array(2, 4), tensors=[]).ranges.empty


def test_integers_and_constants_are_left_out_and_halves_are_not() -> None:
    nodes = [
        helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(array(4), "value")),
        node("Identity", "w", "same"),
        node("Shape", "x", "size", "shape"),
        node("Add", "x c", "a", "first"),
        node("Cast", "a", "h", "half", to=TensorProto.FLOAT16),
        node("Cast", "h", "d", "double", to=TensorProto.DOUBLE),
        node("Cast", "d", "y", "single", to=TensorProto.FLOAT),
        node("Gather", "same k", "g", "lookup"),
    ]
    inputs = {"x": (2, 4), "k": [TensorProto.INT64, (2,)]}
    model = network(nodes, {"w": array(5, 3)}, inputs=inputs, outputs=["y"])
    ranges = analyze_activations(model, (array(2, 4), np.array([0, 4]))).ranges
    assert list(ranges.index) == ["x", "a", "h", "d", "y", "g"]
    assert ranges.loc["h", "max"] == ranges.loc["d", "max"] == np.float16(ranges.loc["a", "max"])


def test_tensors_without_elements_and_of_zeros_have_no_figures() -> None:
    ranges = analyze_activations(chain(), np.empty((0, 4), np.float32)).ranges
    assert ranges["count"].tolist() == [0, 0, 0]
    assert ranges.loc[:, "min":].isna().all(axis=None)
    report = analyze_activations(chain(), [np.empty((0, 4), np.float32), np.zeros((2, 4), np.float32)])
    assert report.ranges.loc["r", ["count", "zeros", "max", "best_clip", "q99"]].tolist() == [8, 1, 0, 0, 0]
    assert np.isnan(report.ranges.loc["r", "sqnr_asymmetric"])
    assert np.isnan(analyze_activations(chain(), np.empty((0, 4), np.float32)).histograms["r"][1]).all()


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    x = np.array([[-1, 2, np.nan, np.inf], [3, 0, -np.inf, 1]], np.float32)
    ranges = analyze_activations(network([node("Neg", "x", "y", "neg")], inputs={"x": (2, 4)}), x).ranges
    assert ranges["non_finite"].tolist() == [3, 3]
    assert ranges["count"].tolist() == [8, 8]
    assert ranges.loc["y", ["min", "max", "mean", "zeros"]].tolist() == [-3, 1, -1, 0.2]
    only = analyze_activations(network([node("Neg", "x", "y", "neg")], inputs={"x": (1,)}), np.full(1, np.nan, "f4"))
    assert only.ranges.loc["y", "non_finite"] == 1
    assert only.ranges.loc["y", "min":].isna().all()


def test_nested_graphs_and_nodes_of_one_name() -> None:
    def branch(kind: str, name: str) -> onnx.GraphProto:
        made = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node(kind, "r", name, "inner")], name, [], [made])

    graphs = {"then_branch": branch("Neg", "t"), "else_branch": branch("Exp", "e")}
    nodes = [
        node("Relu", "x", "r", "twice"),
        node("If", "flag", "a", "choice", **graphs),
        node("Abs", "a", "y", "twice"),
    ]
    model = network(nodes, inputs={"x": (2, 3), "flag": [TensorProto.BOOL, ()]})
    x = array(2, 3)
    feeds = [{"x": x, "flag": np.array(flag)} for flag in (True, False)]
    ranges = analyze_activations(model, feeds).ranges
    assert ranges["node"].to_dict() == {"x": "", "r": "r", "a": "choice", "y": "y"}
    relu = np.maximum(x, 0)
    assert ranges.loc["a", "min"] == -relu.max()
    assert ranges.loc["a", "max"] == np.exp(relu).max()


def test_loops_are_seen_from_outside() -> None:
    body = helper.make_graph(
        [node("Add", "state state", "next"), node("Identity", "go", "go_on")],
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
    weights = {"times": np.array(3, np.int64), "true": np.array(True)}
    model = network([node("Loop", "times true x", "y", "loop", body=body)], weights, inputs={"x": (2, 4)})
    ranges = analyze_activations(model, array(2, 4)).ranges
    assert list(ranges.index) == ["x", "y"]
    assert ranges.loc["y", "max"] == 8 * array(2, 4).max()


def test_the_model_stays_as_it_is_and_external_data_is_read(tmp_path: Path) -> None:
    model = chain()
    before = model.SerializeToString()
    inside = analyze_activations(model, array(2, 4))
    assert model.SerializeToString() == before
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    files = {file: file.read_bytes() for file in tmp_path.iterdir()}
    pd.testing.assert_frame_equal(analyze_activations(str(path), array(2, 4)).ranges, inside.ranges)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == files


def test_sessions_are_made_as_the_user_wants() -> None:
    providers = ["CPUExecutionProvider"]
    report = analyze_activations(chain(), array(2, 4), session_options=quiet(), providers=providers)
    assert len(report.ranges) == 3
    with pytest.raises(UsageError, match="session_options is a dict"):
        analyze_activations(chain(), array(2, 4), session_options={})
    with pytest.raises(UsageError, match="providers has 'TPU'"):
        analyze_activations(chain(), array(2, 4), providers=["TPU"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (array(2, 5), "batch 0 of inputs: input 'x' has shape (2, 5), the model takes (N, 4); reshape it"),
        ([array(2, 4), array(4)], "batch 1 of inputs: input 'x' has shape (4,), the model takes (N, 4)"),
        (np.zeros((2, 4), int), "input 'x' has dtype int64, the model takes float32; give array.astype(numpy.float32)"),
        ((array(2, 4),) * 2, "batch 0 of inputs has 2 arrays, the model has 1 inputs (x)"),
        ({"X": array(2, 4)}, "batch 0 of inputs has 'X', which is no input of the model; "),
        ({}, "batch 0 of inputs lacks input 'x' of the model"),
        ([], "inputs has no batch; give at least one"),
        (None, "inputs is None; give an array, a tuple of arrays"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs: Any, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        analyze_activations(chain(), inputs)


def test_other_mistakes_are_named() -> None:
    x = array(2, 4)
    with pytest.raises(UnknownNameError, match=r"tensors has 'rr', which is no tensor of floats .*the nearest are 'r'"):
        analyze_activations(chain(), x, tensors=["rr"])
    with pytest.raises(UnknownNameError, match="tensors has 'w'"):
        analyze_activations(chain(), x, tensors="w")
    with pytest.raises(UsageError, match="tensors holds an int; give names of tensors"):
        analyze_activations(chain(), x, tensors=[1])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="bins is 0; give a whole number of bins from 1 to 8192"):
        analyze_activations(chain(), x, bins=0)
    with pytest.raises(UsageError, match="bitwidth is 1"):
        analyze_activations(chain(), x, bitwidth=1)
    with pytest.raises(UsageError, match=r"model is a torch.nn.Module.* export it, as torch.onnx.export\(model"):
        analyze_activations(torch.nn.Linear(4, 3), x)
    with pytest.raises(ModelError, match="there is no file"):
        analyze_activations("missing.onnx", x)
    with pytest.raises(ModelError, match="fails on batch 1 of inputs"):
        analyze_activations(chain(inputs={"x": ("N", "M")}), [x, array(2, 5)])


def test_ranges_are_those_of_the_calibrator(tmp_path: Path) -> None:
    path = tmp_path / "augmented.onnx"
    batches = [{"image": part} for part in np.array_split(images(), 3)]
    calibrator = create_calibrator(
        str(demo.model_path()), augmented_model_path=str(path), calibrate_method=CalibrationMethod.MinMax
    )
    calibrator.collect_data(Reader(*batches))
    found = {name: np.ravel(data.range_value) for name, data in calibrator.compute_data().items()}
    ranges = analyze_activations(demo.model_path(), batches).ranges
    assert set(found) <= set(ranges.index)
    for name, (low, high) in found.items():
        np.testing.assert_allclose(ranges.loc[name, ["min", "max"]].astype(float), [low, high], rtol=1e-5, atol=1e-6)


def test_percentiles_are_those_of_the_calibrator(tmp_path: Path) -> None:
    """It gives the edges of bins of its own, of which there are 2048 from the smallest to the largest value."""
    x = images()
    calibrator = create_calibrator(
        str(demo.model_path()),
        augmented_model_path=str(tmp_path / "augmented.onnx"),
        calibrate_method=CalibrationMethod.Percentile,
        extra_options={"symmetric": False, "num_bins": 2048, "percentile": 99.8},
    )
    calibrator.collect_data(Reader({"image": x}))
    ranges = analyze_activations(demo.model_path(), x).ranges
    for name, data in calibrator.compute_data().items():
        row = ranges.loc[name]
        bin_width = (row["max"] - row["min"]) / 2048
        theirs = [float(value) for value in data.range_value]
        np.testing.assert_allclose(row[["q0.1", "q99.9"]].astype(float), theirs, rtol=0, atol=2 * bin_width)


def test_sequences_are_left_out_and_refused_as_inputs() -> None:
    nodes = [node("SplitToSequence", "x", "parts", "split"), node("ConcatFromSequence", "parts", "y", "join", axis=0)]
    model = network(nodes, inputs={"x": (2, 4)})
    assert list(analyze_activations(model, array(2, 4)).ranges.index) == ["x", "y"]
    sequence = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    fed = helper.make_model(helper.make_graph(nodes[1:], "fed", [sequence], list(model.graph.output)))
    fed.opset_import[0].version, fed.ir_version = 17, 8
    with pytest.raises(UsageError, match="input 'parts' of the model is no tensor"):
        analyze_activations(fed, [array(2, 4)])


def test_sqnr_is_the_qdq_error_of_onnxruntime(tmp_path: Path) -> None:
    """Of the input, the one tensor that its quantized model has unchanged: float32 scales, and every value counted."""
    model = network([node("MatMul", "x w", "y", "product")], {"w": array(4, 3)}, inputs={"x": ("N", 4)})
    onnx.save(model, tmp_path / "float.onnx")
    x = array(500, 4)
    quantize_static(
        *(tmp_path / "float.onnx", tmp_path / "qdq.onnx", Reader({"x": x})),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
    )
    collected = []
    for name in ("float", "qdq"):
        qdq_loss_debug.modify_model_output_intermediate_tensors(tmp_path / f"{name}.onnx", tmp_path / "seen.onnx")
        collected.append(qdq_loss_debug.collect_activations(str(tmp_path / "seen.onnx"), Reader({"x": x})))
    matched = qdq_loss_debug.create_activation_matching(collected[1], collected[0])
    error = qdq_loss_debug.compute_activation_error(matched)["x"]["qdq_err"]
    found = analyze_activations(tmp_path / "float.onnx", x).ranges
    assert found.loc["x", "sqnr_asymmetric"] == pytest.approx(error, abs=0.1)


def test_local_functions_are_written_out() -> None:
    body = helper.make_function("own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)])
    call = helper.make_node("Twice", ["x"], ["y"], "call", domain="own")
    model = network([call], inputs={"x": (2, 4)}, domains=["own"], functions=[body])
    ranges = analyze_activations(model, array(2, 4)).ranges
    assert ranges.loc["y", "max"] == 2 * array(2, 4).max()
