"""Whole runs on ONNX models: what the callback gets, what comes out, and what is left behind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

from aimet_hooks import GreedySelection, ManualSelection, compress_model, plan
from aimet_hooks.errors import EvaluationError, ModelError, UnknownNameError, UsageError
from tests.unit.adapters.onnx_networks import array, macs_by_shape_inference, network, node, quiet, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

X = array(2, 4, 16, 16)
NAN = float("nan")


def a_network(**changed: np.ndarray) -> onnx.ModelProto:
    nodes = [
        node("Conv", "x w1 b1", "a", "stem/conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b w2", "c", "body.conv[0]", auto_pad="SAME_UPPER"),
        node("Relu", "c", "d"),
        node("GlobalAveragePool", "d", "e"),
        node("Flatten", "e", "f"),
        node("MatMul", "f w3", "g", "größe"),
        node("Add", "g b3", "h"),
        node("Gemm", "h w4 b4", "y", "head", transB=1),
    ]
    weights = {
        "w1": array(16, 4, 3, 3),
        "b1": array(16),
        "w2": array(24, 16, 3, 3),
        "w3": array(24, 40),
        "b3": array(40),
        "w4": array(10, 40),
        "b4": array(10),
    }
    return network(nodes, weights | changed, inputs={"x": ("batch", 4, 16, 16)})


def closeness(model: onnx.ModelProto) -> Any:
    expected = run(model, {"x": X})[0]

    def score(session: onnxruntime.InferenceSession) -> float:
        return -float(np.abs(session.run(None, {"x": X})[0] - expected).mean())

    return score


def compress(model: Any, callback: Any = None, **options: Any) -> Any:
    callback = callback or closeness(model)
    arguments = {"input_shape": X.shape, "session_options": quiet(), "plugins": [], "compress_scheme": "weight_svd"}
    return compress_model(model, callback, **(arguments | options))


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("scheme", ["spatial_svd", "weight_svd"])
@pytest.mark.parametrize("metric", ["mac", "memory"])
def test_a_result_is_valid_runs_and_costs_what_it_says(scheme: str, metric: str) -> None:
    model = a_network()
    result = compress(model, compress_scheme=scheme, cost_metric=metric)
    onnx.checker.check_model(result.model, full_check=True)
    assert any(ratio is not None for ratio in result.comp_ratios.values())
    before, after = (
        sum(getattr(layer, f"macs_{when}") for layer in result.stats.layers.values()) for when in ("before", "after")
    )
    recounted = plan(result.model, input_shape=X.shape).layers
    assert sum(layer.macs for layer in recounted) == after < before
    assert sum(layer.weights for layer in recounted) == sum(
        layer.weights_after for layer in result.stats.layers.values()
    )
    assert result.stats.mac_ratio == after / before
    for counted, total in ((model, before), (result.model, after)):
        fixed = onnx.ModelProto.FromString(counted.SerializeToString())
        fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
        for value in (*fixed.graph.value_info, *fixed.graph.output):
            value.type.tensor_type.ClearField("shape")
        assert macs_by_shape_inference(fixed) == total * 2


def test_a_result_saved_and_loaded_computes_the_same(tmp_path: Path) -> None:
    result = compress(a_network(), results_dir=tmp_path / "run")
    expected = run(result.model, {"x": X})[0]
    saved = result.save(tmp_path / "saved")
    for path in (saved / "model.onnx", tmp_path / "run" / "model.onnx"):
        assert np.array_equal(run(path, {"x": X})[0], expected)
        onnx.checker.check_model(path, full_check=True)
        assert onnx.load(path) == result.model


def test_the_score_of_the_result_is_that_of_the_model_that_is_returned() -> None:
    model = a_network()
    score = closeness(model)
    result = compress(model, score)
    session = onnxruntime.InferenceSession(
        result.model.SerializeToString(), quiet(), providers=["CPUExecutionProvider"]
    )
    assert score(session) == pytest.approx(result.stats.compressed_score, rel=1e-5)


@pytest.mark.parametrize("ignored", [["stem/conv", "head"], ["*conv*", "größe"], ["body.conv[0]"]])
def test_layers_are_ignored_by_name_and_by_glob(ignored: list[str]) -> None:
    skipped = {layer.name: layer.reason for layer in plan(a_network(), input_shape=X.shape).layers}
    found = {
        layer.name: layer.reason
        for layer in plan(a_network(), input_shape=X.shape, layers_to_ignore=ignored).layers
        if layer.reason not in skipped.values()
    }
    assert set(found) >= {name for name in ignored if "*" not in name}
    assert all(str(reason).startswith("ignored: layers_to_ignore has ") for reason in found.values())


def test_a_name_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="layers_to_ignore has 'stem/cnov', which matches no layer; the nea"):
        compress(a_network(), layers_to_ignore=["stem/cnov"])


def test_weights_that_are_not_finite_are_skipped() -> None:
    weight = array(24, 16, 3, 3)
    weight[0, 0, 0, 0] = NAN
    result = compress(a_network(w2=weight), lambda _: 1.0, selection=ManualSelection({"stem/conv": 0.5}))
    assert result.skipped["body.conv[0]"] == "its weight holds NaN or infinite values"


def test_a_layer_whose_rank_1_costs_too_much_is_skipped() -> None:
    result = compress(a_network(w4=array(1, 40), b4=array(1)))
    assert result.skipped["head"] == "its rank 1 costs 82 MACs, not less than the layer's own 80"


def test_a_trainer_is_refused() -> None:
    with pytest.raises(UsageError, match="trainer is for torch models; network is an ONNX model"):
        compress(a_network(), trainer=lambda *_: None)


def test_a_model_without_compressible_layers_says_why() -> None:
    model = network([node("Conv", "x w", "y", "only", group=4)], {"w": array(4, 1, 3, 3)}, inputs={"x": X.shape})
    with pytest.raises(ModelError, match=r"no layer of network can be compressed by weight_svd: 'only': depthwise"):
        compress(model, lambda _: 1.0)


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_session_options_and_providers_reach_every_session() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    properties = ("intra_op_num_threads", "graph_optimization_level", "log_severity_level", "optimized_model_filepath")
    before = [getattr(options, name) for name in properties]
    seen = []

    def score(session: onnxruntime.InferenceSession) -> float:
        used = session.get_session_options()
        seen.append((used.intra_op_num_threads, used.graph_optimization_level, tuple(session.get_providers())))
        assert used.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        return -float(len(seen))

    compress(a_network(), score, session_options=options, providers=[("CPUExecutionProvider", {"use_arena": "1"})])
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert set(seen) == {(1, level, ("CPUExecutionProvider",))}
    assert len(seen) > 10
    assert [getattr(options, name) for name in properties] == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"session_options": {"threads": 1}}, "session_options is a dict; give an onnxruntime.SessionOptions"),
        ({"providers": "CPUExecutionProvider"}, r"providers is the string 'CPUExecutionProvider'; give a list: \["),
        (
            {"providers": ["CPUExecutionProvidr"]},
            "'CPUExecutionProvidr', which this onnxruntime does not have; the",
        ),
        ({"providers": [("NoProvider", {})]}, "providers has 'NoProvider', which this onnxruntime does not have"),
    ],
)
def test_wrong_session_settings_are_refused(wrong: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compress(a_network(), lambda _: 1.0, **wrong)


def failing_after(calls: int, error: BaseException) -> Any:
    count = iter(range(calls))

    def score(session: onnxruntime.InferenceSession) -> float:
        del session
        if next(count, None) is None:
            raise error
        return 1.0

    return score


def test_the_temporary_folder_goes_after_success(temporary_folder: Path) -> None:
    seen = []

    def score(session: onnxruntime.InferenceSession) -> float:
        del session
        seen.append(len(list(temporary_folder.iterdir())))
        return 1.0

    compress(a_network(), score)
    assert set(seen) == {1}
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize("calls", [0, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), ValueError("broken")])
def test_the_temporary_folder_goes_after_a_failure(temporary_folder: Path, error: BaseException, calls: int) -> None:
    expected = EvaluationError if isinstance(error, ValueError) else type(error)
    with pytest.raises(expected):
        compress(a_network(), failing_after(calls, error), on_eval_error="raise")
    assert list(temporary_folder.iterdir()) == []


def test_the_temporary_folder_goes_when_the_model_cannot_be_read(temporary_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(a_network(), path, save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").write_bytes(b"short")
    with pytest.raises(ModelError, match="external data"):
        plan(path, input_shape=X.shape)
    with pytest.raises(UsageError, match="input_shape is for a model with one input"):
        plan(network([node("Add", "x z", "y")], inputs={"x": (1,), "z": (1,)}), input_shape=(1,))
    assert list(temporary_folder.iterdir()) == []


def test_a_session_that_the_callback_keeps_still_works(temporary_folder: Path) -> None:
    model = a_network()
    kept: list[onnxruntime.InferenceSession] = []
    before: list[np.ndarray] = []

    def score(session: onnxruntime.InferenceSession) -> float:
        kept.append(session)
        before.append(session.run(None, {"x": X})[0])
        return -float(len(kept))

    compress(model, score, selection=ManualSelection({"body.conv[0]": 0.5}))
    assert list(temporary_folder.iterdir()) == []
    for session, expected in zip(kept, before, strict=True):
        assert np.array_equal(session.run(None, {"x": X})[0], expected)


def test_onnxruntime_prints_nothing(tmp_path: Path) -> None:
    onnx.save(a_network(), tmp_path / "model.onnx")
    program = f"""
