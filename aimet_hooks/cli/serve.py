"""``aimet-hooks serve``."""

from __future__ import annotations

import getpass
import logging
import socket
from pathlib import Path
from typing import Any

import click

from aimet_hooks.cli.waiting import until_interrupted


@click.command()
@click.argument("results_root", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=5006, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--allow-websocket-origin", "origins", multiple=True, metavar="HOST:PORT",
              help="Another address under which browsers see this server; repeatable.")  # fmt: skip
def serve(results_root: Path | None, *, port: int, host: str, origins: tuple[str, ...]) -> None:
    """Serve the live page, and with RESULTS_ROOT the pages of all runs below it.

    Runs need no connection to this server to be seen under RESULTS_ROOT: their event logs are followed.
    """
    from aimet_hooks import discovery

    for name in ("bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.ERROR)
    server = discovery.plugin("bokeh").open_server(results_root, host=host, port=port, origins=origins)

    def listen() -> None:
        _say_addresses(server, results_root, host)
        server.serve()

    until_interrupted(listen)  # from the first line on, as the last one tells how to end it
    click.echo("The server has ended.", err=True)


def _say_addresses(server: Any, results_root: Path | None, host: str) -> None:
    address = server.address
    if results_root is not None:
        click.echo(f"All runs below {results_root}: {address.server}runs")
        if not results_root.exists():
            click.echo(f"note: {results_root} does not exist yet; runs are shown as soon as there are any", err=True)
    click.echo(f"Live page: {address.page}")
    click.echo(f'A run draws on it with visualization_url="{address.server}" or --visualization-url {address.server}')
    click.echo(f"From another machine: {tunnel(server.port, server.host)}")
    click.echo("Ctrl-C ends the server.")
    if not server.is_private:
        click.echo(
            f"warning: everybody who reaches {host}:{server.port} can see and rewrite the pages; listen at 127.0.0.1 "
            "and use an ssh tunnel, or sign sessions (BOKEH_SIGN_SESSIONS=yes, BOKEH_SECRET_KEY)",
            err=True,
        )


def tunnel(port: int, host: str = "127.0.0.1") -> str:
    """What another machine has to run to see a server of this one under the address 127.0.0.1."""
    return f"ssh -L {port}:{host}:{port} {_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # in a container the user may have no name
        return "USER"
