"""Why a layer has its ratio: what the next cheaper one would lose, and save."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks.presentation import quantities
from aimet_hooks.presentation.score_scale import ScoreScale

if TYPE_CHECKING:
    from aimet_hooks.events import EvalScored
    from aimet_hooks.run_state import RunState


@dataclass(frozen=True, slots=True)
class NextStep:
    """One step cheaper than the chosen ratio of a layer.

    Attributes:
        ratio: The next ratio below that costs less.
        points: Points that it scores worse, measured with this layer alone compressed; negative: better.
        percent: Percent of the model's cost that it saves more.
    """

    ratio: float
    points: float
    percent: float

    @property
    def price(self) -> float:
        """Points for each percent of the model's cost."""
        return self.points / self.percent

    def sentence(self, metric: str) -> str:
        """What it means, in words."""
        change = "costs nothing" if round(self.points, 2) == 0 else f"{'costs' if self.points > 0 else 'gains'} "
        points = "" if round(self.points, 2) == 0 else f"{abs(self.points):.2f} points"
        return (
            f"one step cheaper, at ratio {quantities.ratio(self.ratio)}, {change}{points} "
            f"for {self.percent:.2g} % of the model's {metric}, this layer alone"
        )


def of(run: RunState, layer: str) -> NextStep | None:
    """The next step of a layer; None where there is none, or costs or scores are not known."""
    scale, chosen = ScoreScale.of(run), run.selection.comp_ratios.get(layer) if run.selection else None
    row = run.scores.get(layer, {})
    now = None if chosen is None else row.get(chosen)
    if scale.baseline is None or not run.total_cost or layer not in run.layers or (chosen is not None and now is None):
        return None
    cost = run.cost(layer) if now is None else run.cost_of(now)
    lost = 0.0 if now is None else _lost(scale, now)
    cheaper = [(after, cell) for cell in row.values() if (after := run.cost_of(cell)) is not None]
    if cost is None or lost is None:
        return None
    below = [(after, cell) for after, cell in cheaper if after < cost and cell.score is not None]
    if not below:
        return None
    after, cell = max(below, key=lambda step: (step[0], -step[1].comp_ratio))
    then = _lost(scale, cell)
    return None if then is None else NextStep(cell.comp_ratio, then - lost, 100 * (cost - after) / run.total_cost)


def _lost(scale: ScoreScale, cell: EvalScored) -> float | None:
    return None if cell.score is None else scale.drop(cell.score)
