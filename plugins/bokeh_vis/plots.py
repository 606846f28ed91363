"""Plots as all pages have them: without a ground, in greys that read on light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, Range1d
from bokeh.plotting import figure

from bokeh_vis import theme

if TYPE_CHECKING:
    from aimet_hooks.presentation.score_scale import ScoreScale


def plot(name: str, *, x: str, y: str, height: int, tools: str = "", rows: bool = False) -> figure:
    """An empty plot over shares of a cost, from nothing to all; or of bars.

    Args:
        name: Of the model.
        x: What the horizontal axis shows.
        y: What the vertical axis shows.
        height: In pixels.
        tools: As Bokeh names them; "": none, and no toolbar.
        rows: Whether it has bars in rows that have names.
    """
    made = figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        x_range=Range1d(start=0, end=1 if rows else 1.02),
        y_range=FactorRange() if rows else DataRange1d(),
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        tools=tools,
        toolbar_location="right" if tools else None,
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    for axis, label in ((made.xaxis[0], x), (made.yaxis[0], y)):
        axis.axis_label = label
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = theme.TEXT
        axis.axis_line_color = axis.major_tick_line_color = theme.LINE
        axis.minor_tick_line_color = None
    made.grid.grid_line_color = theme.LINE
    made.grid.grid_line_alpha = 0.5
    return made


def add_span(made: figure, name: str) -> None:
    """Two points that are seen by the axis of scores only, see ``draw_span``."""
    made.scatter("x", "y", source=ColumnDataSource(name=name, data={"x": [], "y": []}), alpha=0)


def draw_span(span: ColumnDataSource, scale: ScoreScale | None) -> None:
    """Set the least that the axis of scores shows, a point up and down: differences that are about noise stay small."""
    ends: list[float] = []
    if scale is not None and scale.baseline is not None:
        ends = [scale.baseline - scale.point, scale.baseline + scale.point]
    if span.data["y"] != ends:
        span.data = {"x": [1.0] * len(ends), "y": ends}
