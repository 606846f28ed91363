"""Fill the table: which cells there are, in which order they are evaluated, and one after the other their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from aimet_hooks.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aimet_hooks.evaluation import Outcome
    from aimet_hooks.schemes import Variant

MAX_FAILURES = 5
"""So many failed evaluations in a row end the run: then it is the callback that is wrong, not the cell."""


class Place(Protocol):
    """A cell of any table."""

    @property
    def described(self) -> str:
        """Which one it is, in words."""
        ...


P = TypeVar("P", bound=Place)


@dataclass(frozen=True, slots=True)
class Cell:
    """One evaluation: a layer at a rank; plain data, so that it can cross to another process.

    Attributes:
        layer: Name of the layer.
        variant: The rank, its cost and the ratios that share it.
    """

    layer: str
    variant: Variant

    @property
    def described(self) -> str:
        """The layer, and the lowest of the ratios."""
        return f"layer {self.layer!r} at ratio {self.variant.ratios[0]:g}"


def coarse_first(variants: Mapping[str, Sequence[Variant]]) -> list[Cell]:
    """The cells in the order of evaluation: the middle of every layer, then the quarters of every layer, and so on.

    So every layer says something early, and the ratios between come last.
    """
    levels: dict[int, list[Cell]] = {}
    for layer, row in variants.items():
        for index, level in enumerate(_levels(len(row))):
            levels.setdefault(level, []).append(Cell(layer, row[index]))
    return [cell for level in sorted(levels) for cell in levels[level]]


def share(cells: Sequence[P], number: int, count: int) -> list[P]:
    """Every ``count``-th cell: with the others, counted from 0 or from 1, each cell is in exactly one share."""
    return list(cells[number % count :: count])


def _levels(count: int) -> list[int]:
    """For each of ``count`` places the depth at which repeated halving meets it."""
    levels = [0] * count
    spans = [(0, count, 0)]
    while spans:
        start, end, level = spans.pop()
        if start < end:
            middle = (start + end) // 2
            levels[middle] = level
            spans += [(start, middle, level + 1), (middle + 1, end, level + 1)]
    return levels


def explore(
    cells: Iterable[P], evaluate: Callable[[P], Outcome], *, stop_at_first_failure: bool = False
) -> Iterator[tuple[P, Outcome]]:
    """Evaluate cells one after the other and yield each as it is done.

    The next cell is not begun before the consumer asks for it, so a score that was yielded can be made durable first.

    Raises:
        EvaluationError: After a failed cell was yielded, if ``stop_at_first_failure``, or if it is the fifth in a row.
    """
    failures = 0
    for cell in cells:
        outcome = evaluate(cell)
        yield cell, outcome
        failures = 0 if outcome.error is None else failures + 1
        if failures and (stop_at_first_failure or failures == MAX_FAILURES):
            raise EvaluationError(_failure(cell, outcome, failures)) from outcome.exception


def _failure(cell: Place, outcome: Outcome, failures: int) -> str:
    where = f"{cell.described}: {outcome.error}"
    if failures < MAX_FAILURES:
        return f"{where}; on_eval_error='skip' would go on without this cell"
    return f"{failures} evaluations in a row failed, the last for {where}; mend eval_callback and run again"
