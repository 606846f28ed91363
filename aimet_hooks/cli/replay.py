"""``aimet-hooks replay PATH``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aimet_hooks.cli import arguments, pages


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@arguments.plugin_option
@click.option(
    "--results-dir",
    type=click.Path(path_type=Path),
    help="A new directory for the files of the plugins; none are written without it.",
)
@arguments.visualization_option
@arguments.console_option
def replay(path: Path, **given: Any) -> None:
    """Hand recorded runs to plugins as if they went on now.

    PATH is a results directory, events.jsonl, eval_scores.json or .csv, comp_ratios.json, or a pickle of AIMET.
    """
    from aimet_hooks.replaying import replay as replay_runs

    pages.say_live_page(given["visualization_url"])
    replay_runs(path, **{**given, "plugins": list(given["plugins"]) or None})
    pages.say_report(given["results_dir"])
