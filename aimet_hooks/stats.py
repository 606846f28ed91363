"""What a compression saves, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks.cost import Cost
from aimet_hooks.layers import per_sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimet_hooks.layers import CostMetric, Layer
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
    """

    comp_ratio: float | None
    achieved_comp_ratio: float
    rank: int | None
    macs_before: float
    macs_after: float
    weights_before: int
    weights_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionStats:
    """The run in numbers.

    Attributes:
        baseline_score: Score of the original model.
        compressed_score: Score of the compressed model.
        mac_ratio: Multiply-accumulates kept, of all layers with weights.
        memory_ratio: Weights kept, of all layers with weights.
        layers: Every layer with weights by name, in network order, also those that were left alone.
    """

    baseline_score: float
    compressed_score: float
    mac_ratio: float
    memory_ratio: float
    layers: Mapping[str, LayerStats]


def layer_stats(layers: Sequence[Layer], decision: Decision, metric: CostMetric) -> dict[str, LayerStats]:
    """What a decision makes of every layer, in network order."""
    return {layer.name: _of_layer(layer, decision, metric) for layer in layers}


def model_ratio(layers: Sequence[Layer], decision: Decision, metric: CostMetric) -> float:
    """The share of the cost of all layers that a decision keeps."""
    after = sum(_after(layer, decision).of(metric) for layer in layers)
    return after / sum(layer.cost(metric) for layer in layers)


def _of_layer(layer: Layer, decision: Decision, metric: CostMetric) -> LayerStats:
    after, variant = _after(layer, decision), decision.variants.get(layer.name)
    return LayerStats(
        comp_ratio=decision.comp_ratios.get(layer.name),
        achieved_comp_ratio=after.of(metric) / layer.cost(metric) if variant else 1.0,
        rank=variant.rank if variant else None,
        macs_before=per_sample(layer.macs, layer.samples),
        macs_after=per_sample(after.macs, layer.samples),
        weights_before=layer.weights,
        weights_after=after.weights,
    )


def _after(layer: Layer, decision: Decision) -> Cost:
    variant = decision.variants.get(layer.name)
    return variant.cost if variant else Cost(layer.macs, layer.weights)
