"""Uniform quantization of weights: the grid, and the weights on it. Numbers only.

The rules are those of ONNX Runtime (``onnxruntime/quantization/quant_utils.py``: ``compute_scale_zp``,
``get_qmin_qmax_for_qType``, ``quantize_nparray``): a weight x has the code q = round(x / scale) + zero point, halves
to even, limited to the grid, and stands for scale * (q - zero point). The range of a grid goes from the smallest to the
largest weight and holds zero. Scales are float64 here, where ONNX Runtime rounds them to float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    from aimet_hooks.factorization import Array

Doubles = npt.NDArray[np.float64]

BITWIDTHS = range(2, 17)
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


def check_bitwidth(bitwidth: Any) -> int:
    """``bitwidth`` as an int.

    Raises:
        UsageError: If it is no whole number from 2 to 16.
    """
    if isinstance(bitwidth, bool) or not isinstance(bitwidth, (int, np.integer)) or bitwidth not in BITWIDTHS:
        raise UsageError(f"bitwidth is {bitwidth!r}; give a whole number of bits from 2 to 16, as 8")
    return int(bitwidth)


def narrowest_range(bitwidth: int) -> float:
    """What the largest weight of a symmetric range has to reach, or else the scale is no normal number of float32."""
    return _SMALLEST_SCALE * float(2 ** (bitwidth - 1) - 1)


def check_flag(flag: Any, argument: str) -> bool:
    """``flag`` as a bool.

    Raises:
        UsageError: If it is neither True nor False; names the argument.
    """
    if not isinstance(flag, (bool, np.bool_)):
        raise UsageError(f"{argument} is {flag!r}; give True or False")
    return bool(flag)


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that quantized weights can have: scale * (q - zero_point) for every code lowest <= q <= highest.

    Attributes:
        scale: (rows, 1) float64, or (1, 1) for all rows alike; positive, NaN where a weight of the row is not finite.
        zero_point: Whole numbers of the same shape, float64.
        lowest: The lowest code.
        highest: The highest code.
    """

    scale: Doubles
    zero_point: Doubles
    lowest: int
    highest: int

    def quantized(self, rows: Array) -> Doubles:
        """The codes of weights (rows, columns), as whole float64 numbers."""
        codes: Doubles = np.rint(rows / self.scale) + self.zero_point
        return np.clip(codes, self.lowest, self.highest, out=codes)

    def dequantized(self, codes: Doubles) -> Doubles:
        """The weights that codes stand for, float64."""
        return self.scale * (codes - self.zero_point)


def ranges(weight: Array) -> tuple[Doubles, Doubles]:
    """The smallest and the largest weight of every output channel, and zero.

    Args:
        weight: (out, in, *kernel) of any float type.

    Returns:
        (out, 1) float64 each; lowest <= 0 <= highest. NaN for a channel with a weight that is not finite.
    """
    rows = weight.reshape(len(weight), -1)
    low = np.minimum(rows.min(axis=1, keepdims=True), 0).astype(np.float64)
    high = np.maximum(rows.max(axis=1, keepdims=True), 0).astype(np.float64)
    finite = np.isfinite(low) & np.isfinite(high)
    return np.where(finite, low, np.nan), np.where(finite, high, np.nan)


def grid(low: Doubles, high: Doubles, *, bitwidth: int, symmetric: bool) -> Grid:
    """The grid for weights between ``low`` and ``high``.

    Symmetric codes go from -(2**(b-1) - 1) to 2**(b-1) - 1 and zero has the code 0 (ONNX Runtime's range of symmetric
    int8 and int16); asymmetric ones from 0 to 2**b - 1, and zero has a code as well. A scale below the normal numbers
    of float32 becomes 1, as in ONNX Runtime: such a channel is rounded to zero.

    Args:
        low: Smallest weights, at most 0, as ``ranges`` gives them.
        high: Largest weights, at least 0, of the same shape.
        bitwidth: b, from 2 to 16.
        symmetric: Whether codes are symmetric about zero.
    """
    if symmetric:
        highest = 2 ** (bitwidth - 1) - 1
        lowest = -highest
        scale = np.maximum(-low, high) / highest
    else:
        lowest, highest = 0, 2**bitwidth - 1
        scale = high / highest - low / highest  # in this order the largest float64 does not overflow
    tiny = scale < _SMALLEST_SCALE
    scale = np.where(tiny, 1.0, scale)
    zero_point = np.zeros_like(scale) if symmetric else np.where(tiny, 0.0, np.rint(-low / scale))
    return Grid(scale, zero_point, lowest, highest)


def grid_of(weight: Array, *, bitwidth: int, symmetric: bool, per_channel: bool) -> Grid:
    """The grid of a layer: a scale an output channel, or one for all.

    Args:
        weight: (out, in, *kernel) of any float type.
        bitwidth: From 2 to 16.
        symmetric: Whether codes are symmetric about zero.
        per_channel: Whether every output channel has a scale of its own.
    """
    low, high = ranges(weight)
    if not per_channel:
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    return grid(low, high, bitwidth=bitwidth, symmetric=symmetric)


def quantize_dequantize(
    weight: Array, *, bitwidth: int = 8, symmetric: bool = True, per_channel: bool = True
) -> Doubles:
    """The weight as a quantized layer would use it.

    Args:
        weight: (out, in, *kernel) of any float type; it stays as it is.
        bitwidth: From 2 to 16.
        symmetric: Whether codes are symmetric about zero.
        per_channel: Whether every output channel has a scale of its own.

    Returns:
        float64 of the same shape; NaN where a weight that is not finite leaves the scale undefined.

    Raises:
        UsageError: If ``bitwidth`` is out of range.
    """
    made = grid_of(weight, bitwidth=check_bitwidth(bitwidth), symmetric=symmetric, per_channel=per_channel)
    rows = weight.reshape(len(weight), -1)
    return made.dequantized(made.quantized(rows)).reshape(weight.shape)
