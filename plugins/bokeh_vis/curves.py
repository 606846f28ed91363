"""Score against ratio for the layers that a viewer ticks; which ones and their lines are each tab's own business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.annotations import BoxAnnotation, Legend, LegendItem, Span, Title
from bokeh.models.widgets.markups import Div
from bokeh.plotting import figure

from aimet_hooks.presentation.score_grid import ScoreGrid
from aimet_hooks.presentation.score_scale import ScoreScale
from bokeh_vis import markup, plots, score_table, tables, theme

if TYPE_CHECKING:
    from bokeh.models import Column, InlineStyleSheet

    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

FIGURE, LINES, POINTS, MARKS = "curves_figure", "curves", "curve_points", "curve_marks"
HEADING, BASELINE, THRESHOLD, SPAN = "curves_heading", "baseline", "threshold", "curve_span"
BAND = "curve_band"
RATIOS, BITS = "ratio: share of the layer's cost that is kept", "bits of each weight of the layer"
"""What the horizontal axis shows."""

LOWEST, HIGHEST = 330, 560
"""Pixels of the plot, which is about as high as the table beside it."""

EMPTY = 120


def build(sheet: InlineStyleSheet) -> Column:
    """Curves without any layer."""
    dots: dict[str, Any] = {"x": [], "y": [], "name": [], "color": [], "text": []}
    lines = ColumnDataSource(name=LINES, data={"xs": [], "ys": [], "name": [], "color": []})
    points, marks = (ColumnDataSource(name=name, data=dict(dots)) for name in (POINTS, MARKS))
    plot = plots.plot(
        FIGURE,
        x=RATIOS,
        y="score",
        height=EMPTY,
        tools="pan,box_zoom,wheel_zoom,reset,save",
    )
    plot.title = Title(text="", text_color=theme.TEXT, text_font_style="normal")
    drawn = plot.multi_line("xs", "ys", source=lines, line_color="color", line_width=2.5, line_join="round")
    dotted = plot.scatter("x", "y", source=points, color="color", size=7)
    starred = plot.scatter("x", "y", source=marks, color="color", size=15, marker="diamond", line_color=theme.TEXT)
    plots.add_span(plot, SPAN)
    plots.add_band(plot, BAND)
    tips = [("layer", "@name"), ("ratio", "@x{0.[0000]}"), ("score", "@text")]
    plot.add_tools(HoverTool(renderers=[dotted, starred], tooltips=tips))
    legend = Legend(
        items=[LegendItem(label={"field": "name"}, renderers=[cast("Any", drawn)])],
        ncols=2,
        background_fill_color=None,
        border_line_color=None,
        label_text_color=theme.TEXT,
        label_text_font_size="12px",
        glyph_width=16,
        spacing=6,
    )
    plot.add_layout(legend, "above")
    plot.add_layout(_line(BASELINE, "solid"))
    plot.add_layout(_line(THRESHOLD, "dashed"))
    return theme.card(theme.words(HEADING, sheet), plot, sheet=sheet, look="wide")


def _line(name: str, dash: str) -> Span:
    return Span(name=name, dimension="width", line_color=theme.TEXT, line_dash=dash, line_width=1.5, visible=False)


class Curves:
    """Draws what all tabs share of the curves: baseline, noise, threshold, words.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._heading = parts.get(HEADING, Div)
        self._plot = parts.get(FIGURE, figure)
        self._span = parts.get(SPAN, ColumnDataSource)
        self._band = parts.get(BAND, BoxAnnotation)
        self._lines = {name: parts.get(name, Span) for name in (BASELINE, THRESHOLD)}

    def draw(self, run: RunState) -> None:
        """Bring it up to date."""
        scale = ScoreScale.of(run) if run.baseline or run.finished or run.selection else None
        threshold = run.selection.threshold if run.selection else None
        for name, score in ((BASELINE, scale.baseline if scale else None), (THRESHOLD, threshold)):
            line = self._lines[name]
            if scale is not None and score is not None:
                line.location = float(scale.text(score))  # as exact as the scores of the table
            line.visible = score is not None
        plots.draw_span(self._span, scale)
        plots.draw_band(self._band, scale)
        words = []
        if scale is not None and scale.baseline is not None:
            words.append(f"solid line: baseline {scale.text(scale.baseline)}")
            if scale.noise:
                words.append(f"band: noise, two evaluations of the original model differ by {scale.noise:.2g}")
            if threshold is not None:
                words.append(f"dashed: threshold {scale.text(threshold)}: no choice of the run scores lower")
        if run.selection is not None and run.exploration is not None:
            words.append("diamond: chosen")
        grid = ScoreGrid.of(run)
        heading = markup.heading(f"Score by {grid.column}")
        if not grid.columns:
            words = ["Curves appear with the first scores, for the layers that you tick in the table."]
        self._heading.text = f'{heading}<p class="muted">{markup.escaped(" · ".join(words))}</p>'
        beside = tables.height(len(grid.rows), score_table.ROWS_SEEN) + 30
        self._plot.height = min(HIGHEST, max(LOWEST, beside)) if grid.columns else EMPTY
        self._draw_axis(grid)

    def _draw_axis(self, grid: ScoreGrid) -> None:
        """Ratios up to the layer as it is, or bit widths up to the widest."""
        label = BITS if grid.by_bits else RATIOS
        if self._plot.xaxis[0].axis_label != label:
            self._plot.xaxis[0].axis_label = label
            self._plot.x_range.update(start=0, end=max(grid.columns, default=1) + 1 if grid.by_bits else 1.02)
