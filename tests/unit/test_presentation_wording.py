"""What a run and its end are called."""

from __future__ import annotations

import pytest

from aimet_hooks.presentation import wording
from tests.unit.console_vis_runs import failed, recorded, started


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


@pytest.mark.parametrize(
    ("names", "expected"), [(["8"], "8"), (["4", "8"], "4 and 8"), (["2", "4", "8"], "2, 4 and 8")]
)
def test_names_in_a_sentence(names: list[str], expected: str) -> None:
    assert wording.listed(names) == expected
