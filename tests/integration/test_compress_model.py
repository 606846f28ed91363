"""Whole runs on the network that ships with the package, through onnxruntime, on its real test images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import numpy_helper

import aimet_hooks
from aimet_hooks import CompressionResult, GreedySelection, ManualSelection, WeightSvd, compress_model, hookimpl, plan
from aimet_hooks.stats import LayerStats

DEMO = Path(aimet_hooks.__file__).parent / "demo"
MODEL = DEMO / "digits.onnx"
SHAPE = (1, 1, 8, 8)
NINE = [k / 10 for k in range(1, 10)]


@cache
def _test_images() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    data = np.load(DEMO / "digits_test.npz")
    return (data["images"] / 16).astype(np.float32), data["labels"]


def accuracy(session: onnxruntime.InferenceSession) -> float:
    images, labels = _test_images()
    logits = session.run(None, {"image": images})[0]
    return float((logits.argmax(axis=1) == labels).mean())


def log_likelihood(session: onnxruntime.InferenceSession) -> dict[str, float]:
    """A score that does not saturate, and the accuracy beside it."""
    images, labels = _test_images()
    logits = session.run(None, {"image": images})[0].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(labels)), labels] - np.log(np.exp(logits).sum(axis=1))
    return {"score": float(chosen.mean()), "accuracy": accuracy(session)}


def one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def run(callback: Any = accuracy, **changed: Any) -> CompressionResult:
    arguments: dict[str, Any] = {
        "input_shape": SHAPE,
        "layers_to_ignore": ["head"],
        "plugins": [],
        "session_options": one_thread(),
    }
    return compress_model(MODEL, callback, **arguments | changed)


class Heard:
    """Names of the events in their order, and the metrics that came with scores."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.metrics: list[Mapping[str, float]] = []

    @hookimpl
    def on_run_started(self, event: Any) -> None:
        self.names.append(event.name)

    @hookimpl
    def on_layer_skipped(self, event: Any) -> None:
        self.names.append(event.name)

    @hookimpl
    def on_baseline_score(self, event: Any) -> None:
        self.names.append(event.name)
        self.metrics.append(event.metrics)

    @hookimpl
    def on_exploration_started(self, event: Any) -> None:
        self.names.append(event.name)

    @hookimpl
    def on_eval_score(self, event: Any) -> None:
        self.names.append(event.name)
        self.metrics.append(event.metrics)

    @hookimpl
    def on_ratios_selected(self, event: Any) -> None:
        self.names.append(event.name)

    @hookimpl
    def on_layer_compressed(self, event: Any) -> None:
        self.names.append(event.name)

    @hookimpl
    def on_run_finished(self, event: Any) -> None:
        self.names.append(event.name)
        self.metrics.append(event.metrics)


@pytest.fixture(scope="module")
def result() -> CompressionResult:
    return run()


def weight_layers(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]


# --- what comes back --------------------------------------------------------------------------------------------------


def test_half_the_macs_go_for_less_than_three_points_of_accuracy(result: CompressionResult) -> None:
    assert result.stats.baseline_score >= 0.985
    assert result.stats.compressed_score >= 0.955
    assert 0.49 < result.stats.mac_ratio <= 0.5


def test_the_table_is_a_frame_of_floats_with_layers_in_network_order(result: CompressionResult) -> None:
    frame = result.eval_scores
    assert isinstance(frame, pd.DataFrame)
    assert set(frame.dtypes) == {np.dtype(float)}
    assert list(frame.columns) == NINE
    network = weight_layers(onnx.load(MODEL))
    assert list(frame.index) == [name for name in network if name not in result.skipped]
    assert frame.loc["block1.conv1"].between(0, 1).all()


def test_the_chosen_ratios_are_exactly_the_tables_layers_with_candidates(result: CompressionResult) -> None:
    assert list(result.comp_ratios) == list(result.eval_scores.index)
    for layer, ratio in result.comp_ratios.items():
        assert ratio is None or (ratio in NINE and not np.isnan(result.eval_scores.loc[layer, ratio]))


def test_the_skipped_layers_are_exactly_the_others_each_with_its_reason(result: CompressionResult) -> None:
    network = weight_layers(onnx.load(MODEL))
    assert set(result.skipped) | set(result.eval_scores.index) == set(network)
    assert not set(result.skipped) & set(result.eval_scores.index)
    assert result.skipped["head"] == "ignored: layers_to_ignore has 'head'"
    assert "depthwise" in result.skipped["block3.depthwise"]
    assert result.skipped["fc1"].startswith("spatial SVD takes convolutions only")


