"""The chosen ratio of every layer as a bar, with what it costs before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.tables import DataTable

from aimet_hooks.events import LayerCompressed, RatiosSelected, RunStarted
from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_scale import ScoreScale
from aimet_hooks.presentation.text import layer_name
from bokeh_vis import markup, tables, theme

if TYPE_CHECKING:
    from bokeh.models import Column, InlineStyleSheet, LayoutDOM

    from aimet_hooks.events import EvalScored, Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

SOURCE, TABLE, HEADING, WHY = "choices", "choice_table", "choice_heading", "choice_why"
ROWS_SEEN = 14
COUNT = """<% const count = (number) => {
  if (number === null) return "?"
  let power = 0
  while (Math.abs(number) >= 999.5 && power < 6) { number /= 1000; power += 1 }
  const digits = Math.abs(number) < 9.995 ? 2 : Math.abs(number) < 99.95 ? 1 : 0
  return power === 0 ? String(Number(number.toPrecision(3))) : `${number.toFixed(digits)} ${" kMGTPE"[power]}`
} %>"""
"""As ``quantities.count``, for numbers that a tab fills in."""

CHANGE = (
    '<span class="right"><%- FIELD_before === null && value === null ? "-" : FIELD_before === value ? count(value) '
    ": `${count(FIELD_before)} → ${count(value)}` %></span>"
)
RATIO = (
    '<% const kept = value < 1 ? `ratio ${value}, rank ${rank === "" ? "not known" : rank}` : "left as it is" %>'
    f'<div class="ratio <%- value < 1 ? "" : "alone" %>" title="<%- layer %>: <%- kept %>">{tables.bar("100 * value")}'
    '<b><%- value < 1 ? value : "as it is" %></b></div>'
)
SAVED = (
    '<span class="right" title="share of the cost of the model that this saves">'
    '<%- value ? value.toFixed(1) + " %" : "" %></span>'
)
STEP = """<%
  if (percent > 0) {
    const size = Math.abs(points)
    const shown = size < 0.005 ? "0" : (points > 0 ? "-" : "+") + size.toFixed(size < 9.995 ? 2 : 1)
    %><div class="cell" title="<%- step %>"><%- shown %> / <%- Number(percent.toPrecision(2)) %> %</div><%
  } %>"""
FIELDS = (
    *("number", "layer", "ratio", "score", "rank", "saved"),
    *("macs_before", "macs", "weights_before", "weights"),
)
STEPS: dict[str, Any] = dict.fromkeys(("next_ratio", "points", "percent", "price", "step"))
"""What every tab finds out by itself (``steps.js``), also for what might be chosen in place of the run's choice."""


def build(controls: LayoutDOM, sheet: InlineStyleSheet) -> Column:
    """A table of nothing chosen yet, below what changes the choice."""
    empty: dict[str, Any] = {field: [] for field in (*FIELDS, *STEPS)}
    score = tables.score_column("score", 58)
    score.title, score.visible = "score", True
    table = tables.table(
        TABLE,
        ColumnDataSource(name=SOURCE, data=empty),
        [
            tables.column("number", "#", 30, tables.NUMBER),
            tables.column("layer", "layer", 140, tables.NAME),
            tables.column("ratio", "ratio kept", 88, RATIO),
            score,
            tables.column("rank", "rank", 42, tables.NUMBER),
            tables.column("saved", "saves", 66, SAVED),
            tables.column("price", "next step", 112, STEP),
            tables.column("macs", "MACs", 146, COUNT + CHANGE.replace("FIELD", "macs")),
            tables.column("weights", "weights", 146, COUNT + CHANGE.replace("FIELD", "weights")),
        ],
        sheet,
        tick_rows=True,
    )
    return theme.card(theme.words(HEADING, sheet), controls, table, theme.words(WHY, sheet), sheet=sheet)


