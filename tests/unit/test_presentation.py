"""Names, numbers and grades as they are printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_scale import ScoreScale, point_of
from aimet_hooks.presentation.text import clean, layer_name
from console_vis.names import pad, shorten
from tests.unit.console_vis_runs import failed, recorded, started, whole_run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer1.0.conv", "layer1.0.conv"),
        ("größe.層", "größe.層"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bcreset", "reset"),
        ("unfinished \x1b]0;title", "unfinished 0;title"),
        ("a\tb\r\nc", "a b  c"),
        ("nul\x00bell\x07del\x7f", "nulbelldel"),
        ("\u202eabc\u2069\u200b", "abc"),
        ("lone \ud800 surrogate", "lone  surrogate"),
    ],
)
def test_what_steers_a_terminal_is_taken_out_of_names(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(st.characters(), max_size=60))
def test_a_cleaned_text_is_printable_whatever_it_was(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)


@given(st.text(st.characters(blacklist_categories=["Cc", "Cf", "Cs", "Mn", "Me"]), max_size=60), st.integers(0, 20))
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= max(width, 0)
    assert short == text or "…" in short or width == 0


def test_a_long_name_is_cut_in_the_middle() -> None:
    assert shorten("backbone.stage1.conv", 11) == "backb….conv"
    assert shorten("backbone.stage1.conv", 11, "~") == "backb~.conv"
    assert shorten("日本語日本語", 7) == "日…語"
    assert pad("日本", 6) == "日本  "
    assert pad("日本", 6, right=True) == "  日本"


def test_a_name_that_shows_nothing_is_shown_as_quotes() -> None:
    assert layer_name("") == layer_name("\x1b[0m ") == "''"


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
    ("rate", "expected"),
    [(2500.0, "2500 evals/s"), (12.34, "12.3 evals/s"), (1.0, "1.0 evals/s"), (0.25, "4 s/eval"), (0.01, "100 s/eval")],
)
def test_a_slow_rate_is_read_as_seconds_a_cell(rate: float, expected: str) -> None:
    assert quantities.rate(rate) == expected


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


def test_the_scale_of_a_recording_without_a_baseline_comes_from_its_end_or_its_scores() -> None:
    events = [event for event in whole_run() if event.name != "baseline_score"]
    assert ScoreScale.of(recorded(events)).baseline == 0.9
    assert ScoreScale.of(recorded(events[:-1])) == ScoreScale(None, 0.01, higher_is_better=True)
    assert ScoreScale.of(recorded([])) == ScoreScale(None, 0.01, higher_is_better=True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("KeyboardInterrupt", "run interrupted in exploration (KeyboardInterrupt)"),
        ("TerminatedError", "run terminated in exploration (TerminatedError)"),
        ("EvaluationError", "run failed in exploration (EvaluationError)"),
    ],
)
def test_an_ending_tells_an_interrupt_from_a_failure(error: str, expected: str) -> None:
    assert wording.ending(failed(error, "")) == expected


def test_a_title_names_the_run_and_the_model_once() -> None:
    assert wording.titles(recorded([started(run_name="net.onnx")])) == [
        "net.onnx",
        "spatial SVD",
        "keep 0.5 of the MACs",
    ]
    assert wording.titles(recorded([])) == []
