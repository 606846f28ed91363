"""The layers that are in no table, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.tables import DataTable

from aimet_hooks.events import LayerSkipped, RunStarted
from aimet_hooks.presentation import wording
from aimet_hooks.presentation.text import clean, layer_name
from bokeh_vis import markup, tables, theme

if TYPE_CHECKING:
    from bokeh.models import InlineStyleSheet

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

CARD, SOURCE, TABLE, HEADING = "skipped_layers", "skipped", "skipped_table", "skipped_heading"
FIELDS = ("layer", "kind", "share", "share_bar", "reason")
ROWS_SEEN = 14
SHARE_COLUMN = 1
LAYER = tables.name_template("<%- value %> (<%- kind %>)")


def build(sheet: InlineStyleSheet) -> Column:
    """A table of nothing skipped."""
    empty: dict[str, Any] = {field: [] for field in FIELDS}
    table = tables.table(
        TABLE,
        ColumnDataSource(name=SOURCE, data=empty),
        [
            tables.column("layer", "layer", 140, LAYER),
            tables.column("share", "share of cost", 80, tables.SHARE),
            tables.column("reason", "reason", 330),
        ],
        sheet,
    )
    card = theme.card(theme.words(HEADING, sheet), table, sheet=sheet)
    card.name = CARD
    return card


class SkippedLayers:
    """Draws the skipped layers of a page.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._card = parts.get(CARD, Column)
        self._table = parts.get(TABLE, DataTable)
        self._source = parts.get(SOURCE, ColumnDataSource)
        self._heading = parts.get(HEADING, Div)
        self.forget()

    def forget(self) -> None:
        """Draw everything anew with the next ``draw``."""
        self._drawn = False

    def hear(self, event: Event) -> None:
        """Remember that there is something to draw."""
        if isinstance(event, (LayerSkipped, RunStarted)):
            self.forget()

    def draw(self, run: RunState) -> None:
        """Bring it up to date."""
        if self._drawn:
            return
        self._drawn = True
        total = run.total_cost
        shares = [run.cost(layer) / total if total and layer in run.layers else 0.0 for layer in run.skipped]
        largest = max(shares, default=0.0)
        self._source.data = {
            "layer": [layer_name(layer) for layer in run.skipped],
            "kind": [clean(run.layers[layer].kind) if layer in run.layers else "" for layer in run.skipped],
            "share": [round(100 * share, 3) for share in shares],
            "share_bar": [round(100 * share / largest, 1) if largest else 0.0 for share in shares],
            "reason": [wording.message(reason) for reason in run.skipped.values()],
        }
        self._table.height = tables.height(len(shares), ROWS_SEEN)
        self._table.visible = bool(shares)
        self._card.visible = bool(shares) or not wording.is_analysis(run)
        self._table.columns[SHARE_COLUMN].title = markup.escaped(wording.metric(run))
        if not shares:
            what = "Layers that cannot be compressed, or that you ignore, appear here with the reason."
            self._heading.text = markup.heading("Skipped layers") + f'<p class="muted">{what}</p>'
            return
        held = f"{wording.plural(len(shares), 'layer')} with {sum(shares):.1%} of the {wording.metric(run)}"
        self._heading.text = markup.heading("Skipped layers", markup.escaped(held))
