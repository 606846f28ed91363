"""Truncation errors equal the tail of the spectrum, and the full rank loses nothing, for every shape and scheme."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks.factorization import Decomposition, Replacement

FLOATS = st.sampled_from([np.float32, np.float64])


@st.composite
def weights(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    """(n, m), (n, m, k) or (n, m, kh, kw), of any rank from 1 to the full one."""
    shape = draw(st.integers(2, 4).flatmap(lambda ndim: st.tuples(*[st.integers(1, 7)] * ndim)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = rng.standard_normal(shape) * 10.0 ** draw(st.integers(-4, 4))
    if draw(st.booleans()):
        weight[draw(st.integers(0, shape[0] - 1))] = weight[0]
    return weight


AXES = st.sampled_from([(), (0,)])


def _axes(weight: npt.NDArray[np.floating], axes: tuple[int, ...]) -> tuple[int, ...]:
    return axes if weight.ndim > 2 else ()


def _matrix(weight: npt.NDArray[np.floating], axes: tuple[int, ...]) -> npt.NDArray[np.floating]:
    """[m * first kernel, n * second kernel], written with einsum to be independent of the code under test."""
    m = weight.shape[1]
    if weight.ndim == 2:
        return weight.T
    letters = "hw"[: weight.ndim - 2]
    first = letters[:1] if axes else ""
    return np.einsum(f"nm{letters}->m{first}n{letters.removeprefix(first)}", weight).reshape(
        m * (weight.shape[2] if axes else 1), -1
    )


def _product(replacement: Replacement) -> npt.NDArray[np.floating]:
    """The weight of the one layer that two layers in a row amount to: (n, m, *kernel)."""
    first, second = replacement.first.weight, replacement.second.weight
    letters = "hw"[: first.ndim - 2]
    return np.einsum(
        f"rm{letters},nr{letters.upper()}->nm" + "".join(f"{a}{a.upper()}" for a in letters), first, second
    )


def _rebuilt(replacement: Replacement, shape: tuple[int, ...]) -> npt.NDArray[np.floating]:
    return _product(replacement).reshape(shape)  # on each axis one of the two kernels is 1


@given(weights(), AXES, FLOATS, st.data())
def test_the_truncation_error_is_the_tail_of_the_spectrum(
    weight: npt.NDArray[np.float64], axes: tuple[int, ...], dtype: type[np.floating], data: st.DataObject
) -> None:
    weight, axes = weight.astype(dtype), _axes(weight, axes)
    spectrum = np.linalg.svd(_matrix(weight, axes).astype(np.float64), compute_uv=False)
    rank = data.draw(st.integers(1, len(spectrum)), label="rank")
    made = Decomposition(weight, axes, len(spectrum)).at(rank)
    error = np.linalg.norm((_rebuilt(made, weight.shape).astype(np.float64) - weight).ravel())
    tail = np.sqrt(np.square(spectrum[rank:]).sum())
    scale = spectrum[0] if spectrum[0] else 1.0
    np.testing.assert_allclose(error / scale, tail / scale, atol=40 * np.finfo(dtype).eps)
    assert made.first.weight.dtype == made.second.weight.dtype == dtype
    assert made.rank == rank


@given(weights(), AXES)
def test_the_full_rank_reproduces_the_weight(weight: npt.NDArray[np.float64], axes: tuple[int, ...]) -> None:
    axes = _axes(weight, axes)
    full = min(_matrix(weight, axes).shape)
    made = Decomposition(weight.astype(np.float32), axes, full).at(full)
    np.testing.assert_allclose(_rebuilt(made, weight.shape), weight, atol=1e-5 * np.abs(weight).max(), rtol=0)


@given(weights(), AXES, st.data())
def test_a_lower_rank_is_cut_from_the_same_decomposition(
    weight: npt.NDArray[np.float64], axes: tuple[int, ...], data: st.DataObject
) -> None:
    axes = _axes(weight, axes)
    highest = min(_matrix(weight, axes).shape)
    rank = data.draw(st.integers(1, highest), label="rank")
    low, high = Decomposition(weight, axes, highest).at(rank), Decomposition(weight, axes, rank).at(rank)
    np.testing.assert_array_equal(low.first.weight, high.first.weight)
    np.testing.assert_array_equal(low.second.weight, high.second.weight)
