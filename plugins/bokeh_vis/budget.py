"""What whole models of several sizes score: measured where they were, and what single layers promised for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import Column, ColumnDataSource, HoverTool
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.models.widgets.markups import Div
from bokeh.plotting import figure

from aimet_hooks.events import BaselineScored, ModelProbed, RatiosSelected, RunFinished, RunStarted, ScoreRecorded
from aimet_hooks.presentation import wording
from aimet_hooks.presentation.score_scale import ScoreScale
from aimet_hooks.presentation.text import clean
from bokeh_vis import markup, plots, theme

if TYPE_CHECKING:
    from bokeh.models import InlineStyleSheet

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

FIGURE, MEASURED, PREDICTED, RECORDED = "budget_figure", "budget_measured", "budget_predicted", "budget_recorded"
WHAT_IF = "budget_what_if"
"""Source of the point that a tab puts where a viewer chooses otherwise."""

CARD = "budget_card"
HEADING, TARGET, SPAN, BAND = "budget_heading", "budget_target", "budget_span", "budget_band"
HEIGHT = 260
MEASURED_COLOUR, PREDICTED_COLOUR, RECORDED_COLOUR = theme.CURVES[:3]


def build(sheet: InlineStyleSheet) -> Column:
    """A curve without any point."""
    measured, predicted, recorded, what_if = (
        ColumnDataSource(name=name, data=_points([])) for name in (MEASURED, PREDICTED, RECORDED, WHAT_IF)
    )
    plot = plots.plot(FIGURE, x="share of the model's cost that is kept", y="score", height=HEIGHT)
    plot.visible = False
    plots.add_span(plot, SPAN)
    plots.add_band(plot, BAND)
    plot.line("x", "y", source=predicted, color=PREDICTED_COLOUR, line_width=2, line_dash="dashed")
    plot.line("x", "y", source=measured, color=MEASURED_COLOUR, line_width=2.5)
    promised = plot.scatter("x", "y", source=predicted, color=PREDICTED_COLOUR, size=6, marker="square")
    found = plot.scatter("x", "y", source=measured, color=MEASURED_COLOUR, size=9)
    later = plot.scatter("x", "y", source=recorded, color=RECORDED_COLOUR, size=13, marker="star")
    tried = plot.scatter(
        "x", "y", source=what_if, size=13, marker="diamond", fill_color=None, line_color=theme.TEXT, line_width=2
    )
    plot.add_tools(
        HoverTool(
            renderers=[found, promised, later, tried],
            tooltips=[("model", "@what"), ("kept", "@x{0.000}"), ("score", "@text")],
        )
    )
    plot.add_layout(Span(name=TARGET, dimension="height", line_color=theme.TEXT, line_dash="dotted", visible=False))
    card = theme.card(theme.words(HEADING, sheet), plot, sheet=sheet)
    card.name = CARD
    return card


_SHOWN = (RunStarted, BaselineScored, ModelProbed, RatiosSelected, RunFinished, ScoreRecorded)
"""Events that change the curve."""


class Budget:
    """Draws the budget curve of a page.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._plot = parts.get(FIGURE, figure)
        self._measured = parts.get(MEASURED, ColumnDataSource)
        self._predicted = parts.get(PREDICTED, ColumnDataSource)
        self._recorded = parts.get(RECORDED, ColumnDataSource)
        self._heading = parts.get(HEADING, Div)
        self._target = parts.get(TARGET, Span)
        self._span = parts.get(SPAN, ColumnDataSource)
        self._band = parts.get(BAND, BoxAnnotation)
        self.forget()

    def forget(self) -> None:
        """Draw everything anew with the next ``draw``."""
        self._drawn = False

    def hear(self, event: Event) -> None:
        """Remember that there is something to draw."""
        if isinstance(event, _SHOWN):
            self.forget()

    def draw(self, run: RunState) -> None:
        """Bring it up to date."""
        if self._drawn:
            return
        self._drawn = True
        scale = ScoreScale.of(run)
        measured, predicted = _measured(run), _predicted(run)
        self._measured.data = _points(measured, scale)
        self._predicted.data = _points(predicted, scale)
        self._recorded.data = _points(_recorded(run), scale)
        plots.draw_span(self._span, scale)
        plots.draw_band(self._band, scale)
        self._plot.visible = len(measured) > 1
        wanted = wording.target(run)
        if wanted is not None:
            self._target.location = wanted
        self._target.visible = wanted is not None
        self._heading.text = _words(
            run, has_points=len(measured) > 1, has_target=wanted is not None, has_band=self._band.visible
        )


Point = tuple[float, float, str]
"""Share of the cost that is kept, score, what it is."""


def _measured(run: RunState) -> list[Point]:
    points: list[Point] = [
        (probe.achieved_comp_ratio, probe.score, "measured") for probe in run.probes if probe.score is not None
    ]
    if run.baseline is not None:
        points.append((1.0, run.baseline.score, "the original model"))
    if run.finished is not None and _kept(run) is not None:
        points.append((_kept(run) or 0.0, run.finished.compressed_score, "the result"))
    return sorted(points)


def _recorded(run: RunState) -> list[Point]:
    kept = _kept(run)
    return [] if kept is None else [(kept, event.score, clean(event.label)) for event in run.recorded]


def _kept(run: RunState) -> float | None:
    return run.selection.achieved_comp_ratio if run.selection is not None else None


def _predicted(run: RunState) -> list[Point]:
    points = [(probe.achieved_comp_ratio, probe.predicted_score, "predicted, not measured") for probe in run.probes]
    if points and run.baseline is not None:
        points.append((1.0, run.baseline.score, "the original model"))
    return sorted(points)


def _points(points: list[Point], scale: ScoreScale | None = None) -> dict[str, Any]:
    return {
        "x": [round(x, 6) for x, _, _ in points],
        "y": [y for _, y, _ in points],
        "what": [what for _, _, what in points],
        "text": ["" if scale is None else scale.text(y) for _, y, _ in points],
    }


def _words(run: RunState, *, has_points: bool, has_target: bool, has_band: bool) -> str:
    heading = markup.heading("Score by size of the model")
    if not has_points:
        words = "Whole models are measured after the exploration, if it is large enough, and at the end."
    else:
        parts = ["solid: measured"]
        if run.probes:
            parts.append("dashed: predicted from layers one at a time, which is optimistic")
        if run.recorded:
            parts.append("star: recorded later")
        if has_target:
            parts.append("dotted: target")
        if run.exploration and run.selection:
            parts.append("hollow: what you try")
        if has_band:
            parts.append("band: noise")
        words = " · ".join(parts)
    return f'{heading}<p class="muted">{words}</p>'
