"""What is wrong with a layer's weights, and what helps, in a sentence each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimet_hooks.quantization.quantizer import BITWIDTHS, narrowest_range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimet_hooks.adapters.partners import Partner


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From where on something is wrong.

    Attributes:
        least_bits: Effective bits that a quarter of the channels may not fall short of.
        wide_channel: From this many times the median range of the others, a channel is named.
        max_rounded_to_zero: Share of the weights that may become zero.
    """

    least_bits: float
    wide_channel: float
    max_rounded_to_zero: float


def cause_of(row: Mapping[str, Any], limits: Limits) -> str:
    """What is wrong with a layer, from its row of ``summarize_weight_ranges``."""
    bits = f"quantization to {row['bitwidth']} bits"
    if row["non_finite"]:
        are, the_first = ("is", "") if row["non_finite"] == 1 else ("are", "the first ")
        return (
            f"{row['non_finite']:,} of its {row['weights']:,} weights {are} NaN or infinite, {the_first}in channel "
            f"{row['non_finite_channel']}: it has no scale"
        )
    if _has_no_scales(row):
        return (
            f"a quarter of its channels or more have no weight above {narrowest_range(row['bitwidth']):.2g}: "
            f"no normal float32 number is a scale for them in {bits}, and all their weights become zero"
        )
    if row["rounded_to_zero_per_channel"] > limits.max_rounded_to_zero:
        return (
            f"per-tensor {bits} rounds {row['rounded_to_zero']:.0%} of its weights to zero, a scale a channel "
            f"{row['rounded_to_zero_per_channel']:.0%}: few weights are far larger than all others"
        )
    if row["relative_range"] >= limits.wide_channel:
        return (
            f"channel {row['widest_channel']} is {row['relative_range']:.3g} times as wide as the median channel; "
            f"per-tensor {bits} leaves {_bits(row['bits_left'])} for the others"
        )
    if _is_uneven(row, limits) and row["narrow_quarter"] >= limits.wide_channel:
        return (
            f"a quarter of its channels is {row['narrow_quarter']:.3g} times narrower than the median channel or more; "
            f"per-tensor {bits} leaves them {_at_most(row['effective_bits_per_tensor'])}"
        )
    return (
        f"per-tensor {bits} rounds {row['rounded_to_zero']:.0%} of its weights to zero and leaves "
        f"{_at_most(row['effective_bits_per_tensor'])} to a quarter of its channels, "
        f"a scale a channel {_bits(row['effective_bits_per_channel'])}"
    )


def remedy_for(row: Mapping[str, Any], partner: Partner, limits: Limits) -> str:
    """What helps such a layer, from a capital letter on: it follows a full stop."""
    if row["non_finite"]:
        return "Repair these weights, or leave the layer in float"
    if _has_no_scales(row):
        return "Set these weights to zero, or leave the layer in float: neither a scale a channel nor more bits help"
    more_bits = row["bitwidth"] < BITWIDTHS[-1]
    if not _is_uneven(row, limits):
        more = "Quantize it with more bits, or leave it" if more_bits else "Leave it"
        return f"{more} in float: a scale a channel is not enough"
    per_channel = f"Quantize its weights per channel ({_bits(row['effective_bits_per_channel'])})"
    if partner.layer is not None:
        fold = "" if partner.fold_first is None else f"fold the batch norm {partner.fold_first!r} into it, then "
        return f"{per_channel}, or {fold}equalize it with {partner.layer!r}, which reads its channels"
    more = " or with more bits" if more_bits else ""
    return f"{per_channel}{more}; no partner to equalize it with is known: {partner.reason}"


def _has_no_scales(row: Mapping[str, Any]) -> bool:
    """Whether a quarter of the channels become zero though their scale is their own: the largest weight never would.

    Squares of weights below 1e-162 are zero, so that nothing tells how many bits of them are left.
    """
    return not row["effective_bits_per_channel"] > 0


def _is_uneven(row: Mapping[str, Any], limits: Limits) -> bool:
    """Whether a scale a channel is enough."""
    enough = row["effective_bits_per_channel"] >= limits.least_bits
    return bool(enough and row["rounded_to_zero_per_channel"] <= limits.max_rounded_to_zero)


def _bits(number: float) -> str:
    """A number of bits."""
    return "less than 0.1 bits" if number < _LEAST_BITS else f"{number:.1f} bits"


def _at_most(number: float) -> str:
    """As many bits or fewer."""
    return _bits(number) + ("" if number < _LEAST_BITS else " or fewer")


_LEAST_BITS = 0.05
"""What is less would be shown as 0.0."""