class ChosenRatios:
    """Draws the choice of a page.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._table = parts.get(TABLE, DataTable)
        self._source = parts.get(SOURCE, ColumnDataSource)
        self._heading = parts.get(HEADING, Div)
        self._compressed: list[str] = []
        self.forget()

    def forget(self) -> None:
        """Draw everything anew with the next ``draw``."""
        self._rows: dict[str, int] | None = None

    def hear(self, event: Event) -> None:
        """Remember what changes."""
        if isinstance(event, (RunStarted, RatiosSelected)):
            self.forget()
        elif isinstance(event, LayerCompressed):
            self._compressed.append(event.layer)

    def draw(self, run: RunState) -> None:
        """Bring it up to date."""
        if self._rows is None:
            self._draw_all(run)
        else:
            self._patch(run, self._rows)
        self._compressed.clear()
        heading = _heading(run)
        if self._heading.text != heading:
            self._heading.text = heading

    def _draw_all(self, run: RunState) -> None:
        chosen = run.selection.comp_ratios if run.selection else {}
        scale = ScoreScale.of(run)
        rows = [_row(run, scale, number, layer) for number, layer in enumerate(chosen, start=1)]
        self._rows = {layer: place for place, layer in enumerate(chosen)}
        data: dict[str, Any] = {field: [row[field] for row in rows] for field in FIELDS}
        self._source.data = data | {field: [value] * len(rows) for field, value in STEPS.items()}
        self._table.height = tables.height(len(rows), ROWS_SEEN)
        self._table.visible = bool(rows)

    def _patch(self, run: RunState, places: dict[str, int]) -> None:
        scale = ScoreScale.of(run) if self._compressed else None
        patches: dict[str, list[tuple[int, Any]]] = {}
        for layer in self._compressed:
            place = places.get(layer)
            if place is not None and scale is not None:
                for field, value in _row(run, scale, place + 1, layer).items():
                    patches.setdefault(field, []).append((place, value))
        if patches:
            self._source.patch(patches)


def _heading(run: RunState) -> str:
    if run.selection is None:
        what = "The chosen ratio of every layer appears here, with its rank and what it saves."
        if run.failed is not None:
            what = "The run ended before ratios were chosen."
        return markup.heading("Chosen ratios") + f'<p class="muted">{what}</p>'
    chosen = run.selection.comp_ratios.values()
    left = sum(ratio is None for ratio in chosen)
    words = [f"the run's choice: {len(chosen) - left} of {wording.plural(len(chosen), 'layer')} compressed"]
    if run.selection.achieved_comp_ratio is not None:
        words.append(f"{quantities.share(run.selection.achieved_comp_ratio)} of the {wording.metric(run)} kept")
    if run.selection.target_comp_ratio is not None:
        words.append(f"target {quantities.ratio(run.selection.target_comp_ratio)}")
    heading = markup.heading("Chosen ratios", markup.escaped(" · ".join(words)))
    if run.exploration is None:
        return heading
    explained = (
        "Tick a layer to lock its ratio, click it to read why it has that. Next step: points that one ratio less would "
        f"cost, for how much of the {wording.metric(run)}."
    )
    return f'{heading}<p class="muted">{markup.escaped(explained)}</p>'


def _row(run: RunState, scale: ScoreScale, number: int, layer: str) -> dict[str, Any]:
    ratio = run.selection.comp_ratios.get(layer) if run.selection else None
    cell = run.scores.get(layer, {}).get(ratio) if ratio is not None else None
    rank, _, macs, weights = after(run, layer)
    info = run.layers.get(layer)
    return {
        "number": number,
        "layer": layer_name(layer),
        "ratio": 1.0 if ratio is None else round(ratio, 6),
        "score": _score(cell, scale),
        "rank": "" if rank is None else rank,
        "saved": _saved(run, layer),
        "macs_before": info.macs if info else None,
        "macs": macs,
        "weights_before": info.weights if info else None,
        "weights": weights,
    }


def after(run: RunState, layer: str) -> tuple[int | None, float | None, float | None, float | None]:
    """Rank, achieved ratio, MACs and weights of a layer with the ratio chosen for it, as far as they are known."""
    ratio = run.selection.comp_ratios.get(layer) if run.selection else None
    done, info = run.compressed.get(layer), run.layers.get(layer)
    cell = run.scores.get(layer, {}).get(ratio) if ratio is not None else None
    if done is not None:
        return done.rank, done.achieved_comp_ratio, done.macs_after, done.weights_after
    if cell is not None:
        return cell.rank, cell.achieved_comp_ratio, cell.macs, cell.weights
    if ratio is None and info is not None:
        return None, None, info.macs, info.weights
    return None, None, None, None


def _saved(run: RunState, layer: str) -> float:
    """Percent of the model's cost that the choice for a layer saves; 0 where that is not known."""
    cost = run.cost_after(layer)
    if cost is None or layer not in run.layers or not run.total_cost:
        return 0.0
    return round(100 * (run.cost(layer) - cost) / run.total_cost, 3)


def _score(cell: EvalScored | None, scale: ScoreScale) -> str:
    if cell is None or cell.score is None:
        return tables.cell(None, "", "")
    grade = scale.grade(cell.score)
    look = "plain" if grade is None else f"g{grade}"
    return tables.cell(
        scale.hundredths(cell.score), look, scale.cell_text(cell.score), "score with this layer alone compressed"
    )
