"""``aimet-hooks demo``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from aimet_hooks.cli import arguments


@click.command()
@click.option("--results-dir", type=click.Path(path_type=Path), help="Where the files go.  [default: runs/<timestamp>]")
@click.option("--target", type=float, default=0.5, show_default=True, help="Share of the cost to keep.")
@click.option("--scheme", type=click.Choice(["spatial_svd", "weight_svd"]), default="spatial_svd", show_default=True)
@arguments.visualization_option
@arguments.console_option
def demo(**given: Any) -> None:
    """Compress a small network for handwritten digits, on its real test images."""
    from aimet_hooks import GreedySelection, compress_model
    from aimet_hooks import demo as digits
    from aimet_hooks.adapters import ONNX, require

    require(ONNX)
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
