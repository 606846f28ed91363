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
from bokeh_vis import markup, next_step, tables, theme

if TYPE_CHECKING:
    from bokeh.models import Column, InlineStyleSheet

    from aimet_hooks.events import EvalScored, Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

SOURCE, TABLE, HEADING = "choices", "choice_table", "choice_heading"
ROWS_SEEN = 14
RATIO = (
    f'<div class="ratio <%- look %>" title="<%- title %>">{tables.bar("bar")}'
    '<b><%- value < 1 ? value : "as it is" %></b></div>'
)
TEXT_OF = '<span class="right" title="<%- title %>"><%- {field}_text %></span>'
SAVED = (
    '<span class="right" title="share of the cost of the model that this saves">'
    '<%- value ? value.toFixed(1) + " %" : "" %></span>'
)
FIELDS = (
    *("number", "layer", "ratio", "bar", "look", "title", "score", "rank"),
    *("saved", "next", "macs", "macs_text", "weights", "weights_text"),
)


def build(sheet: InlineStyleSheet) -> Column:
    """A table of nothing chosen yet."""
    empty: dict[str, Any] = {field: [] for field in FIELDS}
    score = tables.score_column("score", 64)
    score.title, score.visible = "score", True
    step = tables.score_column("next", 132)
    step.title, step.visible = "next step", True
    table = tables.table(
        TABLE,
        ColumnDataSource(name=SOURCE, data=empty),
        [
            tables.column("number", "#", 34, tables.NUMBER),
            tables.column("layer", "layer", 146, tables.NAME),
            tables.column("ratio", "ratio kept", 104, RATIO),
            score,
            tables.column("rank", "rank", 42, tables.NUMBER),
            tables.column("saved", "saves", 78, SAVED),
            step,
            tables.column("macs", "MACs", 144, TEXT_OF.format(field="macs")),
            tables.column("weights", "weights", 144, TEXT_OF.format(field="weights")),
        ],
        sheet,
    )
    return theme.card(theme.words(HEADING, sheet), table, sheet=sheet, look="wider")


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
        self._source.data = {field: [row[field] for row in rows] for field in FIELDS}
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
    words = [f"{len(chosen) - left} of {wording.plural(len(chosen), 'layer')} compressed"]
    if run.selection.achieved_comp_ratio is not None:
        words.append(f"{quantities.share(run.selection.achieved_comp_ratio)} of the {wording.metric(run)} kept")
    if run.selection.target_comp_ratio is not None:
        words.append(f"target {quantities.ratio(run.selection.target_comp_ratio)}")
    heading = markup.heading("Chosen ratios", markup.escaped(" · ".join(words)))
    what = f"what one ratio less would change: points, for how much of the {wording.metric(run)}"
    explained = f"Next step: {what}. Sort by it to see where a cut costs least."
    return f'{heading}<p class="muted">{markup.escaped(explained)}</p>' if run.exploration else heading


def _row(run: RunState, scale: ScoreScale, number: int, layer: str) -> dict[str, Any]:
    ratio = run.selection.comp_ratios.get(layer) if run.selection else None
    cell = run.scores.get(layer, {}).get(ratio) if ratio is not None else None
    rank, achieved, macs, weights = after(run, layer)
    info = run.layers.get(layer)
    before = (info.macs, info.weights) if info else (None, None)
    macs_text, weights_text = _change(before[0], macs), _change(before[1], weights)
    kept = "left as it is" if ratio is None else f"ratio {quantities.ratio(ratio)}, rank {rank or 'not known'}"
    kept += "" if achieved is None else f", which keeps {quantities.share(achieved)}"
    return {
        "number": number,
        "layer": layer_name(layer),
        "ratio": 1.0 if ratio is None else round(ratio, 6),
        "bar": 100.0 if ratio is None else round(100 * ratio, 2),
        "look": "alone" if ratio is None else "",
        "title": f"{layer_name(layer)}: {kept}, MACs {macs_text}, weights {weights_text}",
        "score": _score(cell, scale),
        "rank": "" if rank is None else rank,
        "next": _next(run, layer),
        "saved": _saved(run, layer),
        "macs": macs,
        "macs_text": macs_text,
        "weights": weights,
        "weights_text": weights_text,
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


def _next(run: RunState, layer: str) -> str:
    """The next step, sorted by what it costs for a percent of the model."""
    step = next_step.of(run, layer)
    if step is None:
        return tables.cell(None, "", "")
    points = f"{-step.points:+.{2 if abs(step.points) < 9.995 else 1}f}" if round(step.points, 2) else "0"
    text = f"{points} / {step.percent:.2g} %"
    return tables.cell(100 * step.price, "", text, step.sentence(wording.metric(run)))


def _change(before: float | None, after: float | None) -> str:
    if before is None and after is None:
        return "-"
    known = ["?" if value is None else quantities.count(value) for value in (before, after)]
    return known[0] if before == after else " → ".join(known)


def _score(cell: EvalScored | None, scale: ScoreScale) -> str:
    if cell is None or cell.score is None:
        return tables.cell(None, "", "")
    grade = scale.grade(cell.score)
    look = "plain" if grade is None else f"g{grade}"
    return tables.cell(
        scale.hundredths(cell.score), look, scale.cell_text(cell.score), "score with this layer alone compressed"
    )
