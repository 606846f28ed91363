"""Which layers will break when the network is quantized, why, and what helps."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.errors import UsageError
from aimet_hooks.quantization.advice import Limits, cause_of, remedy_for
from aimet_hooks.quantization.layer_summary import COLUMNS, summary_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from aimet_hooks.adapters.partners import Partner
    from aimet_hooks.adapters.stored_weights import StoredWeights

ENOUGH_BITS, MAX_LOST_BITS, MAX_ROUNDED_TO_ZERO, WIDE_CHANNEL = 4.0, 3.0, 0.8, 3.0
"""Bits that are enough, that may be lost, the share that may become zero, how many times the median range is wide."""


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
        channel: Number of the first channel with a weight that is not finite, else of its widest; None if undefined.
        relative_range: How many times as wide as the median of the others that one is; NaN if undefined.
        bits_left: log2 of the number of codes that the median range of the others takes.
        rounded_to_zero: Share of its weights other than zero that become zero.
        partner: The layer to equalize it with, None if none is known.
        fold_first: Name of the batch norm between both, which has to be folded into the layer before they are
            equalized; None if there is none.
        cause: One sentence that says what is wrong; it begins with a small letter, as behind "conv1: ".
        remedy: One sentence that says what helps; it begins with a capital letter.
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
    fold_first: str | None
    cause: str
    remedy: str


def find_problematic_layers(
    model: Any,
    *,
    bitwidth: int = 8,
    enough_bits: float = ENOUGH_BITS,
    max_lost_bits: float = MAX_LOST_BITS,
    max_rounded_to_zero: float = MAX_ROUNDED_TO_ZERO,
    wide_channel: float = WIDE_CHANNEL,
) -> list[ProblematicLayer]:
    """The layers that will break when the network is quantized, the worst first.

    A layer is listed if with one symmetric scale for its weights a quarter of its channels keep fewer effective bits
    than ``enough_bits`` and lose more than ``max_lost_bits``, or keep less than one bit; if more than
    ``max_rounded_to_zero`` of its weights become zero, which its bits do not show where a few weights are far larger
    than all others; and if it has weights that are not finite. The fewest bits come first, after the layers that no
    grid can hold. ``docs/quantization.md`` has the measurements behind the defaults.

    Args:
        model: A ``torch.nn.Module``, an ``onnx.ModelProto`` or the path of an ``.onnx`` file; nothing is run, but a
            torch module's ``forward`` is traced for the remedies if there is a layer to list.
        bitwidth: Bits of a quantized weight, from 2 to 16.
        enough_bits: Effective bits that are enough, whatever the bit width; at least 1. A bit is 6.02 dB of SQNR.
        max_lost_bits: Bits that channels may lose, as those of sound layers do; at least 0.
        max_rounded_to_zero: Share of the weights other than zero that may become zero; from 0 to 1.
        wide_channel: From this many times the median range of the others, a channel is named as the cause.

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
    if not _is_at_least(max_rounded_to_zero, 0) or max_rounded_to_zero > 1:
        raise UsageError(f"max_rounded_to_zero is {max_rounded_to_zero!r}; give a share from 0 to 1, as 0.8")
    if not _is_at_least(wide_channel, 1):
        raise UsageError(f"wide_channel is {wide_channel!r}; give a multiple of the median range of at least 1, as 3")
    stored = stored_weights(model)
    return problems_of(
        stored,
        summary_of(stored.layers, bitwidth),
        enough_bits=enough_bits,
        max_lost_bits=max_lost_bits,
        max_rounded_to_zero=max_rounded_to_zero,
        wide_channel=wide_channel,
    )


def _is_at_least(value: Any, least: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and float(value) >= least


def problems_of(
    stored: StoredWeights,
    summary: pd.DataFrame,
    *,
    per_channel: bool = False,
    enough_bits: float = ENOUGH_BITS,
    max_lost_bits: float = MAX_LOST_BITS,
    max_rounded_to_zero: float = MAX_ROUNDED_TO_ZERO,
    wide_channel: float = WIDE_CHANNEL,
) -> list[ProblematicLayer]:
    """What ``find_problematic_layers`` finds, in a summary of layers at one bit width.

    With ``per_channel`` only what a scale for every channel does not help.
    """
    if summary.empty:
        return []
    bitwidth = int(summary["bitwidth"].iloc[0])
    limits = Limits(
        least_bits=min(enough_bits, max(1.0, bitwidth - max_lost_bits)),
        wide_channel=wide_channel,
        max_rounded_to_zero=max_rounded_to_zero,
    )
    broken = summary["non_finite"] > 0
    lost = summary[f"effective_bits_{'per_channel' if per_channel else 'per_tensor'}"] < limits.least_bits
    gone = summary[f"rounded_to_zero{'_per_channel' if per_channel else ''}"] > limits.max_rounded_to_zero
    ranked = summary[broken | lost | gone].sort_values("effective_bits_per_tensor", na_position="first", kind="stable")
    if ranked.empty:
        return []
    partners = stored.partners()
    return [
        _problem(name, dict(zip(COLUMNS, row, strict=True)), partners[name], limits)
        for name, *row in ranked.itertuples()
    ]


def _problem(name: str, row: Mapping[str, Any], partner: Partner, limits: Limits) -> ProblematicLayer:
    channel = row["non_finite_channel"] if row["non_finite"] else row["widest_channel"]
    return ProblematicLayer(
        layer=name,
        kind=row["kind"],
        bitwidth=row["bitwidth"],
        effective_bits=row["effective_bits_per_tensor"],
        effective_bits_per_channel=row["effective_bits_per_channel"],
        sqnr=row["sqnr_symmetric_per_tensor"],
        sqnr_per_channel=row["sqnr_symmetric_per_channel"],
        channel=channel if channel >= 0 else None,
        relative_range=float("nan") if row["non_finite"] else row["relative_range"],
        bits_left=row["bits_left"],
        rounded_to_zero=row["rounded_to_zero"],
        partner=partner.layer,
        fold_first=partner.fold_first,
        cause=cause_of(row, limits),
        remedy=remedy_for(row, partner, limits),
    )
