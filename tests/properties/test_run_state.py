"""The state of a run depends on its logged events alone, and costs the same however long the run is."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks import event_log
from aimet_hooks.events import EVENTS, Event, Progressed
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import finished_run, sensitivity_run
from tests.properties.event_strategies import any_event, records, texts

LOGGED = [event for event in finished_run() if not isinstance(event, Progressed)]

ANALYSIS = sensitivity_run()


def state_of(events: list[Event]) -> RunState:
    run = RunState()
    for event in events:
        run.apply(event)
    return run


@given(st.lists(any_event().filter(lambda event: not isinstance(event, Progressed)), max_size=8))
def test_state_from_events_is_the_state_from_their_lines(events: list[Event]) -> None:
    replayed = [event_log.from_line(event_log.to_line(event)) for event in events]
    assert vars(state_of(replayed)) == vars(state_of(events))


@given(st.integers(0, len(LOGGED)), st.lists(records(EVENTS["progress"]), max_size=3))
def test_progress_leaves_no_trace_when_its_stage_is_over(place: int, steps: list[Event]) -> None:
    events = [*LOGGED[:place], *steps, *LOGGED[place:]]
    if events[-1] is LOGGED[-1]:
        assert vars(state_of(events)) == vars(state_of(LOGGED))


@given(st.lists(any_event(), max_size=8))
def test_everything_can_be_read_at_any_time(events: list[Event]) -> None:
    run = RunState()
    for event in events:
        run.apply(event)
        assert run.time == event.time or not event.in_run
        assert set(run.scores) >= set(run.exploration.layers if run.exploration else ())
        assert set(run.sensitivity) >= set(run.sensitivity_started.layers if run.sensitivity_started else ())
        _ = (run.last_score, run.eta, run.failures, run.notes, run.bitwidths, run.is_over)
        _ = (run.rate, run.completed, run.total, run.candidates, run.settings, run.direction, run.lowest_chosen)


@given(st.lists(texts, unique=True, min_size=1, max_size=5), st.integers(1, 4))
def test_every_cell_is_found_by_its_layer_and_ratio(layers: list[str], ratios: int) -> None:
    cell = next(event for event in LOGGED if event.name == "eval_score")
    from dataclasses import replace

    cells = {
        (layer, ratio / 5): replace(cell, layer=layer, comp_ratio=ratio / 5)
        for layer in layers
        for ratio in range(ratios)
    }
    run = state_of(list(cells.values()))
    assert {(layer, ratio): found for layer, row in run.scores.items() for ratio, found in row.items()} == cells


@pytest.mark.parametrize(
    ("logged", "kind", "column"), [(LOGGED, "eval_score", "comp_ratio"), (ANALYSIS, "sensitivity_score", "bitwidth")]
)
def test_event_costs_the_same_however_many_came_before(logged: list[Event], kind: str, column: str) -> None:
    """Counted in executed lines, not in seconds: a count does not depend on the machine."""
    cell = next(event for event in logged if event.name == kind)
    from dataclasses import replace

    def lines_of_one(run: RunState, event: Event) -> int:
        count = 0

        def trace(*_: object) -> object:
            nonlocal count
            count += 1
            return trace

        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            run.apply(event)
        finally:
            sys.settrace(previous)
        return count

    run = state_of(logged)
    early = lines_of_one(run, cell)
    for number in range(20_000):
        run.apply(replace(cell, **{"layer": f"layer{number % 200}", column: number}))
    assert lines_of_one(run, cell) == early
