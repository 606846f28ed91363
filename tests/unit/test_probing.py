"""Which whole models are measured, and which of them is taken."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks.errors import TargetError
from aimet_hooks.probing import MOST_MEASUREMENTS, RESOLUTION, Probes
from aimet_hooks.strategies import Decision

LOWEST = 0.1


class Steps:
    """A laboratory whose rule knows so many choices, and whose models score by a function of their ratio."""

    def __init__(self, choices: int, scores: dict[int, float | None]) -> None:
        self.choices = choices
        self.scores = scores
        self.measured: list[float] = []

    def decide(self, target: float) -> tuple[Decision, float]:
        place = math.floor((target - LOWEST) / (1 - LOWEST) * self.choices)
        if place < 0:
            raise TargetError("too low")
        return Decision({"layer": float(place)}, {}), LOWEST + place * (1 - LOWEST) / self.choices

    def measure(self, target: float, decision: Decision, ratio: float) -> float | None:
        del target
        self.measured.append(ratio)
        return self.scores.get(int(decision.comp_ratios["layer"] or 0), 0.9)


def test_a_curve_measures_each_choice_once_and_no_more_than_it_may() -> None:
    laboratory = Steps(10, {})
    probes = Probes(laboratory)
    probes.curve([0.9, 0.905, 0.05, 0.5, 0.3, 0.2], most=3)
    assert laboratory.measured == pytest.approx([0.82, 0.46, 0.28])
    assert [round(model.ratio, 2) for model in probes.measured] == [0.82, 0.46, 0.28]


def test_the_smallest_model_that_loses_no_more_is_found_where_scores_fall_with_the_ratio() -> None:
    scores: dict[int, float | None] = {place: 0.9 - 0.001 * (1000 - place) for place in range(1001)}
    laboratory = Steps(1000, scores)
    probes = Probes(laboratory)
    decision = probes.smallest_within(0.9, 0.3, higher_is_better=True, lowest=LOWEST)
    best = LOWEST + 700 * (1 - LOWEST) / 1000
    assert best <= LOWEST + (decision.comp_ratios["layer"] or 0) * (1 - LOWEST) / 1000 <= best + RESOLUTION
    assert len(laboratory.measured) <= MOST_MEASUREMENTS


@given(
    scores=st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=60),
    drop=st.floats(0, 1),
    curve=st.lists(st.floats(0.1, 1), max_size=5),
)
def test_what_is_taken_is_within_and_nothing_smaller_that_was_measured_is(
    scores: list[float | None], drop: float, curve: list[float]
) -> None:
    laboratory = Steps(len(scores), dict(enumerate(scores)))
    probes = Probes(laboratory)
    probes.curve(curve, most=3)
    within = lambda score: score is not None and 0.9 - score <= drop  # noqa: E731
    try:
        decision = probes.smallest_within(0.9, drop, higher_is_better=True, lowest=LOWEST)
    except TargetError:
        assert not any(within(model.score) for model in probes.measured)
        return
    taken = next(model for model in probes.measured if model.decision == decision)
    assert within(taken.score)
    assert all(not within(model.score) for model in probes.measured if model.ratio < taken.ratio)
    assert len(laboratory.measured) <= 3 + MOST_MEASUREMENTS


def test_a_score_to_minimize() -> None:
    laboratory = Steps(2, {0: 2.0, 1: 1.05})
    decision = Probes(laboratory).smallest_within(1.0, 0.1, higher_is_better=False, lowest=LOWEST)
    assert decision.comp_ratios == {"layer": 1.0}


def test_where_nothing_is_within_it_is_said_what_was_measured() -> None:
    laboratory = Steps(2, {0: 0.1, 1: 0.2})
    probes = Probes(laboratory)
    probes.curve([0.2], most=1)
    with pytest.raises(
        TargetError,
        match=r"max_drop 0\.1 cannot be kept: the baseline scores 0\.9.*0\.2 at 0\.550, 0\.1 at 0\.100",
    ):
        probes.smallest_within(0.9, 0.1, higher_is_better=True, lowest=LOWEST)
