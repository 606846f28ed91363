"""What every layer may become: by which scheme, to which ratios, at what cost, and which layers share one ratio."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aimet_hooks import layer_options
from aimet_hooks.layer_options import LayerOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from fractions import Fraction

    from aimet_hooks.cost import CostModel
    from aimet_hooks.layers import Layer
    from aimet_hooks.schemes import SvdScheme, Variant

NOTHING_ASKED = LayerOptions()


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The variants of every layer.

    Args:
        scheme: How layers are compressed.
        candidates: The ratios that are explored, ascending; none for a manual selection.
        metric: What the ratios are shares of.
        options: What is asked of single layers, by name.
    """

    scheme: SvdScheme
    candidates: Sequence[Fraction]
    metric: CostModel
    options: Mapping[str, LayerOptions] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        layers: Sequence[Layer],
        scheme: SvdScheme,
        candidates: Sequence[Fraction],
        metric: CostModel,
        given: Mapping[str, LayerOptions],
    ) -> Self:
        """The space of a model's layers, with the options that were given for names and globs.

        Raises:
            UsageError: If these match no layer, or the costs of a layer are not known.
        """
        metric.check(layers)
        return cls(scheme, candidates, metric, layer_options.of_each(given, [layer.name for layer in layers]))

    def row(self, layer: Layer) -> tuple[Variant, ...]:
        """The variants that are explored."""
        return self.variants(layer, self._candidates_of(layer))

    def variants(self, layer: Layer, ratios: Iterable[Fraction]) -> tuple[Variant, ...]:
        """The variants that ratios stand for and that save something."""
        return self._scheme_of(layer).variants(layer, ratios, self.metric)

    def lowest(self, layer: str) -> Fraction | None:
        """The lowest ratio that a layer may have; None: any."""
        return self.options.get(layer, NOTHING_ASKED).lowest

    def ties(self, layers: Iterable[str]) -> dict[str, str]:
        """The tie of every one of these layers that shares its ratio with another of them."""
        found = {name: tie for name in layers if (tie := self.options.get(name, NOTHING_ASKED).tie) is not None}
        together = list(found.values())
        return {name: tie for name, tie in found.items() if together.count(tie) > 1}

    def reason_against(self, layer: Layer) -> str | None:
        """Why a layer is left alone, as far as that is known without trying it; None if it is not."""
        scheme, candidates = self._scheme_of(layer), self._candidates_of(layer)
        reason = scheme.reason_against(layer, self.metric)
        if reason is not None or not self.candidates:
            return reason
        lowest = self.options.get(layer.name, NOTHING_ASKED).min_comp_ratio
        if not candidates:
            return (
                f"no candidate is at least its min_comp_ratio {lowest}; the highest is {float(self.candidates[-1]):g}"
            )
        if self.row(layer):
            return None
        which = "" if lowest is None else f" of at least its min_comp_ratio {lowest}"
        return f"no candidate{which} saves anything at multiplicity {scheme.multiplicity}"

    def _scheme_of(self, layer: Layer) -> SvdScheme:
        multiplicity = self.options.get(layer.name, NOTHING_ASKED).multiplicity
        return self.scheme if multiplicity is None else dataclasses.replace(self.scheme, multiplicity=multiplicity)

    def _candidates_of(self, layer: Layer) -> Sequence[Fraction]:
        lowest = self.lowest(layer.name)
        return self.candidates if lowest is None else [ratio for ratio in self.candidates if ratio >= lowest]
