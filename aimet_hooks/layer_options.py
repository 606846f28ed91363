"""What a user asks of single layers: a lowest ratio, a multiplicity, and ties."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aimet_hooks import layers
from aimet_hooks.errors import UnknownNameError, UsageError, nearest
from aimet_hooks.ratio import exact_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOptions:
    """What is asked of some layers; None: nothing.

    Args:
        min_comp_ratio: Lowest ratio of cost kept, 0 < r < 1: lower candidates are neither evaluated nor chosen. A ratio
            stands for the highest rank that costs no more, so what a layer keeps may lie slightly below it.
        multiplicity: Ranks are multiples of this, in place of the scheme's multiplicity.
        tie: Layers with the same name here share one ratio.

    Raises:
        UsageError: If a value is out of its range.
    """

    min_comp_ratio: float | Decimal | Fraction | None = None
    multiplicity: int | None = None
    tie: str | None = None

    def __post_init__(self) -> None:
        if self.min_comp_ratio is not None:
            exact_ratio(self.min_comp_ratio, "min_comp_ratio")
        if self.multiplicity is not None:
            check_multiplicity(self.multiplicity)
        if self.tie is not None and not (isinstance(self.tie, str) and self.tie):
            raise UsageError(f"tie is {self.tie!r}; give the layers that share a ratio the same name, as tie='block1'")

    @property
    def lowest(self) -> Fraction | None:
        """``min_comp_ratio``, exactly as it was written."""
        return None if self.min_comp_ratio is None else exact_ratio(self.min_comp_ratio, "min_comp_ratio")

    def then(self, later: LayerOptions) -> Self:
        """These options, with what later ones ask in their place."""
        return dataclasses.replace(self, **later._asked())

    def describe(self) -> dict[str, Any]:
        """What is asked, by name, in JSON types."""
        return self._asked() | ({} if self.lowest is None else {"min_comp_ratio": float(self.lowest)})

    def _asked(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def check_multiplicity(value: Any) -> None:
    """Make sure that ranks can be multiples of a value.

    Raises:
        UsageError: If it is not an integer >= 1.
    """
    if type(value) is not int or value < 1:
        raise UsageError(f"multiplicity is {value!r}; give an integer of at least 1, as multiplicity=8")


def by_pattern(given: Any) -> dict[str, LayerOptions]:
    """The value of ``layer_options``.

    Raises:
        UsageError: If it is not {name or glob: LayerOptions(...)}.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(f"layer_options is {given!r}; give {{name or glob: LayerOptions(...)}}")
    for pattern, options in given.items():
        if not isinstance(pattern, str) or not isinstance(options, LayerOptions):
            raise UsageError(
                f"layer_options has {pattern!r}: {options!r}; give a name or glob and LayerOptions(...), "
                "as {'layer4.*': LayerOptions(min_comp_ratio=0.5)}"
            )
    return dict(given)


def of_each(given: Mapping[str, LayerOptions], names: Sequence[str]) -> dict[str, LayerOptions]:
    """The options of every layer that a name or glob matches; of several the later ones override the earlier ones.

    Raises:
        UnknownNameError: If a name or glob matches no layer.
    """
    found: dict[str, LayerOptions] = {}
    for pattern, options in given.items():
        matched = layers.named(pattern, names)
        if not matched:
            raise UnknownNameError(f"layer_options has {pattern!r}, which matches no layer{nearest(pattern, names)}")
        for name in matched:
            found[name] = found.get(name, LayerOptions()).then(options)
    return found
