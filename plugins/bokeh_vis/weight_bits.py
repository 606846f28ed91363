"""What quantization leaves of the weights of every layer, the layers that will break first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.tables import DataTable

from aimet_hooks.events import RunStarted, WeightRangesAnalyzed
from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.text import clean, layer_name
from bokeh_vis import markup, tables, theme

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bokeh.models import InlineStyleSheet

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

CARD, SOURCE, TABLE, HEADING = "weight_bits", "weight_bits_rows", "weight_bits_table", "weight_bits_heading"
SQNR_COLUMN, SQNR_WIDTH = 7, 48
"""Its place, and pixels a bit width."""
SENTENCES = 160, 500
"""Pixels of what is said of a layer, with many bit widths and with none: it stands above the table, too."""
FITTING = 7
"""Bit widths that fit beside the other columns; with more of them the table scrolls."""
ROWS_SEEN, MOST_PROBLEMS = 14, 8
FIELDS = (
    *("number", "layer", "weights", "weights_text", "bits", "bits_bar", "bits_each", "widest", "zeroed"),
    *("sqnr", "what"),
)
BITS = (
    f'<% if (value !== null) {{ %><div class="share">{tables.bar("bits_bar")}<b><%- value.toFixed(1) %></b></div>'
    "<% } %>"
)
PLAIN_BITS = '<span class="right"><%- value === null ? "" : value.toFixed(1) %></span>'
PERCENT = '<span class="right"><%- value === null ? "" : value < 0.05 ? "0 %" : value.toFixed(1) + " %" %></span>'
COUNT = '<span class="right"><%- weights_text %></span>'


def build(sheet: InlineStyleSheet) -> Column:
    """A table of no layer, which is not shown."""
    empty: dict[str, Any] = {field: [] for field in FIELDS}
    table = tables.table(
        TABLE,
        ColumnDataSource(name=SOURCE, data=empty),
        [
            tables.column("number", "#", 34, tables.NUMBER),
            tables.column("layer", "layer", 190, tables.NAME),
            tables.column("weights", "weights", 76, COUNT),
            tables.column("bits", "effective bits", 110, BITS),
            tables.column("bits_each", "per channel", 90, PLAIN_BITS),
            tables.column("widest", "widest channel", 120),
            tables.column("zeroed", "to zero", 64, PERCENT),
            tables.column("sqnr", "SQNR, dB", SQNR_WIDTH),
            tables.column("what", "cause and remedy", SENTENCES[1]),
        ],
        sheet,
    )
    card = theme.card(theme.words(HEADING, sheet), table, sheet=sheet)
    card.name, card.visible = CARD, False
    return card


class WeightBits:
    """Draws the weights of a page.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._card = parts.get(CARD, Column)
        self._source = parts.get(SOURCE, ColumnDataSource)
        self._table = parts.get(TABLE, DataTable)
        self._heading = parts.get(HEADING, Div)
        self.forget()

    def forget(self) -> None:
        """Draw everything anew with the next ``draw``."""
        self._drawn = False

    def hear(self, event: Event) -> None:
        """Remember that there is something to draw."""
        if isinstance(event, (RunStarted, WeightRangesAnalyzed)):
            self.forget()

    def draw(self, run: RunState) -> None:
        """Bring it up to date."""
        if self._drawn:
            return
        self._drawn = True
        found = run.weight_ranges
        self._card.visible = self._table.visible = found is not None
        rows = [] if found is None else list(_rows(found, run))
        bitwidths = _bitwidths(run)
        noise = self._table.columns[SQNR_COLUMN]
        noise.visible = bool(bitwidths)
        noise.width = SQNR_WIDTH * max(2, len(bitwidths))
        self._table.columns[-1].width = max(SENTENCES[0], SENTENCES[1] - noise.width)
        fits = len(bitwidths) <= FITTING
        self._table.autosize_mode = "force_fit" if fits else "none"
        self._table.frozen_columns = None if fits else 2
        self._source.data = {field: [row[field] for row in rows] for field in FIELDS}
        self._table.height = tables.height(len(rows), ROWS_SEEN)
        self._heading.text = "" if found is None else _words(found, run)


def _rows(found: WeightRangesAnalyzed, run: RunState) -> Iterator[dict[str, Any]]:
    """Those that will break, the worst first, then the others in the order of the network."""
    problems = {str(problem.get("layer")): problem for problem in found.problems}
    numbers = {layer: number for number, layer in enumerate(found.layers, start=1)}
    order = [layer for layer in problems if layer in found.layers]
    for layer in [*order, *(layer for layer in found.layers if layer not in problems)]:
        row = _row(numbers[layer], layer, found.layers[layer], problems.get(layer), found.bitwidth)
        yield row | {"sqnr": _decibels(run.output_sqnr.get(layer, {}))}


def _row(
    number: int, layer: str, figures: Mapping[str, Any], problem: Mapping[str, Any] | None, bitwidth: int
) -> dict[str, Any]:
    names = ("effective_bits_per_tensor", "rounded_to_zero", "relative_range")
    bits, zeroed, widest = (figures.get(name) for name in names)
    channel = figures.get("widest_channel")
    weights = figures.get("weights") or 0
    return {
        "number": number,
        "layer": layer_name(layer),
        "weights": weights,
        "weights_text": quantities.count(weights),
        "bits": bits,
        "bits_bar": 0.0 if bits is None else round(100 * bits / bitwidth, 1),
        "bits_each": figures.get("effective_bits_per_channel"),
        "widest": "" if channel is None or widest is None else f"{channel:g}, {widest:.3g} times",
        "zeroed": None if zeroed is None else round(100 * zeroed, 2),
        "what": "" if problem is None else " ".join(_sentences(problem)),
    }


def _bitwidths(run: RunState) -> list[str]:
    """At which the SQNR of outputs is known."""
    return list(dict.fromkeys(bits for row in run.output_sqnr.values() for bits in row))


def _decibels(row: Mapping[str, float | None]) -> str:
    return " · ".join("-" if value is None else f"{value:.1f}" for value in row.values())


def _sentences(problem: Mapping[str, Any]) -> Iterator[str]:
    """Cause and remedy."""
    for name in ("cause", "remedy"):
        text = clean(str(problem.get(name)))
        yield f"{text[:1].upper()}{text[1:]}."


def _words(found: WeightRangesAnalyzed, run: RunState) -> str:
    number = len(found.problems)
    verdict = "no layer will break" if number == 0 else f"{wording.plural(number, 'layer')} will break"
    heading = markup.heading("Weights", f"on {wording.on_bits(run, found.bitwidth)}: {verdict}")
    explained = (
        "Effective bits: what three quarters of the channels keep at least with one scale for the layer; per channel: "
        "with one for each. Widest channel: its number, and how many times the median range it has. To zero: weights "
        "that become it."
    )
    if run.output_sqnr:
        columns = markup.escaped(clean(wording.listed(_bitwidths(run))))
        explained += f" SQNR: of what it gives for the example inputs with its weights quantized to {columns} bits."
    sentences = "".join(
        f"<p><b>{markup.layer(str(problem.get('layer')))}</b>: {markup.escaped(' '.join(_sentences(problem)))}</p>"
        for problem in found.problems[:MOST_PROBLEMS]
    )
    more = number - MOST_PROBLEMS
    rest = f'<p class="muted">and {more} more, in the table</p>' if more > 0 else ""
    return f'{heading}<p class="muted">{explained}</p>{sentences}{rest}'
