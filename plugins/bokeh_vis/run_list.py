"""The list of all runs below a directory, following them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bokeh.events import DocumentReady
from bokeh.models import ColumnDataSource, CustomJS

from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_scale import ScoreScale
from aimet_hooks.presentation.text import clean
from bokeh_vis import markup, progress, tables, theme
from bokeh_vis.pareto import Pareto

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.models import InlineStyleSheet
    from bokeh.models.widgets.tables import DataTable

    from aimet_hooks.run_state import RunState
    from bokeh_vis.run_directory import FollowedRun, RunDirectory

REFRESH_MS = 1000
ROWS_SEEN = 24
FIELDS = (
    "key",
    "directory",
    "name",
    "what",
    "state",
    "look",
    "progress",
    "bar",
    "score",
    "macs",
    "weights",
    "target",
    "started",
)
LINK = '<a href="run?run=<%- key %>" title="<%- value %>"><%- value %></a>'
STATE = '<div class="cell state <%- look %>"><%- value %></div>'
PROGRESS = f'<div class="share" title="<%- value %>">{tables.bar("bar")}<b><%- value %></b></div>'
TICK_TWO = '<span class="muted">Tick two runs to compare them.</span>'
EMPTY = "<p>No run has been found yet. Give runs a results directory below it, from any machine that shares it:</p>"


class RunList:
    """Draws the list for one viewer.

    Args:
        document: Of the viewer's session.
        directory: The runs.
    """

    def __init__(self, document: Document, directory: RunDirectory) -> None:
        self._directory = directory
        empty: dict[str, Any] = {field: [] for field in FIELDS}
        sheet = theme.sheet()
        self._source = ColumnDataSource(name="runs", data=empty)
        self._heading = theme.words("runs_heading", sheet)
        self._table = _table(self._source, sheet)
        self._compare = theme.words("compare", sheet, TICK_TWO)
        tables.repaint_on_change(document, self._source, self._table)
        offer = CustomJS(
            args={"source": self._source, "compare": self._compare, "tick_two": TICK_TWO},
            code=theme.scripts("ticks.js", "compare.js"),
        )
        document.js_on_event(DocumentReady, offer)
        self._source.js_on_change("data", offer)
        self._source.selected.js_on_change("indices", offer)
        self._pareto = Pareto(sheet)
        listed = theme.card(self._heading, self._compare, self._table, sheet=sheet)
        root = theme.page(listed, self._pareto.card, sheet=sheet)
        theme.keep_private(root)
        document.title = "runs · aimet-hooks"
        document.add_root(root)
        self.refresh()
        document.add_periodic_callback(self.refresh, REFRESH_MS)

    def refresh(self) -> None:
        """Bring the list up to date."""
        runs = sorted(self._directory.runs.values(), key=lambda run: -run.state.begin)
        now = time.time()
        rows = [_row(run, now) for run in runs]
        data: dict[str, Any] = {field: [row[field] for row in rows] for field in FIELDS}
        if data != self._source.data:
            self._source.data = data
            self._table.height = tables.height(len(rows), ROWS_SEEN)
        self._table.visible = bool(rows)
        self._pareto.draw(run.state for run in runs)
        where = f'<span class="muted">below {markup.escaped(str(self._directory.root))}</span>'
        words = f'<div class="title"><h1>Runs</h1>{where}</div>'
        self._compare.visible = len(rows) > 1
        if not rows:
            example = markup.escaped(f'compress_model(..., results_dir="{self._directory.root}/first")')
            words += f"{EMPTY}<pre>{example}</pre>"
        if self._heading.text != words:
            self._heading.text = words


def _table(source: ColumnDataSource, sheet: InlineStyleSheet) -> DataTable:
    columns = [
        tables.column("name", "run", 180, LINK),
        tables.column("directory", "directory", 150, tables.NAME),
        tables.column("state", "state", 124, STATE),
        tables.column("progress", "cells", 104, PROGRESS),
        tables.column("score", "score", 136, tables.NUMBER),
        tables.column("macs", "MACs kept", 88, tables.NUMBER),
        tables.column("weights", "weights kept", 106, tables.NUMBER),
        tables.column("target", "target", 60, tables.NUMBER),
        tables.column("what", "model and scheme", 180),
        tables.column("started", "started", 140),
    ]
    return tables.table("run_table", source, columns, sheet, tick_rows=True)


def _row(followed: FollowedRun, now: float) -> dict[str, Any]:
    run = followed.state
    names = wording.titles(run)
    has_target = run.started and run.started.cost_metric and not wording.is_analysis(run)
    state, look = _state(run, now)
    return {
        "key": followed.key,
        "directory": clean(followed.name),
        "name": names[0] if names else clean(followed.name),
        "what": " · ".join(names[1:-1] if has_target else names[1:]),
        "state": state,
        "look": look,
        "progress": f"{run.completed} / {run.total}" if run.total else "",
        "bar": round(100 * run.completed / run.total, 1) if run.total else 0.0,
        "score": _score(run),
        "macs": quantities.share(run.finished.mac_ratio) if run.finished else "",
        "weights": quantities.share(run.finished.memory_ratio) if run.finished else "",
        "target": "" if (target := wording.target(run)) is None else quantities.ratio(target),
        "started": time.strftime("%Y-%m-%d %H:%M", time.localtime(run.begin)) if run.begin else "",
    }


def _state(run: RunState, now: float) -> tuple[str, str]:
    """What a run does, and how that looks; a run that did not end and is silent has perhaps died."""
    state = progress.state(run)
    if run.finished or run.analyzed:
        return state, "good"
    if run.failed:
        return state, "bad"
    since = progress.quiet_since(run, now)
    if since:
        return f"quiet since {since}", "bad"
    return state, "active" if run.begin else ""


def _score(run: RunState) -> str:
    scale = ScoreScale.of(run)
    if run.finished:
        return f"{scale.text(run.finished.baseline_score)} → {scale.text(run.finished.compressed_score)}"
    return scale.text(run.baseline.score) if run.baseline else ""
