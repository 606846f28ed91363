"""Plots as all pages have them: without a ground, in greys that read on light and dark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, Range1d
from bokeh.models.annotations import BoxAnnotation
from bokeh.plotting import figure

from bokeh_vis import theme

if TYPE_CHECKING:
    from aimet_hooks.presentation.score_scale import ScoreScale


def plot(
    name: str, *, x: str, y: str, height: int, tools: str = "", rows: bool = False, logarithmic: bool = False
) -> figure:
    """An empty plot over shares of a cost, from nothing to all; or of bars.

    Args:
        name: Of the model.
        x: What the horizontal axis shows.
        y: What the vertical axis shows.
        height: In pixels.
        tools: As Bokeh names them; "": none, and no toolbar.
        rows: Whether it has bars in rows that have names.
        logarithmic: Whether its vertical axis is.
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
        y_axis_type="log" if logarithmic else "auto",
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
    """Set the least that the axis of scores shows, a point or the noise up and down: what means little stays small."""
    ends: list[float] = []
    if scale is not None and scale.baseline is not None:
        least = max(scale.point, scale.noise)
        ends = [scale.baseline - least, scale.baseline + least]
    if span.data["y"] != ends:
        span.data = {"x": [1.0] * len(ends), "y": ends}


def add_band(made: figure, name: str) -> None:
    """A band behind everything, over all of the plot's width, see ``draw_band``."""
    made.add_layout(
        BoxAnnotation(
            name=name, fill_color=theme.TEXT, fill_alpha=0.18, line_color=None, level="underlay", visible=False
        )
    )


def draw_band(band: BoxAnnotation, scale: ScoreScale | None) -> None:
    """Let the band show which scores differ from the baseline by noise alone; without noise there is none."""
    if scale is not None and scale.baseline is not None and scale.noise:
        band.update(bottom=scale.baseline - scale.noise, top=scale.baseline + scale.noise, visible=True)
    else:
        band.visible = False


def no_tex(text: str) -> str:
    """Text as it can stand in a plot: Bokeh takes some of it for formulas, and those can run code."""
    return re.sub(r"[$\\]", lambda found: f"{found[0]}\u200b", text)


def shortened(name: str) -> str:
    """A name that is not too long for a plot."""
    return name if len(name) <= 34 else f"{name[:16]}…{name[-17:]}"
