"""Keep the panel of a run on the terminal: a thread draws it, hooks only change the state."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.panel import Panel as Frame
from rich.text import Text

from aimet_hooks.events import Event, RunStarted
from console_vis.glyphs import glyphs_for
from console_vis.names import shorten
from console_vis.output import encodable
from console_vis.panel import Panel
from console_vis.terminal_lines import TerminalLines
from console_vis.watched_run import WatchedRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from aimet_hooks.run_state import RunState

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 0.125
MOST_WORK = 0.05
"""Share of the time that the thread may draw: a large panel is drawn less often."""

BORDER = 2
PADDING = 2


class LivePanel:
    """The panel of one run, from its first event until ``stop``.

    Args:
        console: The terminal.
        clock: Seconds since the epoch, as the events' times are.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._glyphs = glyphs_for(console.encoding)
        self._watched = WatchedRun()
        self._lock = threading.Lock()  # of the state: held for an event, and while lines are made
        self._changes = 0
        self._behind = 0.0  # seconds from an event to when it was heard: years in a replay
        self._drawn: tuple[int, int] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._live: Live | None = None
        self._lines_above = TerminalLines(console)

    def hear(self, event: Event, run: RunState) -> None:  # noqa: ARG002 -- the drawing thread needs a state of its own
        """Take in one event; it is drawn within an eighth of a second."""
        with self._lock:
            self._watched.apply(event)
            self._changes += 1
            self._behind = max(0.0, self._clock() - event.time)
        if isinstance(event, RunStarted) and self._live is None:
            self._start()

    def stop(self, *, keep: bool) -> None:
        """Give the terminal back as it was.

        Args:
            keep: Whether the last picture stays on the screen.
        """
        live, self._live = self._live, None
        if live is None:
            return
        atexit.unregister(self._give_back)
        self._stopping.set()
        try:
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join()
        finally:
            live.transient = not keep
            try:
                live.stop()
            finally:
                self._lines_above.stop()

    def picture(self) -> RenderableType:
        """The panel as it is now, in a frame that fits the terminal."""
        size = self._console.size
        colours = self._console.color_system is not None and not self._console.no_color
        with self._lock:
            self._drawn = (self._changes, int(self._clock()))
            panel = Panel(self._watched, self._glyphs, colours=colours, now=self._clock() - self._behind)
            width = panel.width(size.width - BORDER - PADDING)
            title = shorten(panel.title(), width - 2, self._glyphs.ellipsis)
            elapsed = panel.elapsed()
            lines = panel.lines(width, size.height - 1 - BORDER)
        for line in lines:
            line.no_wrap = True
            line.truncate(width, overflow="crop")
        shown = [encodable(line, self._console.encoding) for line in lines]
        return Frame(
            Group(*shown),
            title=encodable(Text(title, "bold"), self._console.encoding),
            title_align="left",
            subtitle=Text(elapsed),
            subtitle_align="right",
            border_style="dim",
            width=width + BORDER + PADDING,
        )

    def _start(self) -> None:
        self._live = Live(
            console=self._console,
            get_renderable=self.picture,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        atexit.register(self._give_back)
        try:
            self._lines_above.start()
            self._live.start(refresh=True)
            self._thread = threading.Thread(target=self._draw, args=(self._live,), name="console_vis", daemon=True)
            self._thread.start()
        except BaseException:
            self.stop(keep=True)
            raise

    def _draw(self, live: Live) -> None:
        pause = REFRESH_SECONDS
        while not self._stopping.wait(pause):
            begin = time.thread_time()
            try:
                if self._drawn != (self._changes, int(self._clock())):
                    live.refresh()
            except Exception as error:  # the terminal is gone or cannot show it: the run goes on
                self._give_up(error)
                return
            pause = max(REFRESH_SECONDS, (time.thread_time() - begin) / MOST_WORK)

    def _give_up(self, error: Exception) -> None:
        with contextlib.suppress(Exception):
            self.stop(keep=True)
        logger.warning("the live panel cannot be drawn any more (%s: %s)", type(error).__name__, error)

    def _give_back(self) -> None:
        """At the exit of the process, where a second interrupt has kept the run from telling its end."""
        self.stop(keep=True)
