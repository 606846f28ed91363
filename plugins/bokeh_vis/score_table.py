"""The table of scores, layers by ratios or by bit widths, filling up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.tables import DataTable

from aimet_hooks.events import (
    EvalScored,
    ExplorationStarted,
    RatiosSelected,
    RunStarted,
    SensitivityScored,
    SensitivityStarted,
)
from aimet_hooks.presentation import wording
from aimet_hooks.presentation.score_grid import ScoreGrid, column_of
from aimet_hooks.presentation.score_scale import LABELS, ScoreScale
from aimet_hooks.presentation.text import layer_name
from bokeh_vis import markup, tables, theme

if TYPE_CHECKING:
    from bokeh.models import Column, InlineStyleSheet

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

SOURCE, TABLE, HEADING, LEGEND = "cells", "score_table", "score_heading", "score_legend"
FIRST_COLUMNS = 3
"""Columns before those of the ratios: number, name, share of the cost."""

CELLS_AT_ONCE = 100_000
"""Cells that go into one message."""

ROWS_SEEN = 18
FITTING = 12
"""Columns that fit beside one another; more of them scroll."""

LONGEST_TITLE = 240

Key = tuple[str, float]


def build(columns: int, sheet: InlineStyleSheet) -> Column:
    """An empty table with room for so many ratios."""
    names = ["number", "layer", "share", "share_bar", *(f"cell_{place}" for place in range(columns))]
    empty: dict[str, Any] = {name: [] for name in names}
    table = tables.table(
        TABLE,
        ColumnDataSource(name=SOURCE, data=empty),
        [
            tables.column("number", "#", 34, tables.NUMBER),
            tables.column("layer", "layer", 180, tables.NAME),
            tables.column("share", "share of cost", 106, tables.SHARE),
            *(tables.score_column(f"cell_{place}", 58) for place in range(columns)),
        ],
        sheet,
        tick_rows=True,
    )
    return theme.card(theme.words(HEADING, sheet), table, theme.words(LEGEND, sheet), sheet=sheet, look="wider")


class ScoreTable:
    """Draws the table of a page.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._table = parts.get(TABLE, DataTable)
        self._source = parts.get(SOURCE, ColumnDataSource)
        self._heading = parts.get(HEADING, Div)
        self._legend = parts.get(LEGEND, Div)
        self._changed: dict[Key, None] = {}
        self._last: Key | None = None
        self.forget()

    @property
    def columns(self) -> int:
        """For how many ratios there is room."""
        return len(self._table.columns) - FIRST_COLUMNS

    def forget(self) -> None:
        """Draw everything anew with the next ``draw``."""
        self._rows_drawn: int | None = None
        self._rows: dict[str, int] = {}
        self._columns: dict[float, int] = {}
        self._scale = ScoreScale(None, 0.01, higher_is_better=True)

    def hear(self, event: Event) -> None:
        """Remember which cells change; takes constant time but for a choice, which is one step a layer."""
        if isinstance(event, (EvalScored, SensitivityScored)):
            self._changed[event.layer, column_of(event)] = None
        elif isinstance(event, RatiosSelected):
            self._changed |= {(layer, ratio): None for layer, ratio in event.comp_ratios.items() if ratio is not None}
        elif isinstance(event, (RunStarted, ExplorationStarted, SensitivityStarted)):
            self.forget()

    def _mark_last(self, run: RunState) -> None:
        """Move the mark of the cell that was announced last, which there is until ratios are chosen."""
        cell = run.last_score if run.selection is None and run.analyzed is None else None
        key = None if cell is None else (cell.layer, column_of(cell))
        if key != self._last:
            self._changed |= {changed: None for changed in (self._last, key) if changed is not None}
            self._last = key

    def row_of(self, layer: str | None) -> int | None:
        """Place of a layer in the table."""
        return None if layer is None else self._rows.get(layer)

    def draw(self, run: RunState) -> bool:
        """Bring it up to date; whether there is more to draw."""
        self._mark_last(run)
        if self._rows_drawn is None:
            self._begin(run)
        else:
            self._patch(run)
        self._stream(run)
        self._changed.clear()
        self._draw_words(run)
        return (self._rows_drawn or 0) < len(self._rows)

    def _begin(self, run: RunState) -> None:
        """Columns and an empty table; rows come with ``_stream``."""
        grid = ScoreGrid.of(run)
        self._rows = {layer: row for row, layer in enumerate(grid.rows)}
        self._columns = {ratio: place for place, ratio in enumerate(grid.columns[: self.columns])}
        self._scale = ScoreScale.of(run)
        self._largest = max((self._cost(run, layer) or 0.0 for layer in self._rows), default=0.0)
        for place in range(self.columns):
            column = self._table.columns[FIRST_COLUMNS + place]
            shown = place < len(self._columns)
            column.title = grid.title(grid.columns[place]) if shown else ""
            column.visible = shown
        share = self._table.columns[2]
        share.title, share.visible = markup.escaped(wording.metric(run)), self._largest > 0
        fits = len(self._columns) <= FITTING
        self._table.autosize_mode = "force_fit" if fits else "none"
        self._table.frozen_columns = None if fits else FIRST_COLUMNS
        self._table.height = tables.height(len(self._rows), ROWS_SEEN)
        self._table.visible = bool(self._rows)
        self._rows_drawn = 0

    def _patch(self, run: RunState) -> None:
        patches: dict[str, list[tuple[int, str]]] = {}
        for layer, ratio in self._changed:
            row, column = self._rows.get(layer), self._columns.get(ratio)
            if row is not None and column is not None and row < (self._rows_drawn or 0):
                patches.setdefault(f"cell_{column}", []).append((row, self._cell(run, layer, ratio)))
        if patches:
            self._source.patch(patches)

    def _stream(self, run: RunState) -> None:
        """Rows that are not there yet, as many as go into one message."""
        begin = self._rows_drawn or 0
        layers = list(self._rows)[begin : begin + max(1, CELLS_AT_ONCE // max(1, self.columns))]
        if begin and not layers:
            return
        shares = [self._share(run, layer) for layer in layers]
        data: dict[str, Any] = {
            "number": list(range(begin + 1, begin + 1 + len(layers))),
            "layer": [layer_name(layer) for layer in layers],
            "share": [None if share is None else round(100 * share, 3) for share in shares],
            "share_bar": [self._bar(run, layer) for layer in layers],
        }
        ratios = list(self._columns)
        for place in range(self.columns):
            shown = place < len(ratios)
            data[f"cell_{place}"] = [self._cell(run, layer, ratios[place]) if shown else "" for layer in layers]
        if begin:
            self._source.stream(data)
        elif layers or self._source.data["layer"]:
            self._source.data = data
        self._rows_drawn = begin + len(layers)

    def _cell(self, run: RunState, layer: str, ratio: float) -> str:
        found = ScoreGrid.of(run).rows[layer].get(ratio)
        if found is None:
            exists = run.exploration is None or ratio in run.ratios_of(layer)
            return tables.cell(None, "", "") if exists else tables.cell(None, "none", "", "saves nothing at this ratio")
        marks = " chosen" if run.selection and run.selection.comp_ratios.get(layer) == ratio else ""
        marks += " last" if self._last == (layer, ratio) else ""
        if found.score is None:
            why = wording.message(found.error or "no reason was recorded")[:LONGEST_TITLE]
            return tables.cell(None, f"failed{marks}", "failed", why)
        grade = self._scale.grade(found.score)
        look = "plain" if grade is None else f"g{grade}"
        text = self._scale.cell_text(found.score)
        whole = "" if text == self._scale.text(found.score) else f"{found.score:.6g}"
        title = " · ".join(part for part in (whole, _title(found)) if part)
        return tables.cell(self._scale.hundredths(found.score), look + marks, text, title)

    @staticmethod
    def _cost(run: RunState, layer: str) -> float | None:
        return run.cost(layer) if layer in run.layers else None

    def _share(self, run: RunState, layer: str) -> float | None:
        cost = self._cost(run, layer)
        return cost / run.total_cost if cost is not None and run.total_cost else None

    def _bar(self, run: RunState, layer: str) -> float:
        return round(100 * (self._cost(run, layer) or 0.0) / self._largest, 1) if self._largest else 0.0

    def _draw_words(self, run: RunState) -> None:
        layers = len(self._rows)
        grid = ScoreGrid.of(run)
        columns = wording.plural(len(self._columns), grid.column)
        more = f"{wording.plural(layers, 'layer')} by {columns}" if layers else ""
        better = wording.direction(run) if run.started else ""
        explained = " · ".join(markup.escaped(word) for word in (more, better) if word)
        heading = markup.heading(f"Scores with one layer {grid.done}", explained)
        if not grid.columns:
            heading += f'<p class="muted">{self._why_empty(run)}</p>'
        else:
            first = "fewest bits" if grid.by_bits else "middle ratios"
            order = f" Coarse first: the {first} of all layers, then the others." if run.phase == "exploring" else ""
            heading += f'<p class="muted">Tick layers to see their curves; click a heading to sort.{order}</p>'
        self._heading.text = heading
        self._legend.text = _legend(run, self._scale) if layers else ""

    @staticmethod
    def _why_empty(run: RunState) -> str:
        if run.started is None:
            return "The table appears when the layers of a run are known, and fills up score by score."
        if run.selection is not None:
            return "No scores were evaluated: the ratios were given."
        return "The table appears as soon as every layer has been tried once."


def _title(cell: EvalScored | SensitivityScored) -> str:
    """What else is known of a cell that has a score."""
    if isinstance(cell, SensitivityScored):
        return "" if cell.sqnr is None else f"SQNR of what the layer gives: {cell.sqnr:.1f} dB"
    return "" if cell.rank is None else f"rank {cell.rank}"


def _legend(run: RunState, scale: ScoreScale) -> str:
    """What colours and marks stand for."""
    parts = []
    if scale.baseline is not None:
        parts.append("points lost, up to")
        labels = ("about 0", *LABELS[1:])
        graded = scale.legend(labels)
        parts += [f'<b class="g{grade}">{label.replace(">", "&gt;")}</b>' for grade, label in graded]
        parts.append(f"1 point = {scale.point:.3g}")
    if run.selection is not None:
        parts.append('<b class="chosen">chosen</b>')
    elif run.last_score is not None and run.analyzed is None:
        parts.append('<b class="last">latest</b>')
    if run.failures:
        parts.append('<b class="failed">failed</b>')
    if any(len(run.ratios_of(layer)) < len(run.candidates) for layer in run.scores):
        parts.append('<b class="none">saves nothing</b>')
    return f'<div class="legend">{" ".join(parts)}</div>'
