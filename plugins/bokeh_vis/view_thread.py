"""The thread that draws a run, so that the run itself never waits for a view."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    from pathlib import Path

    from aimet_hooks.events import Event
    from bokeh_vis.address import Address
    from bokeh_vis.live_page import LivePage

logger = logging.getLogger("bokeh_vis")

THREAD_NAME = "bokeh_vis"
PAUSE, PAUSE_AFTER_END = 0.2, 1.0
"""Seconds between two drawings."""

REPORT_INTERVAL = 60.0
"""Seconds between two writings of the report while the run goes on."""

REPORT_SHARE = 0.01
"""Share of the time that writing it may take: that of a large table is written less often."""

POLL = 0.5
"""Seconds after which a waiting caller looks again."""

PAGE_WAIT = 4.0
"""Seconds that the end of a run waits for its page."""


CLOSE_WAIT = 1.0
"""Seconds that the end of a process waits for its pages to be let go."""

_open: weakref.WeakSet[ViewThread] = weakref.WeakSet()


@atexit.register
def close_all() -> None:
    """Let all pages go that this process still holds; done by itself at the end of the process."""
    for view in list(_open):
        view.close()


class ViewThread:
    """Draws a run on a live page and into a report, on a thread of its own that keeps no process alive.

    Args:
        address: Of the live page, None for none.
        report: Path of the report, None for none.
        goes_on: Whether it is a run that goes on, and so says what is wrong with its page; who shows a recording reads
            ``problem`` instead.
    """

    def __init__(self, address: Address | None, report: Path | None, *, goes_on: bool = True) -> None:
        self._address = address
        self._report = report
        self._heard: deque[Event] = deque()
        self._run = RunState()
        self._page: LivePage | None = None
        self._goes_on = goes_on
        self._said: set[str] = set()
        self._is_complete = False
        self._report_due = 0.0
        self._alive = True
        self._ending = threading.Event()
        self._report_written = threading.Event()
        self._page_shown = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
        _open.add(self)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why there is no live page now, as a sentence; "" where there is one."""
        return self._page.problem if self._page is not None else ""

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
        self._page_shown.clear()
        self._report_written.clear()
        self._ending.set()
        if not self._page_shown.wait(seconds if self._alive else 0) and self._alive and self._page is not None:
            self._page.interrupt()  # the report is written by the same thread
            self._page_shown.wait(POLL)
        while self._alive and not self._report_written.wait(POLL):
            pass
        return self._page is not None and self._page.shows_all and not self._heard

    def close(self) -> None:
        """Let the page go and end the thread, within a second."""
        self._closing = True
        self._ending.set()
        self._thread.join(CLOSE_WAIT)

    def _work(self) -> None:
        try:
            self._open()
            while not self._closing and (self._address is not None or not self._run_is_over):
                self._turn()
        except Exception as error:
            logger.warning("the run is not shown any more (%s: %s); it goes on", type(error).__name__, error)
            logger.debug("the view failed", exc_info=True)
        finally:
            self._alive = False
            self._heard.clear()
            self._report_written.set()
            self._page_shown.set()
            if self._page is not None:
                self._page.close()

    def _open(self) -> None:
        if self._address is not None:
            from bokeh_vis.live_page import LivePage  # bokeh takes half a second to import: not on the run's thread

            self._page = LivePage(self._address, self._warn, goes_on=self._goes_on)
        self._report_due = time.monotonic() + REPORT_INTERVAL

    @property
    def _run_is_over(self) -> bool:
        return self._run.finished is not None or self._run.failed is not None

    def _turn(self) -> None:
        self._ending.wait(PAUSE_AFTER_END if self._run_is_over else PAUSE)
        ending = self._ending.is_set()
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
            self._is_complete = self._is_complete or (self._run_is_over and self._page.shows_all)
        if ending:
            self._page_shown.set()

    def _write_report(self) -> None:
        begin = time.monotonic()
        if self._report is not None and self._run.started is not None:
            from bokeh_vis import report

            try:
                report.write(self._run, self._report, notice=self._notice)
            except OSError as error:
                logger.warning("%s cannot be written (%s); the run goes on without it", self._report, error.strerror)
                self._report = None
        end = time.monotonic()
        self._report_due = end + max(REPORT_INTERVAL, (end - begin) / REPORT_SHARE)
        self._report_written.set()

    @property
    def _notice(self) -> str:
        taken = self._page.taken_over if self._page is not None else None
        return "" if taken is None else f"The live page was taken over by {taken!r}."

    def _warn(self, kind: str, text: str) -> None:
        """Say the first word of each kind aloud; what is repeated, or comes when the page had all, at level INFO."""
        is_known = self._is_complete if self._goes_on else bool(self.problem)
        is_news = kind not in self._said and not is_known
        logger.log(logging.WARNING if is_news else logging.INFO, "%s", text)
        self._said.add(kind)
