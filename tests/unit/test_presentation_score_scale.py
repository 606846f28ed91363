"""Points, grades and digits of scores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aimet_hooks.events import BaselineScored
from aimet_hooks.presentation.score_scale import LABELS, ScoreScale, point_of
from tests.unit.console_vis_runs import recorded, whole_run


@pytest.mark.parametrize(
    ("reference", "higher_is_better", "point"),
    [
        (0.76, True, 0.01),
        (0.0, True, 0.01),
        (-0.4, True, 0.01),
        (76.1, True, 1.0),
        (2.5, True, 0.025),
        (-30.0, True, 0.3),
        (20.0, False, 0.2),
        (0.05, False, 0.0005),
        (0.0, False, 0.01),
    ],
)
def test_a_point_is_a_hundredth_of_what_the_score_is_measured_by(
    reference: float, higher_is_better: bool, point: float
) -> None:
    assert point_of(reference, higher_is_better=higher_is_better) == pytest.approx(point)


@pytest.mark.parametrize(
    ("lost", "grade"),
    [(-3, 0), (0, 0), (0.05, 0), (0.1, 1), (0.11, 2), (0.5, 2), (1, 3), (2, 4), (5, 5), (10, 6), (10.1, 7), (90, 7)],
)
def test_the_grade_is_the_drop_in_points_in_both_directions(lost: float, grade: int) -> None:
    assert ScoreScale(0.9, 0.01, higher_is_better=True).grade(0.9 - lost / 100) == grade
    assert ScoreScale(20.0, 0.2, higher_is_better=False).grade(20.0 + lost / 5) == grade
    assert ScoreScale(None, 0.01, higher_is_better=True).grade(0.5) is None


@pytest.mark.parametrize(
    ("noise", "lost", "grade"),
    [(0.03, 0.05, 0), (0.3, 0.3, 0), (0.3, 0.31, 2), (0.3, 0.6, 3), (0.3, -0.3, 0), (12, 12, 0), (12, 12.1, 7)],
)
def test_a_drop_within_the_noise_has_the_first_grade(noise: float, lost: float, grade: int) -> None:
    scale = ScoreScale(0.9, 0.01, higher_is_better=True, noise=noise / 100)
    assert scale.grade(0.9 - lost / 100) == grade
    assert scale.noise_points == pytest.approx(noise)


@pytest.mark.parametrize(
    ("noise", "legend"),
    [
        (0, list(enumerate(LABELS))),
        (0.05, list(enumerate(LABELS))),
        (0.07, [(0, ".07 (noise)"), *list(enumerate(LABELS))[1:]]),
        (0.3, [(0, ".3 (noise)"), *list(enumerate(LABELS))[2:]]),
        (5, [(0, "5 (noise)"), (6, "10"), (7, ">10")]),
        (12, [(0, "12 (noise)"), (7, ">12")]),
    ],
)
def test_the_legend_leaves_out_the_grades_that_noise_takes_in(noise: float, legend: list[tuple[int, str]]) -> None:
    assert ScoreScale(90.0, 1.0, higher_is_better=True, noise=noise).legend() == legend


def test_the_noise_of_a_run_is_that_of_its_baseline() -> None:
    events = [
        replace(event, repeated_score=0.903) if isinstance(event, BaselineScored) else event for event in whole_run()
    ]
    assert ScoreScale.of(recorded(events)).noise == pytest.approx(0.003)
    assert ScoreScale.of(recorded(whole_run())).noise == 0


@pytest.mark.parametrize(
    ("baseline", "score", "text", "short"),
    [
        (0.9, 0.98765, "0.9877", ".988"),
        (0.9, 1.0, "1.0000", "1.00"),
        (-0.1, -0.01234, "-0.0123", "-.012"),
        (76.0, 71.234, "71.23", "71.2"),
        (2.0, 1.23456, "1.2346", "1.235"),
        (0.9, 1e12, "1e+12", "1e+12"),
        (5000.0, 4321.0, "4321.0", "4321"),
    ],
)
def test_scores_have_the_digits_that_matter(baseline: float, score: float, text: str, short: str) -> None:
    scale = ScoreScale(baseline, point_of(baseline, higher_is_better=True), higher_is_better=True)
    assert (scale.text(score), scale.short_text(score)) == (text, short)


@pytest.mark.parametrize(
    ("baseline", "score", "text"),
    [
        (0.9, 0.8688, "0.8688"),
        (0.9, 0.0, "0.0000"),
        (76.12, 71.5, "71.50"),
        (76.12, -12.345678, "-12.35"),
        (-0.1, -0.0016, "-0.0016"),
        (-1e-5, -0.0002414, "-2.4e-4"),
        (-1e-5, -0.0001619, "-1.6e-4"),
        (-1e-5, -3e-5, "-3.0e-5"),
        (1e15, 1.2345e15, "1.2e15"),
    ],
)
def test_scores_of_cells_fit_and_have_two_digits_at_least(baseline: float, score: float, text: str) -> None:
    assert (
        ScoreScale(baseline, point_of(baseline, higher_is_better=True), higher_is_better=True).cell_text(score) == text
    )


def test_the_scale_of_a_recording_without_a_baseline_comes_from_its_end_or_its_scores() -> None:
    events = [event for event in whole_run() if event.name != "baseline_score"]
    assert ScoreScale.of(recorded(events)).baseline == 0.9
    assert ScoreScale.of(recorded(events[:-1])) == ScoreScale(None, 0.01, higher_is_better=True)
    assert ScoreScale.of(recorded([])) == ScoreScale(None, 0.01, higher_is_better=True)
