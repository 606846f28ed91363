"""The table of layers before and after an optimization, the greatest improvement on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource

from aimet_hooks.presentation.text import clean, layer_name
from aimet_hooks.quantization.problematic import WIDE_CHANNEL
from bokeh_vis import markup, tables, theme
from bokeh_vis.weight_ranges import layer_table, numbers
from bokeh_vis.weight_ranges.layer_table import PERCENT, TIMES, VERDICT, bits_bar, fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.models import Column, InlineStyleSheet
    from bokeh.models.widgets.tables import DataTable

    from aimet_hooks.quantization.model_ranges import RangeChanges

SOURCE, TABLE = "layers", "change_table"
ROWS_SEEN = 12
SOLVED, NEW, STILL, SOUND = "repaired", "made worse", "still breaks", "sound"
"""What became of a layer that broke, or did not."""

LOOKS = {SOLVED: "good", NEW: "bad", STILL: "bad", SOUND: ""}
WORDS = (
    "The greatest improvement first. Bits: what three quarters of the channels keep at least with one scale for the "
    "layer. Range: the widest channel's against the median one; zero: weights that are rounded to zero. Click a layer "
    "to see its channels below; tick several to compare them."
)


def state(changed: RangeChanges, layer: str) -> str:
    """What became of a layer."""
    before, after = layer in changed.old.problems, layer in changed.new.problems
    if before:
        return STILL if after else SOLVED
    return NEW if after else SOUND


def source(changed: RangeChanges) -> ColumnDataSource:
    """One row a layer that can be compared; ``row`` is its place among them in the model's order."""
    old, new = changed.old.layers, changed.new.layers
    gained = (new["effective_bits_per_tensor"] - old["effective_bits_per_tensor"]).to_numpy(float)
    order = np.argsort(np.where(np.isfinite(gained), -gained, np.inf), kind="stable").tolist()
    data: dict[str, Any] = {
        "row": order,
        "layer": [layer_name(layer) for layer in old.index[order]],
        "kind": [clean(kind) for kind in old["kind"].iloc[order]],
        "channels": [int(count) for count in old["channels"].iloc[order]],
        "state": [state(changed, layer) for layer in old.index[order]],
        "gained": [numbers.rounded(round(float(gained[row]), 2)) for row in order],
    }
    data["look"] = [LOOKS[became] for became in data["state"]]
    for name, table in (("old", old.iloc[order]), ("new", new.iloc[order])):
        bits = table["effective_bits_per_tensor"]
        data[f"{name}_bits"] = numbers.column(bits)
        data[f"{name}_bits_bar"] = [layer_table.share(value, changed.old.bitwidth) for value in bits]
        data[f"{name}_relative"] = numbers.column(table["relative_range"])
        data[f"{name}_sqnr"] = numbers.column(table["sqnr_symmetric_per_tensor"])
        data[f"{name}_zeroed"] = numbers.column(table["rounded_to_zero"] * 100)
    data |= _marks(changed, order)
    rows = old.iloc[order].to_dict("records")
    data["about"] = [_about(layer, row, changed) for layer, row in zip(old.index[order], rows, strict=True)]
    made = ColumnDataSource(name=SOURCE, data=data)
    made.selected.indices = [0] if order else []
    return made


def build(changed: RangeChanges, sheet: InlineStyleSheet) -> DataTable:
    """The table."""
    table = tables.table(
        TABLE,
        source(changed),
        [
            tables.column("layer", "layer", 160, tables.NAME),
            tables.column("state", "state", 112, VERDICT),
            tables.column("kind", "kind", 80),
            tables.column("channels", "channels", 72, tables.NUMBER),
            tables.column("old_bits", "bits before", 88, bits_bar("old_bits_bar")),
            tables.column("new_bits", "bits after", 84, bits_bar("new_bits_bar")),
            tables.column("gained", "gained", 62, GAINED),
            tables.column("old_relative", "range before", 96, TIMES),
            tables.column("new_relative", "range after", 90, TIMES),
            tables.column("old_sqnr", "SQNR before", 94, fixed(1)),
            tables.column("new_sqnr", "SQNR after", 88, fixed(1)),
            tables.column("old_zeroed", "zero before", 88, PERCENT),
            tables.column("new_zeroed", "zero after", 80, PERCENT),
        ],
        sheet,
        tick_rows=True,
    )
    table.height, table.visible = tables.height(len(changed.old.layers), ROWS_SEEN), len(changed.old.layers) > 0
    return table


def card(table: DataTable, sheet: InlineStyleSheet) -> Column:
    """The table with its heading."""
    heading = f'{markup.heading("Layers, before and after")}<p class="muted">{WORDS}</p>'
    return theme.card(theme.words("layers_heading", sheet, heading), table, sheet=sheet)


GAINED = (
    '<div class="right <%- Math.abs(value) >= 0.05 ? "differs" : "" %>">'
    '<%- (value > 0 ? "+" : "") + value.toFixed(1) %></div>'
)


def _marks(changed: RangeChanges, order: Sequence[int]) -> dict[str, list[Any]]:
    """The channel that stands out of each layer before, else after, and what became of it."""
    marked: list[int | None] = []
    words = []
    for row in order:
        layer = changed.old.layers.index[row]
        summaries = [found.layers.iloc[row] for found in (changed.old, changed.new)]
        wide = [int(found["widest_channel"]) for found in summaries if found["relative_range"] >= WIDE_CHANNEL]
        marked.append(wide[0] if wide else None)
        ranges = [found.channels["relative_range"].loc[layer, wide[0]] for found in (changed.old, changed.new) if wide]
        before, after = (f"{value:.3g}" if np.isfinite(value) else "undefined" for value in ranges or (1.0, 1.0))
        words.append(f"channel {wide[0]}: {before} times the median range before, {after} after" if wide else "")
    return {"marked": marked, "mark": words}


def _about(layer: str, row: dict[Any, Any], changed: RangeChanges) -> str:
    old, new = changed.old.problems.get(layer), changed.new.problems.get(layer)
    before = f'<p class="muted">Before: {markup.escaped(old.cause)}.</p>' if old else ""
    if new:
        return layer_table.facts(layer, row) + before + layer_table.advice(new)
    return layer_table.facts(layer, row) + before + ("<p>After: it keeps enough bits.</p>" if old else "")
