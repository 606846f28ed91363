"""Choose a ratio for every layer from a table of scores: arrays and numbers only.

The greedy rule: each layer takes the smallest ratio whose own score reaches a threshold t (none: it is left alone); t
is the highest of the table's distinct scores at which the model's cost is at or below the target. A lower t never costs
more, so a sweep from the highest score down meets it first. Then the budget that is left is spent: single ratios are
raised, best gain first, while the target still holds.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """One way that a layer can be: compressed to a ratio, or left alone.

    Attributes:
        ratio: Candidate ratio, None for the layer as it is.
        score: Score of the model with the layer so, higher is better.
        cost: What the layer then costs, in whole numbers. Of a layer's choices, one of a higher
            ratio never costs less, and the layer as it is costs the most.
    """

    ratio: float | None
    score: float
    cost: int


def row_of_choices(
    cells: Sequence[tuple[float, float, int]], *, baseline: float, cost: int, higher_is_better: bool, monotonic: bool
) -> list[Choice]:
    """The choices of a layer.

    Args:
        cells: Ratio, score and cost of each cell that has a score, by ascending ratio.
        baseline: Score of the original model.
        cost: What the layer costs as it is.
        higher_is_better: Whether higher scores are better; else they are turned round.
        monotonic: Take the scores' isotonic fit.
    """
    sign = 1.0 if higher_is_better else -1.0
    scores = np.array([sign * score for _, score, _ in cells])
    if monotonic:
        scores = isotonic(scores)
    row = [Choice(ratio, float(score), after) for (ratio, _, after), score in zip(cells, scores, strict=True)]
    return [*row, Choice(None, sign * baseline, cost)]


def tied(table: Mapping[str, Sequence[Choice]], ties: Mapping[str, str]) -> dict[str, Sequence[Choice]]:
    """The table with tied layers as one row, under the name of the first of them.

    Such a row has the ratios that all of its layers have, and to leave all alone. It costs the sum. Its score is the
    baseline's and what each layer changes it by, added one after the other in the order of the layers.

    Args:
        table: As for ``greedy``.
        ties: The tie of every layer that shares its ratio with another.
    """
    groups: dict[str, list[Sequence[Choice]]] = {}
    for name, leader in _leaders(table, ties).items():
        groups.setdefault(leader, []).append(table[name])
    return {leader: rows[0] if len(rows) == 1 else _together(rows) for leader, rows in groups.items()}


def untied(
    comp_ratios: Mapping[str, float | None], layers: Iterable[str], ties: Mapping[str, str]
) -> dict[str, float | None]:
    """The ratio of every layer, from those of the rows of ``tied``."""
    return {name: comp_ratios[leader] for name, leader in _leaders(layers, ties).items()}


def _leaders(layers: Iterable[str], ties: Mapping[str, str]) -> dict[str, str]:
    """For every layer the first one of its tie; a layer without a tie is its own."""
    first: dict[str, str] = {}
    return {name: first.setdefault(ties[name], name) if name in ties else name for name in layers}


def _together(rows: Sequence[Sequence[Choice]]) -> list[Choice]:
    by_ratio = [{choice.ratio: choice for choice in row} for row in rows]
    baseline = by_ratio[0][None].score
    together = []
    for ratio in by_ratio[0]:
        if all(ratio in row for row in by_ratio):
            score, cost = baseline, 0
            for row in by_ratio:
                score += row[ratio].score - row[None].score
                cost += row[ratio].cost
            together.append(Choice(ratio, score, cost))
    return together


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen ratios.

    Attributes:
        comp_ratios: Chosen candidate by layer; None: left alone.
        cost: Cost of the whole model so, layers that are not in the table included.
        threshold: The score that every choice of the greedy rule reached; raising ratios afterwards keeps it.
    """

    comp_ratios: dict[str, float | None]
    cost: int
    threshold: float


def greedy(table: Mapping[str, Sequence[Choice]], *, rest: int, total: int, target: Fraction) -> Selection:
    """The greedy selection.

    Args:
        table: By layer its cells that have a score, and the choice to leave it alone (ratio None, its score the
            baseline's).
        rest: Cost of the layers that are not in the table.
        total: Cost of the whole original model.
        target: Share of ``total`` that may be kept, 0 < target < 1.

    Returns:
        Ratios with cost <= target * total, exactly. They do not depend on the order of the layers.

    Raises:
        TargetError: If the cheapest cells of the table do not reach the target; with the lowest ratio that they do.
    """
    budget = math.floor(target * total) - rest
    chosen, threshold = _thresholded(table, budget)
    if _cost(chosen) > budget:
        lowest = Fraction(rest + _cost(chosen), total)
        raise TargetError(
            f"target_comp_ratio {float(target):g} cannot be reached with the scores of this table: the lowest ratio is "
            f"{rounded_up(lowest)}; raise the target; cells without a score cannot be chosen"
        )
    above = {name: _above(row, chosen[name], threshold) for name, row in table.items()}
    chosen = _refilled(above, chosen, budget - _cost(chosen))
    return Selection({name: choice.ratio for name, choice in chosen.items()}, rest + _cost(chosen), threshold)


