"""How much of every channel of a layer survives on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks.quantization.chunks import chunks

if TYPE_CHECKING:
    import numpy.typing as npt

    from aimet_hooks.factorization import Array
    from aimet_hooks.quantization.quantizer import Doubles, Grid

NO_NOISE = 200.0
"""SQNR in dB of weights that quantization does not change, and the highest that is ever given."""


def sqnr(signal: npt.ArrayLike, noise: npt.ArrayLike) -> Doubles:
    """Signal to quantization noise, 10 log10(sum x**2 / sum (x - q(x))**2), in dB.

    Args:
        signal: Sums of squared weights.
        noise: Sums of squared differences, of the same shape and in the same unit.

    Returns:
        float64 of the same shape, at most 200; 200 without noise, NaN without signal (all weights are zero) and where
        one of both is not finite. Never infinite.
    """
    signal, noise = np.asarray(signal, np.float64), np.asarray(noise, np.float64)
    defined = np.isfinite(signal) & np.isfinite(noise) & (signal > 0)
    noisy = defined & (noise > 0)
    decibels = 10 * (np.log10(np.where(noisy, signal, 1)) - np.log10(np.where(noisy, noise, 1)))
    return np.where(defined, np.where(noisy, np.minimum(decibels, NO_NOISE), NO_NOISE), np.nan)


@dataclass(frozen=True, slots=True)
class Noise:
    """What quantization does to every channel; arrays (channels,), float64, NaN where the channel's scale is undefined.

    Attributes:
        scale: The scale of each channel's grid.
        signal: sum (x / scale)**2. In this unit neither the largest nor the smallest floats overflow.
        noise: sum ((x - q(x)) / scale)**2.
        zeroed: Number of weights other than zero that become zero.
        nonzero: Number of weights other than zero.
    """

    scale: Doubles
    signal: Doubles
    noise: Doubles
    zeroed: Doubles
    nonzero: Doubles

    @property
    def sqnr(self) -> Doubles:
        """SQNR of each channel in dB."""
        return sqnr(self.signal, self.noise)

    @property
    def sqnr_of_layer(self) -> float:
        """SQNR of all channels together in dB."""
        unit = np.square(self.scale / self.scale.max(initial=0))
        return float(sqnr((unit * self.signal).sum(), (unit * self.noise).sum()))

    @property
    def rounded_to_zero(self) -> Doubles:
        """Share of each channel's weights other than zero that become zero; NaN where it has none."""
        return np.where(self.nonzero > 0, self.zeroed / np.maximum(self.nonzero, 1), np.nan)


def noise_on(grid: Grid, rows: Array) -> Noise:
    """Quantize the weights (channels, weights of one) of a layer, a few channels at a time."""
    channels = len(rows)
    signal, noise, zeroed, nonzero = np.empty((4, channels))
    scales = np.broadcast_to(grid.scale, (channels, 1))
    zeros = np.broadcast_to(grid.zero_point, (channels, 1))
    for place, part in chunks(rows):
        values = part.astype(np.float64)
        with np.errstate(invalid="ignore"):  # an infinite weight has no scale
            values /= scales[place]
        codes = np.rint(values)
        np.clip(codes, grid.lowest - zeros[place], grid.highest - zeros[place], out=codes)
        nonzero[place] = np.count_nonzero(values, axis=1)
        zeroed[place] = nonzero[place] - np.count_nonzero(codes, axis=1)
        codes -= values
        signal[place] = np.einsum("ij,ij->i", values, values)
        noise[place] = np.einsum("ij,ij->i", codes, codes)
    undefined = np.isnan(scales[:, 0])
    zeroed[undefined] = nonzero[undefined] = np.nan
    return Noise(scales[:, 0], signal, noise, zeroed, nonzero)
