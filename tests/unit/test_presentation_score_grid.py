"""One way to see both tables."""

from __future__ import annotations

from aimet_hooks.events import Event
from aimet_hooks.presentation.score_grid import ScoreGrid, column_of
from aimet_hooks.run_state import RunState
from aimet_hooks.testing.sample_runs import finished_run, sensitivity_run


def state_of(events: list[Event]) -> RunState:
    run = RunState()
    for event in events:
        run.apply(event)
    return run


def test_ratios() -> None:
    run = state_of(finished_run())
    grid = ScoreGrid.of(run)
    assert (grid.rows, grid.columns, grid.done, grid.column) == (run.scores, run.candidates, "compressed", "ratio")
    assert (grid.title(0.3), grid.at(0.3)) == ("0.3", "at ratio 0.3")
    assert run.last_cell
    assert column_of(run.last_cell) == run.last_cell.comp_ratio


def test_bit_widths() -> None:
    run = state_of(sensitivity_run())
    grid = ScoreGrid.of(run)
    assert (grid.rows, grid.columns, grid.done, grid.column) == (run.sensitivity, (4, 8), "quantized", "bit width")
    assert (grid.title(8), grid.at(8)) == ("8 bits", "at 8 bits")
    assert run.last_score
    assert column_of(run.last_score) == 8


def test_nothing_is_known_yet() -> None:
    assert ScoreGrid.of(RunState()).columns == ()
