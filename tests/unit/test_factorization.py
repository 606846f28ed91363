"""What a decomposition gives for the kinds of layers there are."""

from __future__ import annotations

import numpy as np
import pytest

from aimet_hooks import factorization
from aimet_hooks.errors import ModelError
from aimet_hooks.factorization import Decomposition

RNG = np.random.default_rng(0)


def _shapes(weight_shape: tuple[int, ...], axes: tuple[int, ...], rank: int) -> list[tuple[int, ...]]:
    made = Decomposition(RNG.standard_normal(weight_shape), axes, rank).at(rank)
    tried = factorization.zeros(weight_shape, axes, rank)
    assert [f.weight.shape for f in (made.first, made.second)] == [f.weight.shape for f in (tried.first, tried.second)]
    assert (made.first.axes, made.second.axes) == (tried.first.axes, tried.second.axes)
    return [made.first.weight.shape, made.second.weight.shape]


def test_spatial_svd_splits_a_kernel_into_a_column_and_a_row() -> None:
    assert _shapes((6, 4, 3, 5), (0,), 2) == [(2, 4, 3, 1), (6, 2, 1, 5)]


def test_weight_svd_puts_a_pointwise_layer_before_the_kernel() -> None:
    assert _shapes((6, 4, 3, 5), (), 2) == [(2, 4, 1, 1), (6, 2, 3, 5)]


def test_a_one_dimensional_kernel_is_on_the_first_or_the_second_factor() -> None:
    assert _shapes((6, 4, 5), (0,), 2) == [(2, 4, 5), (6, 2, 1)]
    assert _shapes((6, 4, 5), (), 2) == [(2, 4, 1), (6, 2, 5)]


def test_a_linear_layer_becomes_two() -> None:
    assert _shapes((6, 4), (), 3) == [(3, 4), (6, 3)]


def test_factors_say_on_which_axes_they_have_the_kernel() -> None:
    made = Decomposition(RNG.standard_normal((6, 4, 3, 5)), (0,), 2).at(2)
    assert (made.first.axes, made.second.axes, made.rank) == ((0,), (1,), 2)


def test_both_factors_take_half_of_the_spectrum() -> None:
    weight = RNG.standard_normal((6, 4))
    made = Decomposition(weight, (), 4).at(4)
    s = np.linalg.svd(weight, compute_uv=False)
    np.testing.assert_allclose(made.first.weight @ made.first.weight.T, np.diag(s), atol=1e-12)
    np.testing.assert_allclose(made.second.weight.T @ made.second.weight, np.diag(s), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_factors_have_the_dtype_of_the_weight(dtype: type[np.floating]) -> None:
    made = Decomposition(RNG.standard_normal((6, 4, 3, 3)).astype(dtype), (0,), 2).at(1)
    assert made.first.weight.dtype == made.second.weight.dtype == dtype


def test_a_weight_is_left_as_it_was() -> None:
    weight = RNG.standard_normal((6, 4, 3, 3))
    before = weight.copy()
    Decomposition(weight, (0,), 2).at(2)
    np.testing.assert_array_equal(weight, before)


def test_a_weight_of_zeros_gives_factors_of_zeros() -> None:
    made = Decomposition(np.zeros((6, 4, 3, 3), np.float32), (0,), 2).at(2)
    assert not made.first.weight.any()
    assert not made.second.weight.any()


@pytest.mark.parametrize("rank", [0, 3])
def test_a_rank_that_was_not_prepared_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match=f"rank {rank} is not between 1 and 2"):
        Decomposition(RNG.standard_normal((6, 4)), (), 2).at(rank)


def test_a_weight_that_cannot_be_decomposed_is_said_with_its_shape() -> None:
    with pytest.raises(ModelError, match=r"the weight of shape \(6, 4\) cannot be decomposed: SVD did not converge"):
        Decomposition(np.full((6, 4), np.nan), (), 2)