def test_the_stats_tell_every_layer(result: CompressionResult) -> None:
    assert list(result.stats.layers) == weight_layers(onnx.load(MODEL))
    for name, stats in result.stats.layers.items():
        ratio = result.comp_ratios.get(name)
        assert stats.comp_ratio == ratio
        if ratio is None:
            assert (stats.rank, stats.achieved_comp_ratio) == (None, 1.0)
            assert (stats.macs_after, stats.weights_after) == (stats.macs_before, stats.weights_before)
        else:
            assert stats.rank is not None
            assert stats.achieved_comp_ratio == stats.macs_after / stats.macs_before
            assert 0 < stats.achieved_comp_ratio <= ratio


def test_costs_before_and_after_are_those_of_the_two_models(result: CompressionResult) -> None:
    before, after = onnx.load(MODEL), result.model
    layers = result.stats.layers.values()
    assert sum(layer.weights_before for layer in layers) == _weights(before)
    assert sum(layer.weights_after for layer in layers) == _weights(after)
    assert sum(layer.macs_before for layer in layers) == _macs(before)
    assert sum(layer.macs_after for layer in layers) == _macs(after)
    assert result.stats.mac_ratio == pytest.approx(_macs(after) / _macs(before), abs=1e-12)
    assert result.stats.memory_ratio == pytest.approx(_weights(after) / _weights(before), abs=1e-12)


