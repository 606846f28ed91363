"""How bad a score is: its drop from the baseline in points, in eight fixed grades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks.presentation import quantities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.run_state import RunState

EDGES = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper ends of the grades in points where no noise is known; below the first a drop is about nothing, above the last
it has the worst grade."""

LABELS = ("≈0", ".1", ".5", "1", "2", "5", "10", ">10")

WIDEST_CELL = 6
"""Characters without the sign."""


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """What a score of one run is measured by.

    Attributes:
        baseline: Score of the original model, None where it is not known: then nothing is graded.
        point: What one point is in the unit of the score.
        higher_is_better: The direction of the score.
        noise: By how much two evaluations of the original model differ, in the unit of the score; 0 where that is not
            known or no more than rounding.
    """

    baseline: float | None
    point: float
    higher_is_better: bool
    noise: float = 0.0

    @classmethod
    def of(cls, run: RunState) -> ScoreScale:
        """The scale of a run, from its baseline, else from the largest score of its table."""
        higher_is_better = run.direction != "minimize"
        noise = 0.0
        if run.baseline is not None:
            baseline, noise = run.baseline.score, run.baseline.noise if run.baseline.is_noisy else 0.0
        elif run.finished is not None:
            baseline = run.finished.baseline_score
        else:
            scores = [cell.score for row in run.scores.values() for cell in row.values() if cell.score is not None]
            largest = max(scores, key=abs, default=1.0)
            return cls(None, point_of(largest, higher_is_better=higher_is_better), higher_is_better)
        return cls(baseline, point_of(baseline, higher_is_better=higher_is_better), higher_is_better, noise)

    @property
    def noise_points(self) -> float:
        """The noise in points."""
        return self.noise / self.point

    @property
    def edges(self) -> tuple[float, ...]:
        """Upper ends of the grades in points: none lies within the noise."""
        return tuple(max(edge, self.noise_points) for edge in EDGES)

    def drop(self, score: float) -> float | None:
        """Points by which a score is worse than the baseline; negative where it is better."""
        if self.baseline is None:
            return None
        difference = self.baseline - score if self.higher_is_better else score - self.baseline
        return difference / self.point

    def grade(self, score: float) -> int | None:
        """0 (no drop, or about noise) to 7 (worse than the last edge)."""
        drop = self.drop(score)
        if drop is None:
            return None
        return sum(drop > edge * (1 + 1e-9) for edge in self.edges)

    def legend(self, labels: Sequence[str] = LABELS) -> list[tuple[int, str]]:
        """The grades that a score can have, each with its label: the points up to which it goes.

        Args:
            labels: One a grade, of a run without noise.
        """
        noise = self.noise_points
        if noise <= EDGES[0]:
            return list(enumerate(labels))
        size = f"{noise:.2g}".removeprefix("0")
        between = [(grade, labels[grade]) for grade, edge in enumerate(EDGES) if edge > noise]
        worst = labels[-1] if noise < EDGES[-1] else f">{size}"
        return [(0, f"{size} (noise)"), *between, (len(EDGES), worst)]

    def text(self, score: float) -> str:
        """A score to the hundredth of a point, for results."""
        return quantities.score(score, quantities.decimals_for(self.point / 100))

    def hundredths(self, score: float) -> float:
        """The score in hundredths of a point above the baseline: what sorts as scores do."""
        return 100 * (score - (self.baseline or 0.0)) / self.point

    def cell_text(self, score: float) -> str:
        """As ``text``, but with two digits at least, and as many as fit into a cell where that is wider."""
        text = self.text(score)
        exact = [text] if score == 0 or len(text.lstrip("-0.")) > 1 else []
        for shorter in (*exact, *(f"{score:.{digits}g}" for digits in (4, 3, 2))):
            if len(shorter.removeprefix("-")) <= WIDEST_CELL and "e" not in shorter:
                return shorter
        digits, power = f"{score:.1e}".split("e")
        return f"{digits}e{int(power)}"

    def short_text(self, score: float) -> str:
        """A score to the tenth of a point without a leading zero, for the cells of the panel."""
        text = quantities.score(score, quantities.decimals_for(self.point / 10))
        if text == "1.000":
            return "1.00"  # as wide as all the others of its kind
        return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def point_of(reference: float, *, higher_is_better: bool) -> float:
    """What one point is: .01 of a score up to 1, 1 of a percentage, else a hundredth of ``reference``.

    A score that is to be low (a loss, a perplexity) has no upper end: there it is always a hundredth of ``reference``.
    """
    size = abs(reference)
    if higher_is_better and size <= 1:
        return 0.01
    if higher_is_better and 10 < reference <= 100:
        return 1.0
    return size / 100 or 0.01
