"""What ``compress_model`` does where an argument, the callback or the target is wrong, on the network that is shipped.

The callbacks here score by rule, not by images: what is looked at is which calls are made and what is said.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

import aimet_hooks
from aimet_hooks import GreedySelection, ManualSelection, SpatialSvd, compress_model, hookimpl
from aimet_hooks.errors import (
    EvaluationError,
    ModelError,
    ResultsDirError,
    TargetError,
    UnknownNameError,
    UsageError,
)

MODEL = Path(aimet_hooks.__file__).parent / "demo" / "digits.onnx"
OTHERS = ["stem", "block1.conv2", "block2.*", "block3.*", "fc1", "head"]
FEW = GreedySelection(target_comp_ratio=0.6, num_comp_ratio_candidates=4)


class Callback:
    """Returns what a rule says for a number: 0 is the baseline, each time, then one a cell, then the result."""

    def __init__(self, rule: Callable[[int], Any] = lambda call: 0.9 - 0.001 * call, *, baselines: int = 2) -> None:
        self.rule = rule
        self.calls = 0
        self.baselines = baselines

    def __call__(self, session: onnxruntime.InferenceSession) -> Any:
        self.calls += 1
        return self.rule(max(0, self.calls - self.baselines))


class Recorder:
    """Keeps every event that is logged."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def named(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    @property
    def evaluations(self) -> int:
        """Ratios of one rank share an evaluation."""
        return len({(event.layer, event.rank) for event in self.named("eval_score") if not event.reused})

    @hookimpl
    def on_run_started(self, event: Any) -> None:
        self.events.append(event)

    @hookimpl
    def on_layer_skipped(self, event: Any) -> None:
        self.events.append(event)

    @hookimpl
    def on_baseline_score(self, event: Any) -> None:
        self.events.append(event)

    @hookimpl
    def on_exploration_started(self, event: Any) -> None:
        self.events.append(event)

    @hookimpl
    def on_eval_score(self, event: Any) -> None:
        self.events.append(event)

    @hookimpl
    def on_probe_score(self, event: Any) -> None:
        self.events.append(event)

    @hookimpl
    def on_ratios_selected(self, event: Any) -> None:
        self.events.append(event)

    @hookimpl
    def on_run_finished(self, event: Any) -> None:
        self.events.append(event)

    @hookimpl
    def on_run_failed(self, event: Any) -> None:
        self.events.append(event)


def run(callback: Any, **changed: Any) -> aimet_hooks.CompressionResult:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    arguments: dict[str, Any] = {
        "selection": FEW,
        "input_shape": (1, 1, 8, 8),
        "layers_to_ignore": ["head"],
        "plugins": [],
        "session_options": options,
    }
    return compress_model(MODEL, callback, **arguments | changed)


NO_DATA = ValueError("no data")


