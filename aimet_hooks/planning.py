"""What a compression would do, without evaluating anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aimet_hooks import options, own_costs, preflight
from aimet_hooks.adapters import SessionSettings, adapt
from aimet_hooks.layer_options import by_pattern
from aimet_hooks.schemes import scheme_of
from aimet_hooks.score_table import ScoreTable
from aimet_hooks.search_space import SearchSpace
from aimet_hooks.strategies import GreedySelection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aimet_hooks.layer_options import LayerOptions
    from aimet_hooks.layers import Layer
    from aimet_hooks.own_costs import CostMetric
    from aimet_hooks.schemes import SvdScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLayer:
    """One layer with weights.

    Attributes:
        name: Its name.
        kind: Type of the module or operator.
        weight_shape: (out, in per group, *kernel), or (out, in).
        macs: Multiply-accumulates for one sample.
        weights: Number of weights without the bias.
        mac_share: Share of the model's MACs.
        cells: Number of cells in its row; 0 where it is skipped.
        evaluations: Number of evaluations that they take: cells of one rank share one.
        reason: Why it is skipped; None if it is not.
    """

    name: str
    kind: str
    weight_shape: tuple[int, ...]
    macs: float
    weights: int
    mac_share: float
    cells: int
    evaluations: int
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What ``compress_model`` would do.

    Attributes:
        layers: Every layer with weights, in network order.
        evaluations: Number of evaluations of the whole exploration.
        lowest_comp_ratio: Lowest ratio that the model can reach, in the cost metric.
        cost_metric: "mac", "memory" or "own".
        notes: What was assumed about the model.
    """

    layers: tuple[PlannedLayer, ...]
    evaluations: int
    lowest_comp_ratio: float
    cost_metric: str
    notes: tuple[str, ...]


def plan(
    model: Any,
    *,
    input_shape: Sequence[int] | None = None,
    example_inputs: Any = None,
    compress_scheme: SvdScheme | Literal["spatial_svd", "weight_svd"] = "spatial_svd",
    cost_metric: CostMetric = "mac",
    num_comp_ratio_candidates: int = 10,
    layers_to_ignore: Iterable[Any] = (),
    layer_options: Mapping[str, LayerOptions] | None = None,
) -> Plan:
    """What ``compress_model`` would explore, without evaluating anything.

    The example input is run, and every layer tried once in the model, as before an exploration.

    Args:
        model: As for ``compress_model``, like all others.
        input_shape: Shape of the input.
        example_inputs: In its place the values.
        compress_scheme: How layers are compressed.
        cost_metric: What ratios are shares of.
        num_comp_ratio_candidates: N: candidates are k / N.
        layers_to_ignore: Layers to leave alone.
        layer_options: What is asked of single layers.

    Raises:
        UsageError: An argument is wrong.
        ModelError: The model cannot be read or run.
    """
    scheme = scheme_of(compress_scheme)
    metric, asked = own_costs.cost_model(cost_metric), by_pattern(layer_options)
    candidates = GreedySelection(num_comp_ratio_candidates=num_comp_ratio_candidates).candidates
    example = options.example_input(input_shape, example_inputs)
    with adapt(model, example, SessionSettings()) as adapter:
        layers = adapter.layers()
        left_out = preflight.ignored(adapter, [layer.name for layer in layers], options.listed(layers_to_ignore))
        space = SearchSpace.of(layers, scheme, candidates, metric, asked)
        reasons = {layer.name: reason for layer, reason in preflight.try_layers(adapter, space, left_out)}
        notes = adapter.notes
    table = ScoreTable(layers, [name for name, reason in reasons.items() if reason is None], space)
    skipped = [name for name, reason in reasons.items() if reason is not None]
    total = sum(layer.macs for layer in layers)
    planned = tuple(_planned(layer, reasons[layer.name], table, total) for layer in layers)
    return Plan(
        layers=planned,
        evaluations=sum(layer.evaluations for layer in planned),
        lowest_comp_ratio=float(table.lowest_ratio()),
        cost_metric=metric.name,
        notes=(*notes, *preflight.loosened_ties(space, table.ties, skipped)),
    )


def _planned(layer: Layer, reason: str | None, table: ScoreTable, total: int) -> PlannedLayer:
    row = table.variants.get(layer.name, ())
    info = layer.info
    return PlannedLayer(
        name=layer.name,
        kind=layer.kind,
        weight_shape=layer.weight_shape,
        macs=info.macs,
        weights=layer.weights,
        mac_share=layer.macs / total if total else 0.0,
        cells=sum(len(variant.ratios) for variant in row),
        evaluations=len(row),
        reason=reason,
    )
