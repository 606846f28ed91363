"""The table of a model's layers, those that quantization will break on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource

from aimet_hooks.presentation import quantities
from aimet_hooks.presentation.text import clean, layer_name
from aimet_hooks.quantization.problematic import WIDE_CHANNEL
from bokeh_vis import markup, tables, theme
from bokeh_vis.weight_ranges import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from bokeh.models import Column, InlineStyleSheet
    from bokeh.models.widgets.tables import DataTable

    from aimet_hooks.quantization.model_ranges import ModelRanges
    from aimet_hooks.quantization.problematic import ProblematicLayer

SOURCE, TABLE = "layers", "layer_table"
ROWS_SEEN = 12
WORDS = (
    "The worst first. Effective bits are what three quarters of the channels keep at least: with one scale for the "
    "whole layer, and with a scale for each channel. The widest channel is given with its range against the median. "
    "Click a layer to see its channels below; tick several to compare them."
)


def source(ranges: ModelRanges) -> ColumnDataSource:
    """One row a layer, the worst first and ticked; ``row`` is its place in the model."""
    order = ranked(ranges)
    table = ranges.layers.iloc[order]
    problems = [ranges.problems.get(layer) for layer in table.index]
    bits = table["effective_bits_per_tensor"], table["effective_bits_per_channel"]
    data: dict[str, Any] = {
        "row": order,
        "number": [place + 1 for place in order],
        "layer": [layer_name(layer) for layer in table.index],
        "kind": [clean(kind) for kind in table["kind"]],
        "verdict": ["breaks" if problem else "sound" for problem in problems],
        "look": ["bad" if problem else "good" for problem in problems],
        "channels": [int(count) for count in table["channels"]],
        "weights": [int(count) for count in table["weights"]],
        "weights_text": [quantities.count(float(count)) for count in table["weights"]],
        "bits": numbers.column(bits[0]),
        "bits_bar": [share(value, ranges.bitwidth) for value in bits[0]],
        "bits_channel": numbers.column(bits[1]),
        "bits_channel_bar": [share(value, ranges.bitwidth) for value in bits[1]],
        "widest": [int(channel) if channel >= 0 else None for channel in table["widest_channel"]],
        "relative": numbers.column(table["relative_range"]),
        "sqnr": numbers.column(table["sqnr_symmetric_per_tensor"]),
        "zeroed": numbers.column(table["rounded_to_zero"] * 100),
        "advice": [clean(f"{problem.cause}. {capital(problem.remedy)}.") if problem else "" for problem in problems],
        "about": [_about(layer, row, ranges) for layer, row in zip(table.index, table.to_dict("records"), strict=True)],
    } | marks(table)
    made = ColumnDataSource(name=SOURCE, data=data)
    made.selected.indices = [0] if order else []
    return made


def build(ranges: ModelRanges, sheet: InlineStyleSheet) -> DataTable:
    """The table."""
    table = tables.table(
        TABLE,
        source(ranges),
        [
            tables.column("number", "#", 46, tables.NUMBER),
            tables.column("layer", "layer", 184, tables.NAME),
            tables.column("verdict", "verdict", 82, VERDICT),
            tables.column("kind", "kind", 90),
            tables.column("channels", "channels", 74, tables.NUMBER),
            tables.column("weights", "weights", 74, WEIGHTS),
            tables.column("bits", "bits, layer", 86, bits_bar("bits_bar")),
            tables.column("bits_channel", "bits, channel", 98, bits_bar("bits_channel_bar")),
            tables.column("relative", "widest channel", 112, WIDEST),
            tables.column("sqnr", "SQNR in dB", 88, fixed(1)),
            tables.column("zeroed", "to zero", 66, PERCENT),
            tables.column("advice", "cause and remedy", 220),
        ],
        sheet,
        tick_rows=True,
    )
    table.height, table.visible = tables.height(len(ranges.layers), ROWS_SEEN), len(ranges.layers) > 0
    return table


def card(table: DataTable, sheet: InlineStyleSheet) -> Column:
    """The table with its heading."""
    heading = f'{markup.heading("Layers")}<p class="muted">{WORDS}</p>'
    return theme.card(theme.words("layers_heading", sheet, heading), table, sheet=sheet)


VERDICT = '<div class="state <%- look %>"><%- value %></div>'
WEIGHTS = '<span class="right"><%- weights_text %></span>'
TIMES = '<span class="right"><%- Number(value.toPrecision(3)).toLocaleString("en") %> &times;</span>'
WIDEST = TIMES.replace("<%-", "<%- widest %>: <%-", 1)
PERCENT = '<span class="right"><%- value.toFixed(1) %> %</span>'


def fixed(decimals: int) -> str:
    """The template of a number with so many decimals; what is undefined is an empty cell."""
    return f'<span class="right"><%- value.toFixed({decimals}) %></span>'


def bits_bar(field: str) -> str:
    """The template of effective bits: the number before a bar as long as their share of the bit width."""
    return f'<div class="share">{tables.bar(field)}<b><%- value.toFixed(1) %></b></div>'


def ranked(ranges: ModelRanges) -> list[int]:
    """Places of the layers in the model, the worst first: problems in their order, then by effective bits."""
    bits = ranges.layers["effective_bits_per_tensor"].fillna(np.inf)
    worst = {layer: place for place, layer in enumerate(ranges.problems)}
    keys = [(worst.get(layer, len(worst)), value) for layer, value in zip(ranges.layers.index, bits, strict=True)]
    return sorted(range(len(keys)), key=keys.__getitem__)


def share(bits: float, bitwidth: int) -> float:
    """Length of a bar in percent."""
    return round(100 * bits / bitwidth, 1) if np.isfinite(bits) else 0.0


def marks(table: pd.DataFrame) -> dict[str, list[Any]]:
    """The channel that stands out of each layer, ``marked``, None if there is none, and the words of its ``mark``."""
    wide = [
        (int(channel), float(relative)) if relative >= WIDE_CHANNEL else None
        for channel, relative in zip(table["widest_channel"], table["relative_range"], strict=True)
    ]
    return {
        "marked": [found[0] if found else None for found in wide],
        "mark": [f"channel {found[0]}: {found[1]:.3g} times the median range" if found else "" for found in wide],
    }


def facts(layer: str, row: Mapping[Any, Any]) -> str:
    """The heading of a layer's plot."""
    size = f"{clean(row['kind'])} · {row['channels']:,} channels · {quantities.count(row['weights'])} weights"
    return markup.heading(markup.layer(layer), markup.escaped(size))


def advice(problem: ProblematicLayer | None) -> str:
    """What is wrong with a layer and what helps, as HTML."""
    if problem is None:
        return ""
    cause, remedy = (markup.escaped(capital(text)) for text in (problem.cause, problem.remedy))
    return f'<p><span class="warning">{cause}.</span> {remedy}.</p>'


def _about(layer: str, row: Mapping[Any, Any], ranges: ModelRanges) -> str:
    return facts(layer, row) + advice(ranges.problems.get(layer))


def capital(sentence: str) -> str:
    """With a capital letter at its beginning."""
    return sentence[:1].upper() + sentence[1:]
