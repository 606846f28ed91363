"""Why a layer has its ratio."""

from __future__ import annotations

from dataclasses import replace

from aimet_hooks.events import EvalScored, Event, RatiosSelected
from aimet_hooks.run_state import RunState
from bokeh_vis import next_step
from tests import page_runs


def run_with(scores: dict[float, float | None], chosen: float | None) -> RunState:
    """Two layers of equal cost, of which the first has these scores."""
    run = RunState()
    for event in page_runs.whole_run(["a", "b"], len(scores), baseline=0.9):
        changed: Event = event
        if isinstance(event, EvalScored) and event.layer == "a":
            ratio = min(scores, key=lambda known: abs(known - event.comp_ratio))
            changed = replace(event, score=scores[ratio], error=None if scores[ratio] is not None else "failed")
        if isinstance(event, RatiosSelected):
            changed = replace(event, comp_ratios={"a": chosen, "b": None})
        run.apply(changed)
    return run


SCORES = {0.25: 0.8, 0.5: 0.88, 0.75: 0.89}


def test_the_next_step_is_the_next_cheaper_cell_and_says_what_it_costs() -> None:
    run = run_with(SCORES, 0.5)
    step = next_step.of(run, "a")
    assert step is not None
    assert step.ratio == 0.25
    assert round(step.points, 6) == 8.0
    saved = run.layers["a"].macs * 0.99 * 0.25 / run.total_cost
    assert round(step.percent, 6) == round(100 * saved, 6)
    sentence = step.sentence("MACs")
    assert sentence.startswith("one step cheaper, at ratio 0.25, costs 8.00 points for ")
    assert sentence.endswith(" % of the model's MACs, this layer alone")


def test_a_layer_that_was_left_alone_has_its_highest_ratio_as_the_next_step() -> None:
    step = next_step.of(run_with(SCORES, None), "a")
    assert step is not None
    assert (step.ratio, round(step.points, 6)) == (0.75, 1.0)


def test_there_is_none_below_the_lowest_ratio_and_failed_cells_are_passed_over() -> None:
    assert next_step.of(run_with(SCORES, 0.25), "a") is None
    step = next_step.of(run_with({0.25: 0.8, 0.5: None, 0.75: 0.89}, 0.75), "a")
    assert step is not None
    assert step.ratio == 0.25
    assert next_step.of(run_with(SCORES, 0.5), "no such layer") is None
    assert next_step.of(RunState(), "a") is None


def test_a_step_may_cost_nothing_or_gain() -> None:
    for score, words in ((0.88, "costs nothing for"), (0.885, "gains 0.50 points for")):
        step = next_step.of(run_with({0.25: score, 0.5: 0.88, 0.75: 0.89}, 0.5), "a")
        assert step is not None
        assert words in step.sentence("MACs")
