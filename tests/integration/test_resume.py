"""Runs that go on where others stopped, and runs that share the work."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aimet_hooks import (
    GreedySelection,
    KnapsackSelection,
    LayerOptions,
    SpatialSvd,
    compress_model,
    evals,
    event_log,
    log_lock,
)
from aimet_hooks.errors import EvaluationError, ResultsDirError
from aimet_hooks.events import (
    AnalysisFinished,
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    ModelProbed,
    RunFailed,
    RunFinished,
    RunStarted,
)
from aimet_hooks.log_writer import EventLog
from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aimet_hooks.result import CompressionResult


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 6, 3)
    )


class Evaluation:
    """A score by what the model gives for fixed inputs; tells which states it saw, and may stop."""

    def __init__(self, stop_after: int | None = None, shift: float = 0.0) -> None:
        self.count = 0
        self.stop_after = stop_after
        self.fails: Callable[[int], bool] = lambda number: False
        self.shift = shift

    def __call__(self, model: Any) -> float:
        if self.count == self.stop_after:
            raise KeyboardInterrupt
        self.count += 1
        if self.fails(self.count):
            raise RuntimeError("out of memory")
        inputs = torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
        return self.shift + float(model(inputs).square().mean())


def compress(directory: Path, evaluate: Any = None, model: Any = None, **changed: Any) -> CompressionResult:
    arguments: dict[str, Any] = {
        "input_shape": (1, 3, 8, 8),
        "selection": GreedySelection(target_comp_ratio=0.6, num_comp_ratio_candidates=6),
        "results_dir": directory,
        "plugins": ["file"],
        "console": "off",
        "resume": True,
    }
    return compress_model(model or network(), evaluate or Evaluation(), **{**arguments, **changed})


def logged(directory: Path) -> list[Event]:
    return list(event_log.read(directory / event_log.FILE_NAME))


def last_run(directory: Path) -> list[Event]:
    events = logged(directory)
    return [event for event in events if event.run_id == events[-1].run_id]


def cells(events: list[Event], *, reused: bool) -> list[EvalScored]:
    return [event for event in events if isinstance(event, EvalScored) and event.reused is reused]


@pytest.fixture
def undisturbed(tmp_path: Path) -> CompressionResult:
    return compress(tmp_path / "undisturbed", resume=False)


def test_run_that_was_interrupted_goes_on_and_ends_as_the_undisturbed_one(
    tmp_path: Path, undisturbed: CompressionResult
) -> None:
    directory = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        compress(directory, Evaluation(stop_after=2 + 5))
    first = logged(directory)
    evaluation = Evaluation()
    result = compress(directory, evaluation)
    second = last_run(directory)

    done = {(cell.layer, cell.rank): cell for cell in cells(first, reused=False)}
    assert len(done) == 5
    again = cells(second, reused=True)
    assert {(cell.layer, cell.rank) for cell in again} == done.keys()
    for cell in again:
        before = done[cell.layer, cell.rank]
        assert (cell.score, cell.seconds) == (
            before.score,
            before.seconds if cell.comp_ratio == before.comp_ratio else 0,
        )
    assert not done.keys() & {(cell.layer, cell.rank) for cell in cells(second, reused=False)}

    started = next(event for event in second if isinstance(event, ExplorationStarted))
    assert started.reused == len(again)
    assert started.evaluations == len({(cell.layer, cell.rank) for cell in cells(second, reused=False)})
    assert evaluation.count == 2 + started.evaluations + probes(second) + 1
    place = second.index(started)
    assert all(isinstance(event, EvalScored) and event.reused for event in second[place + 1 : place + 1 + len(again)])

    assert result.comp_ratios == undisturbed.comp_ratios
    pd.testing.assert_frame_equal(result.eval_scores, undisturbed.eval_scores)
    assert [event.seq for event in second] == list(range(len(second)))
    assert sum(isinstance(event, RunStarted) for event in logged(directory)) == 2


def probes(events: list[Event]) -> int:
    return sum(isinstance(event, ModelProbed) and not event.reused for event in events)


def test_interrupted_in_a_resumed_run_before_its_first_cell_nothing_is_lost(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compress(tmp_path, Evaluation(stop_after=2 + 4))
    for stop in (0, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            compress(tmp_path, Evaluation(stop_after=stop))
    compress(tmp_path)
    assert len({(cell.layer, cell.rank) for cell in cells(last_run(tmp_path), reused=True)}) == 4


@pytest.mark.parametrize(
    "selection",
    [
        GreedySelection(0.6, num_comp_ratio_candidates=6),
        GreedySelection(0.8, num_comp_ratio_candidates=6),
        KnapsackSelection(0.6, num_comp_ratio_candidates=6),
        GreedySelection(0.6, num_comp_ratio_candidates=3),
    ],
    ids=["the same", "another target", "another rule", "fewer candidates"],
)
def test_finished_run_is_resumed_without_evaluating_a_cell(selection: Any, tmp_path: Path) -> None:
    compress(tmp_path)
    evaluation = Evaluation()
    result = compress(tmp_path, evaluation, selection=selection)
    run = last_run(tmp_path)
    assert not cells(run, reused=False)
    assert evaluation.count == 2 + probes(run) + 1
    assert result.stats.compressed_score == run[-1].compressed_score  # type: ignore[attr-defined]


def test_more_candidates_are_evaluated_where_their_ranks_are_new(tmp_path: Path) -> None:
    compress(tmp_path)
    compress(tmp_path, selection=GreedySelection(0.6, num_comp_ratio_candidates=12))
    run = last_run(tmp_path)
    old = {(cell.layer, cell.rank) for cell in cells(run, reused=True)}
    new = {(cell.layer, cell.rank) for cell in cells(run, reused=False)}
    assert old
    assert new
    assert not old & new


def test_layers_of_other_multiplicities_share_the_ranks_that_they_have(tmp_path: Path) -> None:
    compress(tmp_path)
    compress(tmp_path, layer_options={"2": LayerOptions(multiplicity=2)})
    assert not cells(last_run(tmp_path), reused=False) or all(
        cell.layer == "2" for cell in cells(last_run(tmp_path), reused=False)
    )


def test_whole_models_that_were_measured_are_not_measured_again(tmp_path: Path) -> None:
    selection = GreedySelection(max_drop=1e9, num_comp_ratio_candidates=30)
    first = compress(tmp_path, selection=selection)
    measured = [event for event in last_run(tmp_path) if isinstance(event, ModelProbed)]
    assert measured
    evaluation = Evaluation()
    second = compress(tmp_path, evaluation, selection=selection)
    again = [event for event in last_run(tmp_path) if isinstance(event, ModelProbed)]
    assert [(event.comp_ratios, event.score) for event in again] == [
        (event.comp_ratios, event.score) for event in measured
    ]
    assert all(event.reused for event in again)
    assert evaluation.count == 3
    assert first.comp_ratios == second.comp_ratios


def test_failed_cells_are_not_evaluated_again(tmp_path: Path) -> None:
    evaluation = Evaluation()
    evaluation.fails = lambda number: number in (4, 7)
    compress(tmp_path, evaluation)
    compress(tmp_path)
    again = [cell for cell in cells(last_run(tmp_path), reused=True) if cell.error]
    assert {cell.error for cell in again} == {"RuntimeError: out of memory"}
    assert not cells(last_run(tmp_path), reused=False)


def test_failures_that_ended_the_run_are_evaluated_again(tmp_path: Path) -> None:
    evaluation = Evaluation()
    evaluation.fails = lambda number: number > 5
    with pytest.raises(EvaluationError, match="5 evaluations in a row failed"):
        compress(tmp_path, evaluation)
    result = compress(tmp_path)
    assert not result.eval_scores.isna().any(axis=None)
    assert len({(cell.layer, cell.rank) for cell in cells(last_run(tmp_path), reused=True)}) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"model": network(1)},
            r"its scores are of model 'Sequential' \(\w{12}\), this run's are of 'Sequential' \(\w{12}\)",
        ),
        (
            {"compress_scheme": "weight_svd"},
            "its scores are of scheme spatial_svd, this run's are of weight_svd",
        ),
        ({"compress_scheme": SpatialSvd(multiplicity=2)}, "its scores are of multiplicity 1, this run's are of 2"),
        ({"cost_metric": "memory"}, "its scores are of cost_metric mac, this run's are of memory"),
    ],
)
def test_scores_of_another_question_are_refused_with_what_differs(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    compress(tmp_path)
    before = (tmp_path / event_log.FILE_NAME).read_bytes()
    evaluation = Evaluation()
    with pytest.raises(ResultsDirError, match=message):
        compress(tmp_path, evaluation, **changed)
    assert evaluation.count == 0
    assert (tmp_path / event_log.FILE_NAME).read_bytes() == before


def test_agreement_on_other_inputs_is_refused_though_every_baseline_is_the_same(tmp_path: Path) -> None:
    inputs = torch.zeros(2, 3, 8, 8)
    compress(tmp_path, evals.agreement(inputs, metric="sqnr"))
    evaluation = evals.agreement(inputs.numpy(), metric="sqnr")
    compress(tmp_path, evaluation)
    assert not cells(last_run(tmp_path), reused=False)
    with pytest.raises(ResultsDirError, match=r"its scores are of eval_callback \w{12}, this run's are of \w{12}"):
        compress(tmp_path, evals.agreement(inputs + 1, metric="sqnr"))


def test_another_baseline_is_refused_and_the_right_one_goes_on(tmp_path: Path) -> None:
    compress(tmp_path)
    with pytest.raises(ResultsDirError, match=r"the original model scored .* there and scores .* now.*the same data"):
        compress(tmp_path, Evaluation(shift=1e-3))
    assert isinstance(logged(tmp_path)[-1], RunFailed)
    compress(tmp_path, Evaluation(shift=1e-9))
    assert not cells(last_run(tmp_path), reused=False)


def test_baselines_may_differ_by_their_noise() -> None:
    first = BaselineScored(score=0.50, repeated_score=0.52)
    assert first.fits(BaselineScored(score=0.515))
    assert not first.fits(BaselineScored(score=0.53))
    assert BaselineScored(score=0.5).fits(BaselineScored(score=0.5 * (1 + 0.9e-6)))
    assert not BaselineScored(score=0.5).fits(BaselineScored(score=0.5 * (1 + 1.2e-6)))


def test_damage_in_the_middle_costs_its_line_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compress(tmp_path)
    path = tmp_path / event_log.FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines) if b'"eval_score"' in line)
    lines[number] = lines[number].replace(b'"score": ', b'"score": 1')
    path.write_bytes(b"".join(lines))
    compress(tmp_path)
    assert f"line {number + 1} is left out" in caplog.text
    assert len({(cell.layer, cell.rank) for cell in cells(last_run(tmp_path), reused=False)}) <= 1


@pytest.mark.parametrize("resume", [False, True])
def test_second_run_in_one_directory_is_refused_while_the_first_goes_on(*, resume: bool, tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(model: Any) -> float:
        entered.set()
        assert leave.wait(60)
        return float(sum(weight.numel() for weight in model.parameters()))

    running = threading.Thread(target=compress, args=(tmp_path / "run", wait))
    running.start()
    try:
        assert entered.wait(60)
        with pytest.raises(ResultsDirError, match=r"is in use by process \d+ on host '.*' \(run .*\); wait"):
            compress(tmp_path / "run", model=network(), resume=resume)
    finally:
        leave.set()
        running.join()
    assert isinstance(logged(tmp_path / "run")[-1], RunFinished)


def elsewhere(directory: Path) -> None:
    """A log of a run that another host began and did not end."""
    with pytest.raises(KeyboardInterrupt):
        compress(directory, Evaluation(stop_after=4))
    events = [event for event in logged(directory) if not isinstance(event, RunFailed)]
    (directory / event_log.FILE_NAME).unlink()
    log = EventLog(directory)
    for event in events:
        if isinstance(event, RunStarted):
            there = {**event.provenance, "host": "elsewhere", "pid": 7}
            log.append(dataclasses.replace(event, provenance=there))
        else:
            log.append(event)
    log.close()


def test_run_that_another_host_goes_on_with_is_refused(tmp_path: Path) -> None:
    elsewhere(tmp_path)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(log_lock.HEARTBEAT_SECONDS):
            (tmp_path / event_log.FILE_NAME).touch()

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with pytest.raises(ResultsDirError, match="is in use by process 7 on host 'elsewhere'"):
            compress(tmp_path)
    finally:
        stop.set()
        beating.join()


def test_run_that_died_on_another_host_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lock, "WATCH_SECONDS", 1.0)
    elsewhere(tmp_path)
    compress(tmp_path)
    assert isinstance(logged(tmp_path)[-1], RunFinished)


def test_shards_are_each_cell_once_and_make_no_model(tmp_path: Path, undisturbed: CompressionResult) -> None:
    seen: list[tuple[str, int | None]] = []
    tables = []
    for number in range(1, 4):
        directory = tmp_path / str(number)
        result = compress(directory, shard=(number, 3), resume=False)
        events = logged(directory)
        assert isinstance(events[-1], AnalysisFinished)
        state = RunState()
        for event in events:
            state.apply(event)
        assert state.completed == state.total == len(cells(events, reused=False))
        seen += sorted({(cell.layer, cell.rank) for cell in cells(events, reused=False)}, key=str)
        tables.append(result.eval_scores)
        assert result.model is None
        assert result.comp_ratios == {}
        assert result.stats.compressed_score != result.stats.compressed_score
        assert result.stats.mac_ratio == 1
    assert len(seen) == len(set(seen))
    joined = tables[0].combine_first(tables[1]).combine_first(tables[2]).loc[undisturbed.eval_scores.index]
    pd.testing.assert_frame_equal(joined, undisturbed.eval_scores)


def test_shards_may_be_counted_from_zero(tmp_path: Path) -> None:
    by_number = {
        number: compress(tmp_path / str(number), shard=(number, 3), resume=False).eval_scores for number in range(4)
    }
    pd.testing.assert_frame_equal(by_number[0], by_number[3])
    together = sum(table.notna().astype(int) for table in list(by_number.values())[:3])
    assert (np.asarray(together) == by_number[0].shape[0] ** 0).all()


def test_shard_that_was_killed_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compress(tmp_path, Evaluation(stop_after=4), shard=(1, 2))
    compress(tmp_path, shard=(1, 2))
    run = last_run(tmp_path)
    assert len({(cell.layer, cell.rank) for cell in cells(run, reused=True)}) == 2
    assert isinstance(run[-1], AnalysisFinished)


def test_results_dir_takes_the_name_of_the_run_as_one_part_of_the_path(tmp_path: Path) -> None:
    compress(tmp_path / "{run_name}", run_name="../../etc/pass wd", resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["_.._etc_pass_wd"]
    assert (tmp_path / "_.._etc_pass_wd" / event_log.FILE_NAME).exists()
    with pytest.raises(ResultsDirError, match="already holds a run"):
        compress(tmp_path / "{run_name}", run_name="../../etc/pass wd", resume=False)
    compress(tmp_path / "{run_name}-{time}", resume=False)
    assert any(path.name.startswith("Sequential-2") for path in tmp_path.iterdir())
