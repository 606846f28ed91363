"""Choose the ratios that lose the least summed score within the budget: arrays and numbers only.

The multiple-choice knapsack problem (Kellerer, Pferschy, Pisinger 2004, Knapsack Problems, chapter 11). Its linear
relaxation takes the steps along the layers' lower convex hulls, steepest first, until the budget ends; the slope there
prices cost. A choice that loses more beyond that price (its excess) than a known solution is in no better one. Over the
others goes a dynamic programme from the relaxation's whole steps, the layers nearest to the slope first (an expanding
core): every state is a solution, and good ones are met early. Losses are whole numbers there, so that equal sums are
equal: of the step that all scores share (accuracies over 360 samples), else of a rounding error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks import selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from fractions import Fraction

    import numpy.typing as npt

    from aimet_hooks.selection import Choice

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

MAX_STATES = 20_000
"""States that are kept after a layer: beyond it the limit still holds, but perhaps not the proof."""
MAX_WORK = 30_000_000
"""States that a pass looks at: a layer keeps no more than a sixteenth of what is left of it, over its choices."""
MAX_PASSES = 4  # it starts again from a better solution, with fewer choices, where the proof is missing
BETTER = 0.999  # a better solution loses a unit less, but for the rounding of a bound


@dataclass(frozen=True, slots=True)
class KnapsackChoice:
    """The chosen ratios.

    Attributes:
        comp_ratios: Chosen candidate by layer; None: left alone.
        cost: Cost of the whole model so, layers that are not in the table included.
        score_loss: Sum over the layers of the score of the layer left alone less that of its choice; may be negative.
        gap: Bound on how far ``score_loss`` is above the smallest possible; 0.0: it is that, up to a sum's rounding.
    """

    comp_ratios: dict[str, float | None]
    cost: int
    score_loss: float
    gap: float


def knapsack(table: Mapping[str, Sequence[Choice]], *, rest: int, total: int, target: Fraction) -> KnapsackChoice:
    """The choice with the smallest summed loss of score.

    Args:
        table: By layer its cells that have a score, all finite, and the choice to leave it alone (ratio None).
        rest: Cost of the layers that are not in the table.
        total: Cost of the whole original model, below 2**62.
        target: Share of ``total`` that may be kept, 0 < target < 1.

    Returns:
        Ratios with cost <= target * total, exactly, that lose no more than greedy's; the same in any order of layers.

    Raises:
        TargetError: If the cheapest cells of the table do not reach the target; with the lowest ratio that they do.
    """
    greedy = selection.greedy(table, rest=rest, total=total, target=target)
    rows = {name: _efficient(table[name]) for name in sorted(table)}
    taken, gap = _smallest_loss(list(rows.values()), math.floor(target * total) - rest)
    chosen = {name: rows[name][at] for name, at in zip(rows, taken, strict=True)}
    ratios, cost = {name: chosen[name].ratio for name in table}, rest + sum(choice.cost for choice in chosen.values())
    loss, greedy_loss = _score_loss(table, ratios), _score_loss(table, greedy.comp_ratios)
    if greedy_loss < loss:
        return KnapsackChoice(greedy.comp_ratios, greedy.cost, greedy_loss, max(0.0, gap - (loss - greedy_loss)))
    return KnapsackChoice(ratios, cost, loss, gap)


def _score_loss(table: Mapping[str, Sequence[Choice]], ratios: Mapping[str, float | None]) -> float:
    scores = {name: {choice.ratio: choice.score for choice in row} for name, row in table.items()}
    return math.fsum(row[None] - row[ratios[name]] for name, row in scores.items())


def _efficient(row: Sequence[Choice]) -> list[Choice]:
    """The choices that none of lower or equal cost and loss makes needless; of equal ones that of the lowest ratio."""
    by_ratio = sorted(row, key=lambda choice: 1.0 if choice.ratio is None else choice.ratio)
    costs = np.array([choice.cost for choice in by_ratio], np.int64)
    return [by_ratio[k] for k in _undominated(costs, np.array([-choice.score for choice in by_ratio]))]


def _undominated(costs: Ints, losses: Ints | Floats) -> Ints:
    """Where (cost, loss) is on the Pareto front, by ascending cost and falling loss; of equal ones the first."""
    order = np.argsort(costs, kind="stable")
    lowest = np.minimum.accumulate(losses[order])
    front: Ints = order[np.append(True, lowest[1:] < lowest[:-1])[: len(order)]]
    return front.compress(np.append(np.diff(costs[front]) > 0, True)[: len(front)])


def _smallest_loss(rows: Sequence[Sequence[Choice]], budget: int) -> tuple[list[int], float]:
    """The place of each row's choice, and the gap; the rows are Pareto fronts of which the first choices fit."""
    step = max(1, math.gcd(*(choice.cost - row[0].cost for row in rows for choice in row)))
    costs = [np.array([(choice.cost - row[0].cost) // step for choice in row], np.int64) for row in rows]
    losses, unit = _whole_losses(rows)
    taken, spare, slope = _relaxed(costs, losses, (budget - sum(row[0].cost for row in rows)) // step)
    layers = [_Layer.around(*at, slope) for at in zip(range(len(rows)), taken, costs, losses, strict=True)]
    best, bound, moves = 0, -math.inf, dict[int, int]()
    for _ in range(MAX_PASSES):
        search = _Search(spare, slope, best)
        search.run(layers)
        bound = max(bound, search.lost)
        if search.best == best:
            break
        moves, best = dict(search.moves()), search.best
        if bound > best - BETTER:
            break
    places = [moves.get(layer, at) for layer, at in enumerate(taken)]
    return places, 0.0 if bound > best - BETTER else (best - bound) * unit


def _whole_losses(rows: Sequence[Sequence[Choice]]) -> tuple[list[Ints], float]:
    """Losses against the cheapest choice (zero or negative) in whole units, by row; and the unit."""
    losses = [np.array([row[0].score - choice.score for choice in row]) for row in rows]
    largest = max((abs(choice.score) for row in rows for choice in row), default=0.0)
    shared = _shared_step(np.unique(np.concatenate([np.zeros(1), *losses])), largest * 2.0**-50)
    unit = shared or max(math.fsum(-loss[-1] for loss in losses) * 2.0**-50, 5e-324)
    return [np.rint(loss / unit).astype(np.int64) for loss in losses], unit


def _shared_step(losses: Floats, rounding: float) -> float | None:
    """The step that all losses, ascending, are multiples of within their rounding; None if there is none to see."""
    largest = float(-losses[0])
    gap = np.diff(losses).min(initial=math.inf, where=np.diff(losses) > 1e-6 * largest)
    if gap == math.inf:
        return None
    counts = np.rint(losses / gap)
    step = largest / float(-counts[0])
    return step if bool((np.abs(losses - counts * step) <= rounding).all()) else None


def _relaxed(costs: Sequence[Ints], losses: Sequence[Ints], spare: int) -> tuple[list[int], int, float]:
    """The choice that the relaxation's whole steps get each layer to, what they leave of ``spare``, and the slope."""
    steps = [
        (layer, end, cost[end] - cost[start], loss[start] - loss[end])
        for layer, (cost, loss) in enumerate(zip(costs, losses, strict=True))
        for start, end in pairwise(_hull(cost.tolist(), loss.tolist()))
    ]
    layer, end, cost, gain = np.array(steps, np.int64).reshape(-1, 4).T
    order = np.argsort(-gain / cost, kind="stable")
    fit = int(np.searchsorted(np.cumsum(cost[order]), spare, side="right"))
    whole = order[:fit]
    taken = np.zeros(len(costs), np.int64)
    np.maximum.at(taken, layer[whole], end[whole])
    slope = float(gain[order[fit]] / cost[order[fit]]) if fit < len(order) else 0.0
    return taken.tolist(), spare - int(cost[whole].sum()), slope


def _hull(costs: Sequence[int], losses: Sequence[int]) -> list[int]:
    """Corners of the lower convex hull of a Pareto front."""
    corners: list[int] = []
    for k, (cost, loss) in enumerate(zip(costs, losses, strict=True)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (losses[a] - losses[b]) * (cost - costs[b]) > (losses[b] - loss) * (costs[b] - costs[a]):
                break
            corners.pop()
        corners.append(k)
    return corners


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer's choices as steps from the one that the relaxation takes."""

    number: int
    costs: Ints  # (n,) above that one's
    losses: Ints  # (n,) above that one's
    excess: Floats  # (n,) >= 0, loss beyond the price of the cost
    dearer: float  # smallest excess per cost of those that cost more; inf: there is none
    cheaper: float  # likewise per cost saved of those that cost less

    @classmethod
    def around(cls, number: int, taken: int, costs: Ints, losses: Ints, slope: float) -> _Layer:
        """The steps from choice ``taken``."""
        costs, losses = costs - costs[taken], losses - losses[taken]
        excess = np.maximum(losses + slope * costs, 0.0)
        dearer = (excess[taken + 1 :] / costs[taken + 1 :]).min(initial=math.inf)
        cheaper = (excess[:taken] / -costs[:taken]).min(initial=math.inf)
        return cls(number, costs, losses, excess, float(dearer), float(cheaper))


@dataclass(slots=True)
class _Search:
    """A pass of the dynamic programme; layers that a state has not taken up stay at the relaxation's choice."""

    spare: int  # cost that the relaxation's choices leave
    slope: float  # loss per cost where the relaxation ends
    best: int  # loss of the best solution so far, above that of the relaxation's choices
    lost: float = math.inf  # smallest bound of the states that were thinned out
    costs: Ints = field(default_factory=lambda: np.zeros(1, np.int64))  # (states,) rising, above the relaxation's
    losses: Ints = field(default_factory=lambda: np.zeros(1, np.int64))  # (states,) falling, likewise
    origins: Ints = field(default_factory=lambda: np.zeros(1, np.int64))  # choice * states before + state before
    trail: list[tuple[int, Ints, Ints]] = field(default_factory=list)  # layer, choices tried, origins before it
    best_at: tuple[int, int] = (-1, 0)  # place in the trail, and origin there

    def run(self, layers: Sequence[_Layer]) -> None:
        """Take up the layers, those nearest to the slope first, until no state can lead to a better solution."""
        work, dearer, cheaper = MAX_WORK, self.slope, math.inf
        ahead: list[tuple[_Layer, float, float]] = []
        for layer in sorted(layers, key=lambda layer: min(layer.dearer, layer.cheaper), reverse=True):
            ahead.append((layer, dearer, cheaper))
            dearer, cheaper = min(dearer, layer.dearer), min(cheaper, layer.cheaper)
        for layer, dearer, cheaper in reversed(ahead):
            tried = np.flatnonzero(layer.excess <= self.best - BETTER + self.slope * self.spare)
            if len(tried) > 1 and len(self.costs):
                work -= len(tried) * len(self.costs)
                self._take_up(layer, tried, dearer, cheaper, min(MAX_STATES, max(1, work // (16 * len(tried)))))

    def _take_up(self, layer: _Layer, tried: Ints, dearer: float, cheaper: float, limit: int) -> None:
        """Every state with every choice; kept is the Pareto front of those that can lead to a better solution."""
        costs = np.add.outer(layer.costs[tried], self.costs).ravel()
        losses = np.add.outer(layer.losses[tried], self.losses).ravel()
        fitting = np.flatnonzero(costs <= self.spare)
        if len(fitting) and losses[first := int(fitting[losses[fitting].argmin()])] < self.best:
            self.best, self.best_at = int(losses[first]), (len(self.trail), first)
        left = self.spare - costs  # which the layers ahead fill, or free, at the slope and no less than these excesses
        bounds = losses - np.where(left >= 0, self.slope - dearer, self.slope + cheaper) * left
        alive = np.flatnonzero(bounds <= self.best - BETTER)
        alive = alive[_undominated(costs[alive], losses[alive])]
        if len(alive) > limit:  # of each bucket of cost the state with the smallest loss, which is the last
            above = costs[alive] - costs[alive[0]]
            kept = np.append(np.diff((above / (above[-1] + 1.0) * limit).astype(np.int64)) > 0, True)
            self.lost = min(self.lost, float(bounds[alive[~kept]].min()))
            alive = alive[kept]
        self.trail.append((layer.number, tried, self.origins))
        self.costs, self.losses, self.origins = costs[alive], losses[alive], alive

    def moves(self) -> Iterator[tuple[int, int]]:
        """Layer and choice of the best solution, for the layers that it took up."""
        at, origin = self.best_at
        while at >= 0:
            number, tried, origins = self.trail[at]
            choice, state = divmod(origin, len(origins))
            yield number, int(tried[choice])
            at, origin = at - 1, int(origins[state])
