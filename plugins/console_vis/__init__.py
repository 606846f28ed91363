"""Show runs in a terminal or a log file: progress on stderr, the result on stdout.

On a terminal a live panel with the table of scores filling up, elsewhere plain lines without control characters. This
package is reached through the entry point ``console`` only; what draws is imported when there is something to draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from aimet_hooks.events import Event
    from aimet_hooks.run_settings import RunSettings

__all__ = ["create_reporter", "show"]


@hookimpl
def create_reporter(settings: RunSettings) -> object | None:
    """A reporter for the run that begins; None where the console is to stay silent."""
    if settings.console == "off":
        return None
    from console_vis.reporter import ConsoleReporter

    return ConsoleReporter(console=settings.console, results_dir=settings.results_dir)


def show(events: Iterable[Event], *, stdout: Console | None = None) -> None:
    """Print what is known of a recorded run, as the run itself prints its result.

    Args:
        events: A run that finished, failed or never ended, or a table or choice of which nothing else is known.
        stdout: Where to print; standard output by default.
    """
    from aimet_hooks.run_state import RunState
    from console_vis.output import Output, stdout_console
    from console_vis.summary import summarize

    run = RunState()
    for event in events:
        run.apply(event)
    output = Output(stdout or stdout_console())
    output.print(summarize(run, width=output.width, colours=output.has_colours))
