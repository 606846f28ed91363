"""The layers that cannot be compared, each with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.models import ColumnDataSource

from aimet_hooks.presentation import wording
from aimet_hooks.presentation.text import clean, layer_name
from bokeh_vis import markup, tables, theme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bokeh.models import Column, InlineStyleSheet

SOURCE, TABLE = "not_compared", "not_compared_table"
ROWS_SEEN = 12


def build(reasons: Mapping[str, str], sheet: InlineStyleSheet) -> list[Column]:
    """A card with the list; none where all can be compared."""
    if not reasons:
        return []
    data = {"layer": [layer_name(layer) for layer in reasons], "reason": [clean(why) for why in reasons.values()]}
    columns = [tables.column("layer", "layer", 200, tables.NAME), tables.column("reason", "why", 900)]
    table = tables.table(TABLE, ColumnDataSource(name=SOURCE, data=data), columns, sheet)
    table.height, table.visible = tables.height(len(reasons), ROWS_SEEN), True
    more = f"{wording.plural(len(reasons), 'layer')} that only one model has, or that changed shape"
    return [
        theme.card(theme.words("not_compared_heading", sheet, markup.heading("Not compared", more)), table, sheet=sheet)
    ]
