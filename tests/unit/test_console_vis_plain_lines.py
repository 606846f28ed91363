"""The progress of a run where there is no terminal, to the byte."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from aimet_hooks.events import BaselineScored, Progressed
from aimet_hooks.presentation import wording
from console_vis.output import Output
from console_vis.plain_lines import MOST_ERRORS
from console_vis.reporter import ConsoleReporter
from tests.unit.console_vis_runs import (
    BEGIN,
    announce,
    explored,
    failed,
    plain_console,
    started,
    whole_run,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimet_hooks.events import Event


def progress_of(events: Iterable[Event], results_dir: Path | None = None) -> str:
    stderr = plain_console()
    announce(ConsoleReporter(stdout=plain_console(), stderr=stderr, results_dir=results_dir), events)
    return written(stderr)


def test_every_step_has_its_line() -> None:
    assert progress_of(whole_run()) == (
        "[0:00] nightly - net.onnx - spatial SVD - keep 0.5 of the MACs\n"
        "[0:01] skipped depthwise: depthwise convolution (group=8)\n"
        "[0:02] baseline 0.9000 (0.5 s)\n"
        "[0:02] exploring 3 layers at 3 ratios: 9 cells, 9 evaluations, about 4 s\n"
        "[0:05] failed head at 0.25: ValueError: the score is nan\n"
        "[0:09] stem  0.25: 0.5000  0.5: 0.8900  0.75: 0.9000\n"
        "[0:10] block.conv  0.25: 0.8800  0.5: 0.8996  0.75: 0.9001\n"
        "[0:11] head  0.25: failed  0.5: 0.8450  0.75: 0.8990\n"
        "[0:12] 1 of 9 cells failed\n"
        "[0:12] chosen: 0.700 of the MACs kept (target 0.5), worst score of a chosen cell 0.8990\n"
        "[0:20] finished in 0:20\n"
    )


def test_a_baseline_that_scores_otherwise_a_second_time_has_its_noise_beside_it() -> None:
    baseline = BaselineScored(score=0.9, repeated_score=0.897, seconds=0.5, time=BEGIN + 2)
    assert progress_of([started(), baseline]).splitlines()[-1] == "[0:02] baseline 0.9000 (0.5 s), noise 0.3 points"


def test_a_failure_prints_the_rows_that_were_begun_and_how_many_cells_are_safe() -> None:
    lines = progress_of([*whole_run()[:8], failed()], Path("runs/7")).splitlines()
    assert lines[-5:] == [
        "[0:30] stem  0.25: 0.5000  0.5: 0.8900",
        "[0:30] block.conv  0.25: 0.8800",
        "[0:30] head  0.25: failed",
        "[0:30] 1 of 9 cells failed",
        "run failed in exploration (EvaluationError); 4 of 9 cells are safe in runs/7/events.jsonl, "
        "resume=True (--resume) goes on",
    ]


def test_without_files_nothing_is_said_to_be_safe() -> None:
    lines = progress_of([*whole_run()[:8], failed("KeyboardInterrupt", "")]).splitlines()
    assert lines[-1] == "run interrupted in exploration (KeyboardInterrupt)"


def test_a_long_exploration_has_a_line_of_progress_at_least_once_a_minute() -> None:
    names = [f"layer{number}" for number in range(40)]
    text = progress_of([*whole_run()[:3], *explored(names, [[0.5] * 9] * 40, seconds=7.0)])
    lines = [line for line in text.splitlines() if " of 360 cells (" in line]
    assert lines[0] == "[0:58] 8 of 360 cells (2%), 7 s/eval, 41:04 left"
    minutes = [line[1:].split("]")[0].split(":") for line in lines]
    times = [2.0, *(int(minute) * 60 + int(second) for minute, second in minutes)]
    assert all(later - earlier <= 60 for earlier, later in itertools.pairwise(times))
    assert len(lines) <= 360 * 7 / 50


def test_evaluations_of_several_minutes_have_a_line_each() -> None:
    text = progress_of([*whole_run()[:3], *explored(seconds=300.0)])
    assert text.count(" of 9 cells (") == 9


def test_a_long_preflight_has_a_line_a_minute() -> None:
    steps = [
        Progressed(stage="preflight", completed=number, total=100, time=BEGIN + 2 * number) for number in range(1, 101)
    ]
    lines = progress_of([started(), *steps]).splitlines()[1:]
    assert lines == [
        "[1:00] preflight: 30 of 100 layers",
        "[2:00] preflight: 60 of 100 layers",
        "[3:00] preflight: 90 of 100 layers",
    ]


def test_equal_errors_are_printed_once() -> None:
    text = progress_of([*whole_run()[:3], *explored(["a", "b"], [[None] * 3] * 2)])
    assert text.count("ValueError: the score is nan") == 1


def test_many_different_errors_do_not_flood() -> None:
    names = [f"layer{number}" for number in range(100)]
    cells = [
        replace(event, error=f"RuntimeError: {number}") if event.name == "eval_score" else event
        for number, event in enumerate(explored(names, [[None]] * 100))
    ]
    lines = [line for line in progress_of([*whole_run()[:3], *cells]).splitlines() if "RuntimeError" in line]
    assert len(lines) == MOST_ERRORS
    assert lines[-1].endswith("RuntimeError: 10; other errors will only be counted")


def test_a_message_of_many_lines_and_any_length_is_one_short_line() -> None:
    message = "first\n\n  second \x1b[31mred\x1b[0m\t" + "x" * 10_000
    line = wording.failure(failed(message=message))
    assert line.startswith("run failed in exploration (EvaluationError): first second red xxx")
    assert len(line) < 600


def test_a_long_run_prints_a_line_a_layer_and_little_else() -> None:
    names = [f"layer{number}.conv" for number in range(5556)]
    text = progress_of([*whole_run()[:3], *explored(names, [[0.5] * 9] * 5556, seconds=0.1)])
    minutes = 5556 * 9 * 0.1 / 60
    assert text.count("\n") <= len(names) + minutes + 5


def test_no_layer_name_brings_a_control_character_into_the_output() -> None:
    hostile = ("\x1b[2J\x1b]0;t\x07x", "a\r\nb\x00\x85\u2028c", "\u202e[red]\ud800")
    stdout, stderr = plain_console(), plain_console()
    announce(ConsoleReporter(stdout=stdout, stderr=stderr), whole_run(hostile))
    text = written(stdout) + written(stderr)
    assert all(character == "\n" or character.isprintable() for character in text)
    assert "\n[0:09] x  0.25: 0.5000" in text


def test_a_stream_without_unicode_gets_question_marks(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="ascii") as file:
        Output(Console(file=file, force_terminal=False)).print(["größe 層"])
    assert (tmp_path / "log").read_text() == "gr??e ?\n"


def test_a_closed_pipe_ends_the_output_silently(caplog: pytest.LogCaptureFixture) -> None:
    output = Output(Console(file=Unwritable(BrokenPipeError()), force_terminal=False))  # type: ignore[arg-type]
    output.print(["one"])
    output.print(["two"])
    assert not caplog.records


def test_a_full_disk_is_said_once_and_ends_the_output(caplog: pytest.LogCaptureFixture) -> None:
    output = Output(Console(file=Unwritable(OSError(28, "No space left")), force_terminal=False))  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "console_vis"):
        output.print(["one"])
        output.print(["two"])
    assert [record.getMessage() for record in caplog.records] == [
        "the console output ends here: it cannot be written ([Errno 28] No space left)"
    ]


def test_the_forecast_counts_what_is_known_already_and_what_is_left() -> None:
    exploration = replace(explored()[0], reused=4, evaluations=5)
    baseline = BaselineScored(score=0.9, seconds=1200.0, time=BEGIN + 1)
    assert progress_of([started(), baseline, exploration]).splitlines()[-1] == (
        "[0:02] exploring 3 layers at 3 ratios: 9 cells, 5 evaluations, 4 known already, about 1.7 h"
    )


class Unwritable:
    encoding = "utf-8"

    def __init__(self, error: OSError) -> None:
        self._error = error

    def write(self, text: str) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error


def test_a_row_is_complete_where_the_ratios_without_a_cell_are_missing() -> None:
    begin = [
        replace(event, cells={"a": (0.25,)}) if event.name == "exploration_started" else event
        for event in explored(["a", "b"], [[0.5, 0.6, 0.7], [0.5, 0.6, 0.7]])
    ]
    cells = [event for event in begin if event.name != "eval_score" or event.layer == "b" or event.comp_ratio == 0.25]
    first = next(line for line in progress_of([*whole_run()[:3], *cells]).splitlines() if "0.25:" in line)
    assert first.split("] ")[1] == "a  0.25: 0.5000"
