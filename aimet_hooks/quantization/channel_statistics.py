"""Where the weights of every output channel lie, from one sort of each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aimet_hooks.quantization.chunks import chunks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimet_hooks.factorization import Array

QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def channel_statistics(rows: Array) -> Mapping[str, npt.NDArray[Any]]:
    """Statistics of the weights (channels, weights of one).

    Returns:
        By name, each (channels,): ``non_finite``, the number of weights that are NaN or infinite, int64; and in float64
        ``min``, ``max``, ``mean``, ``std`` (dividing by the number of weights), ``q25``, ``median``, ``q75``
        (interpolated linearly, as ``numpy.percentile`` does) and ``range``, the largest minus the smallest weight. They
        are NaN for a channel with a weight that is not finite, as no grid can hold it.
    """
    non_finite = np.empty(len(rows), np.int64)
    found = {name: np.empty(len(rows)) for name in ("min", "max", "mean", "std", *QUARTILES)}
    for place, part in chunks(rows):
        ordered = np.sort(part, axis=1)
        non_finite[place] = ordered.shape[1] - np.isfinite(ordered).sum(axis=1)
        ordered[non_finite[place] > 0] = 0
        found["min"][place], found["max"][place] = ordered[:, 0], ordered[:, -1]
        for name, share in QUARTILES.items():
            found[name][place] = _quantile(ordered, share)
        found["mean"][place], found["std"][place] = _moments(ordered)
    for values in found.values():
        values[non_finite > 0] = np.nan
    with np.errstate(over="ignore"):
        width = found["max"] - found["min"]
    return {"non_finite": non_finite, **found, "range": np.where(np.isfinite(width), width, np.nan)}


def _quantile(ordered: Array, share: float) -> Array:
    """Of sorted rows, between the two weights that are next to the quantile."""
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    weight = place - below
    low, high = ordered[:, [below, above]].astype(np.float64).T
    return np.asarray(low * (1 - weight) + high * weight)


def _moments(ordered: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of sorted rows, in units of the largest weight so that squares do not overflow."""
    unit = np.maximum(np.abs(ordered[:, :1]), np.abs(ordered[:, -1:])).astype(np.float64)
    unit[unit == 0] = 1
    values = ordered / unit
    mean = values.mean(axis=1, keepdims=True)
    values -= mean
    deviation = np.sqrt(np.einsum("ij,ij->i", values, values) / values.shape[1])
    return mean[:, 0] * unit[:, 0], deviation * unit[:, 0]
