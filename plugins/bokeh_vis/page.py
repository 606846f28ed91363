"""The page of one run: the same models live, on a server that follows logs, and in ``report.html``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from bokeh.models import Column, ColumnDataSource, CustomJS, Row
from bokeh.models.annotations import Span
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.tables import DataTable
from bokeh.plotting import figure
from bokeh.settings import settings

from aimet_hooks.presentation import wording
from aimet_hooks.presentation.text import clean
from bokeh_vis import (
    budget,
    chosen_ratios,
    control,
    curves,
    header,
    next_steps,
    score_table,
    skipped_layers,
    theme,
    weight_bits,
    what_if,
)
from bokeh_vis.budget import Budget
from bokeh_vis.chosen_ratios import ChosenRatios
from bokeh_vis.control import STILL, Claim, Control
from bokeh_vis.curves import Curves
from bokeh_vis.header import Header
from bokeh_vis.parts import Parts
from bokeh_vis.score_table import ScoreTable
from bokeh_vis.skipped_layers import SkippedLayers
from bokeh_vis.weight_bits import WeightBits
from bokeh_vis.what_if import WhatIf

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState

NAME = "aimet_hooks_page"
SCHEMA = "page 1"
"""Tag of the root: pages of another version are replaced, not drawn on."""

COLUMNS = 20
"""Columns for ratios that a page has from the start: models that are added later reach no tab that is open."""

CURRENT_LASTS = 2.0
"""Seconds for which a layer stays the current one."""

TABLE, DECISION = "table", "decision"
"""Names of the row of scores and curves, which an analysis may do without, and of what is chosen, which it has not."""

QUIET = "quiet"
"""Name of the box in which a tab says what it notices itself; nothing else writes it."""


class Page:
    """Draws a run on the models of a page.

    Args:
        root: Made by ``build``, here or by another process. All that it shows is drawn anew.
        clock: Seconds since the epoch, for ages and forecasts.

    Attributes:
        root: The page.
        control: Who draws it.

    Raises:
        LookupError: If it is no page of this version.
    """

    def __init__(self, root: Column, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self._clock = clock
        parts = Parts(root)
        self.control = Control(parts)
        self._header = Header(parts)
        self._scores = ScoreTable(parts)
        self._curves = Curves(parts)
        self._choices = ChosenRatios(parts)
        self._what_if = WhatIf(parts)
        self._weights = WeightBits(parts)
        self._table = parts.get(TABLE, Row)
        self._decisions = [parts.get(name, Column) for name in (DECISION, budget.CARD)]
        self._budget = Budget(parts)
        self._skipped = SkippedLayers(parts)
        self._current: tuple[int | None, float] = (None, 0.0)

    @property
    def columns(self) -> int:
        """For how many ratios there is room."""
        return self._scores.columns

    def hear(self, event: Event) -> None:
        """Remember what an event changes, for the next ``draw``."""
        self._scores.hear(event)
        self._choices.hear(event)
        self._what_if.hear(event)
        self._weights.hear(event)
        self._budget.hear(event)
        self._skipped.hear(event)

    def forget(self) -> None:
        """Draw everything anew with the next ``draw``: somebody else wrote to the page."""
        self._scores.forget()
        self._choices.forget()
        self._what_if.forget()
        self._weights.forget()
        self._budget.forget()
        self._skipped.forget()

    def draw(
        self, run: RunState, claim: Claim, *, goes_on: bool = True, follows_log: bool = False, notice: str = ""
    ) -> bool:
        """Bring the page up to date, with few document events whatever the number of changes.

        The page of a run that has not begun stays as it is.

        Args:
            run: The run, with all events that ``hear`` was told of.
            claim: Who draws; the run's name and phase are filled in.
            goes_on: Whether that is a run that goes on as long as it has not ended, and not a recording of one.
            follows_log: Whether all that is known of the run comes from its log.
            notice: A sentence about the page itself, as who took it over; "": none.

        Returns:
            Whether there is more to draw: what is too large for one message comes with the next calls.
        """
        has_ended = not goes_on or run.phase in STILL
        more = False
        if run.started is not None or run.begin:
            now = run.time if has_ended else self._clock()
            self._header.draw(run, now=now, notice=notice, follows_log=follows_log)
            self._curves.draw(run)
            self._weights.draw(run)
            self._table.visible = run.sensitivity_started is not None or not wording.is_analysis(run)
            for card in self._decisions:
                card.visible = not wording.is_analysis(run)
            self._what_if.draw(run)
            self._choices.draw(run)
            self._budget.draw(run)
            self._skipped.draw(run)
            more = self._scores.draw(run)
            claim = replace(claim, run_name=clean(run.started.run_name) if run.started else "")
        phase = "finished" if not goes_on else run.phase
        self.control.beat(replace(claim, phase=phase), current=None if has_ended else self._current_row(run))
        return more

    def _current_row(self, run: RunState) -> int | None:
        """The row of the layer that is being evaluated, or was a moment ago, so that its curve can be read."""
        row, since = self._current
        if run.phase != "exploring" or run.last_score is None:
            row = None
        elif row is None or time.monotonic() - since > CURRENT_LASTS:
            row, since = self._scores.row_of(run.last_score.layer), time.monotonic()
        self._current = row, since
        return row


def build(columns: int = COLUMNS, *, server: str = header.SERVER, clock: Callable[[], float] = time.time) -> Page:
    """An empty page. Its models have unique ids, and no tab changes what others see.

    Args:
        columns: For how many ratios there is room.
        server: Address that a waiting page names as the one to draw on.
        clock: As for ``Page``.
    """
    simple = settings.simple_ids()
    settings.simple_ids = False
    try:
        root = _build(columns, server)
    finally:
        settings.simple_ids = simple
    theme.keep_private(root)
    return Page(root, clock)


def _build(columns: int, server: str) -> Column:
    sheet = theme.sheet()
    quiet = theme.words(QUIET, sheet)
    scores, lines = score_table.build(columns, sheet), curves.build(sheet)
    choices = chosen_ratios.build(what_if.build(sheet), sheet)
    decision = theme.stack(choices, next_steps.build(sheet), sheet=sheet, look="wider")
    decision.name = DECISION
    beside = theme.stack(budget.build(sheet), skipped_layers.build(sheet), sheet=sheet)
    root = theme.page(
        header.build(sheet, server),
        Row(name=TABLE, children=[scores, lines], spacing=14, sizing_mode="stretch_width"),
        weight_bits.build(sheet),
        Row(children=[decision, beside], spacing=14, sizing_mode="stretch_width"),
        quiet,
        sheet=sheet,
    )
    root.name, root.tags = NAME, [SCHEMA]
    _add_scripts(root, quiet)
    return root


def _add_scripts(root: Column, quiet: Div) -> None:
    """What a tab does by itself: whenever the page was drawn, a viewer did something, or the tab has been laid out."""
    parts = Parts(root)
    source, plot = control.build(), parts.get(curves.FIGURE, figure)
    cells, choices = (parts.get(name, ColumnDataSource) for name in (score_table.SOURCE, chosen_ratios.SOURCE))
    sources = what_if.sources()
    tick = CustomJS(
        args={
            "control": source,
            "cells": cells,
            "table": parts.get(score_table.TABLE, DataTable),
            "choices": choices,
            "choices_table": parts.get(chosen_ratios.TABLE, DataTable),
            "why": parts.get(chosen_ratios.WHY, Div),
            "what_if_choices": sources[0],
            "what_if_about": sources[1],
            "steps": parts.get(next_steps.SOURCE, ColumnDataSource),
            "steps_figure": parts.get(next_steps.FIGURE, figure),
            "skipped_table": parts.get(skipped_layers.TABLE, DataTable),
            "curves": parts.get(curves.LINES, ColumnDataSource),
            "points": parts.get(curves.POINTS, ColumnDataSource),
            "marks": parts.get(curves.MARKS, ColumnDataSource),
            "baseline": parts.get(curves.BASELINE, Span),
            "figure": plot,
            "quiet": quiet,
            "colours": list(theme.CURVES),
        },
        code=theme.scripts("fit.js", "ticks.js", "greedy.js", "choices.js", "steps.js", "come_back.js", "tick.js"),
    )
    source.js_on_change("data", tick)
    cells.selected.js_on_change("indices", tick)
    plot.js_on_change("inner_width", tick)
    mark = parts.get(budget.WHAT_IF, ColumnDataSource)
    what_if.add_script(parts, sources, choices=choices, cells=cells, mark=mark, tick=tick)


def find(document: Document) -> Page | None:
    """The page that a document holds, None where it holds none that this version can draw on."""
    roots = [root for root in document.roots if root.name == NAME and SCHEMA in root.tags]
    try:
        return Page(roots[0]) if roots and isinstance(roots[0], Column) else None
    except LookupError:
        return None
