"""The page of one run below a directory, of its own for every viewer, following the run's log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bokeh.models import Column

from aimet_hooks.presentation.text import clean
from bokeh_vis import markup, theme
from bokeh_vis import page as pages
from bokeh_vis.control import BEAT, Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document

    from aimet_hooks.events import Event
    from bokeh_vis.run_directory import FollowedRun, RunDirectory

REFRESH_MS = 300


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
        self._is_left = False
        self._next_beat = 0.0
        listen(document, run, self._hear)
        document.add_root(links())
        document.add_root(self._page.root)
        self.refresh()
        document.add_periodic_callback(self.refresh, REFRESH_MS)

    def _hear(self, event: Event) -> None:
        self._page.hear(event)

    def refresh(self) -> None:
        """Bring the page up to date if something happened or a sign of life is due."""
        run, state, now = self._run, self._run.state, time.monotonic()
        if self._is_left or (run.version == self._drawn and now < self._next_beat):
            return
        if self._page.columns < len(state.candidates):
            self._load_anew()
            return
        more = self._page.draw(state, Claim(owner="server"), follows_log=True)
        self._drawn = -1 if more else run.version
        self._next_beat = now + BEAT
        self._document.title = title(run)

    def _load_anew(self) -> None:
        """Let the tab load a page with more columns: the ratios became known after it was opened."""
        self._page.control.reload_tabs()
        self._is_left = True


def add_to(document: Document, directory: RunDirectory, name: str) -> None:
    """Show the run of a name, or say that there is none; the name is only ever looked up."""
    run = directory.runs.get(name)
    if run is None:
        document.title = "no such run"
        document.add_root(links())
        document.add_root(message("There is no such run", f"No run {name!r} is below {directory.root} (any more)."))
        return
    RunPage(document, run)


def listen(document: Document, run: FollowedRun, hear: Callable[[Event], object]) -> None:
    """Hear a run as long as the viewer's session lives; what is listened to is followed at once."""
    forget = run.listen(hear)
    document.on_session_destroyed(lambda _: forget())


def title(run: FollowedRun) -> str:
    """What a tab of the browser says."""
    started = run.state.started
    return f"{clean(started.run_name if started else run.name)} · aimet-hooks"


def links() -> Column:
    """The way to the other pages."""
    sheet = theme.sheet()
    shown = '<nav class="muted"><a href="runs">all runs</a> · <a href="./">live page</a></nav>'
    root = Column(
        children=[theme.words("links", sheet, shown)], margin=(8, 20, -8, 17), stylesheets=[theme.variables(), sheet]
    )
    theme.keep_private(root)
    return root


def message(heading: str, text: str) -> Column:
    """A page that says one thing."""
    sheet = theme.sheet()
    shown = f'<div class="title"><h1>{markup.escaped(heading)}</h1></div><p>{markup.escaped(text)}</p>'
    return theme.page(theme.card(theme.words("message", sheet, shown), sheet=sheet), sheet=sheet)
