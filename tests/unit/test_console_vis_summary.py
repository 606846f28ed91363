"""The summary of a run, to the byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import console_vis
from aimet_hooks import recordings
from aimet_hooks.events import RatiosSelected, RunStarted
from console_vis.reporter import ConsoleReporter
from console_vis.summary import MOST_ERRORS
from tests.unit.console_vis_runs import (
    NAMES,
    announce,
    explored,
    failed,
    plain_console,
    started,
    terminal_console,
    whole_run,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimet_hooks.events import Event

HEAD = """\
nightly - net.onnx - spatial SVD - keep 0.5 of the MACs

Scores with one layer compressed, by ratio of MACs kept (baseline 0.9000, higher is better)
"""

WHOLE = (
    HEAD
    + """\
  layer         0.25     0.5    0.75
  stem        0.5000  0.8900  0.9000
  block.conv  0.8800  0.8996* 0.9001
  head        failed  0.8450  0.8990*
  * chosen

Failed cells (1)
  1 cell: ValueError: the score is nan

Skipped (1)
  depthwise: depthwise convolution (group=8)

Chosen ratios: 0.700 of the MACs kept, target 0.5
  layer       ratio  achieved  rank              MACs           weights
  stem            -         -     -            1.00 M            40.0 k
  block.conv    0.5     0.490     8   2.00 M -> 960 k  40.0 k -> 19.2 k
  head         0.75     0.740    12  3.00 M -> 2.16 M  40.0 k -> 28.8 k
  - left alone

Notes
  the head was left alone; ratios below it are optimistic

Result
  score    0.9000  ->  0.8800     -0.0200
  MACs     10.0 M  ->  8.12 M  0.682 kept
  weights   160 k  ->   128 k  0.813 kept
  loss       0.25  ->   0.375
"""
)

PARTIAL = (
    HEAD
    + """\
  layer         0.25     0.5  0.75
  stem        0.5000  0.8900     -
  block.conv  0.8800       -     -
  head        failed       -     -
  - not evaluated

Failed cells (1)
  1 cell: ValueError: the score is nan

Skipped (1)
  depthwise: depthwise convolution (group=8)