def without_loss(
    table: Mapping[str, Sequence[Choice]], comp_ratios: Mapping[str, float | None], *, budget: int
) -> dict[str, float | None]:
    """Raise ratios within a budget where that costs no score: errors of layers add up even where scores are equal.

    Args:
        table: As for ``greedy``.
        comp_ratios: A choice of it.
        budget: Cost that the layers of the table may have.
    """
    chosen = {name: next(choice for choice in row if choice.ratio == comp_ratios[name]) for name, row in table.items()}
    above = {
        name: [choice for choice in _above(row, chosen[name], -math.inf) if choice.score >= chosen[name].score]
        for name, row in table.items()
    }
    raised = _refilled(above, chosen, budget - _cost(chosen))
    return {name: choice.ratio for name, choice in raised.items()}


def rounded_up(ratio: Fraction) -> str:
    """A lowest ratio with three decimals, as a target that can be reached."""
    return f"{math.ceil(ratio * 1000) / 1000:.3f}"


def _thresholded(table: Mapping[str, Sequence[Choice]], budget: int) -> tuple[dict[str, Choice], float]:
    """The choice at the highest threshold that meets the budget, else at the lowest score of the table."""
    chosen = {name: next(choice for choice in row if choice.ratio is None) for name, row in table.items()}
    cells = [(choice.score, name, choice) for name, row in table.items() for choice in row if choice.ratio is not None]
    cells.sort(key=itemgetter(0), reverse=True)
    cost, lowest = _cost(chosen), math.inf
    for threshold, reached in groupby(cells, key=itemgetter(0)):
        for _, name, choice in reached:
            if _ratio(choice) < _ratio(chosen[name]):
                cost += choice.cost - chosen[name].cost
                chosen[name] = choice
        lowest = threshold
        if cost <= budget:
            break
    return chosen, lowest


def _ratio(choice: Choice) -> float:
    return 1.0 if choice.ratio is None else choice.ratio


def _cost(chosen: Mapping[str, Choice]) -> int:
    return sum(choice.cost for choice in chosen.values())


def _refilled(above: Mapping[str, Sequence[Choice]], chosen: Mapping[str, Choice], left: int) -> dict[str, Choice]:
    """Raise one layer at a time to its next higher cost while there is budget left, the step of the highest gain first.

    ``above`` has what each layer may be raised to, by cost. The gain of a step is score per cost; on tables whose drops
    add up that keeps more than the plain difference. Equal gains (scores that saturate) go to the layer that is
    compressed most: single-layer scores cannot tell, but the error of a whole model adds up.
    """
    refilled = dict(chosen)
    steps: list[tuple[float, float, int, str, Choice, Sequence[Choice]]] = []

    def push_next(name: str, above: Sequence[Choice]) -> None:
        now = refilled[name]
        if above:
            added = above[0].cost - now.cost
            gain = (above[0].score - now.score) / added
            heapq.heappush(steps, (-gain, _ratio(now), added, name, above[0], above[1:]))

    for name, choices in above.items():
        push_next(name, choices)
    while steps:
        _, _, added, name, choice, rest = heapq.heappop(steps)
        if added <= left:  # else no step of this layer fits any more: the next ones cost more still
            refilled[name] = choice
            left -= added
            push_next(name, rest)
    return refilled


def _above(row: Sequence[Choice], now: Choice, threshold: float) -> list[Choice]:
    """The choices above ``now`` that keep the threshold, by cost; of equal cost (one rank) that of the lowest ratio."""
    kept = [choice for choice in row if choice.ratio is None or choice.score >= threshold]
    by_cost: dict[int, Choice] = {}
    for choice in sorted(kept, key=_ratio):
        by_cost.setdefault(choice.cost, choice)
    return sorted((choice for choice in by_cost.values() if choice.cost > now.cost), key=lambda choice: choice.cost)


def isotonic(scores: Floats) -> Floats:
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