from aimet_hooks import compress_model, GreedySelection
selection = GreedySelection(target_comp_ratio=0.6, num_comp_ratio_candidates=4)
compress_model({str(tmp_path / "model.onnx")!r}, lambda session: 1.0, compress_scheme="weight_svd",
               selection=selection, plugins=[], console="off", input_shape={X.shape})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")


# -- quantized models -------------------------------------------------------------------------------------------------


class Calibration(CalibrationDataReader):
    def __init__(self) -> None:
        self.batches: Iterator[dict[str, np.ndarray]] = iter([{"x": X}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


@pytest.mark.parametrize("form", ["dynamic", QuantFormat.QOperator, QuantFormat.QDQ])
def test_quantized_layers_are_skipped_and_counted(tmp_path: Path, form: Any) -> None:
    plain, quantized = tmp_path / "plain.onnx", tmp_path / "quantized.onnx"
    onnx.save(a_network(), plain)
    if form == "dynamic":
        quantize_dynamic(plain, quantized)
    else:
        quantize_static(plain, quantized, Calibration(), quant_format=form)
    original = plan(plain, input_shape=X.shape).layers
    layers = plan(quantized, input_shape=X.shape).layers
    reasons = [str(layer.reason) for layer in layers]
    assert len(layers) == len(original)
    assert all("quantized" in reason for reason in reasons), reasons
    assert sum(layer.macs for layer in layers) == sum(layer.macs for layer in original)
    assert sum(layer.weights for layer in layers) == sum(layer.weights for layer in original)


def test_unquantized_layers_beside_quantized_ones_are_compressed(tmp_path: Path) -> None:
    plain, quantized = tmp_path / "plain.onnx", tmp_path / "quantized.onnx"
    onnx.save(a_network(), plain)
    quantize_dynamic(plain, quantized, op_types_to_quantize=["MatMul"])
    result = compress(quantized, closeness(a_network()), selection=GreedySelection(target_comp_ratio=0.7))
    assert "stem/conv" in result.comp_ratios
    assert any("quantized" in reason for reason in result.skipped.values())
    onnx.checker.check_model(result.model)
    assert run(result.model, {"x": X})[0].shape == (2, 10)
