"""What a layer and its two factors cost, and which rank a ratio stands for; integers throughout.

A layer with weight (n, m, *kernel) is replaced by two. The first has the kernel on ``first_axes`` only and r outputs,
the second the kernel on the other axes and n outputs:

- spatial SVD (Jaderberg et al. 2014), ``first_axes = (0,)``: (kh x 1) m -> r, then (1 x kw) r -> n;
- weight SVD (Zhang et al. 2016), ``first_axes = ()``: (1 x 1) m -> r, then (kh x kw) r -> n.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    from aimet_hooks.layers import CostMetric, Geometry


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a layer for the whole example.

    Attributes:
        macs: Multiply-accumulates.
        weights: Number of weights without the bias.
    """

    macs: int
    weights: int

    def of(self, metric: CostMetric) -> int:
        """The number that ``metric`` ("mac" or "memory") stands for."""
        return self.macs if metric == "mac" else self.weights


def factored_cost(geometry: Geometry, first_axes: tuple[int, ...], rank: int) -> Cost:
    """Cost of the two layers of ``rank`` that replace the layer.

    The first works at the size between the two: the output's on ``first_axes``, the input's on the others.
    """
    between = [
        geometry.output_size[axis] if axis in first_axes else geometry.input_size[axis]
        for axis in range(len(geometry.kernel))
    ]
    first_kernel = prod(geometry.kernel[axis] for axis in first_axes)
    second_kernel = prod(geometry.kernel) // first_kernel
    first = rank * geometry.in_channels * first_kernel
    second = rank * geometry.out_channels * second_kernel
    macs = (first * prod(between) + second * prod(geometry.output_size)) * geometry.repeats
    return Cost(macs, first + second)


def full_rank(geometry: Geometry, first_axes: tuple[int, ...]) -> int:
    """The rank that reproduces every weight: min(m * first kernel, n * second kernel)."""
    first_kernel = prod(geometry.kernel[axis] for axis in first_axes)
    return min(geometry.in_channels * first_kernel, geometry.out_channels * prod(geometry.kernel) // first_kernel)


def rank_for(ratio: Fraction, *, cost_of_rank_1: int, cost_of_layer: int, full: int, multiplicity: int = 1) -> int:
    """The rank that a ratio of cost kept stands for.

    Args:
        ratio: k / N.
        cost_of_rank_1: Cost of the factors at rank 1; at rank r it is r times that.
        cost_of_layer: Cost of the layer.
        full: The highest rank there is.
        multiplicity: The rank is rounded up to a multiple of this, but never above the largest rank that costs no more
            than the layer.

    Returns:
        max(1, the largest r with N * cost(r) <= k * cost of the layer), rounded.
    """
    rank = max(1, ratio.numerator * cost_of_layer // (ratio.denominator * cost_of_rank_1))
    rounded = -(-rank // multiplicity) * multiplicity
    return max(1, min(rounded, full, cost_of_layer // cost_of_rank_1))
