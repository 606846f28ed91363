"""Which cells need no evaluation: what earlier runs in the directory found out, and scores that the user gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.evaluation import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimet_hooks.earlier_runs import EarlierRuns
    from aimet_hooks.exploration import Cell
    from aimet_hooks.strategies import KnownScores


class KnownCells:
    """The scores that are known before a run.

    Args:
        saved: What the user gave, by layer and ratio; the rank that a score is of may not be known.
        earlier: The runs that this one goes on from; their scores come first.
    """

    def __init__(self, saved: KnownScores, earlier: EarlierRuns) -> None:
        self._saved = saved
        self._earlier = earlier

    def outcomes(self, cell: Cell) -> Mapping[float, Outcome]:
        """What is known of a cell: by each of its ratios, or nothing."""
        found = self._earlier.of_rank(cell.layer, cell.variant.rank)
        if found is not None:
            known = Outcome(found.score, found.seconds, found.metrics, found.error)
            return dict.fromkeys(cell.variant.ratios, known)
        row, ranks = self._saved.get(cell.layer, {}), (None, cell.variant.rank)
        scores = {ratio: row[ratio].score for ratio in cell.variant.ratios if ratio in row and row[ratio].rank in ranks}
        first = next(iter(scores.values()), None)
        return {} if first is None else {ratio: Outcome(scores.get(ratio, first)) for ratio in cell.variant.ratios}

    def is_evaluated(self, cell: Cell) -> bool:
        """Whether an earlier run evaluated the cell."""
        return self._earlier.of_rank(cell.layer, cell.variant.rank) is not None

    def of_other_ranks(self, cell: Cell) -> int:
        """How many scores the user gave for ratios of a cell that is not known: they are of other ranks."""
        return sum(ratio in self._saved.get(cell.layer, {}) for ratio in cell.variant.ratios)

    def probe(self, ranks: Mapping[str, int]) -> Outcome | None:
        """What a whole model scored whose layers have these ranks; None if none was measured."""
        found = self._earlier.probes.get(frozenset(ranks.items()))
        return None if found is None else Outcome(found.score, found.seconds, error=found.error)
