"""Evaluations that do what they should not."""

from __future__ import annotations

import math
import signal
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
import torch

from aimet_hooks.errors import EvaluationError
from aimet_hooks.events import EvalScored, RunFailed, RunFinished
from tests.faults.attempts import Attempt, assert_unlocked
from tests.faults.campaign import logged
from tests.faults.small_runs import (
    compress,
    described,
    leaving_processes,
    network,
    score_of,
    stuck,
    with_workers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

BASELINES = 2


def once(value: Callable[[float], Any], number: int = BASELINES + 3) -> Callable[[Any], Any]:
    """An evaluation that gives another value one time."""
    scores: list[float] = []

    def evaluate(model: Any) -> Any:
        scores.append(score_of(model))
        return value(scores[-1]) if len(scores) == number else scores[-1]

    return evaluate


def raising(error: BaseException) -> Callable[[float], NoReturn]:
    def fail(score: float) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (raising(RuntimeError("CUDA\nout of memory")), "RuntimeError: CUDA out of memory"),
        (raising(MemoryError()), "MemoryError:"),
        (lambda score: math.nan, "the score is nan"),
        (lambda score: -math.inf, "the score is -inf"),
        (lambda score: torch.tensor(math.nan), "the score is nan"),
        (lambda score: None, "eval_callback returned None; is a `return` missing?"),
        (lambda score: torch.ones(3), "eval_callback returned a Tensor of shape (3,)"),
        (lambda score: np.ones((1, 2)), "eval_callback returned a ndarray of shape (1, 2)"),
        (lambda score: "0.5", "eval_callback returned a str ('0.5')"),
        (lambda score: True, "eval_callback returned a bool ('True')"),
    ],
)
def test_cell_without_a_score_stays_empty_with_its_reason(
    value: Callable[[float], Any], reason: str, tmp_path: Path
) -> None:
    result = compress("torch", once(value), results_dir=tmp_path)
    failed = {event.layer for event in logged(tmp_path) if isinstance(event, EvalScored) and event.error is not None}
    told = [event.error for event in logged(tmp_path) if isinstance(event, EvalScored) and event.error is not None]
    assert len(failed) == 1
    assert all(error is not None and error.startswith(reason) for error in told)
    assert result.eval_scores.isna().sum().sum() == len(told)


@pytest.mark.parametrize("value", [torch.tensor, np.float64, Decimal, lambda score: {"score": score, "loss": 1}])
def test_other_kinds_of_numbers_are_scores(value: Callable[[float], Any], tmp_path: Path) -> None:
    result = compress("torch", once(value), results_dir=tmp_path)
    assert not result.eval_scores.isna().any(axis=None)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_evaluation_that_leaves_ends_the_run_which_can_go_on(error: BaseException, tmp_path: Path) -> None:
    model = network()
    before = described(model)
    with pytest.raises(type(error)):
        compress("torch", once(raising(error)), model=model, results_dir=tmp_path)
    last = logged(tmp_path)[-1]
    assert isinstance(last, RunFailed)
    assert (last.error, last.stage) == (type(error).__name__, "exploration")
    assert described(model) == before
    assert_unlocked(tmp_path)
    compress("torch", score_of, model=model, results_dir=tmp_path, resume=True)
    assert max(evaluated(tmp_path).values()) == 1


def evaluated(directory: Path) -> Counter[tuple[str, float]]:
    """How often each cell was evaluated."""
    return Counter(
        (event.layer, event.comp_ratio)
        for event in logged(directory)
        if isinstance(event, EvalScored) and not event.reused
    )


def test_evaluation_that_always_fails_ends_the_run_at_the_fifth_cell(tmp_path: Path) -> None:
    count = 0

    def evaluate(model: Any) -> float:
        nonlocal count
        count += 1
        if count > BASELINES:
            raise RuntimeError("out of memory")
        return score_of(model)

    with pytest.raises(EvaluationError, match="5 evaluations in a row failed"):
        compress("torch", evaluate, results_dir=tmp_path)
    assert count == BASELINES + 5


def test_evaluation_that_changes_the_model_is_told_what_it_changed(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    evaluate = once(lambda score: [model[2].weight.data.add_(1), score][1])
    compress("torch", evaluate, model=model)
    assert sum("the model was changed during an evaluation (2.weight)" in m for m in caplog.messages) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_evaluation_that_never_ends_costs_its_own_cell_only(number: int, code: int, tmp_path: Path) -> None:
    run, evaluations = tmp_path / "run", tmp_path / "evaluations.txt"
    attempt = Attempt(stuck, run, evaluations, BASELINES + 6, output=tmp_path / "output.txt")
    assert attempt.wait_until_said("stuck")
    attempt.signal(number)
    assert attempt.exit_code() == code, attempt.said
    assert isinstance(logged(run)[-1], RunFailed if code == 130 else EvalScored)
    assert Attempt(stuck, run, evaluations, 0, output=tmp_path / "output.txt").exit_code() == 0
    scores = Counter(line.split()[1] for line in evaluations.read_text().splitlines() if "begins" not in line)
    lost = [score for score, times in scores.items() if times > 1]
    assert len(lost) == 2, "the baseline, which each run evaluates, and the cell that did not end"
    assert isinstance(logged(run)[-1], RunFinished)


@pytest.mark.parametrize("left", [leaving_processes, with_workers])
def test_processes_of_an_evaluation_keep_no_lock(left: Callable[[Path], None], tmp_path: Path) -> None:
    attempt = Attempt(left, tmp_path / "run", output=tmp_path / "output.txt")
    assert attempt.exit_code() == 0, attempt.said
    assert isinstance(logged(tmp_path / "run")[-1], RunFinished)
    assert_unlocked(tmp_path / "run")
