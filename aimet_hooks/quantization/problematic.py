"""Which layers will break when the network is quantized, why, and what helps."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.errors import UsageError
from aimet_hooks.quantization.layer_summary import COLUMNS, summary_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from aimet_hooks.adapters.partners import Partner
    from aimet_hooks.adapters.stored_weights import StoredWeights

ENOUGH_BITS, MAX_LOST_BITS, WIDE_CHANNEL = 4.0, 3.0, 3.0
"""Effective bits that are enough, bits that may be lost, from how many times the median range a channel is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblematicLayer:
    """A layer whose weights lose too much when they are quantized with one scale for all its channels.

    Attributes:
        layer: Its name.
        kind: Type of module or operator.
        bitwidth: Bits of a quantized weight.
        effective_bits: What it is ranked by: bits that three quarters of its channels keep at least with one scale for
            the layer, as ``summarize_weight_ranges`` defines them; NaN with weights that are not finite.
        effective_bits_per_channel: The same with a scale a channel.
        sqnr: Of the whole layer with one symmetric scale, in dB.
        sqnr_per_channel: The same with a scale a channel.
        channel: Number of its widest channel; None if that is undefined.
        relative_range: How many times as wide as the median channel that one is.
        bits_left: log2 of the number of codes that the median channel's range takes.
        rounded_to_zero: Share of its weights other than zero that become zero.
        partner: The layer to equalize it with, None if none is known.
        cause: One sentence that says what is wrong.
        remedy: One sentence that says what helps.
    """

    layer: str
    kind: str
    bitwidth: int
    effective_bits: float
    effective_bits_per_channel: float
    sqnr: float
    sqnr_per_channel: float
    channel: int | None
    relative_range: float
    bits_left: float
    rounded_to_zero: float
    partner: str | None
    cause: str
    remedy: str


def find_problematic_layers(
    model: Any,
    *,
    bitwidth: int = 8,
    enough_bits: float = ENOUGH_BITS,
    max_lost_bits: float = MAX_LOST_BITS,
    wide_channel: float = WIDE_CHANNEL,
) -> list[ProblematicLayer]:
    """The layers that will break when the network is quantized, the worst first.

    A layer is listed if with one symmetric scale for its weights a quarter of its channels keep fewer effective bits
    than ``enough_bits`` and lose more than ``max_lost_bits``, or keep less than one bit; and if it has weights that are
    not finite. The fewest bits come first, after the layers that no grid can hold. ``docs/quantization.md`` has the
    measurements behind the defaults.

    Args:
        model: A ``torch.nn.Module``, an ``onnx.ModelProto`` or the path of an ``.onnx`` file; nothing is run, but a
            torch module's ``forward`` is traced for the remedies if there is a layer to list.
        bitwidth: Bits of a quantized weight, from 2 to 16.
        enough_bits: Effective bits that are enough, whatever the bit width; at least 1. A bit is 6.02 dB of SQNR.
        max_lost_bits: Bits that channels may lose, as those of sound layers do; at least 0.
        wide_channel: From this many times the median range, a channel is named as the cause.

    Returns:
        The layers, with cause and remedy; none if all is well.

    Raises:
        UsageError: If ``model`` is no model, or another argument is out of range.
        MissingExtraError: If the model's framework is not installed.
        ModelError: If the model cannot be read.
    """
    if not _is_at_least(enough_bits, 1):
        raise UsageError(f"enough_bits is {enough_bits!r}; give a number of bits of at least 1, as 4")
    if not _is_at_least(max_lost_bits, 0):
        raise UsageError(f"max_lost_bits is {max_lost_bits!r}; give a number of bits of at least 0, as 3")
    if not _is_at_least(wide_channel, 1):
        raise UsageError(f"wide_channel is {wide_channel!r}; give a multiple of the median range of at least 1, as 3")
    stored = stored_weights(model)
    return problems_of(
        stored,
        summary_of(stored.layers, bitwidth),
        enough_bits=enough_bits,
        max_lost_bits=max_lost_bits,
        wide_channel=wide_channel,
    )


