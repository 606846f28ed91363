"""What a grid leaves of values of which only a histogram is known, and the range that leaves most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks.quantization.quantizer import grid

if TYPE_CHECKING:
    from aimet_hooks.quantization.quantizer import Grid
    from aimet_hooks.quantization.streaming_histogram import Cells

CLIPS = 64
"""Ranges that are tried: 1/64 of the largest magnitude, 2/64 and so on."""

_CELLS_A_STEP = 4


def grid_between(low: float, high: float, *, bitwidth: int, symmetric: bool) -> Grid:
    """The one grid of a tensor with values from ``low`` to ``high``; zero is within."""
    ends = np.array([[min(low, 0.0)]]), np.array([[max(high, 0.0)]])
    return grid(*ends, bitwidth=bitwidth, symmetric=symmetric)


def expected_noise(cells: Cells, on: Grid) -> float:
    """The noise of the values of a histogram on a grid, sum (x - q(x))**2.

    Where at least four cells fit into a step of the grid, the values of a cell count as their mean: exact for values
    that are all alike, as those of a saturated activation, and within 0.03 dB for all of the demo network's. Where
    fewer fit, as on grids of 11 bits and more, values within the range have the noise of rounding, step**2 / 12 (Widrow
    1956), which is up to 1 dB off for values of a few levels. Values beyond the range count with their distance from
    it. Zeros have a code of their own, and no noise.

    Args:
        cells: Of the histogram.
        on: The grid, one scale for all.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.square(cells.means - on.dequantized(on.quantized(cells.means))[0])
        step = float(on.scale.item())
        if step < _CELLS_A_STEP * cells.width:
            squares = np.where(squares <= step * step / 4, step * step / 12, squares)
        return float(cells.counts @ squares)


def best_clip(cells: Cells, magnitude: float, *, bitwidth: int) -> tuple[float, float]:
    """The symmetric range -clip .. clip with the smallest expected noise, values beyond it becoming its ends.

    The search over a grid of ranges is that of "range setting by MSE" in Nagel et al. 2021, A White Paper on Neural
    Network Quantization, section 3.1; Banner et al. 2019 (ACIQ) solve it for Gaussian and Laplacian values.

    Args:
        cells: Of the histogram.
        magnitude: The largest magnitude of a value.
        bitwidth: From 2 to 16.

    Returns:
        The clip, a multiple of magnitude / 64, and sum (x - q(x))**2 there; of equal ones the widest.
    """
    clips = [magnitude * (share / CLIPS) for share in range(CLIPS, 0, -1)]
    noises = [expected_noise(cells, grid_between(-clip, clip, bitwidth=bitwidth, symmetric=True)) for clip in clips]
    best = int(np.argmin(noises))
    return clips[best], noises[best]
