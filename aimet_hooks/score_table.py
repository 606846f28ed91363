"""The table of a run: layers by ratios, what each cell costs and scores."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks import selection
from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from aimet_hooks.layers import CostMetric, Layer
    from aimet_hooks.schemes import SvdScheme, Variant


class ScoreTable:
    """Rows for the layers that can be compressed, columns for the candidates.

    Args:
        layers: All layers with weights of the model.
        rows: Names of those that can be compressed, in network order.
        scheme: Gives the variants of each row.
        ratios: The candidates, ascending; none for a manual selection.
        metric: What the ratios are shares of.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        rows: Sequence[str],
        scheme: SvdScheme,
        ratios: Sequence[Fraction],
        metric: CostMetric,
    ) -> None:
        self.layers = {layer.name: layer for layer in layers}
        self.metric = metric
        self._scheme = scheme
        self.ratios = tuple(float(ratio) for ratio in ratios)
        self.variants: dict[str, tuple[Variant, ...]] = {
            name: scheme.variants(self.layers[name], ratios, metric) for name in rows
        }
        self._scores: dict[str, dict[float, float]] = {name: {} for name in rows}

    def variant(self, name: str, ratio: Fraction) -> Variant:
        """The rank and cost of a row at any ratio.

        Raises:
            UsageError: If the ratio saves nothing.
        """
        found = self._scheme.variants(self.layers[name], [ratio], self.metric)
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

    def predicted_score(self, comp_ratios: Mapping[str, float | None], baseline: float) -> float:
        """The baseline less what the chosen cells lose, each with its layer alone compressed: optimistic."""
        chosen = [self._scores[name][ratio] for name, ratio in comp_ratios.items() if ratio is not None]
        return baseline + sum(score - baseline for score in chosen)

    def frame(self) -> pd.DataFrame:
        """The scores as a DataFrame of float: index layer name, columns ratio ascending, NaN: not evaluated."""
        import pandas as pd

        values = [[row.get(ratio, math.nan) for ratio in self.ratios] for row in self._scores.values()]
        index = pd.Index(list(self._scores), name="layer", dtype=object)
        columns = pd.Index(self.ratios, name="comp_ratio", dtype=float)
        return pd.DataFrame(np.array(values, float).reshape(len(index), len(columns)), index=index, columns=columns)

    @property
    def total_cost(self) -> int:
        """What all layers cost before compression."""
        return sum(layer.cost(self.metric) for layer in self.layers.values())

    @property
    def rest(self) -> int:
        """What the layers cost that are not in the table."""
        return sum(layer.cost(self.metric) for name, layer in self.layers.items() if name not in self.variants)

    def lowest_ratio(self) -> Fraction:
        """The lowest ratio of the model that the cells can reach; 1 where nothing can be saved."""
        lowest = self.rest + sum(
            row[0].cost.of(self.metric) if row else self.layers[name].cost(self.metric)
            for name, row in self.variants.items()
        )
        return Fraction(lowest, self.total_cost) if self.total_cost else Fraction(1)

    def choices(
        self, *, baseline: float, higher_is_better: bool, monotonic: bool
    ) -> Mapping[str, list[selection.Choice]]:
        """The table as the selection takes it: cells with a score, as they are or fitted, and the layer as it is."""
        return {
            name: selection.row_of_choices(
                [
                    (ratio, self._scores[name][ratio], variant.cost.of(self.metric))
                    for variant in row
                    for ratio in variant.ratios
                    if ratio in self._scores[name]
                ],
                baseline=baseline,
                cost=self.layers[name].cost(self.metric),
                higher_is_better=higher_is_better,
                monotonic=monotonic,
            )
            for name, row in self.variants.items()
        }
