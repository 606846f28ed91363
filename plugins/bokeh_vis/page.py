"""The page of one run: the same models live, on a server that follows logs, and in ``report.html``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.models import Column, ColumnDataSource, CustomJS, Row
from bokeh.models.annotations import Span
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.tables import DataTable
from bokeh.plotting import figure
from bokeh.settings import settings

from bokeh_vis import chosen_ratios, control, curves, header, score_table, skipped_layers, theme
from bokeh_vis.chosen_ratios import ChosenRatios
from bokeh_vis.control import Control
from bokeh_vis.curves import Curves
from bokeh_vis.header import Header
from bokeh_vis.parts import Parts
from bokeh_vis.score_table import ScoreTable
from bokeh_vis.skipped_layers import SkippedLayers

if TYPE_CHECKING:
    from bokeh.document import Document

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState

NAME = "aimet_hooks_page"
SCHEMA = "page 1"
"""Tag of the root: pages of another version are replaced, not drawn on."""

COLUMNS = 20
"""Columns for ratios that a page has from the start: models that are added later reach no tab that is open."""

QUIET = "quiet"
"""Name of the box in which a tab says what it notices itself; nothing else writes it."""


class Page:
    """Draws a run on the models of a page.

    Args:
        root: Made by ``build``, here or by another process. All that it shows is drawn anew.

    Attributes:
        root: The page.
        control: Who draws it.

    Raises:
        LookupError: If it is no page of this version.
    """

    def __init__(self, root: Column) -> None:
        self.root = root
        parts = Parts(root)
        self.control = Control(parts)
        self._header = Header(parts)
        self._scores = ScoreTable(parts)
        self._curves = Curves(parts)
        self._choices = ChosenRatios(parts)
        self._skipped = SkippedLayers(parts)

    @property
    def columns(self) -> int:
        """For how many ratios there is room."""
        return self._scores.columns

    def row_of(self, layer: str | None) -> int | None:
        """Place of a layer in the table of scores, for the control source."""
        return self._scores.row_of(layer)

    def hear(self, event: Event) -> None:
        """Remember what an event changes, for the next ``draw``."""
        self._scores.hear(event)
        self._choices.hear(event)
        self._skipped.hear(event)

    def forget(self) -> None:
        """Draw everything anew with the next ``draw``: somebody else wrote to the page."""
        self._scores.forget()
        self._choices.forget()
        self._skipped.forget()

    def draw(self, run: RunState, *, now: float, notice: str = "") -> bool:
        """Bring the page up to date, with few document events whatever the number of changes.

        Args:
            run: The run, with all events that ``hear`` was told of.
            now: Seconds since the epoch, for ages and forecasts.
            notice: A sentence about the page itself, as who took it over; "": none.

        Returns:
            Whether there is more to draw: what is too large for one message comes with the next calls.
        """
        self._header.draw(run, now=now, notice=notice)
        self._curves.draw(run)
        self._choices.draw(run)
        self._skipped.draw(run)
        return self._scores.draw(run)


def build(columns: int = COLUMNS, *, server: str = header.SERVER) -> Page:
    """An empty page. Its models have unique ids, and no tab changes what others see.

    Args:
        columns: For how many ratios there is room.
        server: Address that a waiting page names as the one to draw on.
    """
    simple = settings.simple_ids()
    settings.simple_ids = False
    try:
        root = _build(columns, server)
    finally:
        settings.simple_ids = simple
    for model in root.references():
        model.syncable = False
    return Page(root)


def _build(columns: int, server: str) -> Column:
    sheet = theme.sheet()
    quiet = Div(name=QUIET, text="", stylesheets=[sheet])
    scores, lines = score_table.build(columns, sheet), curves.build(sheet)
    choices, skipped = chosen_ratios.build(sheet), skipped_layers.build(sheet)
    root = Column(
        children=[
            header.build(sheet, server),
            Row(children=[scores, lines], spacing=14, sizing_mode="stretch_width"),
            Row(children=[choices, skipped], spacing=14, sizing_mode="stretch_width"),
            quiet,
        ],
        name=NAME,
        tags=[SCHEMA],
        spacing=14,
        margin=(16, 20, 16, 20),
        sizing_mode="stretch_width",
        stylesheets=[theme.variables(), sheet],
    )
    _add_script(root, quiet)
    return root


def _add_script(root: Column, quiet: Div) -> None:
    """What a tab does by itself, whenever the page was drawn, layers were ticked, or the tab has been laid out."""
    parts = Parts(root)
    source, plot = control.build(), parts.get(curves.FIGURE, figure)
    cells = parts.get(score_table.SOURCE, ColumnDataSource)
    arguments = {
        "control": source,
        "cells": cells,
        "table": parts.get(score_table.TABLE, DataTable),
        "choices": parts.get(chosen_ratios.SOURCE, ColumnDataSource),
        "choices_table": parts.get(chosen_ratios.TABLE, DataTable),
        "curves": parts.get(curves.LINES, ColumnDataSource),
        "points": parts.get(curves.POINTS, ColumnDataSource),
        "marks": parts.get(curves.MARKS, ColumnDataSource),
        "baseline": parts.get(curves.BASELINE, Span),
        "figure": plot,
        "quiet": quiet,
        "colours": list(theme.CURVES),
    }
    tick = CustomJS(args=arguments, code=theme.script("tick.js"))
    source.js_on_change("data", tick)
    cells.selected.js_on_change("indices", tick)
    plot.js_on_change("inner_width", tick)


def find(document: Document) -> Page | None:
    """The page that a document holds, None where it holds none that this version can draw on."""
    roots = [root for root in document.roots if root.name == NAME and SCHEMA in root.tags]
    try:
        return Page(roots[0]) if roots and isinstance(roots[0], Column) else None
    except LookupError:
        return None
