"""The order of the cells, and what happens when evaluations fail."""

from __future__ import annotations

import pytest

from aimet_hooks import exploration
from aimet_hooks.cost import Cost
from aimet_hooks.errors import EvaluationError
from aimet_hooks.evaluation import Outcome
from aimet_hooks.exploration import Cell
from aimet_hooks.schemes import Variant


def variants(count: int) -> list[Variant]:
    return [Variant(rank, Cost(rank, rank), (rank / (count + 1),)) for rank in range(1, count + 1)]


CELLS = [Cell("conv1", variant) for variant in variants(9)]
FAILURE = ValueError("no data")


def failed() -> Outcome:
    return Outcome(None, error="ValueError: no data", exception=FAILURE)


def test_nine_ratios_are_explored_from_the_middle_by_halves() -> None:
    order = [(cell.layer, cell.variant.rank) for cell in exploration.coarse_first({"a": variants(9), "b": variants(9)})]
    assert [rank for layer, rank in order if layer == "a"] == [5, 3, 8, 2, 4, 7, 9, 1, 6]
    assert order[:6] == [("a", 5), ("b", 5), ("a", 3), ("a", 8), ("b", 3), ("b", 8)]


def test_nothing_to_explore_is_no_cell() -> None:
    assert exploration.coarse_first({}) == []
    assert exploration.coarse_first({"a": []}) == []


def test_the_next_cell_is_not_begun_before_the_last_score_was_taken() -> None:
    begun: list[Cell] = []

    def evaluate(cell: Cell) -> Outcome:
        begun.append(cell)
        return Outcome(0.5)

    explored = exploration.explore(CELLS, evaluate)
    assert begun == []
    assert next(explored) == (CELLS[0], Outcome(0.5))
    assert begun == CELLS[:1]


def test_failures_are_yielded_and_skipped_while_they_are_not_five_in_a_row() -> None:
    outcomes = iter([failed()] * 4 + [Outcome(0.5)] + [failed()] * 4)
    explored = [outcome.score for _, outcome in exploration.explore(CELLS, lambda _: next(outcomes))]
    assert explored == [None] * 4 + [0.5] + [None] * 4


def test_the_fifth_failure_in_a_row_ends_the_exploration_after_it_was_yielded() -> None:
    seen = []
    message = (
        r"5 evaluations in a row failed, the last for layer 'conv1' at ratio 0\.5: ValueError: no data; "
        "mend eval_callback and run again"
    )
    with pytest.raises(EvaluationError, match=message) as caught:
        seen.extend(cell for cell, _ in exploration.explore(CELLS, lambda _: failed()))
    assert caught.value.__cause__ is FAILURE
    explored = exploration.explore(CELLS, lambda _: failed())
    assert [next(explored)[0] for _ in range(5)] == CELLS[:5]


def test_the_first_failure_ends_the_exploration_if_that_is_wanted() -> None:
    message = r"layer 'conv1' at ratio 0\.1: ValueError: no data; on_eval_error='skip' would go on without this cell"
    explored = exploration.explore(CELLS, lambda _: failed(), stop_at_first_failure=True)
    assert next(explored) == (CELLS[0], failed())
    with pytest.raises(EvaluationError, match=message):
        next(explored)
