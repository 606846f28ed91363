"""What a compression saves, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from aimet_hooks.cost import MAC, MEMORY
from aimet_hooks.layers import per_sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimet_hooks.cost import Amount, CostModel
    from aimet_hooks.layers import Layer
    from aimet_hooks.schemes import Variant
    from aimet_hooks.strategies import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStats:
    """What became of one layer.

    Attributes:
        comp_ratio: Ratio that was chosen, None: left alone.
        achieved_comp_ratio: Ratio that its rank keeps, in the run's cost metric; 1 where it was left alone.
        rank: Rank of the two factors, None: left alone.
        macs_before: Multiply-accumulates for one sample, before.
        macs_after: The same, after.
        weights_before: Number of weights without the bias, before.
        weights_after: The same, after.
        cost_after: What it costs after, where costs are the user's own; else None.
    """

    comp_ratio: float | None
    achieved_comp_ratio: float
    rank: int | None
    macs_before: float
    macs_after: float
    weights_before: int
    weights_after: int
    cost_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionStats:
    """The run in numbers.

    Attributes:
        baseline_score: Score of the original model.
        compressed_score: Score of the compressed model.
        mac_ratio: Multiply-accumulates kept, of all layers with weights.
        memory_ratio: Weights kept, of all layers with weights.
        cost_ratio: Cost kept in the run's cost metric, of all layers with weights.
        layers: Every layer with weights by name, in network order, also those that were left alone.
    """

    baseline_score: float
    compressed_score: float
    mac_ratio: float
    memory_ratio: float
    cost_ratio: float
    layers: Mapping[str, LayerStats]


def layer_stats(layers: Sequence[Layer], decision: Decision, metric: CostModel) -> dict[str, LayerStats]:
    """What a decision makes of every layer, in network order."""
    return {layer.name: _of_layer(layer, decision, metric) for layer in layers}


def model_ratio(layers: Sequence[Layer], decision: Decision, metric: CostModel) -> float:
    """The share of the cost of all layers that a decision keeps."""
    after = sum(_after(layer, decision.variants.get(layer.name), metric) for layer in layers)
    return float(after / Fraction(sum(metric.of_layer(layer) for layer in layers)))


def achieved_ratio(layer: Layer, variant: Variant | None, metric: CostModel) -> float:
    """The share of a layer's cost that a variant keeps; 1 where it is left alone."""
    return 1.0 if variant is None else float(_after(layer, variant, metric) / Fraction(metric.of_layer(layer)))


def _of_layer(layer: Layer, decision: Decision, metric: CostModel) -> LayerStats:
    variant = decision.variants.get(layer.name)
    return LayerStats(
        comp_ratio=decision.comp_ratios.get(layer.name),
        achieved_comp_ratio=achieved_ratio(layer, variant, metric),
        rank=variant.rank if variant else None,
        macs_before=per_sample(layer.macs, layer.samples),
        macs_after=per_sample(int(_after(layer, variant, MAC)), layer.samples),
        weights_before=layer.weights,
        weights_after=int(_after(layer, variant, MEMORY)),
        cost_after=metric.recorded(_after(layer, variant, metric)),
    )


def _after(layer: Layer, variant: Variant | None, metric: CostModel) -> Amount:
    return metric.of_layer(layer) if variant is None else metric.of_rank(layer, variant.rank, variant.cost)
