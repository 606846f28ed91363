"""Which layer another can be equalized with: the next one, if what lies between keeps channels and their scales.

Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction")
divides an output channel by s > 0 and multiplies the next layer's input channel by s. The network computes the same if
every operation f between them acts on each channel alone and f(s * x) = s * f(x). That holds for ReLU, LeakyReLU,
PReLU, max and average pooling, and dropout in eval mode. It does not hold for batch norm, which subtracts a mean of its
own (but is gone once it is folded into the layer), for ReLU6, sigmoids and the like, nor where another branch reads
the same channels or another place the same weight. What the next layer sums over has to be the very axis of the
channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks.adapters.effects import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimet_hooks.adapters.effects import Effect
    from aimet_hooks.adapters.stored_weights import StoredLayer


@dataclass(frozen=True, slots=True)
class Partner:
    """A layer to equalize with.

    Attributes:
        layer: Its name; None if none is known.
        reason: Why none is known, else empty.
        fold_first: Name of the batch norm between them, which has to be folded into the first layer before; None if
            there is none.
    """

    layer: str | None
    reason: str = ""
    fold_first: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Something that reads a value.

    Attributes:
        operation: What it is called in a message, as "MaxPool2d".
        effect: What it does to channels.
        result: The value that it makes; None at the end of the model.
        layer: The layer that it is, None if it is none or does not multiply the value by its weight.
        norm: Name of the batch norm that it is, None if it is none or cannot be folded.
    """

    operation: str
    effect: Effect
    result: str | None
    layer: StoredLayer | None = None
    norm: str | None = None


NOTHING_FOLLOWS = "no other layer follows"


def partner_of(layer: StoredLayer, result: str, readers: Callable[[str], Sequence[Reader]]) -> Partner:
    """Follow a layer's output to the next layer.

    Args:
        layer: The layer.
        result: The value that it makes.
        readers: What reads the numbers of a value.
    """
    if layer.unscalable is not None:
        return Partner(None, layer.unscalable)
    channels, value, folded = layer.channels, result, None
    if channels.output_axis is None:
        return Partner(None, "what it gives is not in proportion to its weights: it adds or does something else too")
    rank = channels.spatial + 2 if channels.spatial else None
    place = Place(channels=channels.outputs, axis=channels.output_axis, rank=rank)
    passed: set[str] = set()
    while value not in passed:
        passed.add(value)
        found = readers(value)
        if len(found) != 1:
            return Partner(None, _branches(found))
        reader = found[0]
        if reader.layer is not None:
            return _fitting(place, reader.layer, folded)
        after = reader.effect(place)
        if after is None or reader.result is None:
            return Partner(None, _obstacle(reader, place))
        value, place, folded = reader.result, after, reader.norm or folded
    return Partner(None, "its output leads back to itself")  # as in a graph that is not valid


def _obstacle(reader: Reader, place: Place) -> str:
    if reader.result is None:
        return NOTHING_FOLLOWS
    fold = "; fold it into the layer first" if reader.norm and place.direct else ""
    return f"{reader.operation} lies behind it{fold}"


def _branches(found: Sequence[Reader]) -> str:
    if not found:
        return NOTHING_FOLLOWS
    return f"{len(found)} operations read its output ({', '.join(reader.operation for reader in found[:3])})"


def _fitting(place: Place, following: StoredLayer, folded: str | None) -> Partner:
    """The following layer, if its input channels are the layer's output channels (or blocks of them)."""
    if following.unscalable is not None:
        return Partner(None, f"{following.name!r} follows, but {following.unscalable}")
    if not place.fits(following.channels):
        return Partner(None, f"{following.name!r} does not sum over its output channels")
    return Partner(following.name, fold_first=folded)
