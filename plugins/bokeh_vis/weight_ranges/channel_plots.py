"""Plots over the channels of the layers that a viewer ticks; the numbers of all layers are in the page."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Range1d
from bokeh.models.annotations import Legend, LegendItem
from bokeh.models.tickers import BasicTicker
from bokeh.models.widgets.groups import CheckboxGroup

from aimet_hooks.quantization.problematic import WIDE_CHANNEL
from bokeh_vis import markup, plots, theme
from bokeh_vis.parts import Parts
from bokeh_vis.weight_ranges import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from bokeh.models import Column, InlineStyleSheet, LayoutDOM
    from bokeh.models.renderers import GlyphRenderer
    from bokeh.models.widgets.tables import DataTable
    from bokeh.plotting import figure

    from aimet_hooks.quantization.model_ranges import ModelRanges, RangeChanges

ALL, CUT, MORE = "channels", "cut_off", "more_layers"
FIGURE, SHOWN, MARKS, WORDS = "channel_figure", "shown_channels", "channel_marks", "channel_words"
"""Names of the parts of each plot, which end in its number."""

CUT_LABEL = "Cut off channels that stand out, to see the others"
PLOTS = 4
"""Layers that can be looked at at the same time."""

HEIGHT = 330
BLUE, ORANGE = theme.CURVES[0], theme.CURVES[1]
RANGES = ("min", "max", "mean", "std", "q25", "q75", "relative_range", "sqnr_symmetric")
CHANGES = ("min", "max", "mean", "std", "sqnr_symmetric")
LABELS = {
    "min": "smallest weight",
    "max": "largest weight",
    "mean": "mean",
    "std": "standard deviation",
    "relative_range": "range / median range",
    "sqnr_symmetric": "SQNR on the layer's scale (dB)",
}
TOOLS = "pan,box_zoom,wheel_zoom,reset,save"


def build_ranges(table: DataTable, ranges: ModelRanges, sheet: InlineStyleSheet) -> Column:
    """Range, quartiles and mean of every channel.

    Args:
        table: Of the layers; its ticked rows are shown, and its column ``row`` has their places in the model.
        ranges: What is shown.
        sheet: Of the page.
    """
    everything = {field: numbers.packed(ranges.channels[field].to_numpy()) for field in RANGES}
    made = [_ranges_plot(number) for number in range(PLOTS)]
    words = "Every bar is a channel, from its smallest to its largest weight, the middle half of them darker."
    heading = markup.heading("Channels", words)
    return _card(heading, table, ranges.layers, everything, made, sheet=sheet)


def build_changes(table: DataTable, changed: RangeChanges, sheet: InlineStyleSheet) -> Column:
    """Old and new range and mean of every channel; arguments as for ``build_ranges``."""
    states = (("old", changed.old), ("new", changed.new))
    everything = {
        f"{state}_{field}": numbers.packed(found.channels[field].to_numpy())
        for state, found in states
        for field in CHANGES
    }
    made = [_changes_plot(number) for number in range(PLOTS)]
    words = "Every channel from its smallest to its largest weight: wide and grey before, narrow and blue after."
    heading = markup.heading("Channels, before and after", words)
    return _card(heading, table, changed.old.layers, everything, made, sheet=sheet)


def _card(
    heading: str,
    table: DataTable,
    summary: pd.DataFrame,
    everything: dict[str, Any],
    made: Sequence[figure],
    *,
    sheet: InlineStyleSheet,
) -> Column:
    counts = [int(count) for count in summary["channels"]]
    cut = CheckboxGroup(name=CUT, labels=[CUT_LABEL], active=[], visible=bool(counts), stylesheets=[sheet])
    children: list[LayoutDOM] = [theme.words("channels_heading", sheet, heading), cut]
    for number, plot in enumerate(made):
        children += [theme.words(f"{WORDS}_{number}", sheet), plot]
        plot.visible = number == 0 and bool(counts)
    children.append(theme.words(MORE, sheet))
    card = theme.card(*children, sheet=sheet)
    parts = Parts(card)
    pick = CustomJS(
        args={
            "table": table,
            "layers": table.source,
            "channels": ColumnDataSource(name=ALL, data=everything),
            "begins": [0, *accumulate(counts)][: len(counts)],
            "counts": counts,
            "figures": list(made),
            "words": [child for child in children if child.name and child.name.startswith(WORDS)],
            "shown": [parts.get(f"{SHOWN}_{number}", ColumnDataSource) for number in range(PLOTS)],
            "marks": [parts.get(f"{MARKS}_{number}", ColumnDataSource) for number in range(PLOTS)],
            "cut": cut,
            "more": children[-1],
            "wide": WIDE_CHANNEL,
            "colours": [BLUE, ORANGE],
        },
        code=theme.scripts("fit.js", "channel_plots.js"),
    )
    table.source.selected.js_on_change("indices", pick)
    cut.js_on_change("active", pick)
    made[0].js_on_change("inner_width", pick)
    return card


def _ranges_plot(number: int) -> figure:
    plot, source = _plot(number, RANGES)
    bars = plot.vbar(
        x="x", bottom="min", top="max", width=0.9, source=source, fill_color="colour", fill_alpha=0.35, line_color=None
    )
    middle = plot.vbar(
        x="x", bottom="q25", top="q75", width=0.9, source=source, fill_color="colour", fill_alpha=0.75, line_color=None
    )
    mean = plot.line("x", "mean", source=source, line_color=theme.TEXT, line_width=1.5)
    spread = [
        plot.line("x", field, source=source, line_color=theme.TEXT, line_dash="dotted", visible=False)
        for field in ("above", "below")
    ]
    _add_mark(plot, number)
    _add_legend(
        plot,
        {
            "smallest to largest weight": [bars],
            "middle half": [middle],
            "mean": [mean],
            "mean ± standard deviation (click to show)": spread,
        },
    )
    _add_hover(plot, bars, [(LABELS[field], f"@tip_{field}") for field in RANGES if field in LABELS])
    return plot


def _changes_plot(number: int) -> figure:
    fields = [f"{state}_{field}" for state in ("old", "new") for field in CHANGES]
    plot, source = _plot(number, fields)
    looks = {"old": (0.95, theme.TEXT, 0.45), "new": (0.55, BLUE, 0.85)}
    bars = {
        state: plot.vbar(
            x="x",
            bottom=f"{state}_min",
            top=f"{state}_max",
            width=width,
            source=source,
            fill_color=colour,
            fill_alpha=alpha,
            line_color=None,
        )
        for state, (width, colour, alpha) in looks.items()
    }
    means = {
        state: plot.line("x", f"{state}_mean", source=source, line_color=colour, line_width=1.5, line_dash=dash)
        for state, colour, dash in (("old", theme.TEXT, "dashed"), ("new", ORANGE, "solid"))
    }
    _add_mark(plot, number)
    names = {"old": "before", "new": "after"}
    items: dict[str, list[GlyphRenderer[Any]]] = {
        f"{names[state]}: smallest to largest weight": [bar] for state, bar in bars.items()
    }
    items |= {f"{names[state]}: mean": [mean] for state, mean in means.items()}
    _add_legend(plot, items)
    tips = [(f"{LABELS[field]}: before, after", f"@tip_old_{field}, @tip_new_{field}") for field in CHANGES]
    _add_hover(plot, bars["old"], tips)
    return plot


def _plot(number: int, fields: Sequence[str]) -> tuple[figure, ColumnDataSource]:
    """An empty plot over channels, and the source of what it shows."""
    columns = ["x", "colour", "above", "below", *fields, *(f"tip_{field}" for field in fields)]
    empty: dict[str, Any] = {column: [] for column in columns}
    source = ColumnDataSource(name=f"{SHOWN}_{number}", data=empty)
    plot = plots.plot(f"{FIGURE}_{number}", x="output channel", y="weight", height=HEIGHT, tools=TOOLS)
    plot.xaxis[0].ticker = BasicTicker(min_interval=1, desired_num_ticks=12)
    plot.xgrid.grid_line_color = None
    plot.y_range = Range1d(start=-1, end=1)
    return plot, source


def _add_mark(plot: figure, number: int) -> None:
    """The channel that stands out, pointed at and named."""
    empty: dict[str, Any] = {column: [] for column in ("x", "y", "text", "text_x", "align", "offset")}
    source = ColumnDataSource(name=f"{MARKS}_{number}", data=empty)
    plot.scatter("x", "y", source=source, marker="inverted_triangle", size=11, fill_color=ORANGE, line_color=theme.TEXT)
    plot.text(
        "text_x",
        "y",
        text="text",
        source=source,
        text_color=ORANGE,
        text_align="align",
        text_baseline="middle",
        x_offset="offset",
        text_font_size="13px",
        text_font_style="bold",
    )


def _add_legend(plot: figure, items: Mapping[str, Sequence[GlyphRenderer[Any]]]) -> None:
    legend = Legend(
        items=[LegendItem(label=label, renderers=list(drawn)) for label, drawn in items.items()],
        orientation="horizontal",
        click_policy="hide",
        background_fill_color=None,
        border_line_color=None,
        inactive_fill_alpha=0,
        label_text_color=theme.TEXT,
        label_text_font_size="12px",
        glyph_width=16,
        spacing=14,
    )
    plot.add_layout(legend, "above")


def _add_hover(plot: figure, bars: GlyphRenderer[Any], tips: Sequence[tuple[str, str]]) -> None:
    tooltips = [("channel", "@x"), *tips]
    plot.add_tools(HoverTool(renderers=[bars], tooltips=tooltips, mode="vline", limit=1, line_policy="none"))
