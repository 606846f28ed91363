"""Where the pages of a run are, in one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aimet_hooks.every_event import EveryEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState


def say_live_page(visualization_url: str | None) -> None:
    """Say what a browser opens to see a run on a server; nothing where the address is none: the run says so itself."""
    from aimet_hooks import discovery
    from aimet_hooks.errors import UsageError

    if visualization_url is None:
        return
    try:
        page = discovery.plugin("bokeh").page_address(visualization_url)
    except UsageError:
        return
    click.echo(f"Live page: {page}", err=True)


class Heard(EveryEvent):
    """A reporter that keeps the events of a run, for a page of it.

    Attributes:
        events: All events so far.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def hear(self, event: Event, run: RunState) -> None:
        """Keep it."""
        del run
        self.events.append(event)


def write_html(events: Sequence[Event], path: Path) -> None:
    """Write the page of a recorded run, and say where it is.

    Raises:
        ResultsDirError: If the file cannot be written.
        UsageError: If the plugin that draws it is not installed.
    """
    from aimet_hooks import discovery
    from aimet_hooks.errors import ResultsDirError

    try:
        discovery.plugin("bokeh").write_report(events, path)
    except OSError as error:
        raise ResultsDirError(f"--html {str(path)!r} cannot be written ({error.strerror or error})") from error
    click.echo(f"The page is in {path}.")


def say_report(results_dir: Path | None) -> None:
    """Say where the page of a run is that has ended, if it was written."""
    if results_dir is not None and (results_dir / "report.html").exists():
        click.echo(f"The page of this run: {results_dir / 'report.html'}", err=True)
