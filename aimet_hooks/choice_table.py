"""What a recorded exploration leaves to choose from: for every layer its scores and costs, as the selection takes them.

Costs become whole numbers again, so that a choice made here, or by a page, is the one that the run itself would make.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

from aimet_hooks import cost, selection
from aimet_hooks.errors import UnknownNameError, UsageError, nearest
from aimet_hooks.ratio import TOLERANCE, exact_ratio, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.run_state import RunState

LARGEST_DENOMINATOR = 1_000_000
"""MACs for one sample are those of a batch divided by its size, so they are fractions with a small denominator."""


@dataclass(frozen=True, slots=True)
class ChoiceTable:
    """The choices of a run.

    Attributes:
        rows: By layer of the table its cells that have a score, and last the choice to leave it alone.
        ties: The tie of every layer that shares its ratio with another.
        rest: Cost of the layers that are not in the table.
        total: Cost of the whole original model.
    """

    rows: Mapping[str, Sequence[selection.Choice]]
    ties: Mapping[str, str]
    rest: int
    total: int

    @classmethod
    def of(cls, run: RunState, *, monotonic: bool) -> Self | None:
        """The choices of a run so far; None where it has no baseline, no table, or no costs.

        Args:
            run: The run.
            monotonic: Take the scores' isotonic fit over the ratios.
        """
        if run.baseline is None or run.exploration is None or not run.layers or not _costs_known(run):
            return None
        cells = {
            layer: [(cell, run.cost_of(cell) or 0.0) for cell in row.values()] for layer, row in run.scores.items()
        }
        before = {layer: run.cost(layer) for layer in run.layers}
        whole = _whole(run, [*before.values(), *(cost for row in cells.values() for _, cost in row)])
        rows = {
            layer: selection.row_of_choices(
                sorted((cell.comp_ratio, cell.score, whole[cost]) for cell, cost in row if cell.score is not None),
                baseline=run.baseline.score,
                cost=whole[before[layer]],
                higher_is_better=run.direction != "minimize",
                monotonic=monotonic,
            )
            for layer, row in cells.items()
        }
        total = sum(whole[cost] for cost in before.values())
        return cls(rows, run.ties, total - sum(row[-1].cost for row in rows.values()), total)

    def score_loss(self, comp_ratios: Mapping[str, float | None]) -> float:
        """Sum of what the chosen cells lose, each with its layer alone compressed."""
        return math.fsum(
            row[-1].score - self.choice(layer, comp_ratios[layer]).score for layer, row in self.rows.items()
        )

    def cost(self, comp_ratios: Mapping[str, float | None]) -> int:
        """What the whole model costs with these ratios."""
        return self.rest + sum(self.choice(layer, comp_ratios[layer]).cost for layer in self.rows)

    def known(self, ratios: Any) -> dict[str, float | None]:
        """Given ratios as the table has them: 0.333333 is 1 / 3.

        Raises:
            UsageError: If they are no ratios by layer, or a layer has no score at its ratio.
            UnknownNameError: If a layer is not in the table.
        """
        if not isinstance(ratios, Mapping):
            raise UsageError(f"locked is {ratios!r}; give {{layer: ratio, or None to leave it alone}}")
        return {layer: self._known(layer, ratio) for layer, ratio in ratios.items()}

    def _known(self, layer: Any, ratio: Any) -> float | None:
        if layer not in self.rows:
            raise UnknownNameError(f"layer {layer!r} is not in the table of scores{nearest(str(layer), self.rows)}")
        if ratio is None:
            return None
        wanted = float(exact_ratio(ratio, f"the ratio of the locked layer {layer!r}"))
        ratios = [choice.ratio for choice in self.rows[layer] if choice.ratio is not None]
        found = min(ratios, key=lambda known: abs(known - wanted), default=math.inf)
        if abs(found - wanted) > TOLERANCE:
            scores = ", ".join(map(told, ratios)) or "none"
            raise UsageError(f"layer {layer!r} has no score at ratio {told(wanted)}; it has scores at {scores}")
        return found

    def with_ties(self, ratios: Mapping[str, float | None]) -> dict[str, float | None]:
        """The given ratios, and those of the layers that are tied to one of theirs.

        Raises:
            UsageError: If tied layers have different ones.
        """
        all_of_them = dict(ratios)
        for layer, ratio in ratios.items():
            for other in self.rows if layer in self.ties else ():
                if self.ties.get(other) == self.ties[layer] and all_of_them.setdefault(other, ratio) != ratio:
                    raise UsageError(
                        f"layers {layer!r} and {other!r} are tied by {self.ties[layer]!r} and locked at "
                        f"{told(ratio)} and {told(all_of_them[other])}; lock one of them, or both at the same ratio"
                    )
        return all_of_them

    def locked(self, ratios: Mapping[str, float | None]) -> Self:
        """The table of the layers that are still to be chosen for, where those of others are given."""
        rows = {layer: row for layer, row in self.rows.items() if layer not in ratios}
        return type(self)(
            rows, self.ties, self.rest + sum(self.choice(*lock).cost for lock in ratios.items()), self.total
        )

    def choice(self, layer: str, ratio: float | None) -> selection.Choice:
        """A layer's choice of a ratio; None: to leave it alone."""
        return next(choice for choice in self.rows[layer] if choice.ratio == ratio)


def _costs_known(run: RunState) -> bool:
    return all(layer in run.layers for layer in run.scores) and all(
        run.cost_of(cell) is not None for row in run.scores.values() for cell in row.values()
    )


def _whole(run: RunState, costs: Sequence[float]) -> dict[float, int]:
    """Whole numbers in proportion to the costs: those that the run itself chose by."""
    own = any(info.cost is not None for info in run.layers.values())
    exact = {value: cost.decimal(value) if own else _of_samples(value) for value in costs}
    whole = cost.whole(exact.values(), sum(exact[run.cost(layer)] for layer in run.layers))
    return {value: whole[amount] for value, amount in exact.items()}


def _of_samples(count: float) -> Fraction:
    return Fraction(count).limit_denominator(LARGEST_DENOMINATOR)
