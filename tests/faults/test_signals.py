"""Ctrl-C and SIGTERM, at any moment: the run says that it failed, leaves nothing behind, and can be resumed."""

from __future__ import annotations

import functools
import random
import signal
import time
from pathlib import Path

import pytest

from aimet_hooks import demo
from aimet_hooks.event_log import FILE_NAME
from aimet_hooks.events import EvalScored, Event, RunFailed, RunFinished, RunStarted
from tests.faults.attempts import Attempt, assert_unlocked
from tests.faults.campaign import Undisturbed, logged, results, table
from tests.faults.small_runs import command, interrupted, interrupted_often


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A run of the torch network."""
    return Undisturbed("torch", tmp_path_factory.mktemp("torch"))


def assert_whole(events: list[Event], error: str) -> None:
    """Each run begins once and has one end, its numbers have no gap, and no cell was evaluated twice."""
    runs = list(dict.fromkeys(event.run_id for event in events))
    for run in runs:
        own = [event for event in events if event.run_id == run]
        assert isinstance(own[0], RunStarted)
        assert [event.seq for event in own] == list(range(len(own)))
        assert [isinstance(event, (RunFailed, RunFinished)) for event in own] == [False] * (len(own) - 1) + [True]
        if isinstance(own[-1], RunFailed):
            assert own[-1].error == error
    evaluated = [
        (event.layer, event.comp_ratio) for event in events if isinstance(event, EvalScored) and not event.reused
    ]
    assert len(set(evaluated)) == len(evaluated)


def is_longer(log: Path, events: int) -> bool:
    """Whether a log has more than so many events."""
    return len(logged(log.parent)) > events


@pytest.mark.parametrize("seed", range(10))
def test_ctrl_c_gives_the_model_back_and_the_run_goes_on_as_if_it_had_not_been(
    seed: int, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    draw = random.Random(seed)  # noqa: S311
    run, evaluations, output = tmp_path / "run", tmp_path / "evaluations.txt", tmp_path / "output.txt"
    code = 130
    while code == 130:
        output.unlink(missing_ok=True)
        attempt = Attempt(interrupted, run, evaluations, output=output)
        assert attempt.wait_until_said("ready")
        time.sleep(draw.uniform(0, undisturbed.seconds))  # the moment, and nothing that must have happened by then
        attempt.signal(signal.SIGINT)
        code = attempt.exit_code() or 0
        assert code in (0, 130), attempt.said
        assert "failed in on_" not in attempt.said
    assert_whole(logged(run), "KeyboardInterrupt")
    assert table(logged(run)) == undisturbed.table
    assert results(run) == undisturbed.files


@pytest.mark.parametrize(
    ("number", "code", "error"),
    [(signal.SIGINT, 130, "KeyboardInterrupt"), (signal.SIGTERM, 143, "TerminatedError")],
)
@pytest.mark.parametrize("seed", range(4))
def test_command_that_is_ended_has_its_exit_code_and_goes_on_with_resume(
    number: int, code: int, error: str, seed: int, tmp_path: Path
) -> None:
    draw = random.Random(seed)  # noqa: S311
    run, output, model = tmp_path / "run", tmp_path / "output.txt", tmp_path / "small.onnx"
    options = "--resume --target 0.7 --candidates 6 --threads 1 --plugin file --ignore head --ignore block1.*"
    line = ["compress", str(demo.model_path()), "--eval", "tests.faults.small_runs:score_of", "-o", str(model)]
    line += ["--results-dir", str(run), *options.split()]
    for _ in range(3):
        output.unlink(missing_ok=True)
        grown = functools.partial(is_longer, run / FILE_NAME, len(logged(run)))
        attempt = Attempt(command, *line, output=output)
        if attempt.wait_for(grown):
            time.sleep(draw.uniform(0, 0.2))  # the moment, and nothing that must have happened by then
            attempt.signal(number)
        ended = attempt.exit_code()
        assert ended in (0, code), attempt.said
        assert_unlocked(run)
        if ended == code:
            word = "interrupted" if code == 130 else "terminated"
            assert attempt.said.splitlines()[-1] == f"aimet-hooks: {word}"
    assert Attempt(command, *line, output=output).exit_code() == 0
    assert model.exists()
    assert_whole(logged(run), error)


def test_ctrl_c_at_any_moment_leaves_the_model_and_the_process_as_they_were(tmp_path: Path) -> None:
    attempt = Attempt(interrupted_often, 0, 100, output=tmp_path / "output.txt")
    assert attempt.exit_code() == 0, attempt.said
    assert attempt.said.count("interrupted") > 20
