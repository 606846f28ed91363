"""What a scheme takes, to which ranks, and what it says of layers that it does not take."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from aimet_hooks import SpatialSvd, WeightSvd, schemes
from aimet_hooks.cost import MAC, MEMORY
from aimet_hooks.errors import UsageError
from aimet_hooks.layers import Geometry, Layer
from aimet_hooks.schemes import SvdScheme

NINE = [Fraction(k, 10) for k in range(1, 10)]


def layer(
    channels: tuple[int, int] = (16, 32), kernel: tuple[int, ...] = (3, 3), size: int = 8, **changed: Any
) -> Layer:
    geometry = Geometry(
        in_channels=channels[0],
        out_channels=channels[1],
        kernel=kernel,
        input_size=(size,) * len(kernel),
        output_size=(size,) * len(kernel),
        repeats=1,
    )
    described = Layer(
        name="conv",
        kind="Conv2d" if kernel else "Linear",
        weight_shape=(channels[1], channels[0], *kernel),
        macs=geometry.macs,
        weights=geometry.weights,
        samples=1,
        geometry=geometry,
    )
    return dataclasses.replace(described, **changed)


@pytest.mark.parametrize("scheme", [SpatialSvd(), WeightSvd()])
def test_a_convolution_is_taken(scheme: SvdScheme) -> None:
    assert scheme.reason_against(layer(), MAC) is None
    assert scheme.reason_against(layer(kernel=(5,)), MEMORY) is None


def test_linear_layers_are_for_weight_svd() -> None:
    assert WeightSvd().reason_against(layer(kernel=()), MAC) is None
    assert SpatialSvd().reason_against(layer(kernel=()), MAC) == (
        "spatial SVD takes convolutions only; use compress_scheme=WeightSvd() for linear layers"
    )


@pytest.mark.parametrize("scheme", [SpatialSvd(), WeightSvd()])
def test_the_adapters_reason_comes_first(scheme: SvdScheme) -> None:
    depthwise = layer(reason="depthwise convolution (groups=16)", geometry=None)
    assert scheme.reason_against(depthwise, MAC) == "depthwise convolution (groups=16)"
    assert scheme.reason_against(layer(kind="LSTM", geometry=None), MAC) == "LSTM is not supported"


def test_a_layer_whose_rank_1_saves_nothing_is_left_alone() -> None:
    thin = layer((1, 4), (1, 1))
    assert SpatialSvd().reason_against(thin, MAC) == "its rank 1 costs 320 MACs, not less than the layer's own 256"
    assert WeightSvd().reason_against(thin, MEMORY) == "its rank 1 costs 5 weights, not less than the layer's own 4"
    even = layer((2, 2), (1, 1))
    assert SpatialSvd().reason_against(even, MEMORY) == "its rank 1 costs 4 weights, not less than the layer's own 4"


def test_every_ratio_of_a_wide_layer_is_a_rank_of_its_own() -> None:
    found = SpatialSvd().variants(layer((64, 64)), NINE, MAC)
    assert [variant.ratios for variant in found] == [(k / 10,) for k in range(1, 10)]
    assert [variant.rank for variant in found] == [9, 19, 28, 38, 48, 57, 67, 76, 86]  # 64 * 64 * 9 / (2 * 64 * 3) = 96
    assert [variant.cost.weights for variant in found] == [384 * variant.rank for variant in found]


def test_ratios_of_one_rank_are_one_variant() -> None:
    found = SpatialSvd().variants(layer((4, 4), (1, 1)), NINE, MAC)  # rank 2 costs the layer
    assert [(variant.rank, variant.ratios) for variant in found] == [(1, tuple(k / 10 for k in range(1, 10)))]


def test_a_multiplicity_leaves_only_distinct_ranks_that_save_something() -> None:
    found = SpatialSvd(multiplicity=32).variants(layer((64, 64)), NINE, MAC)
    assert [variant.rank for variant in found] == [32, 64]
    assert [len(variant.ratios) for variant in found] == [3, 3]  # 0.7 and above round to 96, which saves nothing
    assert SpatialSvd(multiplicity=128).variants(layer((64, 64)), NINE, MAC) == ()


def test_the_order_of_the_ratios_does_not_matter() -> None:
    assert WeightSvd().variants(layer(), NINE[::-1], MAC) == WeightSvd().variants(layer(), NINE, MAC)


def test_both_metrics_have_ranks_of_their_own() -> None:
    strided = layer((16, 16))
    assert strided.geometry is not None
    geometry = dataclasses.replace(strided.geometry, output_size=(4, 4))
    strided = dataclasses.replace(strided, geometry=geometry, macs=geometry.macs)
    half = [Fraction(1, 2)]
    by_macs, by_weights = (WeightSvd().variants(strided, half, metric)[0] for metric in (MAC, MEMORY))
    assert (by_macs.rank, by_weights.rank) == (5, 7)  # the first factor works at four times the positions


@pytest.mark.parametrize("scheme", [SpatialSvd(), WeightSvd()])
def test_what_is_prepared_has_the_shapes_that_were_tried(scheme: SvdScheme) -> None:
    conv = layer()
    tried = scheme.trial(conv)
    made = scheme.prepare(np.ones(conv.weight_shape, np.float32), 3).at(1)
    assert tried.first.weight.shape == made.first.weight.shape
    assert tried.second.weight.shape == made.second.weight.shape
    assert not tried.first.weight.any()


def test_a_layer_that_cannot_be_replaced_has_no_variants() -> None:
    with pytest.raises(UsageError, match=r"layer 'conv' \(GRU\) cannot be replaced: GRU is not supported"):
        SpatialSvd().variants(layer(kind="GRU", geometry=None, reason="GRU is not supported"), NINE, MAC)


@pytest.mark.parametrize("multiplicity", [0, -8, 1.0, True, "8", None])
def test_a_multiplicity_is_a_positive_integer(multiplicity: Any) -> None:
    with pytest.raises(UsageError, match=r"multiplicity is .*; give an integer of at least 1, as multiplicity=8"):
        SpatialSvd(multiplicity=multiplicity)


def test_a_scheme_is_given_as_an_object_or_by_name() -> None:
    mine = SpatialSvd(multiplicity=8)
    assert schemes.scheme_of(mine) is mine
    assert schemes.scheme_of("spatial_svd") == SpatialSvd()
    assert schemes.scheme_of("weight_svd") == WeightSvd()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("spatial-svd", "compress_scheme 'spatial-svd' is no scheme; the nearest are 'spatial_svd'"),
        ("svd", "compress_scheme 'svd' is no scheme; "),
        (None, "compress_scheme None is no scheme; there are 'spatial_svd', 'weight_svd'"),
        (SpatialSvd, r"compress_scheme is the class SpatialSvd; give an instance: SpatialSvd\(\)"),
        ("channel_pruning", "compress_scheme 'channel_pruning' arrives later; use 'spatial_svd' or 'weight_svd'"),
        (SvdScheme(), "is no scheme"),
    ],
)
def test_anything_else_is_no_scheme(value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        schemes.scheme_of(value)
