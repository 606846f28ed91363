"""Split one weight in two by a truncated singular value decomposition; numpy arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Factor:
    """One of the two layers that replace a layer.

    Attributes:
        weight: (out, in, *kernel), kernel 1 on the axes that are not ``axes``; (out, in) for a linear layer.
        axes: The spatial axes on which this factor has the layer's kernel, stride, padding and dilation.
    """

    weight: Array
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Replacement:
    """Two layers in a row for one: ``first`` without a bias, ``second`` with the layer's bias."""

    first: Factor
    second: Factor

    @property
    def rank(self) -> int:
        """Number of channels between the two."""
        return int(self.first.weight.shape[0])


class Decomposition:
    """The decomposition of one weight, cut at the highest rank that will be asked for.

    Args:
        weight: (n, m, *kernel), any floating dtype, finite.
        first_axes: The spatial axes that the first factor takes.
        highest: Highest rank that ``at`` can give.

    The weight as a matrix [m * first kernel, n * second kernel] is U S V^T; each factor takes sqrt(S). The error of
    rank r in the Frobenius norm is sqrt(sum of the discarded s_i^2) (Eckart and Young 1936), the smallest there is.
    """

    __slots__ = ("_axes", "_first", "_second", "_shape")

    def __init__(self, weight: Array, first_axes: tuple[int, ...], highest: int) -> None:
        spatial = tuple(range(weight.ndim - 2))
        self._axes = (first_axes, tuple(axis for axis in spatial if axis not in first_axes))
        self._shape = weight.shape
        # (n, m, *kernel) -> (m, *kernel of first_axes, n, *kernel of the others)
        order = (1, *(axis + 2 for axis in self._axes[0]), 0, *(axis + 2 for axis in self._axes[1]))
        rows = weight.shape[1] * prod(weight.shape[axis + 2] for axis in self._axes[0])
        matrix = weight.transpose(order).reshape(rows, -1)
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        root = np.sqrt(s[:highest])
        self._first = np.multiply(u[:, :highest].T, root[:, None], order="C")
        self._second = np.multiply(vt[:highest], root[:, None], order="C")

    def at(self, rank: int) -> Replacement:
        """The replacement of a rank, 1 <= rank <= highest; its arrays are views or copies that the caller may keep."""
        return self._replacement(self._first[:rank], self._second[:rank])

    def _replacement(self, first: Array, second: Array) -> Replacement:
        n, m, *kernel = self._shape
        rank = first.shape[0]
        first_shape, second_shape = (
            tuple(size if axis in axes else 1 for axis, size in enumerate(kernel)) for axes in self._axes
        )
        # (r, m * first kernel) -> (r, m, *first kernel); (r, n * second kernel) -> (n, r, *second kernel)
        return Replacement(
            Factor(first.reshape(rank, m, *first_shape), self._axes[0]),
            Factor(second.reshape(rank, n, *second_shape).swapaxes(0, 1), self._axes[1]),
        )


def zeros(weight_shape: tuple[int, ...], first_axes: tuple[int, ...], rank: int) -> Replacement:
    """A replacement of the right shapes that computes nothing: to try whether a model takes it."""
    n, m, *kernel = weight_shape
    other = tuple(axis for axis in range(len(kernel)) if axis not in first_axes)
    shapes = [tuple(size if axis in axes else 1 for axis, size in enumerate(kernel)) for axes in (first_axes, other)]
    return Replacement(
        Factor(np.zeros((rank, m, *shapes[0]), np.float32), first_axes),
        Factor(np.zeros((n, rank, *shapes[1]), np.float32), other),
    )
