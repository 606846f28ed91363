"""Size against score of all runs: which of them no other one beats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource, HoverTool

from aimet_hooks.presentation import wording
from aimet_hooks.presentation.score_scale import ScoreScale
from aimet_hooks.presentation.text import clean
from bokeh_vis import markup, plots, theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bokeh.models import InlineStyleSheet

    from aimet_hooks.run_state import RunState

HEIGHT = 300
FEWEST = 2
"""Results from which on there is something to compare."""


class Pareto:
    """Draws the results of many runs for one viewer.

    Args:
        sheet: Of the page.

    Attributes:
        card: What it draws on; not shown while there are fewer than two results.
    """

    def __init__(self, sheet: InlineStyleSheet) -> None:
        self._points = ColumnDataSource(name="pareto_points", data=_data([]))
        self._line = ColumnDataSource(name="pareto_line", data={"x": [], "y": []})
        plot = plots.plot(
            "pareto_figure",
            x="share of the MACs that is kept",
            y="points against the own baseline",
            height=HEIGHT,
            tools="pan,box_zoom,wheel_zoom,reset",
        )
        plot.step("x", "y", source=self._line, mode="after", color=theme.CURVES[0], line_width=2, line_dash="dashed")
        dots = plot.scatter("x", "y", source=self._points, color=theme.CURVES[0], size=10)
        tips = [("run", "@name"), ("MACs kept", "@x{0.000}"), ("score", "@score"), ("against its baseline", "@change")]
        plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
        words = theme.words("pareto_heading", sheet, _HEADING)
        self.card = theme.card(words, plot, sheet=sheet)
        self.card.visible = False

    def draw(self, runs: Iterable[RunState]) -> None:
        """Bring it up to date with the runs that have a result."""
        results = sorted(filter(None, map(_result, runs)))
        data = _data(results)
        if data == self._points.data:
            return
        self._points.data = data
        best = front([(x, y) for x, y, *_ in results])
        best += [(1.0, y) for _, y in best[-1:]]  # to the right nothing is better
        self._line.data = {"x": [x for x, _ in best], "y": [y for _, y in best]}
        self.card.visible = len(results) >= FEWEST


Result = tuple[float, float, str, str, str]
"""MACs kept, points against the baseline (negative: lost), name of the run, scores, change in words."""

_HEADING = markup.heading(
    "Size against score", "every point a result that was measured · dashed: no run is both smaller and better"
)


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other one beats: smaller and better, from the smallest on.

    Args:
        points: Size and score, the higher the better.
    """
    best: list[tuple[float, float]] = []
    for size, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or score > best[-1][1]:
            best.append((size, score))
    return best


def _result(run: RunState) -> Result | None:
    if run.finished is None:
        return None
    scale = ScoreScale.of(run)
    lost = scale.drop(run.finished.compressed_score)
    if lost is None:
        return None
    names = wording.titles(run)
    scores = f"{scale.text(run.finished.baseline_score)} → {scale.text(run.finished.compressed_score)}"
    name = clean(names[0]) if names else "a run without a name"
    return run.finished.mac_ratio, 0.0 - round(lost, 4), name, scores, markup.change(lost)


def _data(results: Sequence[Result]) -> dict[str, Any]:
    columns: list[list[Any]] = [list(column) for column in zip(*results, strict=True)] or [[] for _ in range(5)]
    return dict(zip(("x", "y", "name", "score", "change"), columns, strict=True))
