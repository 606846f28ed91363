"""Statistics of a tensor whose values come batch by batch; none of them is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aimet_hooks.quantization.expected_noise import best_clip, expected_noise, grid_between
from aimet_hooks.quantization.noise import sqnr
from aimet_hooks.quantization.streaming_histogram import StreamingHistogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from aimet_hooks.quantization.quantizer import Doubles

QUANTILES = {"q0.1": 0.001, "q1": 0.01, "median": 0.5, "q99": 0.99, "q99.9": 0.999}

_VALUES_AT_ONCE = 1 << 16


class TensorStatistics:
    """What is known of one tensor after the batches so far: 128 KiB, however many there were.

    Attributes:
        shape: Its shape, None for an axis whose size differs between batches; None if even their number does.
        count: Number of its values.
        non_finite: Number of those that are NaN or infinite; all other statistics leave them out.
        histogram: Of the finite ones.
    """

    def __init__(self) -> None:
        self.shape: tuple[int | None, ...] | None = None
        self.count = self.non_finite = 0
        self.histogram = StreamingHistogram()
        self._batches = 0
        self._mean = self._deviations = self._squares = 0.0

    def add(self, tensor: npt.NDArray[Any]) -> None:
        """Count the values of one batch, of any float type and shape."""
        self.shape = tensor.shape if not self._batches else _common(self.shape, tensor.shape)
        self._batches += 1
        values = tensor.reshape(-1)
        for start in range(0, values.size, _VALUES_AT_ONCE):
            self._add(values[start : start + _VALUES_AT_ONCE].astype(np.float64))

    def figures(self, bitwidth: int) -> Mapping[str, Any]:
        """The columns of the tensor's row, NaN where they are undefined; never infinite."""
        found, cells = self.histogram, self.histogram.cells()
        if not found.count:
            unknown = ("min", "max", "mean", "std", *QUANTILES, "zeros", "sqnr_asymmetric", "best_clip", "sqnr_clipped")
            return dict.fromkeys(unknown, np.nan)
        asymmetric = expected_noise(cells, grid_between(found.low, found.high, bitwidth=bitwidth, symmetric=False))
        clip, clipped = best_clip(cells, max(-found.low, found.high), bitwidth=bitwidth)
        return {
            "min": found.low,
            "max": found.high,
            "mean": _finite(self._mean),
            "std": _finite(np.sqrt(self._deviations / found.count)),
            **dict(zip(QUANTILES, found.quantiles(list(QUANTILES.values())), strict=True)),
            "zeros": found.zeros / found.count,
            "sqnr_asymmetric": float(sqnr(self._squares, asymmetric)),
            "best_clip": clip,
            "sqnr_clipped": float(sqnr(self._squares, clipped)),
        }

    def _add(self, values: Doubles) -> None:
        finite = values[np.isfinite(values)]
        self.count += values.size
        self.non_finite += values.size - finite.size
        if not finite.size:
            return
        before = self.histogram.count
        self.histogram.add(finite)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(finite.mean())
            ahead, share = mean - self._mean, finite.size / (before + finite.size)
            self._mean += ahead * share  # Chan, Golub and LeVeque 1983
            self._deviations += float(np.square(finite - mean).sum()) + ahead * ahead * before * share
            self._squares += float(finite @ finite)


def _common(shape: tuple[int | None, ...] | None, other: tuple[int, ...]) -> tuple[int | None, ...] | None:
    if shape is None or len(shape) != len(other):
        return None
    return tuple(size if size == another else None for size, another in zip(shape, other, strict=True))


def _finite(value: float) -> float:
    return value if np.isfinite(value) else float("nan")
