"""The relative ranges of all layers at once: a box a layer, and the channels that stand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, FixedTicker, HoverTool, NumeralTickFormatter, Range1d, TapTool
from bokeh.models.annotations import Span
from bokeh.models.tickers import BasicTicker

from aimet_hooks.presentation.text import layer_name
from aimet_hooks.quantization.problematic import WIDE_CHANNEL
from bokeh_vis import markup, plots, theme
from bokeh_vis.weight_ranges import numbers

if TYPE_CHECKING:
    import numpy.typing as npt
    from bokeh.models import Column, InlineStyleSheet
    from bokeh.models.widgets.tables import DataTable

    from aimet_hooks.quantization.model_ranges import ModelRanges

FIGURE, BOXES, OUTLIERS, NAMES = "strips_figure", "strips", "strip_outliers", "strip_names"
HEIGHT = 380
REACH = 1.5
"""Whiskers go to the last channel within so many times the width of the box, as Tukey drew them."""

MOST_OUTLIERS = 20
"""Channels of a layer that are drawn above its whiskers, and below: the farthest."""

MOST_NAMED = 6
TICKS = [float(f"{step}e{power}") for power in range(-6, 9) for step in (1, 2, 5)]
WORDS = (
    "Every box is a layer, in the model's order: the middle half of its channels, whiskers to the last usual one, and "
    "single channels beyond. Those above the dashed line are more than 3 times as wide as the median channel of their "
    "layer. Click a layer to see its channels below."
)


def build(table: DataTable, ranges: ModelRanges, sheet: InlineStyleSheet) -> Column:
    """The plot with its heading; a click ticks a layer in the table."""
    boxes, outliers = _sources(ranges)
    plot = plots.plot(
        FIGURE,
        x="layer, by its number in the table",
        y="channel's range / median range of the layer",
        height=HEIGHT,
        tools="pan,box_zoom,wheel_zoom,reset,save",
        logarithmic=True,
    )
    plot.x_range = Range1d(start=0.3, end=len(ranges.layers) + 0.7)
    plot.xaxis[0].ticker = BasicTicker(min_interval=1, desired_num_ticks=14)
    plot.xgrid.grid_line_color = None
    plot.yaxis[0].ticker = FixedTicker(ticks=TICKS)
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0,0.[000000]")
    blue, orange = theme.CURVES[0], theme.CURVES[1]
    for location, dash in ((1.0, "solid"), (WIDE_CHANNEL, "dashed")):
        plot.add_layout(Span(location=location, dimension="width", line_color=theme.TEXT, line_dash=dash, line_width=1))
    plot.scatter([1, 1], [1 / WIDE_CHANNEL, 1.1 * WIDE_CHANNEL], alpha=0)  # keeps the lines in sight
    plot.segment(
        "number", "low", "number", "high", source=boxes, line_color=blue, line_width=1.5, **_faded("line", 1.0)
    )
    box = plot.vbar(x="number", bottom="q25", top="q75", width=0.7, source=boxes, color="colour", **_faded("", 0.8))
    points = plot.scatter("number", "relative", source=outliers, size=7, color="colour", **_faded("", 0.8))
    plot.text(
        "number",
        "relative",
        text="text",
        source=_names(ranges, outliers),
        text_color=orange,
        text_align="align",
        text_baseline="middle",
        x_offset="offset",
        text_font_size="12px",
    )
    plot.add_tools(
        HoverTool(
            renderers=[box],
            tooltips=[("layer", "@layer"), ("channels", "@channels"), ("middle half", "@tip_box"), ("all", "@tip_all")],
        ),
        HoverTool(
            renderers=[points],
            tooltips=[("layer", "@layer"), ("channel", "@channel"), ("range / median range", "@relative{0.[000]}")],
        ),
        TapTool(renderers=[box, points]),
    )
    for source in (boxes, outliers):
        pick = CustomJS(args={"layers": table.source, "source": source}, code=theme.scripts("pick_layer.js"))
        source.selected.js_on_change("indices", pick)
    plot.visible = len(ranges.layers) > 0
    heading = f'{markup.heading("How uneven the channels are")}<p class="muted">{WORDS}{_left_out(ranges)}</p>'
    return theme.card(theme.words("strips_heading", sheet, heading), plot, sheet=sheet)


def _faded(kind: str, alpha: float) -> dict[str, Any]:
    """A layer that was clicked is shown below; the others stay as they are."""
    prefix = f"{kind}_" if kind else ""
    return {f"{state}{prefix}alpha": alpha for state in ("", "nonselection_")}


def _sources(ranges: ModelRanges) -> tuple[ColumnDataSource, ColumnDataSource]:
    """The boxes, and the channels beyond their whiskers."""
    box_fields = ("number", "layer", "channels", "q25", "q75", "low", "high", "colour", "tip_box", "tip_all")
    boxes: dict[str, list[Any]] = {field: [] for field in box_fields}
    outliers: dict[str, list[Any]] = {field: [] for field in ("number", "layer", "channel", "relative", "colour")}
    blue, orange = theme.CURVES[0], theme.CURVES[1]
    begin = 0
    relative = ranges.channels["relative_range"].to_numpy()
    for number, (layer, count) in enumerate(ranges.layers["channels"].items(), start=1):
        values = relative[begin : begin + count]
        begin += count
        drawn = np.flatnonzero(np.isfinite(values) & (values > 0))
        if not drawn.size:
            continue
        q25, q75, low, high = _box(values[drawn])
        name = layer_name(str(layer))
        row = (
            *(number, name, int(count)),
            *(numbers.rounded(value) for value in (q25, q75, low, high)),
            orange if layer in ranges.problems else blue,
            f"{q25:.3g} to {q75:.3g}",
            f"{values[drawn].min():.3g} to {values[drawn].max():.3g}",
        )
        for field, value in zip(box_fields, row, strict=True):
            boxes[field].append(value)
        for channel in _beyond(values, drawn, low, high):
            colour = orange if values[channel] >= WIDE_CHANNEL else blue
            point = (number, name, int(channel), numbers.rounded(values[channel]), colour)
            for field, value in zip(outliers, point, strict=True):
                outliers[field].append(value)
    return ColumnDataSource(name=BOXES, data=dict(boxes)), ColumnDataSource(name=OUTLIERS, data=dict(outliers))


def _box(values: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Quartiles and ends of the whiskers."""
    q25, q75 = np.percentile(values, [25, 75])
    reach = REACH * (q75 - q25)
    low, high = values[values >= q25 - reach].min(), values[values <= q75 + reach].max()
    return float(q25), float(q75), float(low), float(high)


