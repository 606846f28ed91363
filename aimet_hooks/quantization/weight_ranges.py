"""Where the weights of every output channel lie, and what quantization leaves of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.quantization.channel_statistics import channel_statistics
from aimet_hooks.quantization.names import matching
from aimet_hooks.quantization.noise import noise_on
from aimet_hooks.quantization.quantizer import check_bitwidth, check_flag, grid_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt
    import pandas as pd

    from aimet_hooks.adapters.stored_weights import StoredLayer
    from aimet_hooks.factorization import Array

COLUMNS = (
    *("min", "max", "mean", "std", "q25", "median", "q75", "range", "relative_range"),
    *("sqnr_symmetric", "sqnr_asymmetric", "rounded_to_zero", "non_finite"),
)


def analyze_weight_ranges(
    model: Any, *, layers: Iterable[str] | None = None, bitwidth: int = 8, per_channel: bool = True
) -> pd.DataFrame:
    """Where the weights of every output channel of every layer lie, and what quantization leaves of them.

    Every convolution, transposed convolution and matrix product with constant float weights is there, grouped,
    depthwise and shared ones included. The weights are read as the model stores them: nothing is run, so no example
    input is needed, and the model stays as it is. Batch norms are not folded into weights.

    ``relative_range`` is a channel's range divided by the median of the layer's other ranges that are neither zero nor
    undefined. AIMET divides by the smallest range, so that one constant channel hides every outlier of its layer.

    Args:
        model: A ``torch.nn.Module`` on any device, an ``onnx.ModelProto`` or the path of an ``.onnx`` file.
        layers: Names of layers, or patterns as ``"block1.*"``; None for all.
        bitwidth: Bits of a quantized weight, from 2 to 16.
        per_channel: Whether ``sqnr_symmetric``, ``sqnr_asymmetric`` and ``rounded_to_zero`` are those of channels with
            a scale of their own, or those of channels on the layer's one scale.

    Returns:
        One row for every ``layer`` and ``channel`` (its number), int64 for ``non_finite`` and float64 for all others:

        * ``min``, ``max``, ``mean``, ``std``, ``q25``, ``median``, ``q75``, ``range``: of the channel's weights;
        * ``relative_range``: see above;
        * ``sqnr_symmetric``, ``sqnr_asymmetric``: 10 log10(sum x**2 / sum (x - q(x))**2) in dB on the grids that
          ``aimet_hooks.quantization.quantizer.grid`` describes; at most 200, which is no noise;
        * ``rounded_to_zero``: share of the weights other than zero that the symmetric grid makes zero;
        * ``non_finite``: number of weights that are NaN or infinite.

        What is undefined is NaN, never infinite: everything of a channel with weights that are not finite (and the
        SQNR of its whole layer on one scale), the SQNR of a channel of zeros. No share is clipped, as a grid goes from
        the smallest to the largest weight.

    Raises:
        UsageError: If ``model`` is no model, ``bitwidth`` is out of range, or ``per_channel`` is no bool.
        UnknownNameError: If a name or pattern of ``layers`` matches nothing.
        MissingExtraError: If the model's framework is not installed.
        ModelError: If the model cannot be read.
    """
    each = check_flag(per_channel, "per_channel")
    return channels_of(select(stored_weights(model).layers, layers), bitwidth, per_channel=each)


def channels_of(chosen: Sequence[StoredLayer], bitwidth: int, *, per_channel: bool) -> pd.DataFrame:
    """The table of ``analyze_weight_ranges`` for these layers.

    Raises:
        UsageError: If ``bitwidth`` is out of range.
    """
    import pandas as pd

    bits = check_bitwidth(bitwidth)
    parts = [_channels(layer.read(), bits, per_channel=per_channel) for layer in chosen]
    counts = [len(part["min"]) for part in parts]
    index = pd.MultiIndex.from_arrays(
        [
            np.repeat(np.array([layer.name for layer in chosen], object), counts),
            np.concatenate([np.arange(count) for count in counts] or [np.arange(0)]),
        ],
        names=("layer", "channel"),
    )
    columns = {name: np.concatenate([part[name] for part in parts] or [np.empty(0)]) for name in COLUMNS}
    return pd.DataFrame(columns, index=index)


def select(layers: Sequence[StoredLayer], names: Iterable[str] | None, argument: str = "layers") -> list[StoredLayer]:
    """The layers with these names, or that these patterns match, in the model's order; errors name the argument.

    Raises:
        UnknownNameError: If one matches nothing.
        UsageError: If one is no string.
    """
    chosen = matching(names, [layer.name for layer in layers], option=argument, what="layer with weights")
    return [layer for layer in layers if layer.name in chosen]


def median_of_others(widths: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For every width the median of the other ones that are neither zero nor NaN; NaN where there are none."""
    counted = np.isfinite(widths) & (widths > 0)
    ordered = np.sort(widths[counted])
    if ordered.size == 0:
        return np.full(widths.shape, np.nan)
    own = np.where(counted, np.searchsorted(ordered, widths), ordered.size)
    others = ordered.size - counted
    below, above = (
        ordered.take(place + (own <= place), mode="clip")  # the width's own place is passed over
        for place in ((others - 1) // 2, others // 2)
    )
    return np.where(others > 0, below / 2 + above / 2, np.nan)


def _channels(weight: Array, bitwidth: int, *, per_channel: bool) -> Mapping[str, npt.NDArray[Any]]:
    """The columns of one layer's rows."""
    rows = weight.reshape(len(weight), -1)
    symmetric, asymmetric = (
        noise_on(grid_of(rows, bitwidth=bitwidth, symmetric=kind, per_channel=per_channel), rows)
        for kind in (True, False)
    )
    statistics = channel_statistics(rows)
    return {
        **statistics,
        "relative_range": relative(statistics["range"]),
        "sqnr_symmetric": symmetric.sqnr,
        "sqnr_asymmetric": asymmetric.sqnr,
        "rounded_to_zero": symmetric.rounded_to_zero,
    }


def relative(widths: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Widths divided by the median of the others that are neither zero nor NaN; NaN where undefined or too large.

    With itself among them, the wider of two could never be twice as wide as the median.
    """
    with np.errstate(over="ignore"):
        shares = widths / median_of_others(widths)
    return np.where(np.isfinite(shares), shares, np.nan)
