"""Two runs side by side: what differs in settings, choice, costs and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import Column, ColumnDataSource

from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_grid import ScoreGrid
from aimet_hooks.presentation.score_scale import ScoreScale
from aimet_hooks.presentation.text import clean, layer_name
from bokeh_vis import markup, progress, run_page, tables, theme

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bokeh.document import Document
    from bokeh.models import InlineStyleSheet
    from bokeh.models.widgets.tables import DataTable

    from aimet_hooks.run_state import RunState
    from bokeh_vis.run_directory import FollowedRun, RunDirectory

REFRESH_MS = 2000
ROWS_SEEN = 22
EDGES = (0.1, 1.0, 5.0)
"""Points by which a score differs, up to which each of three colours goes."""

DIFFERENCE = '<div class="right <%- value ? "differs" : "" %>"><%- value %></div>'
CHOICES = range(1, 6)
"""Places of the columns of what was chosen, which analyses have not."""

FIXED = ("layer", "ratio_a", "bar_a", "look_a", "cost_a", "ratio_b", "bar_b", "look_b", "cost_b", "difference")


def add_to(document: Document, directory: RunDirectory, names: tuple[str, str]) -> None:
    """Compare two runs by their names, or offer what a run can be compared with; names are only ever looked up."""
    found = [directory.runs.get(name) for name in names]
    document.title = "comparison · aimet-hooks"
    document.add_root(run_page.links())
    first, second = found
    if first is None or second is None:
        missing = next((name for name, run in zip(names, found, strict=True) if run is None and name), "")
        why = f"No run {missing!r} is below {directory.root} (any more)." if missing else "Two runs have to be named."
        document.add_root(run_page.message("Nothing to compare", f"{why} Tick two runs in the list of all runs."))
        return
    Comparison(document, first, second)


class Comparison:
    """Draws a comparison for one viewer.

    Args:
        document: Of the viewer's session.
        first: The run that is called A.
        second: The run that is called B.
    """

    def __init__(self, document: Document, first: FollowedRun, second: FollowedRun) -> None:
        self._runs = (first, second)
        self._drawn: tuple[int, int] | None = None
        self._document = document
        self._root: Column | None = None
        self._metrics = ("", "")
        self._titles: tuple[str, ...] = ()
        for run in self._runs:
            run_page.listen(document, run, lambda _: None)
        self.refresh()
        document.add_periodic_callback(self.refresh, REFRESH_MS)

    def refresh(self) -> None:
        """Bring it up to date if one of the runs went on."""
        first, second = self._runs
        versions = (first.version, second.version)
        if versions == self._drawn:
            return
        self._drawn = versions
        a, b = first.state, second.state
        columns = _common_columns(a, b)
        titles = tuple(ScoreGrid.of(a).title(column) for column in columns)
        metrics = wording.metric(a), wording.metric(b)
        if self._root is None or (titles, metrics) != (self._titles, self._metrics):
            self._build(titles, metrics)
        for place in CHOICES:
            self._table.columns[place].visible = not (wording.is_analysis(a) and wording.is_analysis(b))
        self._source.data = _table_data(a, b, columns)
        rows = len(self._source.data["layer"])
        self._table.height, self._table.visible = tables.height(rows, ROWS_SEEN), rows > 0
        self._summary.text = _summary(first, second)
        self._heading.text = _heading(a, b, columns)

    def _build(self, titles: tuple[str, ...], metrics: tuple[str, str]) -> None:
        """The models for columns of these titles; in a session of one viewer they may be made anew."""
        if self._root is not None:
            self._document.remove_root(self._root)
        self._titles, self._metrics = titles, metrics
        sheet = theme.sheet()
        fields = (*FIXED, *(f"cell_{place}" for place in range(len(titles))))
        empty: dict[str, Any] = {field: [] for field in fields}
        self._source = ColumnDataSource(name="differences", data=empty)
        self._table = _table(self._source, titles, metrics, sheet)
        tables.repaint_on_change(self._document, self._source, self._table)
        self._summary, self._heading = (theme.words(name, sheet) for name in ("summary", "differences_heading"))
        cards = theme.card(self._summary, sheet=sheet), theme.card(self._heading, self._table, sheet=sheet)
        self._root = theme.page(*cards, sheet=sheet)
        theme.keep_private(self._root)
        self._document.add_root(self._root)


def _ratio(side: str) -> str:
    """The template of a chosen ratio of one of the two runs."""
    bar = tables.bar(f"bar_{side}")
    return f'<div class="ratio <%- look_{side} %>">{bar}<b><%- value %></b></div>'


def _table(
    source: ColumnDataSource, titles: tuple[str, ...], metrics: tuple[str, str], sheet: InlineStyleSheet
) -> DataTable:
    scores = [tables.score_column(f"cell_{place}", 60) for place in range(len(titles))]
    for column, title in zip(scores, titles, strict=True):
        column.title, column.visible = title, True
    columns = [
        tables.column("layer", "layer", 190, tables.NAME),
        tables.column("ratio_a", "ratio chosen in A", 140, _ratio("a")),
        tables.column("ratio_b", "ratio chosen in B", 140, _ratio("b")),
        tables.column("cost_a", f"{markup.escaped(metrics[0])} in A", 86, tables.NUMBER),
        tables.column("cost_b", f"{markup.escaped(metrics[1])} in B", 86, tables.NUMBER),
        tables.column("difference", "difference", 78, DIFFERENCE),
        *scores,
    ]
    return tables.table("difference_table", source, columns, sheet)


def _table_data(a: RunState, b: RunState, columns: tuple[float, ...]) -> dict[str, Any]:
    layers = list(dict.fromkeys([*_rows(a), *_rows(b)]))
    scales = ScoreScale.of(a), ScoreScale.of(b)
    data: dict[str, Any] = {"layer": [layer_name(layer) for layer in layers]}
    for side, run in (("a", a), ("b", b)):
        chosen = [_chosen(run, layer) for layer in layers]
        for place, field in enumerate(("ratio", "bar", "look")):
            data[f"{field}_{side}"] = [values[place] for values in chosen]
        data[f"cost_{side}"] = [_cost(run, layer) for layer in layers]
    data["difference"] = [_difference(a, b, layer) for layer in layers]
    for place, column in enumerate(columns):
        data[f"cell_{place}"] = [_cell(a, b, scales, layer, column) for layer in layers]
    return data


def _common_columns(a: RunState, b: RunState) -> tuple[float, ...]:
    """The ratios that both tables have, or the bit widths."""
    first, second = ScoreGrid.of(a), ScoreGrid.of(b)
    return tuple(sorted(set(first.columns) & set(second.columns))) if first.by_bits == second.by_bits else ()


def _rows(run: RunState) -> list[str]:
    return [*ScoreGrid.of(run).rows, *(run.selection.comp_ratios if run.selection else ())]


def _chosen(run: RunState, layer: str) -> tuple[str, float, str]:
    """Text, length and look of a chosen ratio."""
    if run.selection is None or layer not in run.selection.comp_ratios:
        return ("skipped" if layer in run.skipped else "" if layer in run.scores else "not there", 0.0, "alone")
    ratio = run.selection.comp_ratios[layer]
    return ("as it is", 100.0, "alone") if ratio is None else (quantities.ratio(ratio), round(100 * ratio, 1), "")


def _cost_after(run: RunState, layer: str) -> float | None:
    """What a layer costs after compression, in the metric of its run; None before ratios are chosen."""
    if run.selection is None:
        return None
    return run.cost_after(layer)


def _cost(run: RunState, layer: str) -> str:
    cost = _cost_after(run, layer)
    return "" if cost is None else quantities.count(cost)


def _difference(a: RunState, b: RunState, layer: str) -> str:
    """By how much more a layer costs in B than in A; "" where that cannot be said."""
    before, after = _cost_after(a, layer), _cost_after(b, layer)
    if before is None or after is None or before == after or wording.metric(a) != wording.metric(b):
        return ""
    return f"{'+' if after > before else '-'}{quantities.count(abs(after - before))}"


def _cell(a: RunState, b: RunState, scales: tuple[ScoreScale, ScoreScale], layer: str, column: float) -> str:
    """By how many points B loses less (or more) than A in a column, each against its own baseline."""
    found = [ScoreGrid.of(run).rows.get(layer, {}).get(column) for run in (a, b)]
    drops = [
        scale.drop(cell.score) if cell is not None and cell.score is not None else None
        for cell, scale in zip(found, scales, strict=True)
    ]
    if drops[0] is None or drops[1] is None:
        return tables.cell(None, "", "")
    better = drops[0] - drops[1]
    size = sum(abs(better) > edge for edge in EDGES)
    look = "same" if size == 0 else f"{'better' if better > 0 else 'worse'}{size}"
    text = "0" if round(better, 2) == 0 else f"{better:+.2f}"
    return tables.cell(100 * better, look, text, f"{layer_name(layer)} {ScoreGrid.of(a).at(column)}")


def _heading(a: RunState, b: RunState, columns: tuple[float, ...]) -> str:
    heading = markup.heading("Layers", "scores in points, each against its own baseline: + where B is better than A")
    if not columns:
        return f'{heading}<p class="muted">The two have no ratio or bit width in common, so no scores to compare.</p>'
    grid = ScoreGrid.of(a)
    left_out = len(set(grid.columns) ^ set(ScoreGrid.of(b).columns))
    also = f" · {wording.plural(left_out, grid.column)} left out that only one of them has" if left_out else ""
    legend = " ".join(f'<b class="{look}">{text}</b>' for look, text in _LEGEND)
    point = ScoreScale.of(a).point
    return f'{heading}<div class="legend">B is {legend} than A · 1 point = {point:.3g}{also}</div>'


_LEGEND = (
    *(("worse3", "over 5 worse"), ("worse2", "over 1"), ("worse1", "over 0.1")),
    *(("same", "as good"), ("better1", "over 0.1"), ("better2", "over 1"), ("better3", "over 5 better")),
)


def _summary(first: FollowedRun, second: FollowedRun) -> str:
    """A table of what the runs are and what came of them; rows that differ stand out."""
    names = [f'<a href="run?run={run.key}">{markup.escaped(_name(run))}</a>' for run in (first, second)]
    rows = [
        f'<tr class="{"differs" if before != after else ""}"><th>{markup.escaped(what)}</th>'
        f"<td>{markup.escaped(before)}</td><td>{markup.escaped(after)}</td></tr>"
        for what, before, after in _facts(first.state, second.state)
    ]
    return (
        f'<div class="title"><h1>Two runs</h1></div>{_verdict(first.state, second.state)}<table class="facts">'
        f"<tr><th></th><td><b>A</b> {names[0]}</td><td><b>B</b> {names[1]}</td></tr>{''.join(rows)}</table>"
    )


def _verdict(a: RunState, b: RunState) -> str:
    """What B keeps and loses against A, in a sentence."""
    if a.finished is None or b.finished is None:
        return ""
    lost = [ScoreScale.of(run).drop(run.finished.compressed_score) for run in (a, b) if run.finished]
    if lost[0] is None or lost[1] is None:
        return ""
    macs = b.finished.mac_ratio - a.finished.mac_ratio
    kept = (
        "as many MACs as A" if round(macs, 3) == 0 else f"{abs(macs):.3f} {'more' if macs > 0 else 'less'} of the MACs"
    )
    points = round(lost[1] - lost[0], 2)
    scored = "as well" if points == 0 else f"{abs(points):.2f} points {'worse' if points > 0 else 'better'}"
    return f"<p>B keeps {kept} and scores {scored}, each against its own baseline.</p>"


def _name(run: FollowedRun) -> str:
    return f"{run.state.started.run_name} ({run.name})" if run.state.started else run.name


def _facts(a: RunState, b: RunState) -> Iterator[tuple[str, str, str]]:
    described = [_described(run) for run in (a, b)]
    for what in dict.fromkeys([*described[0], *described[1]]):
        before, after = (facts.get(what, "") for facts in described)
        if (before or after) and (what in _ALWAYS or before != after):
            yield what, before, after


_PLACES = ("results_dir", "run_name", "visualization_url")
"""Settings that differ in any two runs and say nothing of either."""

_ALWAYS = ("state", "score", "MACs kept", "weights kept", "baseline score")


def _described(run: RunState) -> dict[str, str]:
    scale, finished, started = ScoreScale.of(run), run.finished, run.started
    facts = {"state": progress.state(run)}
    if run.baseline is not None:
        facts["baseline score"] = scale.text(run.baseline.score)
    if finished is not None:
        lost = scale.drop(finished.compressed_score)
        change = "" if lost is None else f" ({markup.change(lost)})"
        facts["score"] = f"{scale.text(finished.compressed_score)}{change}"
        facts["MACs kept"] = quantities.share(finished.mac_ratio)
        facts["weights kept"] = quantities.share(finished.memory_ratio)
    if started is not None:
        facts |= {"model": clean(started.model_name), "scheme": clean(started.scheme)}
        facts |= {"cost metric": wording.metric(run), "fingerprint": clean(started.fingerprint[:12])}
        facts |= dict(_flattened({name: value for name, value in started.settings.items() if name not in _PLACES}))
    return facts


def _flattened(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{before}{name} ")
        else:
            yield wording.message(f"{before}{name}"), wording.message(str(value))
