"""``aimet-hooks plugins``."""

from __future__ import annotations

import click

from aimet_hooks.cli.text_table import text_table


@click.command()
def plugins() -> None:
    """List the plugins that are installed, with their hooks, and whether a run loads them."""
    from aimet_hooks import discovery

    rows = []
    installed = discovery.find()
    selected = discovery.default_names(installed)
    for found in installed.values():
        loaded = discovery.load(found)
        if loaded.error is not None:
            state = f"no: {type(loaded.error).__name__}: {' '.join(str(loaded.error).split())}"
        elif found.name not in selected:
            state = f"no: not chosen by {discovery.PLUGINS_VARIABLE} or {discovery.DISABLE_VARIABLE}"
        else:
            state = "yes"
        rows.append((found.name, found.distribution, found.version, ", ".join(loaded.hooks) or "-", state))
    click.echo(text_table(("name", "distribution", "version", "hooks", "loaded"), rows))