def failing(*calls: int, value: Any = NO_DATA) -> Callback:
    """Fails at some numbers: raises an exception, or returns anything else."""

    def rule(call: int) -> Any:
        if call not in calls:
            return 0.9 - 0.001 * call
        if isinstance(value, Exception):
            raise value
        return value

    return Callback(rule)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings so far."""
    caplog.set_level(logging.WARNING, logger="aimet_hooks")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "aimet_hooks"]


# --- before anything is evaluated -------------------------------------------------------------------------------------


def test_an_unreachable_target_is_said_before_any_evaluation() -> None:
    callback, recorder = Callback(), Recorder()
    message = (
        r"target_comp_ratio 0\.05 cannot be reached: the lowest ratio of the model is 0\.\d{3} \(layers in the table"
    )
    with pytest.raises(TargetError, match=message):
        run(callback, selection=GreedySelection(target_comp_ratio=0.05), plugins=[recorder])
    assert callback.calls == 0
    (failed,) = recorder.named("run_failed")
    assert (failed.stage, failed.error) == ("preflight", "TargetError")


def test_the_lowest_ratio_that_is_named_can_be_reached() -> None:
    with pytest.raises(TargetError, match="lowest ratio of the model is") as caught:
        run(Callback(), selection=GreedySelection(target_comp_ratio=0.05, num_comp_ratio_candidates=4))
    lowest = str(caught.value).partition("lowest ratio of the model is ")[2][:5]
    result = run(Callback(), selection=GreedySelection(target_comp_ratio=float(lowest), num_comp_ratio_candidates=4))
    assert result.stats.mac_ratio <= float(lowest)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers_to_ignore": ["*"]}, "no layer of digits.onnx can be compressed by spatial_svd: 'stem': ignored"),
        (
            {"compress_scheme": SpatialSvd(multiplicity=512), "layers_to_ignore": OTHERS},
            "'block1.conv1': no candidate saves anything at multiplicity 512",
        ),
    ],
)
def test_a_model_without_a_row_is_refused(changed: dict[str, Any], message: str) -> None:
    callback = Callback()
    with pytest.raises(ModelError, match=message):
        run(callback, **changed)
    assert callback.calls == 0


def wrong_arguments() -> list[tuple[dict[str, Any], str]]:
    return [
        ({"greedy_select_params": 1}, r"no keyword 'greedy_select_params' \(AIMET's\); give selection=GreedySelection"),
        ({"layer_to_ignore": []}, "no keyword 'layer_to_ignore'; the nearest are 'layers_to_ignore'"),
        ({"layers_to_ignore": ["stm"]}, "layers_to_ignore has 'stm', which matches no layer; the nearest are 'stem'"),
        (
            {"selection": ManualSelection({"steem": 0.5})},
            "names layer 'steem', which does not exist; the nearest are 'stem'",
        ),
        (
            {"selection": GreedySelection(saved_eval_scores={"steem": {0.5: 1}})},
            "has layer 'steem', .* nearest are 'stem'",
        ),
        ({"selection": GreedySelection(saved_eval_scores={"stem": {0.55: 1}})}, r"saved_eval_scores has ratio 0\.55"),
        ({"direction": "down"}, "direction is 'down'; give one of 'maximize', 'minimize'"),
        ({"plugins": ["bookeh"]}, "plugin 'bookeh' is not installed"),
        ({"plugin_options": {"bookeh": {}}}, "plugin_options has 'bookeh', which is no plugin"),
        ({"resume": True, "results_dir": None}, "resume=True with results_dir None has nothing to go on with"),
        (
            {"resume": True, "results_dir": "a/{time}"},
            "results_dir 'a/{time}' has nothing to go on with",
        ),
        ({"resume": "yes"}, "resume is 'yes'; give True or False"),
        ({"shard": (5, 4)}, r"shard is \(5, 4\); give \(i, n\), the i-th of n processes"),
        ({"shard": "1/4"}, "shard is '1/4'; give"),
        ({"shard": (1, 4), "results_dir": None}, "shard needs results_dir"),
        ({"shard": (1, 4), "selection": ManualSelection({"stem": 0.5})}, "a ManualSelection explores nothing"),
        ({"input_shape": (0, 1, 8, 8)}, r"input_shape is \(0, 1, 8, 8\); give positive integers"),
    ]


@pytest.mark.parametrize(("changed", "message"), wrong_arguments())
def test_a_wrong_argument_is_refused_before_anything_is_written_or_evaluated(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    callback = Callback()
    with pytest.raises(UsageError, match=message):
        run(callback, **{"results_dir": tmp_path / "run", **changed})
    assert callback.calls == 0
    assert not (tmp_path / "run").exists()


def test_a_trainer_for_an_onnx_model_is_refused_before_any_evaluation() -> None:
    callback = Callback()
    with pytest.raises(UsageError, match="trainer is for torch models"):
        run(callback, trainer=lambda model, name: None)
    assert callback.calls == 0


def test_a_callback_with_more_arguments_is_refused_with_the_lambda_that_mends_it() -> None:
    def evaluate(model: object, iterations: int) -> float:
        raise AssertionError

    message = r"cannot be called with the model alone; give eval_callback=lambda model: evaluate\(model, iterations\)"
    with pytest.raises(UsageError, match=message):
        run(evaluate)


def test_a_layer_that_cannot_be_compressed_by_hand_is_said_before_any_evaluation() -> None:
    callback = Callback()
    message = r"layer 'block3\.depthwise' cannot be compressed: .*depthwise.*; take it out of the ManualSelection"
    with pytest.raises(UsageError, match=message):
        run(callback, selection=ManualSelection({"block3.depthwise": 0.5}))
    with pytest.raises(UsageError, match="layer 'head' cannot be compressed: ignored: layers_to_ignore has 'head'"):
        run(callback, selection=ManualSelection({"head": 0.5}))
    assert callback.calls == 0


def test_a_directory_that_holds_a_run_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    run(Callback(), results_dir=tmp_path)
    callback = Callback()
    message = "already holds a run; choose another directory, or continue that run with resume=True"
    with pytest.raises(ResultsDirError, match=message):
        run(callback, results_dir=tmp_path)
    assert callback.calls == 0


def test_a_results_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ResultsDirError, match=r"results_dir '.*file' cannot be written \(.*\); choose another directory"
    ):
        run(Callback(), results_dir=tmp_path / "file")


# --- the baseline and the result --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ValueError("no data"), "the baseline cannot be evaluated: ValueError: no data"),
        (None, r"the baseline cannot be evaluated: eval_callback returned None; is a `return` missing\?"),
        (math.nan, "the baseline cannot be evaluated: the score is nan"),
        (True, "the baseline cannot be evaluated: eval_callback returned a bool"),
    ],
)
def test_a_baseline_that_fails_ends_the_run_before_the_exploration(value: Any, message: str) -> None:
    callback, recorder = failing(0, value=value), Recorder()
    with pytest.raises(EvaluationError, match=message) as caught:
        run(callback, plugins=[recorder])
    assert callback.calls == 1
    assert caught.value.__cause__ is (value if isinstance(value, Exception) else None)
    assert recorder.named("exploration_started") == []
    assert [event.stage for event in recorder.named("run_failed")] == ["baseline"]


def test_a_result_that_cannot_be_evaluated_is_saved_all_the_same(tmp_path: Path) -> None:
    counting = Callback()
    run(counting)
    with pytest.raises(EvaluationError, match="the compressed model cannot be evaluated: ValueError: no data"):
        run(failing(counting.calls - 2), results_dir=tmp_path)
    assert (tmp_path / "model.onnx").exists()


def test_the_full_callback_scores_the_baseline_and_the_result_and_no_cell() -> None:
    cells, full = Callback(), Callback(lambda number: 0.5 if number else 0.75, baselines=1)
    recorder = Recorder()
    result = run(cells, full_eval_callback=full, plugins=[recorder])
    assert full.calls == 2  # not twice: its noise is not that of the cells
    assert cells.calls == recorder.evaluations + len(recorder.named("probe_score"))
    assert (result.stats.baseline_score, result.stats.compressed_score) == (0.75, 0.5)


def score_again(score: Any) -> Callback:
    """Scores .9, at the second evaluation of the baseline what is given, then all cells .89."""
    callback = Callback()

    def rule(_: int) -> Any:
        if callback.calls == 2 and isinstance(score, Exception):
            raise score
        return {1: 0.9, 2: score}.get(callback.calls, 0.89)

    callback.rule = rule
    return callback


def test_the_baseline_is_evaluated_twice_and_a_difference_is_said(
    tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    result = run(score_again(0.8975), results_dir=tmp_path)
    (note,) = said()
    assert note == (
        "the original model scores 0.9, and 0.8975 when evaluated again: differences about as large as 0.0025 between "
        "cells are noise; fix the seeds that eval_callback uses, or let it evaluate more samples"
    )
    (baseline,) = _logged(tmp_path, "baseline_score")
    assert (baseline["score"], baseline["repeated_score"]) == (0.9, 0.8975)
    assert result.stats.baseline_score == 0.9
    (finished,) = _logged(tmp_path, "run_finished")
    assert finished["notes"] == [note]


@pytest.mark.parametrize("score", [0.9, 0.9 + 1e-12])
def test_equal_scores_of_the_baseline_and_such_that_differ_by_rounding_are_not_said(
    score: float, said: Callable[[], list[str]]
) -> None:
    recorder = Recorder()
    run(score_again(score), plugins=[recorder])
    assert said() == []
    (baseline,) = recorder.named("baseline_score")
    assert baseline.repeated_score == score


def test_where_ratios_are_given_the_baseline_is_evaluated_once() -> None:
    callback, recorder = Callback(lambda _: 0.9), Recorder()
    run(callback, selection=ManualSelection({"block1.conv1": 0.5}), plugins=[recorder])
    assert callback.calls == 2
    (baseline,) = recorder.named("baseline_score")
    assert baseline.repeated_score is None


def test_a_callback_that_uses_its_data_up_is_found_at_the_second_evaluation_of_the_baseline() -> None:
    callback, recorder = score_again(NO_DATA), Recorder()
    message = "the baseline cannot be evaluated a second time, as every cell will have to be: ValueError: no data"
    with pytest.raises(EvaluationError, match=message) as caught:
        run(callback, plugins=[recorder])
    assert callback.calls == 2
    assert caught.value.__cause__ is NO_DATA
    assert recorder.named("baseline_score") == []
    assert [event.stage for event in recorder.named("run_failed")] == ["baseline"]


def test_a_callback_is_shown_the_original_once() -> None:
    class Remembering(Callback):
        shown = 0

        def remember_original(self, model: object) -> None:
            assert self.calls == 0
            self.shown += 1

    callback = Remembering()
    run(callback)
    assert callback.shown == 1


# --- cells that fail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (ValueError("no data"), "ValueError: no data"),
        (math.inf, "the score is inf"),
        (None, "eval_callback returned None"),
    ],
)
def test_a_failed_cell_stays_empty_is_never_chosen_and_not_evaluated_again(value: Any, error: str) -> None:
    recorder, callback = Recorder(), failing(1, 2, 3, 4, 8, value=value)
    result = run(callback, plugins=[recorder])
    scores = recorder.named("eval_score")
    failed = [event for event in scores if event.score is None]
    assert len(failed) == 5
    assert all(event.error.startswith(error) for event in failed)
    assert callback.calls == recorder.evaluations + len(recorder.named("probe_score")) + 3
    for event in failed:
        assert math.isnan(result.eval_scores.loc[event.layer, event.comp_ratio])
        assert result.comp_ratios[event.layer] != event.comp_ratio


def test_five_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    callback, recorder = failing(4, 5, 6, 7, 8), Recorder()
    message = (
        r"5 evaluations in a row failed, the last for layer '.*' at ratio 0\.5: ValueError: no data; "
        "mend eval_callback and run again"
    )
    with pytest.raises(EvaluationError, match=message):
        run(callback, plugins=[recorder], results_dir=tmp_path)
    assert callback.calls == 10
    assert [event.stage for event in recorder.named("run_failed")] == ["exploration"]
    assert [event["score"] is None for event in _logged(tmp_path, "eval_score")] == [False] * 3 + [True] * 5


def test_raise_ends_the_run_at_the_first_failure_and_keeps_all_other_scores_in_the_log(tmp_path: Path) -> None:
    callback = failing(4)
    message = r"layer '.*' at ratio 0\.5: ValueError: no data; on_eval_error='skip' would go on without this cell"
    with pytest.raises(EvaluationError, match=message) as caught:
        run(callback, on_eval_error="raise", results_dir=tmp_path)
    assert isinstance(caught.value.__cause__, ValueError)
    assert callback.calls == 6
    assert [event["score"] for event in _logged(tmp_path, "eval_score")] == pytest.approx([0.899, 0.898, 0.897, None])
    assert [event["stage"] for event in _logged(tmp_path, "run_failed")] == ["exploration"]


def _logged(directory: Path, name: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    return [event for event in events if event["event"] == name]


def test_cells_that_the_target_needs_and_that_failed_end_the_run_with_what_can_be_reached() -> None:
    selection = GreedySelection(target_comp_ratio=0.3, num_comp_ratio_candidates=4)
    deep = Recorder()
    run(Callback(), selection=selection, plugins=[deep])
    evaluated = dict.fromkeys((event.layer, event.rank) for event in deep.named("eval_score"))
    deepest = {(event.layer, event.rank) for event in deep.named("eval_score") if event.comp_ratio == 0.25}
    failed = [call for call, cell in enumerate(evaluated, start=1) if cell in deepest]
    message = "target_comp_ratio 0.3 cannot be reached with the scores of this table: the lowest ratio is"
    with pytest.raises(TargetError, match=message):
        run(failing(*failed), selection=selection)


# --- tables that were saved -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explored() -> aimet_hooks.CompressionResult:
    return run(Callback())


def test_a_whole_table_needs_no_evaluation_of_a_cell(explored: aimet_hooks.CompressionResult) -> None:
    callback, recorder = Callback(lambda call: 0.9), Recorder()
    selection = GreedySelection(
        target_comp_ratio=0.6, num_comp_ratio_candidates=4, saved_eval_scores=explored.eval_scores
    )
    again = run(callback, selection=selection, plugins=[recorder])
    assert callback.calls == 3
    assert again.comp_ratios == explored.comp_ratios
    assert again.eval_scores.equals(explored.eval_scores)
    assert all(event.reused for event in recorder.named("eval_score"))
    (started,) = recorder.named("exploration_started")
    assert (started.reused, started.evaluations) == (started.total, 0)


def test_of_a_partial_table_only_what_is_missing_is_evaluated(explored: aimet_hooks.CompressionResult) -> None:
    partial = explored.eval_scores.copy()
    partial.loc["block1.conv2", 0.25] = math.nan
    partial = partial.drop(index="block1.conv1")
    callback, recorder = Callback(), Recorder()
    selection = GreedySelection(target_comp_ratio=0.6, num_comp_ratio_candidates=4, saved_eval_scores=partial)
    result = run(callback, selection=selection, plugins=[recorder])
    evaluated = {(event.layer, event.comp_ratio) for event in recorder.named("eval_score") if not event.reused}
    assert evaluated == {("block1.conv2", 0.25), *(("block1.conv1", ratio) for ratio in (0.25, 0.5, 0.75))}
    assert callback.calls == 3 + 4
    assert not result.eval_scores.isna().any(axis=None)


def test_scores_of_layers_that_are_now_ignored_or_skipped_are_dropped_quietly(
    explored: aimet_hooks.CompressionResult, said: Callable[[], list[str]]
) -> None:
    saved = explored.eval_scores.T.to_dict() | {"block3.depthwise": {0.5: 0.1}, "fc1": {0.5: 0.1}}
    selection = GreedySelection(target_comp_ratio=0.9, num_comp_ratio_candidates=4, saved_eval_scores=saved)
    result = run(Callback(), selection=selection, layers_to_ignore=["head", "stem"])
    assert "stem" not in result.eval_scores.index
    assert not {"block3.depthwise", "fc1", "stem"} & set(result.comp_ratios)
    assert said() == []


def test_a_score_that_one_ratio_of_a_rank_has_is_known_for_all_of_them() -> None:
    scheme = SpatialSvd(multiplicity=16)
    first = Recorder()
    explored = run(Callback(), compress_scheme=scheme, plugins=[first])
    shared = {(event.layer, event.rank) for event in first.named("eval_score") if event.seconds == 0}
    assert shared
    layer, rank = min(shared)
    ratios = [event.comp_ratio for event in first.named("eval_score") if (event.layer, event.rank) == (layer, rank)]
    saved = {layer: {ratios[-1]: 0.25}}
    selection = GreedySelection(target_comp_ratio=0.6, num_comp_ratio_candidates=4, saved_eval_scores=saved)
    result = run(Callback(), compress_scheme=scheme, selection=selection)
    assert set(result.eval_scores.loc[layer, ratios]) == {0.25}
    assert set(explored.eval_scores.loc[layer, ratios]) != {0.25}


# --- the direction ----------------------------------------------------------------------------------------------------


def _mirrored(sign: int) -> aimet_hooks.CompressionResult:
    callback = Callback(lambda call: sign * (1.0 - 0.01 * (call * 37 % 23) if call else 1.0))
    return run(callback, direction="maximize" if sign > 0 else "minimize")


def test_minimizing_negated_scores_chooses_the_same_ratios() -> None:
    high, low = _mirrored(1), _mirrored(-1)
    assert low.comp_ratios == high.comp_ratios
    assert low.eval_scores.equals(-high.eval_scores)


# --- what is said -----------------------------------------------------------------------------------------------------


def test_a_visualization_url_without_the_bokeh_plugin_is_one_warning(said: Callable[[], list[str]]) -> None:
    run(Callback(), visualization_url="http://localhost:5006/")
    (warning,) = said()
    assert warning.startswith("visualization_url is 'http://localhost:5006/' but the plugin 'bokeh' is not loaded")


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_cells_that_mostly_beat_the_baseline_are_one_warning(direction: str, said: Callable[[], list[str]]) -> None:
    better = 0.9 if direction == "maximize" else 0.1
    run(Callback(lambda call: better if call else 0.5), direction=direction)
    (warning,) = [text for text in said() if "score better" in text]
    assert warning.startswith("24 of 24 cells score better than the baseline's 0.5: check direction=")
    assert repr(direction) in warning
    assert "the same subset of the data" in warning


def test_cells_that_equal_the_baseline_are_no_warning(said: Callable[[], list[str]]) -> None:
    run(Callback(lambda call: 0.5))
    assert said() == []


def test_a_result_far_below_the_chosen_cells_is_said_with_both_figures(said: Callable[[], list[str]]) -> None:
    full = Callback(lambda number: 0.7 if number else 0.9, baselines=1)
    result = run(Callback(lambda call: 0.85), full_eval_callback=full)
    (warning,) = said()
    assert warning.startswith(
        "the compressed model scores 0.7, the worst score among the chosen cells is 0.85: scores of"
    )
    assert "optimistic" in warning
    assert result.stats.compressed_score == 0.7


def test_a_result_a_tenth_of_the_baseline_below_is_not_said(said: Callable[[], list[str]]) -> None:
    run(Callback(lambda call: 0.85), full_eval_callback=Callback(lambda number: 0.77 if number else 0.9))
    assert said() == []


def test_an_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UnknownNameError):
        run(Callback(), layers_to_ignore=["nothing"])
