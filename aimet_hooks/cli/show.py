"""``aimet-hooks show PATH``."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aimet_hooks.cli import arguments, pages
from aimet_hooks.cli.waiting import until_interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.events import Event


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--console", is_flag=True, help="Print it here: the default.")
@arguments.visualization_option
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a page in one file."
)
def show(path: Path, *, console: bool, visualization_url: str | None, html: Path | None) -> None:
    """Show a recorded run.

    PATH is a results directory, events.jsonl, eval_scores.json or .csv, comp_ratios.json, or a pickle of AIMET.
    """
    from aimet_hooks import discovery, recordings
    from aimet_hooks.errors import UsageError

    if console + (visualization_url is not None) + (html is not None) > 1:
        raise UsageError("--console, --visualization-url and --html exclude one another; give one of them")
    events = recordings.read(path)
    if visualization_url is not None:
        _show_live(events, visualization_url)
    elif html is not None:
        pages.write_html(events, html)
    else:
        discovery.plugin("console").show(events)


def _show_live(events: Sequence[Event], url: str) -> None:
    """Show it on a server; on a terminal stay, because a plain server drops a page that nobody holds."""
    from aimet_hooks import discovery

    with discovery.plugin("bokeh").open_display(url) as display:
        display.show(events)
        click.echo(f"The page is at {display.page}")
        if sys.stdin.isatty() and sys.stderr.isatty():
            click.echo("It stays until Ctrl-C.", err=True)
            until_interrupted(threading.Event().wait)
            click.echo(err=True)
        else:
            click.echo(
                "A plain Bokeh server keeps it as long as a tab is open, and 15 s longer; aimet-hooks serve keeps it.",
                err=True,
            )
