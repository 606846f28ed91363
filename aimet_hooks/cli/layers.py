"""``aimet-hooks layers MODEL.onnx``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aimet_hooks.cli import arguments
from aimet_hooks.cli.text_table import text_table

if TYPE_CHECKING:
    from aimet_hooks.planning import Plan, PlannedLayer


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@arguments.exploration_options
def layers(model: str, **given: Any) -> None:
    """List the layers of MODEL and what a compression would explore, without evaluating anything."""
    from aimet_hooks import plan

    found = plan(
        model,
        input_shape=given["input_shape"],
        compress_scheme=arguments.scheme_with(given["scheme"], given["multiplicity"]),
        cost_metric=given["cost_metric"],
        layer_options=arguments.layer_options(given["layer_option"]),
        num_comp_ratio_candidates=given["candidates"],
        layers_to_ignore=given["ignore"],
    )
    click.echo(_described(found))


def _described(found: Plan) -> str:
    header = ("layer", "type", "weight", "MACs", "share", "cells", "skipped because")
    rows = [_row(layer) for layer in found.layers]
    macs = sum(layer.macs for layer in found.layers)
    weights = sum(layer.weights for layer in found.layers)
    compressible = sum(layer.mac_share for layer in found.layers if layer.reason is None)
    lines = [
        text_table(header, rows, right=(3, 4, 5)),
        "",
        f"{macs:,} MACs a sample and {weights:,} weights in {len(rows)} layers; "
        f"{compressible:.1%} of the MACs can be compressed.",
        f"{sum(layer.cells for layer in found.layers)} cells in {found.evaluations} evaluations; "
        f"lowest ratio that the model can reach: {found.lowest_comp_ratio:.3f} ({found.cost_metric}).",
        *(f"Note: {note}" for note in found.notes),
    ]
    return "\n".join(lines)


def _row(layer: PlannedLayer) -> tuple[str, ...]:
    shape = "x".join(map(str, layer.weight_shape))
    share = f"{layer.mac_share:.1%}"
    return (layer.name, layer.kind, shape, f"{layer.macs:,}", share, str(layer.cells or "-"), layer.reason or "")
