"""Where the pages of a run are, in one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


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


def say_report(results_dir: Path | None) -> None:
    """Say where the page of a run is that has ended, if it was written."""
    if results_dir is not None and (results_dir / "report.html").exists():
        click.echo(f"The page of this run: {results_dir / 'report.html'}", err=True)
