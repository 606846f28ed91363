"""Size against score of many runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bokeh.models import ColumnDataSource
from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks.events import RunFinished, RunStarted
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import failed_run, finished_run
from bokeh_vis import theme
from bokeh_vis.pareto import Pareto, front

sizes = st.integers(1, 6).map(lambda k: k / 6)
scores = st.integers(-5, 5).map(float)


def run_with(mac_ratio: float, score: float, name: str = "sample", direction: str = "maximize") -> RunState:
    run = RunState()
    for event in finished_run():
        changed = event
        if isinstance(event, RunStarted):
            changed = replace(event, run_name=name, settings={**event.settings, "direction": direction})
        if isinstance(event, RunFinished):
            changed = replace(event, mac_ratio=mac_ratio, compressed_score=score)
        run.apply(changed)
    return run


def failed() -> RunState:
    run = RunState()
    for event in failed_run():
        run.apply(event)
    return run


def points(pareto: Pareto, name: str = "pareto_points") -> dict[str, Any]:
    source = pareto.card.select_one({"name": name})
    assert isinstance(source, ColumnDataSource)
    return dict(source.data)


@given(st.lists(st.tuples(sizes, scores), max_size=12))
def test_the_front_holds_what_no_other_point_beats_and_nothing_else(found: list[tuple[float, float]]) -> None:
    best = front(found)
    assert best == sorted(best)
    for size, score in found:
        beaten = any(
            (other_size, other_score) != (size, score) and other_size <= size and other_score >= score
            for other_size, other_score in found
        )
        assert ((size, score) in best) == (not beaten)


def test_results_are_points_and_runs_without_one_are_none() -> None:
    pareto = Pareto(theme.sheet())
    pareto.draw([run_with(0.5, 0.88, "a"), failed(), RunState()])
    assert not pareto.card.visible
    pareto.draw([run_with(0.7, 0.89, "b"), run_with(0.5, 0.88, "a"), run_with(0.6, 0.85, "c <b>"), failed()])
    assert pareto.card.visible
    shown = points(pareto)
    assert shown["name"] == ["a", "c <b>", "b"]
    assert [round(y, 6) for y in shown["y"]] == [-2.0, -5.0, -1.0]
    assert shown["change"][1] == "5.00 points worse"
    line = points(pareto, "pareto_line")
    assert line["x"] == [0.5, 0.7, 1.0]


def test_of_scores_to_minimize_lower_is_better() -> None:
    pareto = Pareto(theme.sheet())
    pareto.draw([run_with(0.5, 1.0, direction="minimize"), run_with(0.7, 0.8, direction="minimize")])
    worse, better = points(pareto)["y"]
    assert worse < 0 < better
