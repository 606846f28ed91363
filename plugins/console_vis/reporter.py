"""Hear a run and show it: progress on stderr while it goes on, its result on stdout when it has ended."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Protocol

from rich.text import Text

from aimet_hooks import event_log, hookimpl
from aimet_hooks.every_event import EveryEvent
from aimet_hooks.presentation import wording
from aimet_hooks.presentation.text import clean
from console_vis.live_panel import LivePanel
from console_vis.output import Output, stderr_console, stdout_console
from console_vis.plain_lines import PlainLines
from console_vis.score_colours import FAILED_STYLE
from console_vis.summary import summarize
from console_vis.terminal_lines import LineStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from aimet_hooks import events
    from aimet_hooks.run_settings import ConsoleMode
    from aimet_hooks.run_state import RunState


class Progress(Protocol):
    """What shows a run while it goes on."""

    def hear(self, event: events.Event, run: RunState) -> None:
        """Take in one event."""

    def stop(self, *, keep: bool) -> None:
        """End the display; ``keep``: what is on the screen stays there."""


class ConsoleReporter(EveryEvent):
    """Shows one run.

    Args:
        console: "auto": the panel if stderr is a terminal, plain lines otherwise; "on": always the panel.
        results_dir: Where the run writes its files, None if it writes none.
        stdout: For the result; standard output by default.
        stderr: For the progress; standard error by default.
        clock: Seconds since the epoch, for what is shown between two events.
    """

    def __init__(
        self,
        *,
        console: ConsoleMode = "auto",
        results_dir: Path | None = None,
        stdout: Console | None = None,
        stderr: Console | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        progress = stderr or stderr_console(always_terminal=console == "on")
        self._results = Output(stdout or stdout_console())
        self._messages = Output(progress)
        self._results_dir = results_dir
        shows_panel = console == "on" or (progress.is_terminal and _can_be_drawn_on())
        self._progress: Progress = LivePanel(progress, clock) if shows_panel else PlainLines(self._messages, clock)

    def hear(self, event: events.Event, run: RunState) -> None:
        """Show one step."""
        self._progress.hear(event, run)

    @hookimpl
    def on_run_finished(self, event: events.RunFinished, run: RunState) -> None:
        """Print the result."""
        self._show_result(event, run)

    @hookimpl
    def on_analysis_finished(self, event: events.AnalysisFinished, run: RunState) -> None:
        """Print what was found."""
        self._show_result(event, run)

    def _show_result(self, event: events.Event, run: RunState) -> None:
        results = self._results
        directory = None if self._results_dir is None else str(self._results_dir)
        try:
            self._progress.hear(event, run)
            self._progress.stop(keep=not results.is_terminal)
        finally:
            results.print(summarize(run, width=results.width, colours=results.has_colours, results_dir=directory))

    @hookimpl
    def on_run_failed(self, event: events.RunFailed, run: RunState) -> None:
        """Give the terminal back and say where the run ended and what is not lost; why, the exception itself says."""
        self._progress.hear(event, run)
        self._progress.stop(keep=True)
        line = wording.ending(event)
        if self._results_dir is not None and run.total:
            log = clean(str(self._results_dir / event_log.FILE_NAME))
            line += f"; {wording.cells(run.completed, run.total)} are safe in {log}, resume=True (--resume) goes on"
        self._messages.print([Text(line, FAILED_STYLE)])


def _can_be_drawn_on() -> bool:
    """Whether nobody else draws there: neither another run of this process nor a live display of rich's."""
    drawn_on = isinstance(sys.stderr, LineStream) or hasattr(sys.stderr, "rich_proxied_file")
    return not drawn_on and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
