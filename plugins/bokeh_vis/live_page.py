"""One page on one Bokeh server: found or added, drawn, given up to a newer run, and brought back after a failure."""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from typing import TYPE_CHECKING, cast

from aimet_hooks.presentation.text import clean
from bokeh_vis import page as pages
from bokeh_vis.connection import PUSH, ROUNDTRIP, Connection
from bokeh_vis.control import BEAT, STILL, Claim
from bokeh_vis.server_probe import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.models import Column

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.address import Address
    from bokeh_vis.page import Page

logger = logging.getLogger("bokeh_vis")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds between two attempts to connect; tabs rely on the longest."""

SHORT_TOKEN = 3600.0
"""Seconds; where new tabs can be opened for a shorter time, that is worth a warning."""

STALE = 0.5
"""Seconds after the last news from the server after which it is asked for more before anything is drawn."""


class LivePage:
    """Draws a run on a page of a Bokeh server. For one thread, but ``interrupt``.

    Args:
        address: Of the page.
        warn: Gets a kind of trouble and a sentence for the user.
        goes_on: Whether it is a run that goes on, rather than a recording of one.

    Attributes:
        taken_over: Name of the newer run that owns the page now, None as long as nobody took it.
    """

    def __init__(self, address: Address, warn: Callable[[str, str], None], *, goes_on: bool = True) -> None:
        self.taken_over: str | None = None
        self._address = address
        self._warn = warn
        self._goes_on = goes_on
        self._claim = Claim(owner=uuid.uuid4().hex, since=time.time())
        self._was_tried = False
        self._notice = ""
        self._connection: Connection | None = None
        self._page: Page | None = None
        self._changed = True
        self._next_beat = 0.0
        self._last_news = 0.0
        self._next_attempt = 0.0
        self._pause = SHORTEST_PAUSE
        self._problem = ""

    @property
    def shows_all(self) -> bool:
        """Whether the server has confirmed everything that was heard."""
        return self._connection is not None and not self._changed

    @property
    def problem(self) -> str:
        """Why there is no page now, as a sentence; "" where there is one, or where nothing was tried yet."""
        return self._problem

    @property
    def is_given_up(self) -> bool:
        """Whether the page will not be drawn any more: somebody else has it."""
        return self.taken_over is not None

    def hear(self, event: Event) -> None:
        """Remember that an event, which the run that ``step`` gets already has, is to be drawn."""
        self._changed = True
        if self._page is not None:
            self._page.hear(event)

    def step(self, run: RunState) -> None:
        """Bring the page up to date if that is due, connect if there is no connection."""
        now = time.monotonic()
        if run.started is None or self.is_given_up or (self._connection is None and now < self._next_attempt):
            return
        try:
            if self._connection is None:
                self._connect(run)
            elif self._changed or now >= self._next_beat:
                self._draw(run)
        except ConnectionFailed as error:
            self._lose(f"{error}")
        except Exception as error:  # a page that somebody else changed under our hands: begin anew
            logger.debug("the live page failed", exc_info=True)
            self._lose(f"the page cannot be drawn ({type(error).__name__}: {error})")

    def interrupt(self) -> None:
        """Let a call to the server fail that ``step`` is waiting in, on another thread."""
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Let the page go; it stays on the server as long as the server keeps it."""
        connection, self._connection, self._page = self._connection, None, None
        if connection is not None:
            connection.close()

    def _connect(self, run: RunState) -> None:
        self._connection = connection = Connection(self._address)
        is_first, self._was_tried = not self._was_tried, True
        connection.open()
        self._last_news = time.monotonic()
        found = pages.find(connection.document)
        self._take(found, is_first=is_first)
        if self.is_given_up:
            return
        if found is not None and found.columns >= len(run.candidates):
            self._page = found
        else:
            self._put_new_page(found, run)
        self._draw(run)
        if self._problem:
            logger.info("the live page at %s is back", self._address.page)
        self._problem, self._pause = "", SHORTEST_PAUSE
        self._check_token()

    def _take(self, found: Page | None, *, is_first: bool) -> None:
        """Claim the page, or give it up to somebody with a later claim.

        Whoever begins now has the page, whatever the clock of another machine says. Whoever finds the server later
        does not take it from a run that began meanwhile.
        """
        there = Claim() if found is None else found.control.claim
        if is_first and there.owner:
            self._claim = dataclasses.replace(self._claim, since=max(self._claim.since, there.since + 0.001))
            if there.phase not in STILL:
                self._notice = f"This page was taken over from run {there.run_name!r}, which was {there.phase}."
        self._yield_to(there)

    def _yield_to(self, there: Claim) -> None:
        if there.owner != self._claim.owner and there.since > self._claim.since:
            self.taken_over = there.run_name or "another run"
            loss = "this run goes on without it" if self._goes_on else "the recording is not shown there any more"
            self._warn(
                "taken over",
                f"the live page at {self._address.page} was taken over by {self.taken_over!r}; {loss} "
                "(for a page of its own add ?bokeh-session-id=NAME to visualization_url)",
            )
            self.close()

    def _put_new_page(self, old: Page | None, run: RunState) -> None:
        """A page of new models, which open tabs do not get: those of an old page are made to load it."""
        connection = self._open_connection()
        document = connection.document
        if old is not None:
            old.control.reload_tabs()
            connection.roundtrip()
        ours = [root for root in document.roots if root.name == pages.NAME]
        if len(ours) < len(document.roots):
            raise ConnectionFailed(
                f"session {self._address.session_id!r} already shows something else; "
                "choose another with ?bokeh-session-id=NAME in visualization_url"
            )
        for root in ours:
            document.remove_root(root)
        self._page = pages.build(max(pages.COLUMNS, len(run.candidates)))
        self._page.draw(run, self._claim, goes_on=self._goes_on, notice=self._notice)
        document.add_root(self._page.root)
        connection.roundtrip(PUSH)

    def _draw(self, run: RunState) -> None:
        connection, page = self._open_connection(), self._page
        if page is None:
            raise ConnectionFailed("there is no page")
        if time.monotonic() - self._last_news > STALE:
            connection.roundtrip()  # else this drawing would hide that of a newer run which took the page meanwhile
        self._check_owner(page)
        if self.is_given_up:
            return
        if page.columns < len(run.candidates):
            self._put_new_page(page, run)
            page = self._page or page
        title = f"{clean(run.started.run_name)} · aimet-hooks" if run.started else connection.document.title
        if connection.document.title != title:
            connection.document.title = title
        more = True
        while more:
            more = page.draw(run, self._claim, goes_on=self._goes_on, notice=self._notice)
            connection.roundtrip(PUSH if more else ROUNDTRIP)
        self._changed = False  # not before the server has confirmed it: who waits for it looks from another thread
        self._last_news = time.monotonic()
        self._next_beat = self._last_news + BEAT

    def _check_owner(self, page: Page) -> None:
        """See whether somebody else wrote to the page, or added one of its own at the same moment."""
        document = self._open_connection().document
        if page.root not in document.roots:
            raise ConnectionFailed("the page was removed")
        for root in document.roots:
            if root is not page.root and root.name == pages.NAME:
                self._yield_to(pages.Page(cast("Column", root)).control.claim)
                if self.is_given_up:
                    return  # the one that has the page removes ours
                document.remove_root(root)
        there = page.control.claim
        self._yield_to(there)
        if there.owner not in ("", self._claim.owner) and not self.is_given_up:
            page.forget()  # an older run wrote once more before it saw our claim

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise ConnectionFailed("the connection is closed")
        return self._connection

    def _lose(self, why: str) -> None:
        had_page = self._page is not None
        self.close()
        self._changed = True
        self._next_attempt = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        lost = "the live page was lost" if had_page else "there is no live page"
        self._problem = f"{lost} at {self._address.server}: {why}"
        if self._goes_on:  # who displays a recording gets the problem as an exception
            self._warn("no page", f"{self._problem}; the run goes on, and the page comes as soon as that is possible")

    def _check_token(self) -> None:
        seconds = self._connection.token_seconds() if self._connection else None
        if seconds is not None and seconds < SHORT_TOKEN:
            until = time.strftime("%H:%M", time.localtime(time.time() + seconds))
            self._warn(
                "short token",
                f"tabs of {self._address.page} that are opened after {until} "
                "will stay blank, because a tab was there before this run; use aimet-hooks serve, or start the server "
                "with --session-token-expiration=864000",
            )
