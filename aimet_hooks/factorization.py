"""Split one weight in two by a truncated singular value decomposition; numpy arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Factor:
    """One of the two layers that replace a layer.

    Attributes:
        weight: (out, in, *kernel), kernel 1 on the axes that are not ``axes``; (out, in) for a linear layer. Of the
            dtype of the weight that was decomposed.
        axes: The spatial axes on which this factor has the layer's kernel, stride, padding and dilation.
    """

    weight: Array
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """How a layer is split in two: all that rebuilding the structure needs beside the layer itself.

    Attributes:
        rank: Number of channels between the two.
        first_axes: Spatial axes of the first.
    """

    rank: int
    first_axes: tuple[int, ...]


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

    The weight as a matrix [m * first kernel, n * second kernel] is U S V^T; each factor takes sqrt(S). The error of
    rank r in the Frobenius norm is sqrt(sum of the discarded s_i^2) (Eckart and Young 1936), the smallest there is.

    Args:
        weight: (n, m, *kernel), any floating dtype, finite.
        first_axes: The spatial axes that the first factor takes.
        highest: Highest rank that ``at`` can give.

    Raises:
        ModelError: If the singular values do not converge.
    """

    __slots__ = ("_axes", "_first", "_second", "_shape")

    def __init__(self, weight: Array, first_axes: tuple[int, ...], highest: int) -> None:
        self._axes = (first_axes, _other_axes(weight.ndim - 2, first_axes))
        self._shape = weight.shape
        # (n, m, *kernel) -> (m, *kernel of first_axes, n, *kernel of the others)
        order = (1, *(axis + 2 for axis in self._axes[0]), 0, *(axis + 2 for axis in self._axes[1]))
        rows = weight.shape[1] * prod(weight.shape[axis + 2] for axis in self._axes[0])
        # numpy decomposes in float64 whatever it gets: a float32 matrix would only be one copy more
        matrix = weight.transpose(order).astype(np.float64, order="C").reshape(rows, -1)
        try:
            u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        except np.linalg.LinAlgError as error:
            raise ModelError(f"the weight of shape {weight.shape} cannot be decomposed: {error}") from error
        root = np.sqrt(s[:highest])
        self._first = (u[:, :highest].T * root[:, None]).astype(weight.dtype, order="C")
        self._second = (vt[:highest] * root[:, None]).astype(weight.dtype, order="C")

    def at(self, rank: int) -> Replacement:
        """The replacement of a rank, 1 <= rank <= highest, in the weight's dtype; its arrays are views: do not write.

        Raises:
            ValueError: If the rank is out of its range.
        """
        if not 1 <= rank <= len(self._first):
            raise ValueError(f"rank {rank} is not between 1 and {len(self._first)}")
        n, m, *kernel = self._shape
        first_kernel, second_kernel = (_on_axes(kernel, axes) for axes in self._axes)
        # (r, m * first kernel) -> (r, m, *first kernel); (r, n * second kernel) -> (n, r, *second kernel)
        return Replacement(
            Factor(self._first[:rank].reshape(rank, m, *first_kernel), self._axes[0]),
            Factor(self._second[:rank].reshape(rank, n, *second_kernel).swapaxes(0, 1), self._axes[1]),
        )


def zeros(weight_shape: tuple[int, ...], first_axes: tuple[int, ...], rank: int) -> Replacement:
    """A float32 replacement of the right shapes that computes nothing: to try whether a model takes it."""
    n, m, *kernel = weight_shape
    second_axes = _other_axes(len(kernel), first_axes)
    return Replacement(
        Factor(np.zeros((rank, m, *_on_axes(kernel, first_axes)), np.float32), first_axes),
        Factor(np.zeros((n, rank, *_on_axes(kernel, second_axes)), np.float32), second_axes),
    )


def _other_axes(count: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in range(count) if axis not in axes)


def _on_axes(kernel: Sequence[int], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The kernel with 1 on every axis that is not among ``axes``."""
    return tuple(size if axis in axes else 1 for axis, size in enumerate(kernel))
