"""What the knapsack promises for every table: the smallest summed loss within the budget, or a gap that is true."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks import knapsack, selection
from aimet_hooks.errors import TargetError
from aimet_hooks.knapsack import KnapsackChoice
from aimet_hooks.selection import Choice

SATURATED = st.integers(-3, 360).map(lambda hits: hits / 360)
"""Accuracies over 360 samples: steps that are no binary fractions, so that equal sums differ in their rounding."""

SCORES = st.sampled_from([st.sampled_from([0.0, 0.25, 0.5, 1.0]), SATURATED, st.floats(-1e3, 1e3), st.floats(0, 1)])


class Case(NamedTuple):
    rows: dict[str, list[Choice]]
    rest: int
    total: int
    target: Fraction

    def chosen(self) -> KnapsackChoice:
        return knapsack.knapsack(self.rows, rest=self.rest, total=self.total, target=self.target)


@st.composite
def rows(draw: st.DrawFn, scores: st.SearchStrategy[float], baseline: float) -> list[Choice]:
    """Up to four of nine ratios; costs that do not fall, equal ones included (ratios of one rank)."""
    cost = draw(st.integers(2, draw(st.sampled_from([5, 1000]))))
    ratios = sorted(draw(st.sets(st.integers(1, 9), max_size=4)))
    costs = sorted(draw(st.lists(st.integers(1, cost - 1), min_size=len(ratios), max_size=len(ratios))))
    proportional = draw(st.booleans())  # to the cost that is saved, but for a little noise: hardly any bound helps
    saved = [1e-3 * (cost - at) for at in costs]
    noise = [draw(scores) for _ in costs]
    values = [baseline - s + 1e-6 * n for s, n in zip(saved, noise, strict=True)] if proportional else noise
    cells = [Choice(k / 10, score, at) for k, score, at in zip(ratios, values, costs, strict=True)]
    return [*cells, Choice(None, baseline, cost)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    scores = draw(SCORES)
    baseline = draw(scores)
    names = draw(st.lists(st.text("abc", min_size=1, max_size=3), max_size=5, unique=True))
    table = {name: draw(rows(scores, baseline)) for name in names}
    rest = draw(st.integers(0, 300))
    total = rest + sum(row[-1].cost for row in table.values()) + 1
    return Case(table, rest, total, Fraction(draw(st.integers(1, 99)), 100))


def _cost(case: Case, ratios: dict[str, float | None]) -> int:
    return case.rest + sum(_choice(case, name, ratio).cost for name, ratio in ratios.items())


def _choice(case: Case, name: str, ratio: float | None) -> Choice:
    return next(choice for choice in case.rows[name] if choice.ratio == ratio)


def _loss(case: Case, ratios: dict[str, float | None]) -> float:
    return math.fsum(row[-1].score - _choice(case, name, ratios[name]).score for name, row in case.rows.items())


def _brute_force(case: Case) -> float | None:
    """The smallest loss that fits, by trying every choice of every layer."""
    losses = [
        math.fsum(row[-1].score - choice.score for row, choice in zip(case.rows.values(), choices, strict=True))
        for choices in itertools.product(*case.rows.values())
        if Fraction(case.rest + sum(choice.cost for choice in choices), case.total) <= case.target
    ]
    return min(losses, default=None)


def _fits(case: Case) -> bool:
    cheapest = case.rest + sum(min(choice.cost for choice in row) for row in case.rows.values())
    return Fraction(cheapest, case.total) <= case.target


def _rounding(case: Case) -> float:
    """What the sum of the scores may be rounded by."""
    return 1e-13 * sum(max(abs(choice.score) for choice in row) for row in case.rows.values())


@given(cases())
def test_the_summed_loss_is_the_smallest_of_all_choices_that_fit(case: Case) -> None:
    if _fits(case):
        found = case.chosen()
        assert found.score_loss == pytest.approx(_brute_force(case), rel=0, abs=_rounding(case))
        assert found.gap == 0.0


@given(cases())
def test_a_target_error_comes_exactly_when_the_cheapest_choices_do_not_fit(case: Case) -> None:
    if _fits(case):
        case.chosen()
    else:
        with pytest.raises(TargetError, match="cannot be reached with the scores of this table: the lowest ratio is"):
            case.chosen()


@given(cases())
def test_cost_and_loss_are_those_of_the_ratios_and_the_limit_holds(case: Case) -> None:
    if _fits(case):
        found = case.chosen()
        assert list(found.comp_ratios) == list(case.rows)
        assert found.cost == _cost(case, found.comp_ratios)
        assert found.score_loss == _loss(case, found.comp_ratios)
        assert Fraction(found.cost, case.total) <= case.target


@given(cases())
def test_the_loss_is_never_above_that_of_the_greedy_selection(case: Case) -> None:
    if _fits(case):
        greedy = selection.greedy(case.rows, rest=case.rest, total=case.total, target=case.target)
        assert case.chosen().score_loss <= _loss(case, greedy.comp_ratios)


@given(cases())
def test_of_ratios_with_one_cost_and_score_the_lowest_is_taken(case: Case) -> None:
    if _fits(case):
        for name, ratio in case.chosen().comp_ratios.items():
            taken = _choice(case, name, ratio)
            assert all(
                ratio is None or other.ratio is None or other.ratio >= ratio
                for other in case.rows[name]
                if (other.cost, other.score) == (taken.cost, taken.score)
            )


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_layers_and_of_their_cells_changes_nothing(case: Case, random: object) -> None:
    if _fits(case):
        names = list(case.rows)
        random.shuffle(names)  # type: ignore[attr-defined]
        shuffled = {name: random.sample(case.rows[name], len(case.rows[name])) for name in names}  # type: ignore[attr-defined]
        assert case._replace(rows=shuffled).chosen() == case.chosen()


@given(cases(), st.integers(1, 10**12))
def test_a_unit_of_cost_changes_nothing(case: Case, unit: int) -> None:
    if _fits(case):
        scaled = {n: [Choice(c.ratio, c.score, unit * c.cost) for c in row] for n, row in case.rows.items()}
        found, other = case.chosen(), Case(scaled, unit * case.rest, unit * case.total, case.target).chosen()
        assert (other.comp_ratios, other.cost) == (found.comp_ratios, unit * found.cost)
        assert (other.score_loss, other.gap) == (found.score_loss, found.gap)


@given(cases(), st.integers(1, 4))
def test_a_thinned_run_keeps_the_limit_and_its_gap_is_true(case: Case, states: int) -> None:
    if not _fits(case):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knapsack, "MAX_STATES", states)
        patch.setattr(knapsack, "MAX_PASSES", 1)
        found = case.chosen()
    assert Fraction(found.cost, case.total) <= case.target
    greedy = selection.greedy(case.rows, rest=case.rest, total=case.total, target=case.target)
    assert found.score_loss <= _loss(case, greedy.comp_ratios)
    smallest = _brute_force(case)
    assert smallest is not None
    assert -_rounding(case) <= found.score_loss - smallest <= found.gap + _rounding(case)


def test_a_thinned_run_of_many_like_layers_says_how_far_it_can_be_from_the_best() -> None:
    table = {
        f"layer{k}": [
            Choice(0.5, 1.0 - 1e-3 * (saved := 1009 + 97 * k) - 1e-7 * k**2, 5000 - saved),
            Choice(None, 1.0, 5000),
        ]
        for k in range(12)
    }
    case = Case(table, 0, 60_000, Fraction(93, 100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knapsack, "MAX_STATES", 1)
        found = case.chosen()
    smallest = _brute_force(case)
    assert smallest is not None
    assert found.gap > 0
    assert found.score_loss - smallest <= found.gap
    assert case.chosen().score_loss == pytest.approx(smallest)


def test_an_empty_table_costs_the_rest_and_loses_nothing() -> None:
    assert Case({}, 3, 10, Fraction(1, 2)).chosen() == KnapsackChoice({}, 3, 0.0, 0.0)


def test_layers_that_can_only_be_left_alone_stay_so() -> None:
    case = Case({"a": [Choice(None, 0.5, 4)], "b": [Choice(None, 0.5, 1)]}, 0, 10, Fraction(1, 2))
    assert case.chosen() == KnapsackChoice({"a": None, "b": None}, 5, 0.0, 0.0)
