"""What operations behind a layer do to its output channels: where these lie afterwards, if they still lie apart.

An effect holds for operations f that act on each channel alone with f(s * x) = s * f(x) for s > 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aimet_hooks.adapters.channels import Channels

_ELEMENTWISE = frozenset({"relu", "leakyrelu", "prelu", "identity", "dropout", "contiguous"})
_POOLS = frozenset(
    {"maxpool", "avgpool", "averagepool", "adaptiveavgpool", "adaptivemaxpool", "globalaveragepool", "globalmaxpool"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the output channels of a layer lie in a value behind it.

    Attributes:
        channels: Their number.
        axis: Their axis; counted from the last one if it is negative.
        rank: Number of axes of the value; None if unknown.
        flat: Whether each channel is a block of neighbours along the second of two axes.
        single: Whether each channel is known to be one number a sample.
        direct: Whether the value is what the layer gives.
    """

    channels: int
    axis: int
    rank: int | None
    flat: bool = False
    single: bool = False
    direct: bool = True

    @property
    def spatial(self) -> int:
        """Number of axes behind that of the channels, if that is the second one."""
        return self.rank - 2 if self.axis == 1 and self.rank is not None else 0

    def fits(self, following: Channels) -> bool:
        """Whether the channels are those that a layer sums over, or blocks of them."""
        if self.flat:
            return following.input_axis == -1 and following.inputs % self.channels == 0
        if following.spatial and self.rank not in (None, following.spatial + 2):
            return False
        axes = (1, -1) if self.rank == 2 and self.axis == 1 else (self.axis,)
        return following.input_axis in axes and following.inputs == self.channels


if TYPE_CHECKING:
    Effect = Callable[[Place], Place | None]
    """None if the channels no longer lie apart, or are not in proportion any more."""


def mixing(place: Place) -> Place | None:
    """Of an operation of which nothing is known."""
    del place
    return None


def elementwise(place: Place) -> Place | None:
    """Of ReLU and the like."""
    return replace(place, direct=False)


def pooling(axes: int | None, *, to_one: bool = False) -> Effect:
    """Of windows that move along the last axes.

    Args:
        axes: Their number; None for all behind that of the channels.
        to_one: Whether one position is left.
    """

    def effect(place: Place) -> Place | None:
        fits = place.spatial > 0 and axes in (None, place.spatial)
        return replace(place, single=to_one, direct=False) if fits else None

    return effect


def reducing(axes: Collection[int], *, keeps_axes: bool) -> Effect:
    """Of a mean, sum or maximum over axes behind that of the channels, which stay with one position or vanish."""

    def effect(place: Place) -> Place | None:
        rank = place.spatial + 2
        reduced = {axis + rank if axis < 0 else axis for axis in axes}
        if not reduced or not reduced.issubset(range(2, rank)):
            return None
        single = place.single or len(reduced) == place.spatial
        return replace(place, rank=rank if keeps_axes else rank - len(reduced), single=single, direct=False)

    return effect


def squeezing(axes: Collection[int]) -> Effect:
    """Of the removal of axes, which takes place only if they have one position."""
    removing = reducing(axes, keeps_axes=False)
    return lambda place: removing(place) if place.single else None


def flattening(place: Place) -> Place | None:
    """Of making the second and all further axes one."""
    if place.axis != 1 or place.rank is None:
        return None
    return replace(place, rank=2, flat=place.flat or place.spatial > 0, direct=False)


def regrouping(rank: int) -> Effect:
    """Of another division of the numbers of each channel into axes.

    Args:
        rank: Number of axes of what it gives.
    """
    return lambda place: replace(place, rank=rank, direct=False) if place.spatial > 0 else None


def adding(rank: int | None) -> Effect:
    """Of a constant that is added, and can be scaled as the layer's bias is.

    Args:
        rank: Number of its axes, None if unknown: of more than the value has, it moves those that count from the first.
    """

    def effect(place: Place) -> Place | None:
        stays = place.axis < 0 or (rank is not None and place.rank is not None and rank <= place.rank)
        return replace(place, direct=False) if place.direct and stays else None

    return effect


def normalizing(rank: int | None) -> Effect:
    """Of a batch norm along the second axis that is folded into the layer: the value is what the layer then gives.

    Args:
        rank: Number of axes of what it reads, None if unknown.
    """

    def effect(place: Place) -> Place | None:
        along_channels = place.axis == 1 or (place.axis == -1 and rank == 2)
        return replace(place, direct=False) if place.direct and along_channels else None

    return effect


def effect_of(operation: str) -> Effect:
    """What an operation does, from its name in any framework: "MaxPool2d", "max_pool2d" and "MaxPool" are one."""
    plain = re.sub(r"_|\dd$", "", operation.lower())
    if plain in _ELEMENTWISE:
        return elementwise
    axes = re.search(r"(\d)d$", operation)
    return pooling(int(axes[1]) if axes else None) if plain in _POOLS else mixing
