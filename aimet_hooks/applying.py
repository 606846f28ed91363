"""Compress a model to given ratios without evaluating anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aimet_hooks import options, own_costs, preflight
from aimet_hooks import stats as statistics
from aimet_hooks.adapters import SessionSettings, adapt
from aimet_hooks.cost import MAC, MEMORY
from aimet_hooks.layer_options import by_pattern
from aimet_hooks.prepared_layers import PreparedLayers
from aimet_hooks.schemes import scheme_of
from aimet_hooks.score_table import ScoreTable
from aimet_hooks.search_space import SearchSpace
from aimet_hooks.strategies import ManualSelection

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from aimet_hooks.layer_options import LayerOptions
    from aimet_hooks.own_costs import CostMetric
    from aimet_hooks.schemes import SvdScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRatios:
    """A model that was compressed to given ratios.

    Attributes:
        model: The native model.
        mac_ratio: Multiply-accumulates kept, of all layers with weights.
        memory_ratio: Weights kept, of all layers with weights.
        cost_ratio: Cost kept in the cost metric, of all layers with weights.
        compressed: Names of the compressed layers, in network order.
    """

    model: Any
    mac_ratio: float
    memory_ratio: float
    cost_ratio: float
    compressed: tuple[str, ...]


def apply_ratios(
    model: Any,
    comp_ratios: Mapping[str, float | None] | str | os.PathLike[str],
    *,
    input_shape: Sequence[int] | None = None,
    example_inputs: Any = None,
    compress_scheme: SvdScheme | Literal["spatial_svd", "weight_svd"] = "spatial_svd",
    cost_metric: CostMetric = "mac",
    layer_options: Mapping[str, LayerOptions] | None = None,
) -> AppliedRatios:
    """Compress a model to given ratios; every layer that is compressed is tried in it first.

    Args:
        model: As for ``compress_model``, like all others.
        comp_ratios: {layer: ratio, or None to leave it alone}, or the path of a file with it.
        input_shape: Shape of the input.
        example_inputs: In its place the values.
        compress_scheme: How layers are compressed: as in the run that the ratios come from.
        cost_metric: What the ratios are shares of: as there.
        layer_options: What is asked of single layers: as there, at least their multiplicity.

    Raises:
        UsageError: An argument is wrong, or a layer cannot be compressed so.
        ModelError: The model cannot be read or run.
        RecordingError: The file cannot be read.
    """
    chosen = ManualSelection(comp_ratios)
    scheme, metric = scheme_of(compress_scheme), own_costs.cost_model(cost_metric)
    asked = by_pattern(layer_options)
    with adapt(model, options.example_input(input_shape, example_inputs), SessionSettings()) as adapter:
        layers = adapter.layers()
        chosen.known_scores([layer.name for layer in layers], scheme.name)
        others = {layer.name: "" for layer in layers if chosen.ratios.get(layer.name) is None}
        space = SearchSpace.of(layers, scheme, chosen.candidates, metric, asked)
        tried = dict(preflight.try_layers(adapter, space, others))
        skipped = {layer.name: reason for layer, reason in tried.items() if reason}
        rows = [layer.name for layer in layers if layer.name not in others and layer.name not in skipped]
        table = ScoreTable(layers, rows, space)
        chosen.check(table, skipped)
        decision = chosen.choose(table, baseline=0.0, higher_is_better=True)
        prepared, build = PreparedLayers(adapter, scheme, chosen.highest_ranks(table)), adapter.begin_build()
        for name, variant in decision.variants.items():
            build.replace(name, prepared.at(name, variant.rank))
        return AppliedRatios(
            model=build.model,
            mac_ratio=statistics.model_ratio(layers, decision, MAC),
            memory_ratio=statistics.model_ratio(layers, decision, MEMORY),
            cost_ratio=statistics.model_ratio(layers, decision, metric),
            compressed=tuple(decision.variants),
        )
