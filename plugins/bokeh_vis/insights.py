"""What the table of scores says already: how noisy the scores are, which layers are free, which are sacred."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks.presentation.score_scale import EDGES, ScoreScale

if TYPE_CHECKING:
    from aimet_hooks.run_state import RunState

FREE = EDGES[1]
"""Points: a layer that loses less at its lowest known ratio costs nothing."""

SACRED = EDGES[5]
"""Points: a layer that loses more at its highest known ratio had better be left alone."""

FEWEST = 3
"""Layers that must be known before anything is said of noise."""


@dataclass(frozen=True, slots=True)
class Insights:
    """What can be said of a table so far.

    Attributes:
        spread: Median distance of the scores from the baseline at the highest ratio that most layers know, in points;
            None while too little is known. What is cut there is so little that it is about the noise of the scores.
        spread_ratio: That ratio.
        free: Layers that lose nothing to speak of at their lowest known ratio.
        sacred: Layers that lose much even at their highest known ratio, the worst first.
        known: Layers with a score.
    """

    spread: float | None = None
    spread_ratio: float | None = None
    free: tuple[str, ...] = ()
    sacred: tuple[str, ...] = ()
    known: int = 0


def of(run: RunState) -> Insights:
    """Insights of a run so far; takes a step a cell."""
    scale = ScoreScale.of(run)
    drops = {layer: found for layer in run.scores if (found := _drops(run, layer, scale))}
    if not drops:
        return Insights()
    spread_ratio, spread = _spread(run, drops)
    worst = {layer: row[max(row)] for layer, row in drops.items()}
    sacred = sorted((layer for layer, drop in worst.items() if drop > SACRED), key=lambda layer: -worst[layer])
    free = [layer for layer, row in drops.items() if row[min(row)] < FREE]
    return Insights(spread, spread_ratio, tuple(free), tuple(sacred), len(drops))


def _drops(run: RunState, layer: str, scale: ScoreScale) -> dict[float, float]:
    found = {}
    for ratio, cell in run.scores[layer].items():
        drop = None if cell.score is None else scale.drop(cell.score)
        if drop is not None:
            found[ratio] = drop
    return found


def _spread(run: RunState, drops: dict[str, dict[float, float]]) -> tuple[float | None, float | None]:
    for ratio in reversed(run.candidates):
        known = [abs(row[ratio]) for row in drops.values() if ratio in row]
        if len(known) >= max(FEWEST, len(drops) // 2):
            return ratio, statistics.median(known)
    return None, None