def _kernels(model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """Weight by the output of the node that uses it."""
    initializers = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return {node.output[0]: initializers[node.input[1]] for node in nodes}


def _weights(model: onnx.ModelProto) -> int:
    return sum(kernel.size for kernel in _kernels(model).values())


def _macs(model: onnx.ModelProto) -> int:
    """Every weight works at every position of its output, whose shape onnx infers."""
    model = onnx.shape_inference.infer_shapes(model)
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    return sum(kernel.size * int(np.prod(shapes[output][2:])) for output, kernel in _kernels(model).items())


def test_the_result_scores_what_the_run_says(result: CompressionResult) -> None:
    onnx.checker.check_model(result.model)
    session = onnxruntime.InferenceSession(result.model.SerializeToString(), one_thread())
    assert accuracy(session) == result.stats.compressed_score


def test_the_users_model_stays_as_it_is() -> None:
    model = onnx.load(MODEL)
    before = model.SerializeToString(deterministic=True)
    compress_model(model, accuracy, selection=ManualSelection({"stem": 0.5}), plugins=[], input_shape=SHAPE)
    assert model.SerializeToString(deterministic=True) == before


def test_two_runs_give_the_same_table_ratios_and_weights(result: CompressionResult) -> None:
    again = run()
    pd.testing.assert_frame_equal(again.eval_scores, result.eval_scores, check_exact=True)
    assert again.comp_ratios == result.comp_ratios
    assert again.stats == result.stats
    assert again.model == result.model


def test_each_layer_is_decomposed_once_whatever_the_number_of_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    decompose, sizes = np.linalg.svd, []

    def counted(matrix: Any, **how: Any) -> Any:
        sizes.append(matrix.size)
        return decompose(matrix, **how)

    monkeypatch.setattr(np.linalg, "svd", counted)
    result = run(selection=GreedySelection(target_comp_ratio=0.5, num_comp_ratio_candidates=4))
    kernels = _kernels(onnx.load(MODEL))
    assert sorted(sizes) == sorted(kernels[f"{name}.out"].size for name in result.eval_scores.index)


# --- what is heard ----------------------------------------------------------------------------------------------------


def test_events_come_in_the_order_of_the_story_with_the_other_numbers_of_the_callback() -> None:
    heard = Heard()
    selection = GreedySelection(target_comp_ratio=0.5, num_comp_ratio_candidates=3)
    run(log_likelihood, plugins=[heard], selection=selection)
    assert list(dict.fromkeys(heard.names)) == [
        "run_started",
        "layer_skipped",
        "baseline_score",
        "exploration_started",
        "eval_score",
        "ratios_selected",
        "layer_compressed",
        "run_finished",
    ]
    assert heard.names == sorted(heard.names, key=list(dict.fromkeys(heard.names)).index)
    assert all(set(metrics) == {"accuracy"} for metrics in heard.metrics)


# --- other ways to choose ---------------------------------------------------------------------------------------------


def manual_ratios() -> dict[str, float | None]:
    return {"block1.conv1": 0.5, "block2.conv2": 0.3, "stem": None}


@pytest.mark.parametrize("source", ["dict", "file"])
def test_ratios_by_hand_are_applied_without_an_exploration(source: str, tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    path.write_text(json.dumps(manual_ratios()))
    heard = Heard()
    result = run(selection=ManualSelection(manual_ratios() if source == "dict" else path), plugins=[heard])
    assert not {"exploration_started", "eval_score"} & set(heard.names)
    compressed = {layer: ratio for layer, ratio in result.comp_ratios.items() if ratio is not None}
    assert compressed == {"block1.conv1": 0.5, "block2.conv2": 0.3}
    assert list(result.comp_ratios) == list(result.eval_scores.index)
    assert result.eval_scores.shape[1] == 0
    assert result.stats.layers["stem"].comp_ratio is None
    assert 0 < result.stats.mac_ratio < 1


def test_the_chosen_ratios_of_a_run_give_the_same_model_by_hand(result: CompressionResult) -> None:
    again = run(selection=ManualSelection(result.comp_ratios))
    assert again.model == result.model
    assert again.stats == result.stats


@pytest.mark.parametrize("file", ["", "events.jsonl", "eval_scores.json", "eval_scores.csv"])
def test_what_a_run_wrote_is_a_table_for_the_next(file: str, explored: Path) -> None:
    calls = []

    def counted(session: onnxruntime.InferenceSession) -> float:
        calls.append(session)
        return accuracy(session)

    selection = GreedySelection(target_comp_ratio=0.7, saved_eval_scores=explored / file)
    result = run(counted, selection=selection)
    assert len(calls) == 3
    assert result.stats.mac_ratio <= 0.7


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    run(results_dir=directory, plugins=["file"])
    return directory


def test_chosen_ratios_are_read_from_a_results_dir(explored: Path, result: CompressionResult) -> None:
    assert run(selection=ManualSelection(explored)).comp_ratios == result.comp_ratios
    assert run(selection=ManualSelection(explored / "comp_ratios.json")).comp_ratios == result.comp_ratios


def test_the_budget_that_saturated_scores_leave_is_spent(result: CompressionResult) -> None:
    selection = GreedySelection(target_comp_ratio=0.8, saved_eval_scores=result.eval_scores)
    refilled = run(selection=selection)
    assert 0.78 < refilled.stats.mac_ratio <= 0.8
    assert refilled.stats.compressed_score >= result.stats.compressed_score


def test_weight_svd_compresses_the_linear_layer_too_and_weights_can_be_the_cost() -> None:
    selection = GreedySelection(target_comp_ratio=0.5, use_monotonic_fit=True, num_comp_ratio_candidates=5)
    result = run(log_likelihood, compress_scheme=WeightSvd(multiplicity=2), cost_metric="memory", selection=selection)
    assert "fc1" in result.eval_scores.index
    assert 0.45 < result.stats.memory_ratio <= 0.5
    for stats in result.stats.layers.values():
        assert stats.achieved_comp_ratio == stats.weights_after / stats.weights_before


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_is_what_the_run_does(result: CompressionResult) -> None:
    planned = plan(MODEL, input_shape=SHAPE, layers_to_ignore=["head"])
    assert [layer.name for layer in planned.layers] == list(result.stats.layers)
    assert {layer.name: layer.reason for layer in planned.layers if layer.reason} == result.skipped
    assert planned.lowest_comp_ratio < 0.2
    assert sum(layer.mac_share for layer in planned.layers) == pytest.approx(1)
    assert {layer.name: layer.cells for layer in planned.layers if not layer.reason} == dict(
        result.eval_scores.notna().sum(axis=1)
    )
    assert planned.evaluations == sum(layer.evaluations for layer in planned.layers)
    assert [(layer.macs, layer.weights) for layer in planned.layers] == [
        _before(s) for s in result.stats.layers.values()
    ]


def _before(stats: LayerStats) -> tuple[float, int]:
    return stats.macs_before, stats.weights_before


def test_a_plan_at_a_multiplicity_that_leaves_some_layers_nothing_says_so() -> None:
    planned = plan(MODEL, input_shape=SHAPE, compress_scheme=WeightSvd(multiplicity=64))
    nothing = [
        layer for layer in planned.layers if layer.cells == 0 and layer.reason and "saves anything" in layer.reason
    ]
    assert nothing
    assert 0 < planned.lowest_comp_ratio <= 1
