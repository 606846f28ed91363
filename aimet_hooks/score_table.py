"""The table of a run: layers by ratios, what each cell costs and scores."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks import cost, selection
from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from aimet_hooks.cost import Amount
    from aimet_hooks.layers import Layer
    from aimet_hooks.schemes import Variant
    from aimet_hooks.search_space import SearchSpace


class ScoreTable:
    """Rows for the layers that can be compressed, columns for the candidates.

    Args:
        layers: All layers with weights of the model.
        rows: Names of those that can be compressed, in network order.
        space: What each of them may become.
    """

    def __init__(self, layers: Sequence[Layer], rows: Sequence[str], space: SearchSpace) -> None:
        self.layers = {layer.name: layer for layer in layers}
        self.space = space
        self.metric = space.metric
        self.ratios = tuple(float(ratio) for ratio in space.candidates)
        self.variants: dict[str, tuple[Variant, ...]] = {name: space.row(self.layers[name]) for name in rows}
        self.ties = space.ties(rows)
        self._scores: dict[str, dict[float, float]] = {name: {} for name in rows}
        before = [self.metric.of_layer(layer) for layer in layers]
        after = [self._amount(name, variant) for name, row in self.variants.items() for variant in row]
        self._whole = cost.whole([*before, *after], sum(before))

    def variant(self, name: str, ratio: Fraction) -> Variant:
        """The rank and cost of a row at any ratio.

        Raises:
            UsageError: If the layer may not have the ratio, or it saves nothing.
        """
        lowest = self.space.lowest(name)
        if lowest is not None and ratio < lowest:
            raise UsageError(
                f"layer {name!r} has ratio {float(ratio):g}, below its min_comp_ratio {float(lowest):g}; raise the "
                "ratio, or lower min_comp_ratio in layer_options"
            )
        found = self.space.variants(self.layers[name], [ratio])
        if not found:
            raise UsageError(
                f"layer {name!r} at ratio {float(ratio):g} would cost no less than it does now; lower the ratio, "
                "or leave the layer out"
            )
        return found[0]

    @property
    def cells(self) -> dict[str, tuple[float, ...]]:
        """The ratios that have a cell, by row, ascending."""
        return {
            name: tuple(ratio for variant in row for ratio in variant.ratios) for name, row in self.variants.items()
        }

    def record(self, layer: str, ratio: float, score: float | None) -> None:
        """Set the score of a cell; None leaves it empty."""
        if score is not None:
            self._scores[layer][ratio] = score

    def scores(self) -> list[float]:
        """All scores there are."""
        return [score for row in self._scores.values() for score in row.values()]

    def predicted_score(
        self, comp_ratios: Mapping[str, float | None], baseline: float, *, higher_is_better: bool, monotonic: bool
    ) -> float:
        """The baseline less what the chosen cells lose, each with its layer alone compressed: optimistic.

        Args:
            comp_ratios: The choice.
            baseline: Score of the original model.
            higher_is_better: Direction of the score.
            monotonic: Take the scores' isotonic fit, if the choice was made by that.
        """
        choices = self.choices(baseline=baseline, higher_is_better=higher_is_better, monotonic=monotonic)
        scores = {name: {choice.ratio: choice.score for choice in row} for name, row in choices.items()}
        lost = math.fsum(scores[name][None] - scores[name][ratio] for name, ratio in comp_ratios.items())
        return baseline - lost if higher_is_better else baseline + lost

    def frame(self) -> pd.DataFrame:
        """The scores as a DataFrame of float: index layer name, columns ratio ascending, NaN: not evaluated."""
        import pandas as pd

        values = [[row.get(ratio, math.nan) for ratio in self.ratios] for row in self._scores.values()]
        index = pd.Index(list(self._scores), name="layer", dtype=object)
        columns = pd.Index(self.ratios, name="comp_ratio", dtype=float)
        return pd.DataFrame(np.array(values, float).reshape(len(index), len(columns)), index=index, columns=columns)

    @property
    def total_cost(self) -> int:
        """What all layers cost before compression, in whole numbers."""
        return sum(self._before(name) for name in self.layers)

    @property
    def rest(self) -> int:
        """What the layers cost that are not in the table."""
        return sum(self._before(name) for name in self.layers if name not in self.variants)

    def lowest_ratio(self) -> Fraction:
        """The lowest ratio of the model that the cells can reach; 1 where nothing can be saved."""
        choices = {name: list(self._without_scores(name)) for name in self.variants}
        rows = selection.tied(choices, self.ties).values()
        lowest = self.rest + sum(min(choice.cost for choice in row) for row in rows)
        return Fraction(lowest, self.total_cost) if self.total_cost else Fraction(1)

    def choices(
        self, *, baseline: float, higher_is_better: bool, monotonic: bool
    ) -> Mapping[str, list[selection.Choice]]:
        """The table as the selection takes it: cells with a score, as they are or fitted, and the layer as it is."""
        return {
            name: selection.row_of_choices(
                [
                    (ratio, self._scores[name][ratio], self._whole[self._amount(name, variant)])
                    for variant in row
                    for ratio in variant.ratios
                    if ratio in self._scores[name]
                ],
                baseline=baseline,
                cost=self._before(name),
                higher_is_better=higher_is_better,
                monotonic=monotonic,
            )
            for name, row in self.variants.items()
        }

    def _amount(self, name: str, variant: Variant) -> Amount:
        return self.metric.of_rank(self.layers[name], variant.rank, variant.cost)

    def _before(self, name: str) -> int:
        return self._whole[self.metric.of_layer(self.layers[name])]

    def _without_scores(self, name: str) -> Iterator[selection.Choice]:
        """The choices of a row before they have scores."""
        for variant in self.variants[name]:
            for ratio in variant.ratios:
                yield selection.Choice(ratio, 0.0, self._whole[self._amount(name, variant)])
        yield selection.Choice(None, 0.0, self._before(name))
