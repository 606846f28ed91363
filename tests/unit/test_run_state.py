"""What a view can read from the state of a run, after every step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    LayerCompressed,
    LayerInfo,
    Progressed,
    RatiosSelected,
    RunFailed,
    RunStarted,
)
from aimet_hooks.run_state import RATE_WINDOW, RunState
from aimet_hooks.testing import bare_table, failed_run, finished_run, sensitivity_run, weight_ranges_run


def state_of(*events: Event) -> RunState:
    run = RunState()
    for event in events:
        run.apply(event)
    return run


def started(*, metric: str = "mac", direction: str = "maximize") -> RunStarted:
    return RunStarted(
        run_name="r",
        model_name="m",
        scheme="spatial_svd",
        cost_metric=metric,
        settings={"direction": direction},
        layers={
            "a": LayerInfo(kind="Conv2d", weight_shape=(1,), macs=600, weights=10),
            "b": LayerInfo(kind="Conv2d", weight_shape=(1,), macs=300, weights=70),
            "c": LayerInfo(kind="Conv2d", weight_shape=(1,), macs=100, weights=20),
        },
        fingerprint="f",
        run_id="run",
    )


def cell(
    layer: str, ratio: float, score: float | None = 0.5, *, at: float = 0.0, done: int = 1, **more: object
) -> EvalScored:
    return EvalScored(
        layer=layer,
        comp_ratio=ratio,
        score=score,
        rank=done,
        achieved_comp_ratio=ratio,
        macs=1,
        weights=1,
        seconds=1.0,
        completed=done,
        total=200,
        time=at,
        **more,
    )


EXPLORING = ExplorationStarted(
    layers=("a", "b"), candidates=(0.5, 0.75), total=200, reused=0, evaluations=100, time=1000.0
)


def test_nothing_is_known_before_the_first_event() -> None:
    run = RunState()
    assert run.phase == "waiting"
    assert (run.run_id, run.completed, run.total, run.time) == ("", 0, 0, 0.0)
    assert (run.settings, run.layers, run.skipped, run.scores, run.compressed, run.candidates) == (
        {},
        {},
        {},
        {},
        {},
        (),
    )
    assert [run.rate, run.eta, run.coverage, run.lowest_chosen, run.started, run.baseline] == [None] * 6


def test_phases_of_a_finished_run_follow_one_another() -> None:
    run, phases = RunState(), []
    for event in finished_run():
        run.apply(event)
        phases.append(run.phase)
    assert list(dict.fromkeys(phases)) == ["preparing", "exploring", "selected", "compressing", "finished"]


def test_failed_run_keeps_what_was_known() -> None:
    run = state_of(*failed_run())
    assert run.phase == "failed"
    assert run.failed is not None
    assert run.failed.stage == "exploration"
    assert run.completed == 4
    assert run.finished is None


def test_finished_run_has_everything() -> None:
    run = state_of(*finished_run())
    assert run.started is not None
    assert run.run_id == run.started.run_id
    assert run.layers == run.started.layers
    assert run.skipped == {"depthwise": "depthwise convolution"}
    assert run.candidates == (0.25, 0.5, 0.75)
    assert {layer: len(row) for layer, row in run.scores.items()} == {"conv1": 3, "layer1.0.conv1": 3, "fc": 3}
    assert run.scores["layer1.0.conv1"][0.5].score is None
    assert (run.completed, run.total) == (9, 9)
    assert list(run.compressed) == ["conv1", "layer1.0.conv1"]
    assert run.selection is not None
    assert run.finished is not None
    assert run.finished.compressed_score == 0.8125
    assert run.time == finished_run()[-1].time


def test_rows_are_there_in_network_order_before_their_cells() -> None:
    run = state_of(started(), EXPLORING)
    assert list(run.scores) == ["a", "b"]
    run.apply(cell("b", 0.5))
    assert list(run.scores) == ["a", "b"]
    assert dict(run.scores["a"]) == {}


def test_bare_table_can_be_read() -> None:
    run = state_of(*bare_table())
    assert run.candidates == (0.25, 0.5, 0.75)
    assert run.scores["conv1"][0.5].score == 0.75
    assert run.coverage is None
    assert run.lowest_chosen == 0.75
    assert run.phase == "selected"


def test_new_run_begins_anew() -> None:
    run = state_of(*finished_run(), started())
    assert vars(run) == vars(state_of(started()))


def test_cells_without_a_beginning_can_be_read() -> None:
    run = state_of(cell("a", 0.5))
    assert run.scores["a"][0.5].score == 0.5
    assert run.total == 0


# -- progress ----------------------------------------------------------------------------------------------------------


def test_progress_is_there_while_its_stage_goes_on() -> None:
    step = Progressed(stage="preflight", completed=1, total=3)
    run = state_of(started(), step)
    assert run.progress == step
    run.apply(BaselineScored(score=0.5))
    assert run.progress is None
    run.apply(replace(step, stage="compression"))
    run.apply(RunFailed(stage="compression", error="E", message="m"))
    assert run.progress is None


# -- rate and remaining time -------------------------------------------------------------------------------------------


def test_before_the_first_cell_the_baseline_says_how_long_it_will_take() -> None:
    run = state_of(started(), BaselineScored(score=0.5, seconds=3.0), EXPLORING)
    assert run.rate is None
    assert run.eta == 300.0


def test_rate_is_that_of_the_evaluations_and_the_rest_follows_from_it() -> None:
    run = state_of(started(), BaselineScored(score=0.5, seconds=3.0), EXPLORING)
    for number in range(1, 11):
        run.apply(cell("a", number / 100, at=1000.0 + 2 * number, done=number))
    assert run.rate == 0.5
    assert run.eta == 180.0


def test_ratios_of_one_rank_are_one_evaluation() -> None:
    run = state_of(started(), BaselineScored(score=0.5, seconds=3.0), EXPLORING)
    for number in range(1, 11):
        for place in range(5):
            shared = cell("a", number / 100 + place / 1000, at=1000.0 + 2 * number, done=5 * number + place)
            run.apply(replace(shared, rank=number))
    assert run.rate == 0.5
    assert run.eta == 180.0


def test_ratios_without_a_cell_are_known_from_the_start() -> None:
    some = replace(EXPLORING, layers=("a", "b"), cells={"a": (0.25,)})
    run = state_of(started(), BaselineScored(score=0.5), some)
    assert run.ratios_of("a") == (0.25,)
    assert run.ratios_of("b") == run.candidates


def test_rate_forgets_what_is_long_ago() -> None:
    run = state_of(started(), BaselineScored(score=0.5), EXPLORING)
    time = 1000.0
    for number in range(1, 201):
        time += 100.0 if number <= 100 else 1.0
        run.apply(cell("a", number / 1000, at=time, done=number))
        if number == 100 + RATE_WINDOW:
            assert run.rate == 1.0
    assert run.eta == 0.0


def test_known_cells_are_no_measure_of_the_rate() -> None:
    run = state_of(started(), BaselineScored(score=0.5, seconds=3.0), EXPLORING)
    for number in range(1, 101):
        run.apply(cell("a", number / 1000, at=1000.0, done=number, reused=True))
    assert run.rate is None
    assert run.eta == 300.0
    run.apply(cell("b", 0.5, at=1004.0, done=101))
    assert run.rate == 0.25


def test_clock_that_goes_backwards_gives_no_rate() -> None:
    run = state_of(started(), BaselineScored(score=0.5), EXPLORING, cell("a", 0.5, at=999.0))
    assert run.rate is None


# -- costs and scores --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "cost", "coverage"), [("mac", 600, 0.9), ("memory", 10, 0.8)])
def test_costs_are_those_of_the_metric_of_the_run(metric: str, cost: float, coverage: float) -> None:
    run = state_of(started(metric=metric), EXPLORING)
    assert run.cost("a") == cost
    assert run.coverage == coverage


@pytest.mark.parametrize(("direction", "lowest"), [("maximize", 0.25), ("minimize", 0.75)])
def test_lowest_chosen_is_the_worst_in_the_direction_of_the_run(direction: str, lowest: float) -> None:
    cells = [cell("a", 0.5, 0.25), cell("a", 0.75, 0.0), cell("b", 0.5, 0.75), cell("b", 0.75, 1.0)]
    selected = RatiosSelected(
        comp_ratios={"a": 0.5, "b": 0.5, "c": None}, target_comp_ratio=0.5, achieved_comp_ratio=0.5
    )
    run = state_of(started(direction=direction), EXPLORING, *cells)
    assert run.lowest_chosen is None
    run.apply(selected)
    assert run.lowest_chosen == lowest


def test_lowest_chosen_needs_a_score_of_a_chosen_cell() -> None:
    selected = RatiosSelected(comp_ratios={"a": 0.5, "b": 0.3}, target_comp_ratio=None, achieved_comp_ratio=0.5)
    assert state_of(started(), EXPLORING, cell("a", 0.5, None, error="x"), selected).lowest_chosen is None


def test_state_can_be_read_but_not_written() -> None:
    run = state_of(*finished_run())
    for name in ("phase", "time", "started", "baseline", "exploration", "selection", "finished", "failed", "progress",
                 "last_cell", "scores", "skipped", "compressed", "completed", "total", "rate", "eta",
                 "begin", "failures", "total_cost", "coverage", "totals", "notes"):  # fmt: skip
        with pytest.raises(AttributeError):
            setattr(run, name, None)


def test_failures_are_the_cells_without_a_score() -> None:
    run = state_of(started(), cell("a", 0.25, None), cell("a", 0.5), cell("b", 0.5, None, done=3))
    assert run.failures == 2


def test_costs_of_the_whole_model_follow_the_compressed_layers() -> None:
    run = state_of(started())
    assert run.totals == (1000, 1000, 100, 100)
    assert run.total_cost == 1000
    finished = state_of(*finished_run())
    layers, done = finished.layers.values(), finished.compressed.values()
    assert finished.totals == (
        sum(info.macs for info in layers),
        sum(info.macs for info in layers) - sum(event.macs_before - event.macs_after for event in done),
        sum(info.weights for info in layers),
        sum(info.weights for info in layers) - sum(event.weights_before - event.weights_after for event in done),
    )
    assert state_of(*bare_table()).totals is None


def test_notes_and_beginning_are_those_of_the_run() -> None:
    assert state_of(*failed_run()).notes == ("the input has a symbolic dimension, which counts as 1",)
    assert state_of(*finished_run()).begin == finished_run()[0].time
    assert state_of(*failed_run(), *finished_run()).begin == finished_run()[0].time
    assert RunState().begin == 0
    assert RunState().notes == ()


def test_a_run_whose_first_event_is_lost_begins_with_the_next() -> None:
    first, second, *_ = finished_run()
    assert second.time > first.time
    assert state_of(*finished_run()[1:]).begin == second.time


@pytest.mark.parametrize(
    ("metric", "own", "before", "after"),
    [("mac", None, 600, (1, 7)), ("memory", None, 10, (1, 5)), ("own", 2.5, 2.5, (0.5, 0.25))],
)
def test_costs_are_in_the_metric_of_the_run(
    metric: str, own: float | None, before: float, after: tuple[float, float]
) -> None:
    begun = started(metric=metric)
    layers = {name: replace(info, cost=own) for name, info in begun.layers.items()}
    run = state_of(replace(begun, layers=layers), EXPLORING, cell("a", 0.5, cost=own and 0.5))
    assert (run.cost("a"), run.cost_of(run.scores["a"][0.5])) == (before, after[0])
    assert run.cost_after("a") == before  # nothing is chosen yet
    run.apply(RatiosSelected(comp_ratios={"a": 0.5, "b": None}, target_comp_ratio=0.5, achieved_comp_ratio=0.4))
    assert (run.cost_after("a"), run.cost_after("b"), run.cost_after("x")) == (after[0], run.cost("b"), None)
    done = LayerCompressed(
        layer="a",
        comp_ratio=0.5,
        achieved_comp_ratio=0.4,
        rank=1,
        macs_before=600,
        macs_after=7,
        weights_before=10,
        weights_after=5,
        cost_after=own and 0.25,
    )
    run.apply(done)
    assert run.cost_after("a") == after[1]


def test_ties_are_those_of_the_exploration() -> None:
    assert state_of(started()).ties == {}
    assert state_of(started(), replace(EXPLORING, ties={"a": "t", "b": "t"})).ties == {"a": "t", "b": "t"}


# -- analysis of quantization ------------------------------------------------------------------------------------------


def test_table_of_bit_widths_is_counted_and_timed_as_that_of_ratios_is() -> None:
    events = sensitivity_run()
    number = next(number for number, event in enumerate(events) if event.name == "sensitivity_score")
    run = state_of(*events[: number + 3])
    assert (run.phase, run.completed, run.total, run.failures) == ("exploring", 3, 6, 0)
    assert (run.rate, run.eta) == (4.0, 0.75)
    assert run.last_score is events[number + 2]
    assert run.bitwidths == (4, 8)
    assert [(layer, *row) for layer, row in run.sensitivity.items()] == [
        ("conv1", 4),
        ("layer1.0.conv1", 4),
        ("fc", 4),
    ]


def test_views_of_ratios_never_meet_a_bit_width() -> None:
    run = state_of(*sensitivity_run())
    assert (run.last_cell, run.exploration, run.candidates, dict(run.scores)) == (None, None, (), {})


def test_analysis_ends_with_notes_and_without_a_model() -> None:
    run = state_of(*sensitivity_run())
    assert run.is_over
    assert (run.phase, run.finished, run.failures) == ("finished", None, 1)
    assert run.notes == ("most cells score better than the baseline",)
    assert run.weight_ranges is not None
    assert [problem["layer"] for problem in run.weight_ranges.problems] == ["fc", "conv1"]


def test_run_that_only_analyses_ranges_has_no_table_of_bit_widths() -> None:
    run = state_of(*weight_ranges_run())
    assert (run.is_over, run.total, run.bitwidths, dict(run.sensitivity), run.eta) == (True, 0, (), {}, None)
