"""Which layer another can be equalized with: the next one, if what lies between keeps channels and their scales.

Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction")
divides an output channel by s > 0 and multiplies the next layer's input channel by s. The network computes the same if
every operation f between them acts on each channel alone and f(s * x) = s * f(x). That holds for ReLU, LeakyReLU,
PReLU, max and average pooling, and dropout in eval mode. It does not hold for batch norm, which subtracts a mean of its
own (fold it into the layer first), for ReLU6, sigmoids and the like, nor where another branch reads the same channels
or another place the same weight. What the next layer sums over has to be the very axis of the channels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimet_hooks.adapters.stored_weights import StoredLayer

Effect = Literal["elementwise", "pool", "flatten", "bias", "end", "unknown"]

_ELEMENTWISE = frozenset({"relu", "leakyrelu", "prelu", "identity", "dropout", "contiguous"})
_POOLS = frozenset(
    {"maxpool", "avgpool", "averagepool", "adaptiveavgpool", "adaptivemaxpool", "globalaveragepool", "globalmaxpool"}
)


@dataclass(frozen=True, slots=True)
class Partner:
    """A layer to equalize with.

    Attributes:
        layer: Its name; None if none is known.
        reason: Why none is known, else empty.
    """

    layer: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reader:
    """Something that reads a value.

    Attributes:
        operation: What it is called in a message, as "MaxPool2d".
        effect: What it does to channels and their scales.
        result: The value that it makes.
        layer: The layer that it is, None if it is none or does not multiply the value by its weight.
        axes: Number of axes that it pools over; None if the value decides.
    """

    operation: str
    effect: Effect
    result: str
    layer: StoredLayer | None = None
    axes: int | None = None


NOTHING_FOLLOWS = "no other layer follows"


def effect_of(operation: str) -> Effect:
    """What an operation does, from its name in any framework: "MaxPool2d", "max_pool2d" and "MaxPool" are one."""
    plain = re.sub(r"_|\dd$", "", operation.lower())
    if plain in _ELEMENTWISE:
        return "elementwise"
    return "pool" if plain in _POOLS else "unknown"


def partner_of(layer: StoredLayer, result: str, readers: Callable[[str], Sequence[Reader]]) -> Partner:
    """Follow a layer's output to the next layer.

    Args:
        layer: The layer.
        result: The value that it makes.
        readers: What reads a value.
    """
    if layer.unscalable is not None:
        return Partner(None, layer.unscalable)
    if layer.channels.output_axis is None:
        return Partner(None, "what it gives is not in proportion to its weights: it adds or does something else too")
    value, flattened = result, False
    while True:
        found = readers(value)
        if len(found) != 1:
            return Partner(None, _branches(found))
        reader = found[0]
        if reader.layer is not None:
            return _fitting(layer, reader.layer, flattened=flattened)
        if not _keeps_channels(reader, layer, flattened=flattened, directly=value == result):
            return Partner(None, _obstacle(reader))
        flattened |= reader.effect == "flatten"
        value = reader.result


def _keeps_channels(reader: Reader, layer: StoredLayer, *, flattened: bool, directly: bool) -> bool:
    if reader.effect == "elementwise":
        return True
    if flattened:
        return False
    if reader.effect == "bias":
        return directly
    fits = reader.axes in (None, layer.channels.spatial)
    return layer.channels.can_be_pooled and fits and reader.effect in ("pool", "flatten")


def _obstacle(reader: Reader) -> str:
    if reader.effect == "end":
        return NOTHING_FOLLOWS
    fold = "; fold it into the layer first" if reader.operation.lower().startswith("batchnorm") else ""
    return f"{reader.operation} lies behind it{fold}"


def _branches(found: Sequence[Reader]) -> str:
    if not found:
        return NOTHING_FOLLOWS
    return f"{len(found)} operations read its output ({', '.join(reader.operation for reader in found[:3])})"


def _fitting(layer: StoredLayer, following: StoredLayer, *, flattened: bool) -> Partner:
    """The following layer, if its input channels are the layer's output channels (or blocks of them)."""
    if following.unscalable is not None:
        return Partner(None, f"{following.name!r} follows, but {following.unscalable}")
    if not layer.channels.fits(following.channels, flattened=flattened):
        return Partner(None, f"{following.name!r} does not sum over its output channels")
    return Partner(following.name)
