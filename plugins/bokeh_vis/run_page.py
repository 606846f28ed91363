"""The page of one run below a directory, of its own for every viewer, following the run's log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bokeh.models import Column
from bokeh.models.widgets.markups import Div

from bokeh_vis import markup, theme
from bokeh_vis import page as pages
from bokeh_vis.control import Claim

if TYPE_CHECKING:
    from bokeh.document import Document

    from aimet_hooks.events import Event
    from bokeh_vis.run_directory import FollowedRun, RunDirectory

REFRESH_MS = 300
BEAT = 2.0
"""Seconds between two signs of life."""


class RunPage:
    """Draws one run for one viewer.

    Args:
        document: Of the viewer's session.
        run: The run.
    """

    def __init__(self, document: Document, run: FollowedRun) -> None:
        self._document = document
        self._run = run
        self._page = pages.build(max(pages.COLUMNS, len(run.state.candidates)))
        self._drawn = -1
        self._next_beat = 0.0
        forget = run.listen(self._hear)
        document.on_session_destroyed(lambda _: forget())
        document.add_root(links())
        document.add_root(self._page.root)
        self.refresh()
        document.add_periodic_callback(self.refresh, REFRESH_MS)

    def _hear(self, event: Event) -> None:
        self._page.hear(event)

    def refresh(self) -> None:
        """Bring the page up to date if something happened or a sign of life is due."""
        run, state, now = self._run, self._run.state, time.monotonic()
        if run.version == self._drawn and now < self._next_beat:
            return
        if self._page.columns < len(state.candidates):
            self._begin_anew()
        ended = state.finished is not None or state.failed is not None or not state.begin
        more = self._page.draw(state, now=state.time if ended else time.time())
        current = state.last_cell.layer if state.last_cell and state.phase == "exploring" else None
        claim = Claim(owner="server", run_name=state.started.run_name if state.started else "", phase=state.phase)
        self._page.control.beat(claim, current=self._page.row_of(current))
        self._drawn = -1 if more else run.version
        self._next_beat = now + BEAT
        self._document.title = title(run)

    def _begin_anew(self) -> None:
        """A page with more columns, for a run whose ratios became known after it was opened."""
        self._document.remove_root(self._page.root)
        self._page = pages.build(len(self._run.state.candidates))
        self._document.add_root(self._page.root)


def add_to(document: Document, directory: RunDirectory, name: str) -> None:
    """Show the run of a name, or say that there is none; the name is only ever looked up."""
    run = directory.runs.get(name)
    if run is None:
        document.title = "no such run"
        document.add_root(links())
        document.add_root(message("There is no such run", f"No run {name!r} is below {directory.root} (any more)."))
        return
    RunPage(document, run)


def title(run: FollowedRun) -> str:
    """What a tab of the browser says."""
    started = run.state.started
    return f"{started.run_name if started else run.name} · aimet-hooks"


def links() -> Column:
    """The way to the other pages."""
    sheet = theme.sheet()
    shown = '<a href="runs">all runs</a> · <a href="./">live page</a>'
    box = Div(text=f'<nav class="muted">{shown}</nav>', stylesheets=[sheet], margin=0)
    return Column(children=[box], margin=(12, 20, 0, 22), stylesheets=[theme.variables(), sheet])


def message(heading: str, text: str) -> Column:
    """A card that says one thing."""
    sheet = theme.sheet()
    words = f'<div class="title"><h1>{markup.escaped(heading)}</h1></div><p>{markup.escaped(text)}</p>'
    card = Div(text=words, css_classes=["card"], stylesheets=[sheet], sizing_mode="stretch_width", margin=0)
    return Column(
        children=[card], margin=(16, 20, 16, 20), sizing_mode="stretch_width", stylesheets=[theme.variables(), sheet]
    )
