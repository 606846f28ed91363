"""Layers and their geometry."""

from __future__ import annotations

import pytest

from aimet_hooks.events import LayerInfo
from aimet_hooks.layers import Geometry, Layer, per_sample


def test_a_geometry_counts_its_weights_and_macs() -> None:
    geometry = Geometry(in_channels=3, out_channels=8, kernel=(3, 5), input_size=(9, 9), output_size=(7, 4), repeats=2)
    assert (geometry.weights, geometry.macs) == (3 * 8 * 15, 3 * 8 * 15 * 28 * 2)


def test_events_carry_macs_of_one_sample() -> None:
    layer = Layer(name="a", kind="Conv2d", weight_shape=(8, 3, 1, 1), macs=4800, weights=24, samples=8)
    assert layer.info == LayerInfo(kind="Conv2d", weight_shape=(8, 3, 1, 1), macs=600, weights=24)


@pytest.mark.parametrize(("macs", "samples", "expected"), [(12, 4, 3), (12, 1, 12), (9, 2, 4.5), (0, 3, 0)])
def test_macs_of_one_sample_are_an_int_wherever_that_is_exact(macs: int, samples: int, expected: float) -> None:
    found = per_sample(macs, samples)
    assert found == expected
    assert type(found) is type(expected)


def test_macs_beyond_a_floats_precision_stay_exact() -> None:
    assert per_sample(3 * (2**60 + 1), 3) == 2**60 + 1
