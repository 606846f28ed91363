"""Costs of a layer and of its factors, against examples counted by hand and positions counted one by one."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest

from aimet_hooks import cost
from aimet_hooks.cost import Cost
from aimet_hooks.layers import Geometry
from tests.unit.test_schemes import layer

SPATIAL, WEIGHT = (0,), ()


def geometry(
    channels: tuple[int, int],
    kernel: tuple[int, ...],
    input_size: tuple[int, ...],
    output_size: tuple[int, ...],
    repeats: int = 1,
) -> Geometry:
    return Geometry(
        in_channels=channels[0],
        out_channels=channels[1],
        kernel=kernel,
        input_size=input_size,
        output_size=output_size,
        repeats=repeats,
    )


STRIDED = geometry((16, 32), (3, 5), (28, 30), (14, 10))  # stride (2, 3), padding (1, 2)


def test_a_convolution_costs_its_weights_at_every_output_position() -> None:
    assert Cost(STRIDED.macs, STRIDED.weights) == Cost(macs=16 * 32 * 15 * 14 * 10, weights=16 * 32 * 15)


def test_spatial_svd_counts_the_first_factor_at_its_own_output_width() -> None:
    # (3 x 1), stride (2, 1): 14 x 30 positions; then (1 x 5), stride (1, 3): 14 x 10
    expected = 7 * 16 * 3 * 14 * 30 + 7 * 32 * 5 * 14 * 10
    assert cost.factored_cost(STRIDED, SPATIAL, 7) == Cost(macs=expected, weights=7 * (16 * 3 + 32 * 5))


def test_weight_svd_counts_the_first_factor_at_the_input_resolution() -> None:
    expected = 7 * 16 * 28 * 30 + 7 * 32 * 15 * 14 * 10
    assert cost.factored_cost(STRIDED, WEIGHT, 7) == Cost(macs=expected, weights=7 * (16 + 32 * 15))


def test_a_batch_multiplies_macs_but_not_weights() -> None:
    batch = geometry((16, 32), (3, 5), (28, 30), (14, 10), repeats=8)
    single = cost.factored_cost(STRIDED, SPATIAL, 3)
    assert cost.factored_cost(batch, SPATIAL, 3) == Cost(macs=8 * single.macs, weights=single.weights)


def test_a_one_dimensional_convolution_has_its_kernel_on_one_factor() -> None:
    conv1d = geometry((4, 6), (5,), (50,), (25,))
    assert cost.factored_cost(conv1d, SPATIAL, 2) == Cost(macs=2 * 4 * 5 * 25 + 2 * 6 * 25, weights=2 * 4 * 5 + 2 * 6)
    assert cost.factored_cost(conv1d, WEIGHT, 2) == Cost(macs=2 * 4 * 50 + 2 * 6 * 5 * 25, weights=2 * 4 + 2 * 6 * 5)


def test_a_pointwise_convolution_is_the_same_for_both_schemes_without_a_stride() -> None:
    pointwise = geometry((8, 12), (1, 1), (7, 7), (7, 7))
    expected = Cost(macs=3 * (8 + 12) * 49, weights=3 * (8 + 12))
    assert cost.factored_cost(pointwise, SPATIAL, 3) == expected
    assert cost.factored_cost(pointwise, WEIGHT, 3) == expected


def test_a_strided_pointwise_convolution_of_spatial_svd_strides_the_height_first() -> None:
    pointwise = geometry((8, 12), (1, 1), (8, 8), (4, 4))
    assert cost.factored_cost(pointwise, SPATIAL, 3).macs == 3 * 8 * 4 * 8 + 3 * 12 * 4 * 4


def test_a_linear_layer_works_once_for_every_leading_position() -> None:
    linear = geometry((64, 10), (), (), (), repeats=2 * 7)
    assert Cost(linear.macs, linear.weights) == Cost(macs=64 * 10 * 14, weights=640)
    assert cost.factored_cost(linear, WEIGHT, 4) == Cost(macs=4 * 74 * 14, weights=4 * 74)


def test_costs_agree_with_counting_every_multiplication() -> None:
    small = geometry((2, 3), (3, 2), (6, 7), (3, 4))
    for axes, rank in product((SPATIAL, WEIGHT), (1, 2, 4)):
        assert cost.factored_cost(small, axes, rank).macs == _counted(small, axes, rank)


def _counted(layer: Geometry, first_axes: tuple[int, ...], rank: int) -> int:
    """One by one: output channel, input channel, output position and kernel position of both factors."""
    between = [layer.output_size[axis] if axis in first_axes else layer.input_size[axis] for axis in (0, 1)]
    first_kernel = [layer.kernel[axis] if axis in first_axes else 1 for axis in (0, 1)]
    second_kernel = [1 if axis in first_axes else layer.kernel[axis] for axis in (0, 1)]
    first = product(range(rank), range(layer.in_channels), *map(range, (*between, *first_kernel)))
    second = product(range(layer.out_channels), range(rank), *map(range, (*layer.output_size, *second_kernel)))
    return sum(1 for _ in first) + sum(1 for _ in second)


@pytest.mark.parametrize(
    ("kernel", "axes", "highest"),
    [((3, 5), SPATIAL, min(4 * 3, 6 * 5)), ((3, 5), WEIGHT, 4), ((5,), SPATIAL, 6), ((5,), WEIGHT, 4), ((), WEIGHT, 4)],
)
def test_the_highest_rank_is_the_smaller_side_of_the_matrix(
    kernel: tuple[int, ...], axes: tuple[int, ...], highest: int
) -> None:
    size = tuple(9 for _ in kernel)
    assert cost.full_rank(geometry((4, 6), kernel, size, size), axes) == highest


def test_a_metric_picks_one_of_the_two_numbers() -> None:
    counted = Cost(macs=5, weights=3)
    assert [model.of_rank(layer(), 1, counted) for model in (cost.MAC, cost.MEMORY)] == [5, 3]


def test_seven_tenths_is_rank_21_where_floats_give_20() -> None:
    layer = geometry((11, 110), (3, 3), (8, 8), (8, 8))
    original, one = layer.weights, cost.factored_cost(layer, SPATIAL, 1).weights
    assert int(0.7 * original / one) == 20
    assert cost.rank_for(Fraction(7, 10), cost_of_rank_1=one, cost_of_layer=original, full=33) == 21


@pytest.mark.parametrize(
    ("ratio", "multiplicity", "rank"),
    [
        (Fraction(1, 100), 1, 1),  # never below 1
        (Fraction(1, 2), 1, 14),
        (Fraction(1, 2), 8, 16),  # up to the next multiple
        (Fraction(4, 5), 8, 24),  # a multiple stays
        (Fraction(9, 10), 8, 29),  # the next, 32, costs more than the layer; 29 is the largest that does not
        (Fraction(1, 100), 64, 29),
    ],
)
def test_ranks_are_rounded_up_to_a_multiple_that_costs_no_more_than_the_layer(
    ratio: Fraction, multiplicity: int, rank: int
) -> None:
    found = cost.rank_for(ratio, cost_of_rank_1=10, cost_of_layer=299, full=40, multiplicity=multiplicity)
    assert found == rank


def test_a_rank_is_never_above_the_highest_there_is() -> None:
    assert cost.rank_for(Fraction(9, 10), cost_of_rank_1=1, cost_of_layer=100, full=12, multiplicity=8) == 12
