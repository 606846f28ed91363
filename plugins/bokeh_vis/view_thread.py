"""The thread that draws a run, so that the run itself never waits for a view."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aimet_hooks.events import Event
    from bokeh_vis.address import Address
    from bokeh_vis.live_page import LivePage

logger = logging.getLogger("bokeh_vis")

THREAD_NAME = "bokeh_vis"
PAUSE, PAUSE_AFTER_END = 0.2, 1.0
"""Seconds between two drawings."""

FIRST_REPORT, REPORT_INTERVAL = 5.0, 60.0
"""Seconds until the report is written first, and between two writings of it while the run goes on."""

REPORT_SHARE = 0.01
"""Share of the time that writing it may take: that of a large table is written less often."""

PAGE_WAIT = 4.0
"""Seconds that the end of a run waits for its page."""

LAST_WAIT = 1.0
"""Seconds that it waits on for the report where the page did not come."""

CLOSE_WAIT = 1.0
"""Seconds that the end of a process waits for its pages to be let go."""

_open: weakref.WeakSet[ViewThread] = weakref.WeakSet()

_importing = threading.Lock()
"""Held while a thread here imports: a process that is forked meanwhile could never import the same again."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release
    )


@atexit.register
def close_all() -> None:
    """Let all pages go that this process still holds; done by itself at the end of the process."""
    views = list(_open)
    for view in views:
        view.let_go()
    deadline = time.monotonic() + CLOSE_WAIT
    for view in views:
        view.join(max(0.0, deadline - time.monotonic()))


class ViewThread:
    """Draws a run on a live page and into a report, on a thread of its own that keeps no process alive.

    Args:
        address: Of the live page, None for none.
        report: Path of the report, None for none.
        goes_on: Whether it is a run that goes on, rather than a recording of one, whose owner reads ``problem``.
    """

    def __init__(self, address: Address | None, report: Path | None, *, goes_on: bool = True) -> None:
        self._address = address
        self._report = report
        self._heard: deque[Event] = deque()
        self._run = RunState()
        self._page: LivePage | None = None
        self._render: Callable[..., None] | None = None
        self._goes_on = goes_on
        self._said: set[str] = set()
        self._is_complete = False
        self._report_due = 0.0
        self._alive = True
        self._ending = threading.Event()
        self._all_done = threading.Event()
        self._failure = ""
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
        _open.add(self)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why there is no live page now, as a sentence; "" where there is one."""
        return self._failure or (self._page.problem if self._page is not None else "")

    @property
    def is_given_up(self) -> bool:
        """Whether somebody else took the page."""
        return self._page is not None and self._page.is_given_up

    def hear(self, event: Event) -> None:
        """Take in an event; costs the caller an append."""
        if self._alive:
            self._heard.append(event)

    def show_all(self, seconds: float = PAGE_WAIT) -> bool:
        """Wait until what was heard is shown and, where a report is kept, written.

        Args:
            seconds: How long to wait for the page; a page that is known to be away is not waited for.

        Returns:
            Whether the live page has everything.
        """
        self._all_done.clear()
        self._ending.set()
        if self._alive and not self._all_done.wait(seconds):
            if self._page is not None:
                self._page.interrupt()  # the report is written by the same thread
            if not self._all_done.wait(LAST_WAIT) and self._address is not None and not self.problem:
                self._warn(
                    "no page", f"the live page at {self._address.server} did not come in time; look at that server"
                )
        return self._page is not None and self._page.shows_all and not self._heard

    def let_go(self) -> None:
        """Tell the thread to let the page go and to end."""
        self._closing = True
        self._ending.set()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    def close(self) -> None:
        """Let the page go and end the thread, within a second."""
        self.let_go()
        self.join(CLOSE_WAIT)

    def _work(self) -> None:
        try:
            self._open()
            while not self._closing and not (self._run_is_over and self._has_no_page):
                self._turn()
        except Exception as error:
            self._failure = f"the run is not shown any more ({type(error).__name__}: {error})"
            logger.warning("%s; it goes on", self._failure)
            logger.debug("the view failed", exc_info=True)
        finally:
            self._alive = False
            self._heard.clear()
            self._all_done.set()
            if self._page is not None:
                self._page.close()

    def _open(self) -> None:
        with _importing:  # Bokeh takes half a second to import: not on the run's thread
            from bokeh_vis import report
            from bokeh_vis.live_page import LivePage
        self._render = report.write
        if self._address is not None:
            self._page = LivePage(self._address, self._warn, goes_on=self._goes_on)
        self._report_due = time.monotonic() + FIRST_REPORT

    @property
    def _run_is_over(self) -> bool:
        return self._run.is_over

    @property
    def _has_no_page(self) -> bool:
        return self._page is None or self._page.is_given_up

    def _turn(self) -> None:
        ending = self._ending.wait(PAUSE_AFTER_END if self._run_is_over else PAUSE)
        if ending:
            self._ending.clear()
        while self._heard:
            event = self._heard.popleft()
            self._run.apply(event)
            if self._page is not None:
                self._page.hear(event)
        is_due = time.monotonic() >= self._report_due and not self._run_is_over
        if is_due or (ending and not self._closing):
            self._write_report()
        if self._page is not None:
            self._page.step(self._run)
            if self._goes_on and self._run_is_over and self._page.shows_all:
                self._is_complete = True
        if ending:
            self._all_done.set()

    def _write_report(self) -> None:
        begin = time.monotonic()
        if self._report is not None and self._render is not None and self._run.started is not None:
            try:
                self._render(self._run, self._report, notice=self._notice)
            except Exception as error:
                why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
                logger.warning("%s cannot be written (%s); the run goes on without it", self._report, why)
                logger.debug("the report failed", exc_info=True)
                self._report = None
        end = time.monotonic()
        self._report_due = end + max(REPORT_INTERVAL, (end - begin) / REPORT_SHARE)

    @property
    def _notice(self) -> str:
        taken = self._page.taken_over if self._page is not None else None
        return "" if taken is None else f"The live page was taken over by {taken!r}."

    def _warn(self, kind: str, text: str) -> None:
        """Say the first word of each kind aloud; what is repeated, or comes when the page had all, at level INFO."""
        is_news = kind not in self._said and not self._is_complete
        logger.log(logging.WARNING if is_news else logging.INFO, "%s", text)
        self._said.add(kind)