def _is_at_least(value: Any, least: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and float(value) >= least


def problems_of(
    stored: StoredWeights,
    summary: pd.DataFrame,
    *,
    enough_bits: float = ENOUGH_BITS,
    max_lost_bits: float = MAX_LOST_BITS,
    wide_channel: float = WIDE_CHANNEL,
) -> list[ProblematicLayer]:
    """What ``find_problematic_layers`` finds, in a summary of layers at one bit width."""
    if summary.empty:
        return []
    bitwidth = int(summary["bitwidth"].iloc[0])
    broken = summary["non_finite"] > 0
    least = min(enough_bits, max(1.0, bitwidth - max_lost_bits))
    lost = summary["effective_bits_per_tensor"] < least
    ranked = summary[broken | lost].sort_values("effective_bits_per_tensor", na_position="first", kind="stable")
    if ranked.empty:
        return []
    partners = stored.partners()
    return [
        _problem(name, dict(zip(COLUMNS, row, strict=True)), partners[name], least, wide_channel)
        for name, *row in ranked.itertuples()
    ]


def _problem(
    name: str, row: Mapping[str, Any], partner: Partner, least_bits: float, wide_channel: float
) -> ProblematicLayer:
    uneven = bool(row["effective_bits_per_channel"] >= least_bits)
    return ProblematicLayer(
        layer=name,
        kind=row["kind"],
        bitwidth=row["bitwidth"],
        effective_bits=row["effective_bits_per_tensor"],
        effective_bits_per_channel=row["effective_bits_per_channel"],
        sqnr=row["sqnr_symmetric_per_tensor"],
        sqnr_per_channel=row["sqnr_symmetric_per_channel"],
        channel=row["widest_channel"] if row["widest_channel"] >= 0 else None,
        relative_range=row["relative_range"],
        bits_left=row["bits_left"],
        rounded_to_zero=row["rounded_to_zero"],
        partner=partner.layer,
        cause=_cause(row, wide_channel, uneven=uneven),
        remedy=_remedy(row, partner, uneven=uneven),
    )


def _cause(row: Mapping[str, Any], wide_channel: float, *, uneven: bool) -> str:
    bits = f"quantization to {row['bitwidth']} bits"
    if row["non_finite"]:
        return f"{row['non_finite']:,} of its {row['weights']:,} weights are NaN or infinite: it has no scale"
    if row["relative_range"] >= wide_channel:
        return (
            f"channel {row['widest_channel']} is {row['relative_range']:.3g} times as wide as the median channel; "
            f"per-tensor {bits} leaves {row['bits_left']:.1f} bits for the others"
        )
    if uneven and row["narrow_quarter"] >= wide_channel:
        return (
            f"a quarter of its channels is {row['narrow_quarter']:.3g} times narrower than the median channel or more; "
            f"per-tensor {bits} leaves them {row['effective_bits_per_tensor']:.1f} bits or fewer"
        )
    return (
        f"per-tensor {bits} rounds {row['rounded_to_zero']:.0%} of its weights to zero and leaves "
        f"{row['effective_bits_per_tensor']:.1f} bits or fewer to a quarter of its channels, "
        f"a scale a channel {row['effective_bits_per_channel']:.1f}"
    )


def _remedy(row: Mapping[str, Any], partner: Partner, *, uneven: bool) -> str:
    if row["non_finite"]:
        return "repair these weights, or leave the layer in float"
    if not uneven:
        more = "quantize it with more bits, or leave it" if row["bitwidth"] < 16 else "leave it"
        return f"{more} in float: a scale a channel is not enough"
    per_channel = f"quantize its weights per channel ({row['effective_bits_per_channel']:.1f} bits)"
    if partner.layer is None:
        return f"{per_channel} or with more bits; no partner to equalize it with is known: {partner.reason}"
    return f"{per_channel}, or equalize it with {partner.layer!r}, which reads its channels"
