"""What the greedy choice promises for every table: noisy, constant and partial ones included."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from aimet_hooks import selection
from aimet_hooks.errors import TargetError
from aimet_hooks.selection import Choice, Selection

SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(-1e3, 1e3))
"""Few values, so that ties are common, and any."""


class Case(NamedTuple):
    rows: dict[str, list[Choice]]
    rest: int
    total: int
    target: Fraction

    def chosen(self) -> Selection:
        return selection.greedy(self.rows, rest=self.rest, total=self.total, target=self.target)


@st.composite
def rows(draw: st.DrawFn, scores: st.SearchStrategy[float], baseline: float) -> list[Choice]:
    """Any of nine ratios; costs that do not fall, equal ones included (ratios of one rank)."""
    cost = draw(st.integers(2, 1000))
    ratios = sorted(draw(st.sets(st.integers(1, 9), max_size=9)))
    costs = sorted(draw(st.lists(st.integers(1, cost - 1), min_size=len(ratios), max_size=len(ratios))))
    cells = [Choice(k / 10, draw(scores), at) for k, at in zip(ratios, costs, strict=True)]
    return [*cells, Choice(None, baseline, cost)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    baseline = draw(SCORES)
    scores = draw(st.sampled_from([SCORES, st.just(baseline)]))
    names = draw(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=6, unique=True))
    table = {name: draw(rows(scores, baseline)) for name in names}
    rest = draw(st.integers(0, 300))
    total = rest + sum(row[-1].cost for row in table.values())
    return Case(table, rest, total, Fraction(draw(st.integers(1, 99)), 100))


def _cost(case: Case, ratios: dict[str, float | None]) -> int:
    return case.rest + sum(_choice(case, name, ratio).cost for name, ratio in ratios.items())


def _choice(case: Case, name: str, ratio: float | None) -> Choice:
    return next(choice for choice in case.rows[name] if choice.ratio == ratio)


def _at_threshold(case: Case, threshold: float) -> dict[str, float | None]:
    """The rule as it is written: the smallest ratio whose own score reaches the threshold, else left alone."""
    return {
        name: min((c.ratio for c in row if c.ratio is not None and c.score >= threshold), default=None)
        for name, row in case.rows.items()
    }


def _brute_force(case: Case) -> float | None:
    """The highest distinct score that meets the target, by trying each."""
    distinct = {choice.score for row in case.rows.values() for choice in row if choice.ratio is not None}
    meeting = [t for t in distinct if Fraction(_cost(case, _at_threshold(case, t)), case.total) <= case.target]
    return max(meeting, default=None)


@given(cases())
def test_the_threshold_is_the_highest_distinct_score_that_meets_the_target(case: Case) -> None:
    expected = _brute_force(case)
    if expected is None:
        with pytest.raises(TargetError, match="cannot be reached with the scores of this table"):
            case.chosen()
    else:
        assert case.chosen().threshold == expected


@given(cases())
def test_the_models_exact_ratio_is_at_or_below_the_target(case: Case) -> None:
    if _brute_force(case) is not None:
        found = case.chosen()
        assert found.cost == _cost(case, found.comp_ratios)
        assert Fraction(found.cost, case.total) <= case.target


@given(cases())
def test_every_compressed_layer_keeps_the_threshold_and_none_falls_below_the_rule(case: Case) -> None:
    if _brute_force(case) is not None:
        found = case.chosen()
        start = _at_threshold(case, found.threshold)
        for name, ratio in found.comp_ratios.items():
            assert ratio is None or _choice(case, name, ratio).score >= found.threshold
            assert _choice(case, name, ratio).cost >= _choice(case, name, start[name]).cost


@given(cases())
def test_no_single_further_raise_that_keeps_the_threshold_would_fit(case: Case) -> None:
    if _brute_force(case) is not None:
        found = case.chosen()
        for name, row in case.rows.items():
            now = _choice(case, name, found.comp_ratios[name])
            for choice in row:
                raised = choice.cost > now.cost and (choice.ratio is None or choice.score >= found.threshold)
                assert not raised or Fraction(found.cost - now.cost + choice.cost, case.total) > case.target


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_layers_and_of_their_cells_changes_nothing(case: Case, random: object) -> None:
    if _brute_force(case) is None:
        return
    names = list(case.rows)
    random.shuffle(names)  # type: ignore[attr-defined]
    shuffled = {name: random.sample(case.rows[name], len(case.rows[name])) for name in names}  # type: ignore[attr-defined]
    assert case._replace(rows=shuffled).chosen() == case.chosen()


@given(cases(), st.integers(1, 50))
def test_a_unit_of_cost_changes_nothing(case: Case, unit: int) -> None:
    if _brute_force(case) is None:
        return
    scaled = {n: [Choice(c.ratio, c.score, unit * c.cost) for c in row] for n, row in case.rows.items()}
    other = Case(scaled, unit * case.rest, unit * case.total, case.target)
    assert _cost(other, other.chosen().comp_ratios) == unit * case.chosen().cost


@given(st.lists(st.one_of(SCORES, st.just(math.nan)), max_size=30))
def test_the_monotonic_fit_is_isotonic_regression(scores: list[float]) -> None:
    values = np.array(scores, float)
    known = np.isfinite(values)
    fitted = selection.isotonic(values)
    assert np.isnan(fitted[~known]).all()
    if known.any():
        x = np.arange(len(values))[known]
        expected = IsotonicRegression().fit_transform(x, values[known])
        np.testing.assert_allclose(fitted[known], expected, rtol=1e-9, atol=1e-9)
