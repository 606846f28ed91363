"""Measure whole models: points of the budget curve, and the smallest model that loses no more than it may.

Single-layer scores are optimistic, since losses add up and more; so what they predict is measured, and never the other
way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aimet_hooks.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.strategies import Decision

RESOLUTION = 0.01
"""Share of the model's cost between the smallest model that is good enough and the next that is not."""

MOST_STEPS, MOST_MEASUREMENTS = 30, 8
"""Targets that a search tries, and models that it measures; the others choose what was measured before."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A whole model that was measured.

    Attributes:
        decision: The ratios.
        ratio: Share of the model's cost that they keep.
        score: Its score, None where the evaluation failed.
    """

    decision: Decision
    ratio: float
    score: float | None


class Laboratory(Protocol):
    """What chooses and measures models."""

    def decide(self, target: float) -> tuple[Decision, float]:
        """The choice for a target, and the share of the cost that it keeps.

        Raises:
            TargetError: If the table does not reach the target.
        """
        ...

    def measure(self, target: float, decision: Decision, ratio: float) -> float | None:
        """The score of the whole model, None where the evaluation fails; announces it."""
        ...


class Probes:
    """The models of one run that were measured, each choice once.

    Args:
        laboratory: Chooses and measures.
    """

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory = laboratory
        self._measured: list[Measured] = []

    @property
    def measured(self) -> Sequence[Measured]:
        """In the order of their measurement."""
        return tuple(self._measured)

    def curve(self, targets: Sequence[float], most: int) -> None:
        """Measure the choices for these targets until ``most`` were measured; what cannot be reached is left out."""
        for target in targets:
            if len(self._measured) < most:
                self._measure_at(target)

    def smallest_within(self, baseline: float, max_drop: float, *, higher_is_better: bool, lowest: float) -> Decision:
        """The smallest measured model that scores worse than the baseline by at most ``max_drop``.

        Bisection over the target, between the largest model that is known to lose more and the smallest that is known
        to lose no more.

        Args:
            baseline: Score of the original model.
            max_drop: In the unit of the score.
            higher_is_better: Direction of the score.
            lowest: Lowest share of the cost that the table can reach.

        Raises:
            TargetError: If no measured model is within; says what was measured.
        """

        def drop(model: Measured) -> float:
            if model.score is None:
                return float("inf")
            return baseline - model.score if higher_is_better else model.score - baseline

        good = min((model.ratio for model in self._measured if drop(model) <= max_drop), default=1.0)
        too_small = max(
            (model.ratio for model in self._measured if drop(model) > max_drop and model.ratio < good), default=lowest
        )
        left = MOST_MEASUREMENTS
        for _ in range(MOST_STEPS):
            if good - too_small <= RESOLUTION or left == 0:
                break
            target = (good + too_small) / 2
            before = len(self._measured)
            found = self._measure_at(target)
            left -= len(self._measured) - before
            if found is not None and drop(found) <= max_drop:
                good = min(good, found.ratio)
            else:
                too_small = target
        within = [model for model in self._measured if drop(model) <= max_drop]
        if not within:
            raise TargetError(self._nothing_within(baseline, max_drop))
        return min(within, key=lambda model: model.ratio).decision

    def _measure_at(self, target: float) -> Measured | None:
        try:
            decision, ratio = self._laboratory.decide(target)
        except TargetError:
            return None
        for known in self._measured:
            if known.decision.comp_ratios == decision.comp_ratios:
                return known
        measured = Measured(decision, ratio, self._laboratory.measure(target, decision, ratio))
        self._measured.append(measured)
        return measured

    def _nothing_within(self, baseline: float, max_drop: float) -> str:
        shown = ", ".join(
            f"{'failed' if model.score is None else format(model.score, '.6g')} at {model.ratio:.3f}"
            for model in sorted(self._measured, key=lambda model: -model.ratio)
        )
        return (
            f"max_drop {max_drop:g} cannot be kept: the baseline scores {baseline:.6g}, and of the models that were "
            f"measured none is within ({shown or 'none could be'}); raise max_drop, or give a target_comp_ratio"
        )
