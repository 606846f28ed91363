"""Choose a ratio for every layer from a table of scores: arrays and numbers only.

The greedy rule: each layer takes the smallest ratio whose own score reaches a threshold t (none: it is left alone); t
is the highest of
the table's distinct scores at which the model's exact ratio is at or below the target. A lower t never costs more, so
the first
score that meets the target is found by bisection over the distinct scores. Then the budget that is left is spent:
single ratios are raised, best gain first, while the target still holds.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """One way that a layer can be: compressed to a ratio, or left alone.

    Attributes:
        ratio: Candidate ratio, None for the layer as it is.
        score: Score of the model with the layer so, higher is better.
        cost: What the layer then costs, exactly.
    """

    ratio: float | None
    score: float
    cost: Fraction


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen ratios.

    Attributes:
        comp_ratios: Chosen candidate by layer; None: left alone.
        cost: Cost of the whole model so.
        threshold: The score that every choice of the greedy rule reached before the rest of the budget was spent.
    """

    comp_ratios: dict[str, float | None]
    cost: Fraction
    threshold: float


def lowest_cost(table: Mapping[str, Sequence[Choice]], rest: Fraction) -> Fraction:
    """The lowest cost of the model that the table can reach; ``rest`` is the cost of the layers that are not in it."""
    return rest + sum((min(choice.cost for choice in row) for row in table.values()), Fraction(0))


def greedy(table: Mapping[str, Sequence[Choice]], *, rest: Fraction, total: Fraction, target: Fraction) -> Selection:
    """The greedy selection.

    Args:
        table: By layer: its cells with a score and, last, the choice to leave it alone (ratio None, its score the
            baseline's).
        rest: Cost of the layers that are not in the table.
        total: Cost of the whole original model.
        target: Share of ``total`` that may be kept, 0 < target < 1.

    Raises:
        TargetError: If no choice of the table's cells reaches the target.
    """
    thresholds = sorted({choice.score for row in table.values() for choice in row if choice.ratio is not None})
    budget = target * total
    low, high = (
        0,
        len(thresholds),
    )  # the first `low` thresholds are known to meet the budget, those from `high` on not to
    while low < high:
        middle = (low + high) // 2
        if _cost(_reaching(table, thresholds[middle]), rest) <= budget:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        reached = float(lowest_cost(table, rest) / total)
        raise TargetError(
            f"target_comp_ratio {float(target):g} cannot be reached with the scores of this table: the lowest ratio is "
            f"{reached:.3f}; raise the target, or look at the cells that failed"
        )
    threshold = thresholds[low - 1]
    chosen = _filled(table, _reaching(table, threshold), budget - rest, threshold)
    return Selection({name: choice.ratio for name, choice in chosen.items()}, _cost(chosen, rest), threshold)


def _reaching(table: Mapping[str, Sequence[Choice]], threshold: float) -> dict[str, Choice]:
    """For each layer the cheapest choice whose own score is at or above the threshold, else the layer as it is."""
    chosen = {}
    for name, row in table.items():
        reached = [choice for choice in row if choice.ratio is not None and choice.score >= threshold]
        as_it_is = next(choice for choice in row if choice.ratio is None)
        chosen[name] = min(reached, key=lambda choice: choice.ratio or 1.0, default=as_it_is)
    return chosen


def _cost(chosen: Mapping[str, Choice], rest: Fraction) -> Fraction:
    return rest + sum((choice.cost for choice in chosen.values()), Fraction(0))


def _filled(
    table: Mapping[str, Sequence[Choice]], chosen: dict[str, Choice], budget: Fraction, threshold: float
) -> dict[str, Choice]:
    """Raise single ratios while the budget holds: the highest gain of score per cost first, then the lowest ratio.

    Every choice stays at or above the threshold. Where scores saturate all gains are 0 and the layers that are
    compressed most are raised
    first: single-layer scores cannot tell, but the error of a whole model adds up.
    """
    filled = dict(chosen)
    left = budget - sum((choice.cost for choice in chosen.values()), Fraction(0))
    rows = {
        name: [choice for choice in row if choice.ratio is None or choice.score >= threshold]
        for name, row in table.items()
    }
    steps = [step for name in rows if (step := _step(name, rows[name], filled[name], left))]
    heapq.heapify(steps)
    while steps:
        *_, name, choice = heapq.heappop(steps)
        added = choice.cost - filled[name].cost
        if added <= left:
            filled[name] = choice
            left -= added
        if step := _step(name, rows[name], filled[name], left):
            heapq.heappush(steps, step)
    return filled


def _step(
    name: str, row: Sequence[Choice], now: Choice, left: Fraction
) -> tuple[float, float, Fraction, str, Choice] | None:
    """The best step up of a layer that fits into what is left, ordered by gain, present ratio, cost and name."""
    above = [choice for choice in row if now.cost < choice.cost <= now.cost + left]
    if now.ratio is None or not above:
        return None
    best = min(above, key=lambda choice: (-_gain(now, choice), choice.cost))
    return (-_gain(now, best), now.ratio, best.cost - now.cost, name, best)


def _gain(now: Choice, then: Choice) -> float:
    return (then.score - now.score) / float(then.cost - now.cost)


def monotonic(scores: Floats) -> Floats:
    """The non-decreasing fit with the smallest squared error (isotonic regression).

    Args:
        scores: (n,) by ascending ratio, NaN where there is no score; those stay NaN and do not count.

    Returns:
        (n,) float64, by pooling adjacent violators (Ayer et al. 1955).
    """
    fitted = np.full(scores.shape, np.nan)
    known = np.flatnonzero(np.isfinite(scores))
    blocks: list[tuple[float, int]] = []
    for value in scores[known]:
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            last_mean, last_size = blocks.pop()
            mean = (mean * size + last_mean * last_size) / (size + last_size)
            size += last_size
        blocks.append((mean, size))
    if blocks:
        means, sizes = zip(*blocks, strict=True)
        fitted[known] = np.repeat(means, sizes)
    return fitted
