"""``aimet-hooks demo``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aimet_hooks.cli import arguments, pages
from aimet_hooks.cli.serve import tunnel
from aimet_hooks.cli.waiting import until_interrupted

if TYPE_CHECKING:
    import subprocess


@click.command()
@click.option("--results-dir", type=click.Path(path_type=Path), help="Where the files go.  [default: runs/<timestamp>]")
@click.option("--target", type=float, default=0.5, show_default=True, help="Share of the cost to keep.")
@click.option("--scheme", type=click.Choice(["spatial_svd", "weight_svd"]), default="spatial_svd", show_default=True)
@click.option("--serve", is_flag=True, help="Start a server for the live page, and keep it until Ctrl-C.")
@arguments.visualization_option
@arguments.console_option
def demo(**given: Any) -> None:
    """Compress a small network for handwritten digits, on its real test images."""
    from aimet_hooks.adapters import ONNX, require
    from aimet_hooks.errors import UsageError

    if given["serve"] and given["visualization_url"] is not None:
        raise UsageError("--serve starts a server of its own and excludes --visualization-url; give one of them")
    require(ONNX)
    if given["serve"]:
        _compress_and_serve(given)
    else:
        pages.say_live_page(given["visualization_url"])
        _compress(given)


def _compress_and_serve(given: dict[str, Any]) -> None:
    from aimet_hooks import discovery

    bokeh = discovery.plugin("bokeh")
    with bokeh.page_server() as (url, server):
        port = int(url.strip("/").rpartition(":")[2])
        click.echo(f"Live page: {bokeh.page_address(url)}")
        click.echo(f"From another machine, before opening the same address there: {tunnel(port)}\n")
        _compress(given | {"visualization_url": url})
        click.echo("The live page stays until Ctrl-C.", err=True)
        until_interrupted(lambda: _wait_for(server))
    click.echo("The server has ended.", err=True)


def _wait_for(server: subprocess.Popen[bytes]) -> None:
    from aimet_hooks.errors import AimetHooksError

    code = server.wait()
    raise AimetHooksError(f"the server of the live page has ended by itself (exit code {code}); run the demo again")


def _compress(given: dict[str, Any]) -> None:
    from aimet_hooks import GreedySelection, compress_model
    from aimet_hooks import demo as digits
    from aimet_hooks.adapters.onnx_graph.session_options import with_threads

    results_dir = given["results_dir"] or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    click.echo(
        "Compressing a residual network that reads handwritten digits, evaluated on 360 test images.\n"
        f"Its last layer, {digits.HEAD!r}, is left alone: cutting the 10 classes' own layer ruins the network.\n",
        err=True,
    )
    compress_model(
        digits.model_path(),
        digits.accuracy(),
        input_shape=digits.INPUT_SHAPE,
        compress_scheme=given["scheme"],
        selection=GreedySelection(target_comp_ratio=given["target"]),
        layers_to_ignore=[digits.HEAD],
        results_dir=results_dir,
        run_name="digits demo",
        visualization_url=given["visualization_url"],
        console=given["console"],
        session_options=with_threads(1),
    )
    pages.say_report(results_dir)
