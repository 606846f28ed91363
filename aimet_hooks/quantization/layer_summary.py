"""What quantization leaves of every layer, with one scale for all channels and with one for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.quantization.noise import Noise, noise_on
from aimet_hooks.quantization.quantizer import check_bitwidth, grid, ranges
from aimet_hooks.quantization.weight_ranges import median_of_others, relative, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from aimet_hooks.adapters.stored_weights import StoredLayer
    from aimet_hooks.quantization.quantizer import Doubles

DECIBELS_A_BIT = 20 * np.log10(2)
"""A bit more halves the noise's amplitude: 6.02 dB. Evenly spread weights have as many effective bits as the grid."""

COLUMNS = (
    *("kind", "bitwidth", "channels", "weights", "constant_channels", "non_finite", "non_finite_channel"),
    *("sqnr_symmetric_per_tensor", "sqnr_asymmetric_per_tensor"),
    *("sqnr_symmetric_per_channel", "sqnr_asymmetric_per_channel"),
    *("effective_bits_per_tensor", "effective_bits_per_channel"),
    *("widest_channel", "relative_range", "narrow_quarter", "bits_left"),
    *("rounded_to_zero", "rounded_to_zero_per_channel"),
)


def summarize_weight_ranges(model: Any, *, layers: Iterable[str] | None = None, bitwidth: int = 8) -> pd.DataFrame:
    """What quantization leaves of every layer, with one scale for all channels and with one for each.

    Args:
        model: As for ``analyze_weight_ranges``, like all others.
        layers: Names or patterns; None for all.
        bitwidth: Bits of a quantized weight, from 2 to 16.

    Returns:
        One row a ``layer``; NaN where undefined:

        * ``kind``, ``bitwidth``, ``channels``, ``weights``: what it is;
        * ``constant_channels``: number of channels whose weights are all alike, zeros included;
        * ``non_finite``: number of weights that are NaN or infinite; ``non_finite_channel``: the first channel that
          holds one, -1 if none does;
        * ``sqnr_symmetric_per_tensor``, ``sqnr_asymmetric_per_tensor``, ``sqnr_symmetric_per_channel``,
          ``sqnr_asymmetric_per_channel``: of the whole layer in dB, at most 200;
        * ``effective_bits_per_tensor``, ``effective_bits_per_channel``: the bits that three quarters of the channels
          keep at least: of the channels that are not all zero, ordered by their symmetric SQNR / 6.02 dB, between 0 and
          the bit width, the highest that no more than a quarter fall short of. The SQNR of the whole layer is that of
          its widest channels, and says nothing of the others;
        * ``widest_channel``: its number; -1 if all are zero or undefined;
        * ``relative_range``: its range divided by the median range of the others, zero counting as a part of every
          range, as a quantizer has to cover it (so that a constant channel has a range as well);
        * ``narrow_quarter``: the median range divided by that which a quarter of the channels do not exceed;
        * ``bits_left``: log2 of the number of codes that the median range of the channels other than the widest takes
          on the symmetric grid of the layer's one scale;
        * ``rounded_to_zero``: share of the weights other than zero which that grid makes zero;
          ``rounded_to_zero_per_channel``: the same with a scale a channel.

    Raises:
        UsageError: If ``model`` is no model, or ``bitwidth`` is out of range.
        UnknownNameError: If a name or pattern of ``layers`` matches nothing.
        MissingExtraError: If the model's framework is not installed.
        ModelError: If the model cannot be read.
    """
    return summary_of(select(stored_weights(model).layers, layers), bitwidth)


def summary_of(layers: Iterable[StoredLayer], bitwidth: int) -> pd.DataFrame:
    """The table of ``summarize_weight_ranges`` for these layers.

    Raises:
        UsageError: If ``bitwidth`` is out of range.
    """
    import pandas as pd

    bits = check_bitwidth(bitwidth)
    rows = {layer.name: _summary(layer, bits) for layer in layers}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
    return frame.rename_axis(index="layer")


def _summary(layer: StoredLayer, bitwidth: int) -> Mapping[str, Any]:
    weight = layer.read()
    rows = weight.reshape(len(weight), -1)
    low, high = ranges(rows)

    def noise(*, symmetric: bool, per_channel: bool) -> Noise:
        bounds = (low, high) if per_channel else (low.min(keepdims=True), high.max(keepdims=True))
        return noise_on(grid(*bounds, bitwidth=bitwidth, symmetric=symmetric), rows)

    one, each = noise(symmetric=True, per_channel=False), noise(symmetric=True, per_channel=True)
    finite = np.isfinite(rows).all(axis=1)
    widths = (high / 2 - low / 2)[:, 0]
    proper = widths[widths > 0]
    widest = int(np.nanargmax(widths)) if proper.size else -1
    return {
        "kind": layer.kind,
        "bitwidth": bitwidth,
        "channels": len(rows),
        "weights": rows.size,
        "constant_channels": int((rows.min(axis=1) == rows.max(axis=1)).sum()),
        "non_finite": int(rows.size - np.isfinite(rows).sum()),
        "non_finite_channel": -1 if finite.all() else int(finite.argmin()),
        "sqnr_symmetric_per_tensor": one.sqnr_of_layer,
        "sqnr_asymmetric_per_tensor": noise(symmetric=False, per_channel=False).sqnr_of_layer,
        "sqnr_symmetric_per_channel": each.sqnr_of_layer,
        "sqnr_asymmetric_per_channel": noise(symmetric=False, per_channel=True).sqnr_of_layer,
        "effective_bits_per_tensor": effective_bits(one, bitwidth),
        "effective_bits_per_channel": effective_bits(each, bitwidth),
        "widest_channel": widest,
        "relative_range": float(relative(widths)[widest]) if proper.size else np.nan,
        "narrow_quarter": _narrow_quarter(proper),
        "bits_left": float(np.log2(1 + 2 * median_of_others(widths)[widest] / one.scale[0])),
        "rounded_to_zero": _share(one),
        "rounded_to_zero_per_channel": _share(each),
    }


def effective_bits(noise: Noise, bitwidth: int) -> float:
    """The bits that three quarters of the channels that are not all zero keep; NaN if a scale is undefined."""
    decibels = noise.sqnr[noise.nonzero != 0]
    return float(_lower_quartile(np.clip(decibels / DECIBELS_A_BIT, 0, bitwidth))) if decibels.size else float("nan")


def _lower_quartile(values: Doubles) -> np.float64:
    """The highest of the values that no more than a quarter are below: with two or three values, the lowest."""
    return np.percentile(values, 25, method="lower")


def _narrow_quarter(widths: Doubles) -> float:
    with np.errstate(over="ignore"):
        times = np.median(widths) / _lower_quartile(widths) if widths.size else np.nan
    return float(times) if np.isfinite(times) else float("nan")


def _share(noise: Noise) -> float:
    """The share of a layer's weights other than zero that become zero."""
    count = noise.nonzero.sum()
    return float(noise.zeroed.sum() / count) if count > 0 else float("nan")
