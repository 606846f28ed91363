"""What a layer and its two factors cost, and which rank a ratio stands for; exact numbers throughout.

A layer with weight (n, m, *kernel) is replaced by two. The first has the kernel on ``first_axes`` only and r outputs,
the second the kernel on the other axes and n outputs:

- spatial SVD (Jaderberg et al. 2014), ``first_axes = (0,)``: (kh x 1) m -> r, then (1 x kw) r -> n;
- weight SVD (Zhang et al. 2016), ``first_axes = ()``: (1 x 1) m -> r, then (kh x kw) r -> n.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aimet_hooks.layers import Geometry, Layer

Amount = int | Fraction
"""A cost, exactly."""

LARGEST_TOTAL = 2**53
"""Whole numbers stay below it: sums are exact in 64 bits, and in a browser."""
ROUNDED_TOTAL = 2**40
"""What all layers cost in whole numbers where the exact ones would be too large."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What can be counted of a layer, for the whole example.

    Attributes:
        macs: Multiply-accumulates.
        weights: Number of weights without the bias.
    """

    macs: int
    weights: int


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks that the factors of a layer may have.

    Attributes:
        full: The highest.
        multiplicity: They are multiples of this, as far as there are such.
        counted: What they cost at a rank.
    """

    full: int
    multiplicity: int
    counted: Callable[[int], Cost]


class CostModel(ABC):
    """What ratios are shares of.

    Attributes:
        name: As events have it: "mac", "memory" or "own".
        source: What the user gave, in words.
    """

    name: str
    source: str

    @property
    @abstractmethod
    def identity(self) -> str:
        """Equal for equal costs, as far as they were asked for."""

    @abstractmethod
    def check(self, layers: Sequence[Layer]) -> None:
        """Make sure that the costs of a model can be known.

        Raises:
            UsageError: If they cannot.
        """

    @abstractmethod
    def of_layer(self, layer: Layer) -> Amount:
        """What a layer costs as it is."""

    @abstractmethod
    def of_rank(self, layer: Layer, rank: int, counted: Cost) -> Amount:
        """What its factors cost at a rank, for which that was counted."""

    @abstractmethod
    def rank_for(self, layer: Layer, ratio: Fraction, ranks: Ranks) -> int:
        """The rank that a ratio of cost kept stands for."""

    @abstractmethod
    def reason_against(self, layer: Layer, ranks: Ranks) -> str | None:
        """Why no rank of a layer can save anything; None if one can."""

    @abstractmethod
    def recorded(self, amount: Amount) -> float | None:
        """A cost as events carry it beside MACs and weights; None where it is one of these."""


class Counted(CostModel):
    """Multiply-accumulates or weights for the whole example: integers, proportional to the rank."""

    def __init__(self, name: Literal["mac", "memory"]) -> None:
        self.name = self.source = name

    @property
    def identity(self) -> str:
        """Its name."""
        return self.name

    def check(self, layers: Sequence[Layer]) -> None:
        """Both are always known."""

    def of_layer(self, layer: Layer) -> int:
        """What a layer costs as it is."""
        return self._number(Cost(layer.macs, layer.weights))

    def of_rank(self, layer: Layer, rank: int, counted: Cost) -> int:
        """What was counted."""
        del layer, rank
        return self._number(counted)

    def rank_for(self, layer: Layer, ratio: Fraction, ranks: Ranks) -> int:
        """The highest rank that costs no more, rounded up to a multiple."""
        return rank_for(
            ratio,
            cost_of_rank_1=self._number(ranks.counted(1)),
            cost_of_layer=self.of_layer(layer),
            full=ranks.full,
            multiplicity=ranks.multiplicity,
        )

    def reason_against(self, layer: Layer, ranks: Ranks) -> str | None:
        """Whether rank 1 saves nothing."""
        smallest, original = self._number(ranks.counted(1)), self.of_layer(layer)
        if smallest < original:
            return None
        what = "MACs" if self.name == "mac" else "weights"
        return f"its rank 1 costs {smallest:,} {what}, not less than the layer's own {original:,}"

    def recorded(self, amount: Amount) -> None:
        """Events carry MACs and weights anyway."""

    def _number(self, cost: Cost) -> int:
        return cost.macs if self.name == "mac" else cost.weights


MAC, MEMORY = Counted("mac"), Counted("memory")
COUNTED: Mapping[str, CostModel] = MappingProxyType({model.name: model for model in (MAC, MEMORY)})
"""What can be counted, by the name that ``cost_metric`` takes."""


def decimal(cost: float) -> Fraction:
    """A cost that was measured, as the shortest decimal that stands for it: 0.1 is 1/10."""
    return Fraction(repr(float(cost)))


def whole(amounts: Collection[Amount], total: Amount) -> dict[Amount, int]:
    """Whole numbers in proportion to costs, as the selection takes them.

    Exactly in proportion where that keeps the whole model below ``LARGEST_TOTAL``; else the nearest of which the model
    has ``ROUNDED_TOTAL``.
    """
    scale: Amount = math.lcm(*{amount.denominator for amount in amounts})
    if total * scale >= LARGEST_TOTAL:
        scale = Fraction(ROUNDED_TOTAL) / total
    return {amount: round(amount * scale) for amount in amounts}


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
