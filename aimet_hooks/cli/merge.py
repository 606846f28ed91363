"""``aimet-hooks merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aimet_hooks.cli import arguments

if TYPE_CHECKING:
    from aimet_hooks.run_settings import ConsoleMode


@click.command()
@click.argument("runs", metavar="DIR...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new results directory.")
@arguments.plugin_option
@arguments.console_option
def merge(runs: tuple[Path, ...], into: Path, plugins: tuple[str, ...], console: ConsoleMode) -> None:
    """Join the scores of shards: `compress --resume --results-dir` with the new directory goes on to the choice."""
    from aimet_hooks.merging import merge_runs

    merged = merge_runs(runs, into, plugins=list(plugins) or None, console=console)
    rest = f"{merged.missing} are missing, and evaluated" if merged.missing else "none is missing; the choice is made"
    click.echo(f"{merged.cells} cells are in {merged.results_dir}; {rest} by compress --resume with it.")
