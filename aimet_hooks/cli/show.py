"""``aimet-hooks show PATH``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--console", is_flag=True, default=True, help="Print it here.  [default]")
def show(path: Path, *, console: bool) -> None:
    """Show a recorded run.

    PATH is a results directory, events.jsonl, eval_scores.json or .csv, comp_ratios.json, or a pickle of AIMET.
    """
    del console  # the only view so far
    from aimet_hooks import discovery, recordings
    from aimet_hooks.errors import UsageError

    events = recordings.read(path)
    found = discovery.find().get("console")
    loaded = discovery.load(found) if found is not None else None
    if loaded is None or loaded.error is not None:
        why = "is not installed" if loaded is None else f"cannot be loaded: {loaded.error}"
        raise UsageError(f"the plugin 'console' {why}; install aimet-hooks again")
    loaded.plugin.show(events)  # type: ignore[attr-defined]