def _beyond(
    values: npt.NDArray[np.float64], drawn: npt.NDArray[np.intp], low: float, high: float
) -> npt.NDArray[np.intp]:
    """The channels beyond the whiskers, the farthest on both sides."""
    ordered = drawn[np.argsort(values[drawn], kind="stable")]
    below, above = ordered[values[ordered] < low], ordered[values[ordered] > high]
    return np.concatenate([below[:MOST_OUTLIERS], above[-MOST_OUTLIERS:]])


def _names(ranges: ModelRanges, outliers: ColumnDataSource) -> ColumnDataSource:
    """Layer and channel beside the widest channels of the layers that will break."""
    data: dict[str, list[Any]] = {field: [] for field in ("number", "relative", "text", "align", "offset")}
    named = [problem for problem in ranges.problems.values() if problem.relative_range >= WIDE_CHANNEL][:MOST_NAMED]
    points = {
        (number, channel): relative
        for number, channel, relative in zip(
            *(outliers.data[key] for key in ("number", "channel", "relative")), strict=True
        )
    }
    places = {layer: number for number, layer in enumerate(ranges.layers.index, start=1)}
    for problem in named:
        number = places[problem.layer]
        relative = points.get((number, problem.channel))
        if relative is None:
            continue
        is_right = number > len(ranges.layers) / 2
        text = plots.no_tex(f"{plots.shortened(layer_name(problem.layer))}, channel {problem.channel}")
        row = (number, relative, text, "right" if is_right else "left", -9 if is_right else 9)
        for field, value in zip(data, row, strict=True):
            data[field].append(value)
    return ColumnDataSource(name=NAMES, data=dict(data))


def _left_out(ranges: ModelRanges) -> str:
    relative = ranges.channels["relative_range"]
    count = int((relative.isna() | (relative <= 0)).sum())
    return f" {count:,} channels that are constant or undefined have no place here." if count else ""
