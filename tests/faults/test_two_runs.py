"""Two runs at once: on one model, on two, and in one directory."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aimet_hooks.errors import ResultsDirError, UsageError
from aimet_hooks.events import RunFinished
from tests.faults.attempts import SECONDS, Attempt
from tests.faults.campaign import logged, results
from tests.faults.small_runs import compress, network, score_of, stuck


class Meeting:
    """Evaluations of two runs, of which neither goes on before the other has come as far."""

    def __init__(self) -> None:
        self._both = threading.Barrier(2)

    def __call__(self, model: Any) -> float:
        self._both.wait(SECONDS)
        return score_of(model)


def test_runs_of_two_models_in_two_threads_give_what_each_gives_alone(tmp_path: Path) -> None:
    meeting = Meeting()

    def run(name: str) -> None:
        compress("torch", meeting, model=network(), results_dir=tmp_path / name)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    compress("torch", score_of, results_dir=tmp_path / "alone")
    assert results(tmp_path / "first") == results(tmp_path / "second") == results(tmp_path / "alone")


def test_second_run_of_one_model_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    model, refused = network(), []

    def evaluate(native: Any) -> float:
        if not refused:
            with pytest.raises(UsageError, match="is in use by another run in this process; wait for it"):
                compress("torch", score_of, model=model, results_dir=tmp_path / "second")
            refused.append(True)
        return score_of(native)

    compress("torch", evaluate, model=model, results_dir=tmp_path / "first")
    assert isinstance(logged(tmp_path / "first")[-1], RunFinished)
    assert not (tmp_path / "second").exists()
    compress("torch", score_of, model=model, results_dir=tmp_path / "second")


def test_second_process_is_refused_as_long_as_the_first_lives_and_takes_over_at_once_when_it_was_killed(
    tmp_path: Path,
) -> None:
    run, evaluations, output = tmp_path / "run", tmp_path / "evaluations.txt", tmp_path / "output.txt"
    first = Attempt(stuck, run, evaluations, 8, output=output)
    assert first.wait_until_said("stuck")
    before = logged(run)
    for resume in (False, True):
        with pytest.raises(ResultsDirError, match=f"is in use by process {first.pid} on host '{socket.gethostname()}'"):
            compress("torch", score_of, results_dir=run, resume=resume)
    second = Attempt(stuck, run, evaluations, 0, output=output)
    assert second.exit_code() == 1
    assert f"is in use by process {first.pid} on host" in second.said
    assert logged(run) == before

    first.signal(signal.SIGKILL)
    assert first.exit_code() == -signal.SIGKILL
    with pytest.raises(ResultsDirError, match="already holds a run"):
        compress("torch", score_of, results_dir=run)
    begin = time.monotonic()
    compress("torch", score_of, results_dir=run, resume=True)
    assert time.monotonic() - begin < 5, "it watched for a heartbeat, which is for other hosts"
    assert isinstance(logged(run)[-1], RunFinished)
