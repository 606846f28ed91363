"""What the table of scores says already: how noisy the scores are, which layers are free, which are sacred."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks.presentation.score_grid import ScoreGrid
from aimet_hooks.presentation.score_scale import EDGES, ScoreScale

if TYPE_CHECKING:
    from aimet_hooks.run_state import RunState

FREE, FREE_IN_NOISE = EDGES[1], EDGES[2]
"""Points: a layer that loses less at its lowest known ratio, or down to a bit width, costs nothing there; at most so
much where the layers spread."""

SACRED = EDGES[5]
"""Points: a layer that loses more at its highest known ratio, or at a bit width, had better be left alone."""

FEWEST = 3
"""Layers that must be known before anything is said of noise."""


@dataclass(frozen=True, slots=True)
class Insights:
    """What can be said of a table so far.

    Attributes:
        spread: Median distance of the scores from the baseline at the highest ratio that most layers know, in points;
            None while too little is known. What is cut there is so little that it is about the noise of the scores.
        spread_ratio: That ratio.
        spread_layers: Number of layers that know it.
        free_limit: Points below which a loss is none to speak of: as large as the spread, within limits, and at least
            as the noise of the original model.
        free: Layers that lose less at their lowest known ratio, with that ratio, the most expensive layers first. In a
            table of bit widths: with the lowest at which, and above which, they lose less; the lowest first.
        sacred: Layers that lose much even at their highest known ratio, with that ratio, the worst first. In a table of
            bit widths, any of which may be the wanted one: at any of them, with the highest, that first.
        known: Layers with a score.
    """

    spread: float | None = None
    spread_ratio: float | None = None
    spread_layers: int = 0
    free_limit: float = FREE
    free: tuple[tuple[str, float], ...] = ()
    sacred: tuple[tuple[str, float], ...] = ()
    known: int = 0


def of(run: RunState) -> Insights:
    """Insights of a run so far; takes a step a cell."""
    scale = ScoreScale.of(run)
    grid = ScoreGrid.of(run)
    drops = {layer: found for layer in grid.rows if (found := _drops(run, layer, scale))}
    if not drops:
        return Insights()
    spread, spread_ratio, spread_layers = _spread(run, drops)
    limit = max(min(max(FREE, spread or 0.0), FREE_IN_NOISE), scale.noise_points)
    free = [(layer, least) for layer, row in drops.items() if (least := _free_at(row, limit, by_bits=grid.by_bits))]
    judged = {layer: list(row) if grid.by_bits else [max(row)] for layer, row in drops.items()}
    costly = {layer: [column for column in judged[layer] if row[column] > SACRED] for layer, row in drops.items()}
    sacred = [(layer, max(columns)) for layer, columns in costly.items() if columns]
    return Insights(
        spread=spread,
        spread_ratio=spread_ratio,
        spread_layers=spread_layers,
        free_limit=limit,
        free=tuple(sorted(free, key=lambda cell: (cell[1] if grid.by_bits else 0, -_cost(run, cell[0])))),
        sacred=tuple(sorted(sacred, key=lambda cell: (-cell[1] if grid.by_bits else 0, -drops[cell[0]][cell[1]]))),
        known=len(drops),
    )


def _free_at(drops: dict[float, float], limit: float, *, by_bits: bool) -> float | None:
    """Down to which column a layer loses less than a limit; None: nowhere."""
    if not by_bits:
        return min(drops) if drops[min(drops)] < limit else None
    free = itertools.takewhile(lambda column: drops[column] < limit, sorted(drops, reverse=True))
    return min(free, default=None)


def _cost(run: RunState, layer: str) -> float:
    return run.cost(layer) if layer in run.layers else 0.0


def _drops(run: RunState, layer: str, scale: ScoreScale) -> dict[float, float]:
    """Points lost by ratio, or by bit width."""
    found = {}
    for ratio, cell in ScoreGrid.of(run).rows[layer].items():
        drop = None if cell.score is None else scale.drop(cell.score)
        if drop is not None:
            found[ratio] = drop
    return found


def _spread(run: RunState, drops: dict[str, dict[float, float]]) -> tuple[float | None, float | None, int]:
    for ratio in reversed(ScoreGrid.of(run).columns):
        known = [abs(row[ratio]) for row in drops.values() if ratio in row]
        if len(known) >= max(FEWEST, len(drops) // 2):
            return statistics.median(known), ratio, len(known)
    return None, None, 0
