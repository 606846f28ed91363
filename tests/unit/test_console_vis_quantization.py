"""What the console says of an analysis of quantization, to the byte."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aimet_hooks.events import RunFailed, SensitivityScored, WeightRangesAnalyzed
from aimet_hooks.presentation.sensitivity_ranking import most_sensitive_first
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import sensitivity_run, weight_ranges_run
from aimet_hooks.testing.sample_runs import STRANGE_NAMES, output_noise_run
from console_vis.reporter import ConsoleReporter
from console_vis.summary import summarize
from tests.unit.console_vis_runs import announce, plain_console, terminal_console, written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimet_hooks.events import Event


def told(events: Iterable[Event]) -> tuple[str, str]:
    """The result and the progress."""
    stdout, stderr = plain_console(), plain_console()
    announce(ConsoleReporter(stdout=stdout, stderr=stderr), events)
    return written(stdout), written(stderr)


RESULT = """\
sample - SampleNet - quantization of weights - at 4 and 8 bits

Weights that will not survive 8 bits: 2 of 2 layers, the worst first
  layer  effective bits  per channel  SQNR dB  widest channel  times the median
  fc                  -            -        -               -                 -
  conv1             2.8          6.5     35.2              17              40.5
  fc: 3 of its 18,432 weights are NaN or infinite: it has no scale. repair these weights, or leave the layer in float
  conv1: channel 17 is 40.5 times as wide as the median channel; per-tensor quantization to 8 bits leaves 2.6 bits for \
the others. quantize its weights per channel (6.5 bits), or equalize it with 'fc', which reads its channels

Scores with the weights of one layer quantized, the most sensitive first (baseline 0.9000, higher is better)
  layer  4 bits  points lost  SQNR dB  8 bits  points lost  SQNR dB
  conv1  0.8688         3.12     24.0  0.8844         1.56     48.0
  fc     0.8844         1.56     23.0  failed            -        -

Failed cells (1)
  1 cell: RuntimeError: out of memory

Skipped (1)
  rnn: its weights cannot be replaced

Notes
  most cells score better than the baseline
"""

PROGRESS = """\
[0:00] sample - SampleNet - quantization of weights - at 4 and 8 bits
[0:00] skipped rnn: its weights cannot be replaced
[0:00] baseline 0.9000 (0.25 s), noise 0.16 points
[0:01] weight ranges at 8 bits: 2 of 2 layers will break, the worst is fc
[0:01] exploring 2 layers at 2 bit widths: 4 cells, 4 evaluations, about 1 s
[0:02] conv1  4 bits: 0.8688  8 bits: 0.8844
[0:02] failed fc at 8 bits: RuntimeError: out of memory
[0:02] fc  4 bits: 0.8844  8 bits: failed
[0:02] 1 of 4 cells failed
[0:02] finished in 0:02
"""


def test_a_sensitivity_analysis_to_the_byte() -> None:
    assert told(sensitivity_run(("conv1", "fc"))) == (RESULT, PROGRESS)


def test_ranges_alone_say_nothing_of_scores() -> None:
    result, progress = told(weight_ranges_run())
    assert "Weights that will not survive 8 bits: 2 of 2 layers, the worst first" in result
    assert "Scores" not in result
    assert progress.splitlines()[-1] == "[0:01] finished in 0:01"


def test_what_weights_are_judged_for_is_said() -> None:
    events = weight_ranges_run()
    started = replace(events[0], settings={"per_channel": True})  # type: ignore[call-arg]
    result, _ = told([started, *events[1:]])
    assert "Weights that will not survive 8 bits with a scale for every channel: 2 of 2 layers, the worst" in result
    events = [replace(event, problems=()) if isinstance(event, WeightRangesAnalyzed) else event for event in events[1:]]
    result, _ = told([started, *events])
    assert "All 2 layers keep enough of their weights at 8 bits with a scale for every channel" in result


NOISE = """
SQNR (dB) of what each layer gives for the inputs with its weights quantized, the lowest first
  layer  4 bits  8 bits
  fc       23.0    47.0
  conv1    24.0    48.0
"""


def test_noise_without_scores_is_a_table_of_its_own() -> None:
    result, progress = told(output_noise_run())
    assert NOISE in result
    assert "Scores" not in result
    assert "failed" not in result + progress


def test_a_failed_analysis_says_how_far_it_came() -> None:
    events = sensitivity_run()
    begin = next(number for number, event in enumerate(events) if isinstance(event, SensitivityScored))
    end = RunFailed(stage="exploration", error="EvaluationError", message="no", time=events[begin].time)
    run = RunState()
    for event in [*events[: begin + 2], end]:
        run.apply(event)
    lines = [line.plain for line in summarize(run)]
    assert lines[-1] == "run failed in exploration (EvaluationError): no; 2 of 6 cells are known"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_panel_and_the_summary_show_it_at_any_width(width: int) -> None:
    events = sensitivity_run(STRANGE_NAMES)
    stdout, stderr = terminal_console(width, 24), terminal_console(width, 24)
    announce(ConsoleReporter(console="on", stdout=stdout, stderr=stderr), events)
    assert "Scores with" in written(stdout)


def test_most_sensitive_layer_is_the_one_that_loses_most_at_the_lowest_bit_width() -> None:
    def ranked(scores: dict[str, tuple[float | None, float | None]], direction: str = "maximize") -> list[str]:
        run = RunState()
        events = sensitivity_run(tuple(scores))
        for event in events:
            if isinstance(event, SensitivityScored):
                run.apply(replace(event, score=scores[event.layer][event.bitwidth == 8]))
            elif event.name == "run_started":
                run.apply(replace(event, settings={"direction": direction}))  # type: ignore[call-arg]
            else:
                run.apply(event)
        return most_sensitive_first(run)

    scores = {
        "same": (0.9, 0.9),
        "failed": (None, 0.1),
        "worst": (0.2, 0.9),
        "worse at 8": (0.5, 0.6),
        "bad": (0.5, 0.8),
    }
    assert ranked(scores) == ["worst", "worse at 8", "bad", "same", "failed"]
    assert ranked(scores, "minimize")[0] == "same"