"""
)


def shown(events: Iterable[Event]) -> str:
    console = plain_console()
    console_vis.show(events, stdout=console)
    return written(console)


def test_a_finished_run_is_summarized_whole() -> None:
    assert shown(whole_run()) == WHOLE


def test_a_live_run_prints_what_its_recording_shows_and_where_its_files_are() -> None:
    stdout = plain_console()
    announce(ConsoleReporter(stdout=stdout, stderr=plain_console(), results_dir=Path("runs/7")), whole_run())
    assert written(stdout) == WHOLE + "\nFiles: runs/7\n"


def test_the_recorded_results_dir_is_named() -> None:
    events = whole_run(settings={**started().settings, "results_dir": "runs/8"})
    assert shown(events) == WHOLE + "\nFiles: runs/8\n"


def test_a_run_that_never_ended_shows_what_is_known() -> None:
    assert shown(whole_run()[:8]) == PARTIAL + "not finished: 4 of 9 cells are known\n"


@pytest.mark.parametrize(
    ("number", "known"), [(1, ""), (3, ""), (4, ": 0 of 9 cells are known"), (14, ": 9 of 9 cells are known")]
)
def test_wherever_a_run_was_killed_it_is_said_not_to_have_finished(number: int, known: str) -> None:
    assert shown(whole_run()[:number]).endswith(f"\n\nnot finished{known}\n")


def test_a_bare_table_with_a_baseline_is_no_unfinished_run() -> None:
    assert "finished" not in shown(recordings.from_tables(name="7", table={"a": {0.5: 0.3}}, baseline=0.9))


def test_a_failed_run_shows_what_is_known_and_why_it_failed() -> None:
    assert shown([*whole_run()[:8], failed()]) == (
        PARTIAL + "run failed in exploration (EvaluationError): 5 evaluations in a row failed; 4 of 9 cells are known\n"
    )


def test_an_interrupted_run_says_so() -> None:
    text = shown([*whole_run()[:3], failed("KeyboardInterrupt", "")])
    assert text.endswith("\n\nrun interrupted in exploration (KeyboardInterrupt)\n")


def test_a_terminated_run_says_so() -> None:
    text = shown([*whole_run()[:8], failed("TerminatedError", "")])
    assert text.endswith("\n\nrun terminated in exploration (TerminatedError); 4 of 9 cells are known\n")


def test_no_event_at_all_is_said() -> None:
    assert shown([]) == "nothing is recorded of this run\n"


def test_a_bare_table_of_scores_is_shown_without_what_is_not_known(tmp_path: Path) -> None:
    table = {"a": {"0.5": 0.3, "0.75": None}, "b": {"0.5": 12}}
    (tmp_path / "eval_scores.json").write_text(json.dumps({"scores": table}))
    assert shown(recordings.read(tmp_path / "eval_scores.json")) == (
        "eval_scores\n"
        "\n"
        "Scores with one layer compressed, by ratio of cost kept (baseline not recorded)\n"
        "  layer   0.5  0.75\n"
        "  a      0.30     -\n"
        "  b     12.00     -\n"
        "  - not evaluated\n"
    )


def test_bare_ratios_are_shown_without_what_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "comp_ratios.json").write_text(json.dumps({"a": 0.5, "b": None}))
    assert shown(recordings.read(tmp_path / "comp_ratios.json")) == (
        "comp_ratios\n\nChosen ratios\n  layer  ratio\n  a        0.5\n  b          -\n  - left alone\n"
    )


def test_an_empty_table_is_no_problem() -> None:
    events = [started(layers={}, settings={}), *explored((), [[0.5]])[:1]]
    assert "Scores with one layer compressed" in shown(events)


def test_a_selection_whose_layers_are_not_compressed_yet_takes_the_costs_of_its_cells() -> None:
    text = shown(event for event in whole_run() if event.name not in ("layer_compressed", "run_finished"))
    assert "  block.conv    0.5     0.490     8   2.00 M -> 960 k  40.0 k -> 19.2 k\n" in text


def test_ratios_that_were_given_by_hand_have_no_target() -> None:
    settings = {"direction": "maximize", "selection": {"rule": "manual", "comp_ratios": {"stem": 0.5}}}
    selected = RatiosSelected(comp_ratios={"stem": 0.5}, target_comp_ratio=None, achieved_comp_ratio=0.9)
    lines = shown([started(settings=settings), selected]).splitlines()
    assert lines[0] == "nightly - net.onnx - spatial SVD - ratios of MACs given by hand"
    assert lines[2:] == [
        "Chosen ratios: 0.900 of the MACs kept",
        "  layer  ratio    MACs  weights",
        "  stem     0.5  1.00 M   40.0 k",
        "",
        "not finished",
    ]


def test_scores_that_are_to_be_low_are_said_to_be() -> None:
    events = whole_run(settings={"direction": "minimize"}, cost_metric="memory", scheme="weight_svd")
    text = shown(events)
    assert text.startswith("nightly - net.onnx - weight SVD - keep 0.5 of the weights\n")
    assert "by ratio of weights kept (baseline 0.90000, lower is better)" in text


def test_different_errors_are_counted_and_the_list_of_them_is_bounded() -> None:
    names = [f"layer{number}" for number in range(MOST_ERRORS + 2)]
    cells = [
        replace(event, error=f"RuntimeError: {min(number, MOST_ERRORS + 1)}") if event.name == "eval_score" else event
        for number, event in enumerate(explored(names, [[None, None]] * len(names)))
    ]
    text = shown([*whole_run()[:3], *cells])
    assert "Failed cells (24)\n  14 cells: RuntimeError: 11\n  1 cell: RuntimeError: 1\n" in text
    assert "\n  and 1 error more\n" in text


def test_a_file_gets_whole_names_however_long_they_are() -> None:
    names = ("a" * 300, "日本語" * 50, "head")
    lines = shown(whole_run(names)).splitlines()
    assert f"  {'a' * 300}  0.5000  0.8900  0.9000" in lines
    assert any(line.startswith(f"  {'日本語' * 50}  0.8800") for line in lines)


def test_a_table_of_many_layers_is_complete() -> None:
    names = [f"layer{number}" for number in range(3000)]
    text = shown([started(names), *explored(names, [[0.5]] * 3000)])
    assert text.count("  0.5000\n") == 3000


def test_a_terminal_gets_colours_and_what_they_stand_for() -> None:
    console = terminal_console(100)
    console_vis.show(whole_run(), stdout=console)
    text = written(console)
    assert "\x1b[38;2;255;255;255;48;2;135;0;0m 0.5000 \x1b[0m" in text
    assert "\x1b[1;38;2;255;255;255;48;2;0;95;175m 0.8996*\x1b[0m" in text
    assert "points lost, up to" in text


def test_a_narrow_terminal_gets_names_cut_in_the_middle_and_all_numbers() -> None:
    console = terminal_console(42, color_system=None)
    console_vis.show(whole_run(("stem", "model.encoder.layers.0.attention", "head")), stdout=console)
    text = written(console).replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    table = text.split("\n\n")[1].splitlines()
    assert [line.rstrip() for line in table[1:5]] == [
        "  layer              0.25     0.5    0.75",
        "  stem             0.5000  0.8900  0.9000",
        "  model.en…ention  0.8800  0.8996* 0.9001",
        "  head             failed  0.8450  0.8990*",
    ]


def test_ratios_that_do_not_fit_into_a_terminal_follow_in_another_block() -> None:
    console = terminal_console(37, color_system=None)
    console_vis.show([started(), *explored(NAMES, [[0.5] * 9] * 3)], stdout=console)
    lines = [line.rstrip() for line in written(console).splitlines() if line.startswith("  stem")]
    assert lines == ["  stem        0.5000  0.5000  0.5000"] * 3


def test_long_reasons_go_on_indented_where_a_terminal_ends() -> None:
    console = terminal_console(40, color_system=None)
    events = whole_run()
    console_vis.show([events[0], replace(events[1], reason="one word after the other " * 3)], stdout=console)
    assert written(console).endswith(
        "  depthwise: one word after the other\n    one word after the other one word\n    after the other\n"
        "\nnot finished\n"
    )


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07x", "a\nb\rc\x9b2J", "\u202eabc\u2066", "\ud800"]
)
def test_what_comes_from_outside_cannot_steer_a_terminal_or_break_a_line(hostile: str) -> None:
    names = (hostile, f"[bold]{hostile}[/nothing]", "head")
    events = whole_run(names, run_name=hostile, model_name=hostile, scheme=hostile)
    events[1] = replace(events[1], layer=hostile, reason=hostile)
    events[-1] = replace(events[-1], notes=(hostile,), metrics={hostile: 1.0})
    text = shown([*events[:-1], replace(failed(hostile, hostile), notes=(hostile,))]) + shown(events)
    text.encode("utf-8")
    assert all(character == "\n" or character.isprintable() for character in text)
    assert "[bold]" in text
    assert "[/nothing]" in text


def test_the_package_is_imported_without_what_draws() -> None:
    code = (
        "import sys, console_vis; print([name for name in ('rich', 'torch', 'onnx', 'bokeh') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONWARNINGS": ""}
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert output.stdout == "[]\n"


def test_a_new_run_in_the_same_recording_begins_anew() -> None:
    again = [event for event in whole_run(run_name="again") if isinstance(event, RunStarted)]
    assert shown([*whole_run(), *again]) == "again - net.onnx - spatial SVD - keep 0.5 of the MACs\n\nnot finished\n"
