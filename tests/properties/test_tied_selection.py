"""What ties promise for every table: one ratio for all that are tied, and the best that can be had so."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aimet_hooks import GreedySelection, KnapsackSelection, selection
from aimet_hooks.errors import TargetError
from aimet_hooks.selection import Choice
from aimet_hooks.strategies import TableSelection
from tests.properties.test_selection import SCORES, rows

RULES = st.sampled_from([GreedySelection, KnapsackSelection])


class Case(NamedTuple):
    rows: Mapping[str, list[Choice]]
    ties: Mapping[str, str]
    rest: int
    total: int
    target: Fraction

    def chosen(self, rule: type[TableSelection]) -> dict[str, float | None]:
        return rule(self.target).pick(self.rows, ties=self.ties, rest=self.rest, total=self.total).comp_ratios

    def of(self, ratios: Mapping[str, float | None]) -> list[Choice]:
        return [next(c for c in self.rows[name] if c.ratio == ratio) for name, ratio in ratios.items()]

    def cost(self, ratios: Mapping[str, float | None]) -> int:
        return self.rest + sum(choice.cost for choice in self.of(ratios))


@st.composite
def cases(draw: st.DrawFn, most: int = 5) -> Case:
    baseline = draw(SCORES)
    names = draw(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=most, unique=True))
    table = {name: draw(rows(SCORES, baseline)) for name in names}
    ties = {name: tie for name in names if (tie := draw(st.sampled_from(["x", "y", ""])))}
    rest = draw(st.integers(0, 300))
    total = rest + sum(row[-1].cost for row in table.values())
    return Case(table, ties, rest, total, Fraction(draw(st.integers(1, 99)), 100))


def possible(case: Case) -> list[dict[str, float | None]]:
    """All ways to give every layer one of its ratios and tied layers the same."""
    every = ([(name, choice.ratio) for choice in row] for name, row in case.rows.items())
    ways = [dict(way) for way in itertools.product(*every)]
    return [way for way in ways if all(len({way[n] for n in case.ties if case.ties[n] == tie}) < 2 for tie in "xy")]


@given(cases(), RULES)
def test_tied_layers_share_a_ratio_and_the_target_is_met(case: Case, rule: type[TableSelection]) -> None:
    try:
        found = case.chosen(rule)
    except TargetError:
        assume(False)
    assert list(found) == list(case.rows)
    for tie in "xy":
        assert len({found[name] for name in case.ties if case.ties[name] == tie}) < 2
    assert Fraction(case.cost(found), case.total) <= case.target


@given(cases(most=3), RULES)
def test_a_target_is_refused_only_where_no_tied_choice_meets_it(case: Case, rule: type[TableSelection]) -> None:
    reachable = any(Fraction(case.cost(way), case.total) <= case.target for way in possible(case))
    try:
        case.chosen(rule)
    except TargetError:
        assert not reachable
    else:
        assert reachable


@given(cases(most=3))
def test_the_knapsack_over_ties_loses_no_more_than_any_tied_choice(case: Case) -> None:
    def loss(way: Mapping[str, float | None]) -> float:
        return math.fsum(
            case.rows[name][-1].score - choice.score for name, choice in zip(way, case.of(way), strict=True)
        )

    meeting = [way for way in possible(case) if Fraction(case.cost(way), case.total) <= case.target]
    assume(meeting)
    assert loss(case.chosen(KnapsackSelection)) == pytest.approx(min(map(loss, meeting)), abs=1e-6, rel=1e-9)


@given(cases())
def test_a_tied_row_adds_what_each_layer_changes_one_after_the_other(case: Case) -> None:
    together = selection.tied(case.rows, case.ties)
    for tie in "xy":
        members = [name for name in case.rows if case.ties.get(name) == tie]
        for choice in together[members[0]] if len(members) > 1 else ():
            score = case.rows[members[0]][-1].score
            for own, name in zip(case.of(dict.fromkeys(members, choice.ratio)), members, strict=True):
                score += own.score - case.rows[name][-1].score
            assert choice.score == score
            assert choice.cost == sum(own.cost for own in case.of(dict.fromkeys(members, choice.ratio)))


@given(cases(), RULES)
def test_ties_of_one_layer_change_nothing(case: Case, rule: type[TableSelection]) -> None:
    alone = case._replace(ties={name: f"tie of {name}" for name in case.rows})
    free = case._replace(ties={})
    try:
        found = free.chosen(rule)
    except TargetError:
        assume(False)
    assert alone.chosen(rule) == found
