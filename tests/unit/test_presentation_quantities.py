"""Numbers with a unit, as people read them."""

from __future__ import annotations

import pytest

from aimet_hooks.presentation import quantities


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0"),
        (288, "288"),
        (999, "999"),
        (999.6, "1.00 k"),
        (94_643, "94.6 k"),
        (99_960, "100 k"),
        (999_600, "1.00 M"),
        (2_334_567, "2.33 M"),
        (1.82e9, "1.82 G"),
        (5e12, "5.00 T"),
    ],
)
def test_counts_have_three_digits_and_a_prefix(number: float, expected: str) -> None:
    assert quantities.count(number) == expected


@pytest.mark.parametrize(
    ("seconds", "expected", "rough"),
    [
        (-3, "0:00", "less than a second"),
        (7.4, "0:07", "about 7 s"),
        (59.6, "1:00", "about 60 s"),
        (3723, "1:02:03", "about 62 min"),
        (7300, "2:01:40", "about 2.0 h"),
        (200_000, "2 d 07:33:20", "about 2.3 days"),
    ],
)
def test_durations_are_read_as_a_clock_and_forecasts_in_words(seconds: float, expected: str, rough: str) -> None:
    assert quantities.duration(seconds) == expected
    assert quantities.rough_duration(seconds) == rough


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0 ms"),
        (0.00946, "9.5 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (0.254, "0.25 s"),
        (12.34, "12.3 s"),
        (119.4, "119 s"),
        (119.6, "2:00"),
        (4000, "1:06:40"),
    ],
)
def test_what_one_evaluation_takes(seconds: float, expected: str) -> None:
    assert quantities.short_duration(seconds) == expected


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(2500.0, "2500 evals/s"), (12.34, "12.3 evals/s"), (1.0, "1.0 evals/s"), (0.25, "4 s/eval"), (0.01, "100 s/eval")],
)
def test_a_slow_rate_is_read_as_seconds_a_cell(rate: float, expected: str) -> None:
    assert quantities.rate(rate) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.814, "81%"),
        (0.994, "99%"),
        (0.998, "99.8%"),
        (0.99997, ">99.9%"),
        (0.003, "0.3%"),
        (0.0001, "<0.1%"),
    ],
)
def test_nothing_but_all_is_100_percent(share: float, expected: str) -> None:
    assert quantities.percent(share) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, "0.0000"), (-7e-7, "-7e-07"), (0.00004, "4e-05"), (0.5, "0.5000")]
)
def test_a_score_that_is_not_zero_is_never_shown_as_zero(value: float, expected: str) -> None:
    assert quantities.score(value, 4) == expected
