"""Where a further cut costs least, layer by layer; every tab finds that out by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.annotations import Title

from bokeh_vis import markup, plots, theme

if TYPE_CHECKING:
    from bokeh.models import Column, InlineStyleSheet

FIGURE, SOURCE, HEADING = "steps_figure", "steps", "steps_heading"
WORDS = "What one step cheaper would lose, each layer by itself; the cheapest cuts on top, long bars cut off."


def build(sheet: InlineStyleSheet) -> Column:
    """Bars of no layer."""
    fields = ("y", "right", "name", "points", "percent", "ratio")
    empty: dict[str, Any] = {field: [] for field in fields}
    bars = ColumnDataSource(name=SOURCE, data=empty)
    plot = plots.plot(FIGURE, x="points lost for each percent of the model's cost", y="", height=120, rows=True)
    plot.visible = False
    plot.title = Title(text="", text_color=theme.TEXT, text_font_style="normal")
    plot.ygrid.grid_line_color = None
    drawn = plot.hbar(y="y", right="right", source=bars, height=0.7, color=theme.CURVES[0])
    tips = [
        ("layer", "@name"),
        ("one step cheaper", "ratio @ratio{0.[0000]}"),
        ("points lost", "@points{0.00}"),
        ("saves", "@percent{0.[00]} % of the model's cost"),
    ]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
    return theme.card(
        theme.words(HEADING, sheet, f'{markup.heading("Next cuts")}<p class="muted">{WORDS}</p>'), plot, sheet=sheet
    )
