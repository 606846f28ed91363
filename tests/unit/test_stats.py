"""What a decision saves, layer by layer and for the model."""

from __future__ import annotations

from fractions import Fraction

import pytest

from aimet_hooks import SpatialSvd, stats
from aimet_hooks.cost import MAC, MEMORY
from aimet_hooks.stats import LayerStats
from aimet_hooks.strategies import Decision
from tests.unit.test_schemes import layer

CONV = layer((64, 64), name="conv", samples=4)
LEFT = layer(name="left")
GROUPED = layer(name="grouped", geometry=None, reason="grouped")
VARIANT = SpatialSvd().variants(CONV, [Fraction(1, 2)], MAC)[0]
DECISION = Decision({"conv": 0.5, "left": None}, {"conv": VARIANT})


def test_every_layer_is_told_in_network_order() -> None:
    assert list(stats.layer_stats([LEFT, CONV, GROUPED], DECISION, MAC)) == ["left", "conv", "grouped"]


def test_a_compressed_layer_has_its_rank_and_costs_for_one_sample() -> None:
    assert stats.layer_stats([CONV], DECISION, MAC)["conv"] == LayerStats(
        comp_ratio=0.5,
        achieved_comp_ratio=0.5,
        rank=48,
        macs_before=64 * 64 * 9 * 64 // 4,
        macs_after=48 * 128 * 3 * 64 // 4,
        weights_before=64 * 64 * 9,
        weights_after=48 * 128 * 3,
    )


@pytest.mark.parametrize("untouched", [LEFT, GROUPED])
def test_a_layer_that_is_left_alone_keeps_its_costs(untouched: object) -> None:
    found = stats.layer_stats([untouched], DECISION, MAC)  # type: ignore[list-item]
    (kept,) = found.values()
    assert (kept.comp_ratio, kept.rank, kept.achieved_comp_ratio) == (None, None, 1.0)
    assert (kept.macs_after, kept.weights_after) == (kept.macs_before, kept.weights_before)


def test_the_models_ratio_counts_every_layer() -> None:
    saved = CONV.weights - VARIANT.cost.weights
    whole = CONV.weights + LEFT.weights + GROUPED.weights
    assert stats.model_ratio([CONV, LEFT, GROUPED], DECISION, MEMORY) == (whole - saved) / whole
