"""A histogram of values that come in parts, the same for every way in which they can be divided and ordered.

Cells are as wide as a power of two and begin at multiples of it. When a value lies outside, the width is doubled and
neighbours are merged, which moves no value into a cell that it is not in. Width and first cell follow from the smallest
and the largest value alone. So one pass is enough, where bins between the smallest and the largest value need two, or
divide counts by guesses (as ``torch.ao.quantization.HistogramObserver`` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, inf
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.quantization.quantizer import Doubles

Counts = npt.NDArray[np.int64]

CELLS = 8192
"""Cells of a histogram; the values take more than 4094 of them, unless they lie closer than floats can tell."""

_PRECISION = 48
"""The narrowest cell is 2**-48 of the largest magnitude: the number of a cell is then exact in float64."""

_LOWEST_EXPONENT = -1022


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a histogram that hold values other than zero.

    Attributes:
        means: (cells,) float64, the mean of each cell's values, ascending.
        counts: (cells,) int64, the number of its values.
        width: The width of all cells, in the unit of the values.
        zeros: Number of values that are zero, which no cell counts.
    """

    means: Doubles
    counts: Counts
    width: float
    zeros: int


class StreamingHistogram:
    """Counts and sums of finite values in cells of one width.

    Attributes:
        low: The smallest value so far, inf without any.
        high: The largest value so far, -inf without any.
        zeros: Number of values that are zero.
    """

    def __init__(self) -> None:
        self.low, self.high = inf, -inf
        self.zeros = 0
        self._exponent, self._first = _LOWEST_EXPONENT, 0
        self._counts: Counts = np.zeros(CELLS, np.int64)
        self._sums: Doubles = np.zeros(CELLS)

    def add(self, values: Doubles) -> None:
        """Count values.

        Args:
            values: (values,) float64, all of them finite.
        """
        if not values.size:
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self._widen()
        places = np.floor(np.ldexp(values, -self._exponent)).astype(np.int64)
        np.minimum(places, -1, out=places, where=values < 0)  # those that became zero on the way
        places -= self._first
        self._counts += np.bincount(places, minlength=CELLS)
        with np.errstate(over="ignore"):
            self._sums += np.bincount(places, weights=values, minlength=CELLS)
        self.zeros += values.size - int(np.count_nonzero(values))

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self._counts.sum())

    @property
    def width(self) -> float:
        """Width of a cell, at most 1/4094 of the distance from the smallest to the largest value."""
        return float(np.ldexp(1.0, self._exponent))

    def bins(self, number: int) -> tuple[Counts, Doubles]:
        """The values in bins of one width, from the smallest value to the largest or a little further.

        A bin is a whole number of cells, so every value is in the bin that ``numpy.histogram(values, edges)`` finds.

        Args:
            number: From 1 to 8192.

        Returns:
            Counts (number,) int64 and edges (number + 1,) float64; NaN edges without values.
        """
        if not self.count:
            return np.zeros(number, np.int64), np.full(number + 1, np.nan)
        taken = _cell(self.high, self._exponent) - self._first + 1
        cells_a_bin = -(-taken // number)
        counts = np.zeros(number, np.int64)
        np.add.at(counts, np.arange(taken) // cells_a_bin, self._counts[:taken])
        with np.errstate(over="ignore"):
            edges = np.ldexp((self._first + cells_a_bin * np.arange(number + 1)).astype(np.float64), self._exponent)
        largest = np.finfo(np.float64).max
        return counts, np.clip(edges, -largest, largest)

    def quantiles(self, shares: Sequence[float]) -> Doubles:
        """Quantiles of the values, each at most the width of a cell from the smallest value that this share reaches.

        Values other than zero are taken to be spread evenly over their cell; the quantile that
        ``numpy.quantile(..., method="inverted_cdf")`` finds is in the same cell, and zero if that is.

        Args:
            shares: From 0 to 1.

        Returns:
            (shares,) float64, NaN without values.
        """
        if not self.count:
            return np.full(len(shares), np.nan)
        upto = np.cumsum(self._counts)
        wanted = np.maximum(np.asarray(shares, np.float64) * self.count, 1e-9)
        places = np.minimum(np.searchsorted(upto, wanted), CELLS - 1)
        zeros = np.where(places == -self._first, self.zeros, 0)  # they are the first in the cell that begins at zero
        within = np.maximum(wanted - (upto - self._counts)[places] - zeros, 0)
        inside = within / np.maximum(self._counts[places] - zeros, 1)
        with np.errstate(over="ignore"):
            found: Doubles = np.ldexp(self._first + places + inside, self._exponent)
        return np.clip(found, self.low, self.high, out=found)

    def cells(self) -> Cells:
        """The cells as ``expected_noise`` wants them."""
        counts = self._counts.copy()
        if self.zeros:
            counts[-self._first] -= self.zeros
        taken = np.flatnonzero(counts)
        return Cells(self._sums[taken] / counts[taken], counts[taken], self.width, self.zeros)

    def _widen(self) -> None:
        """Merge cells until all of them reach from the smallest to the largest value."""
        exponent, first = _placed(self.low, self.high)
        if (exponent, first) == (self._exponent, self._first):
            return
        taken = np.flatnonzero(self._counts)
        places = ((self._first + taken) >> (exponent - self._exponent)) - first
        counts, sums = np.zeros_like(self._counts), np.zeros_like(self._sums)
        np.add.at(counts, places, self._counts[taken])
        np.add.at(sums, places, self._sums[taken])
        self._exponent, self._first, self._counts, self._sums = exponent, first, counts, sums


def _placed(low: float, high: float) -> tuple[int, int]:
    """The exponent of the width of cells from ``low`` to ``high``, and the number of the first one."""
    magnitude = max(-low, high)
    exponent = max(frexp(magnitude)[1] - _PRECISION, _LOWEST_EXPONENT) if magnitude else _LOWEST_EXPONENT
    while _cell(high, exponent) - _cell(low, exponent) >= CELLS:
        exponent += 1
    return exponent, _cell(low, exponent)


def _cell(value: float, exponent: int) -> int:
    """The number of the cell that a value lies in, the cell 0 beginning at zero."""
    cell = int(np.floor(np.ldexp(value, -exponent)))
    return min(cell, -1) if value < 0 else cell
