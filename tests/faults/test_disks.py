"""Disks that are full, may not be written, or lose files while a run goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aimet_hooks.errors import ResultsDirError
from aimet_hooks.event_log import FILE_NAME
from aimet_hooks.events import RunFinished
from aimet_hooks.testing import RecordingPlugin
from tests.faults.attempts import Attempt, eventually
from tests.faults.campaign import logged
from tests.faults.small_runs import compress, score_of, without_space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = {"eval_scores.json", "eval_scores.csv", "comp_ratios.json", "stats.json", "report.html"}
MODEL = {"weights.safetensors", "compression.json"}


class Evaluation:
    """Does something in one of its evaluations."""

    def __init__(self, number: int, deed: Callable[[], object]) -> None:
        self.count = 0
        self._deeds = {number: deed}

    def then(self, number: int, deed: Callable[[], object]) -> Evaluation:
        """Does something else in another."""
        self._deeds[number] = deed
        return self

    def __call__(self, model: Any) -> float:
        self.count += 1
        self._deeds.get(self.count, lambda: None)()
        return score_of(model)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system can be mounted only by root: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 512)


def test_run_whose_files_may_not_grow_gives_its_result_and_says_so_once(tmp_path: Path) -> None:
    attempt = Attempt(without_space, tmp_path / "run", 5, output=tmp_path / "output.txt")
    assert attempt.exit_code() == 0, attempt.said
    undisturbed = compress("torch", score_of).stats.compressed_score
    assert f"score {undisturbed!r}" in attempt.said
    assert attempt.said.count("events.jsonl cannot be written (File too large); the run goes on") == 1
    assert attempt.said.count("events.jsonl lacks the last") == 1
    logged(tmp_path / "run")


def test_run_that_fills_its_disk_gives_its_result_and_says_once_what_could_not_be_written(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluation = Evaluation(5, lambda: fill(small_disk))
    result = compress("torch", evaluation, results_dir=small_disk / "run")
    assert result.stats.compressed_score == compress("torch", score_of).stats.compressed_score
    for what in (
        "events.jsonl cannot be written (No space left on device); the run goes on",
        "the run goes on without its tables",
        "the model cannot be saved",
        "the disk did not take them",
    ):
        assert sum(what in message for message in caplog.messages) == 1, caplog.messages
    events = logged(small_disk / "run")
    assert [event.seq for event in events] == list(range(len(events)))


def test_disk_that_has_space_again_has_everything(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorded = RecordingPlugin()
    evaluation = Evaluation(5, lambda: fill(small_disk)).then(20, (small_disk / "filler").unlink)
    compress("torch", evaluation, results_dir=small_disk / "run", plugins=["file", recorded])
    assert logged(small_disk / "run") == [event for event in recorded.events if event.logged]
    assert sum("can be written again; no event is missing" in message for message in caplog.messages) == 1


def test_directory_that_may_only_be_read_is_refused_before_any_evaluation(small_disk: Path) -> None:
    (small_disk / "there").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    evaluation = Evaluation(0, list)
    for directory in (small_disk / "run", small_disk / "there"):
        for resume in (False, True):
            with pytest.raises(ResultsDirError, match=r"cannot be written \(Read-only file system\); choose another"):
                compress("torch", evaluation, results_dir=directory, resume=resume)
    assert evaluation.count == 0


@pytest.mark.parametrize("directory", ["/dev/full", "/dev/full/run", "/proc/run", "file/run"])
def test_place_where_no_directory_can_be_is_refused_before_any_evaluation(directory: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    evaluation = Evaluation(0, list)
    with pytest.raises(ResultsDirError, match=r"cannot be written \(.*\); choose another directory"):
        compress("torch", evaluation, results_dir=tmp_path / directory)
    assert evaluation.count == 0


def remove_from_elsewhere(directory: Path) -> None:
    subprocess.run(["rm", "-rf", directory], check=True)


@pytest.mark.parametrize(
    "remove",
    [lambda directory: (directory / FILE_NAME).unlink(), shutil.rmtree, remove_from_elsewhere],
    ids=["the log", "the directory", "the directory, by another process"],
)
def test_what_is_deleted_during_an_evaluation_is_there_again_within_a_second_and_whole_at_the_end(
    remove: Callable[[Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory, recorded = tmp_path / "run", RecordingPlugin()

    def lose() -> None:
        remove(directory)
        begin = time.monotonic()
        eventually((directory / FILE_NAME).exists)
        assert time.monotonic() - begin < 2  # a second, and another for a busy machine

    evaluation = Evaluation(10, lose)
    result = compress("torch", evaluation, results_dir=directory, plugins=["file", "bokeh", recorded])
    assert not result.eval_scores.isna().any(axis=None)
    assert logged(directory) == [event for event in recorded.events if event.logged]
    assert [message for message in caplog.messages if "log" in message] == [
        f"the event log was deleted while the run wrote to it; all of it is now in {directory / FILE_NAME}"
    ]
    assert {path.name for path in directory.iterdir()} == {*FILES, FILE_NAME, "model"}
    assert {path.name for path in (directory / "model").iterdir()} == MODEL


def test_directory_that_is_deleted_in_the_last_evaluation_has_all_that_comes_after(tmp_path: Path) -> None:
    directory, counted = tmp_path / "run", Evaluation(0, list)
    compress("torch", counted)
    evaluation = Evaluation(counted.count, lambda: shutil.rmtree(directory))
    compress("torch", evaluation, results_dir=directory, plugins=["file", "bokeh"])
    assert isinstance(logged(directory)[-1], RunFinished)
    assert {"stats.json", "report.html"} <= {path.name for path in directory.iterdir()}


def test_log_that_another_file_replaces_is_said_and_goes_on_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, recorded = tmp_path / "run" / FILE_NAME, RecordingPlugin()

    def replace() -> None:
        (tmp_path / "other").write_text("mine")
        (tmp_path / "other").replace(log)

    compress("torch", Evaluation(10, replace), results_dir=log.parent, plugins=[recorded])
    beside = log.with_name(f"events.{os.getpid()}.jsonl")
    assert log.read_text() == "mine"
    assert [message for message in caplog.messages if "log" in message] == [
        f"the event log was replaced by another file while the run wrote to it; all of it is now in {beside}"
    ]
    beside.replace(log)
    assert logged(log.parent) == [event for event in recorded.events if event.logged]


@pytest.mark.parametrize("size", [0, 5000])
def test_log_that_is_cut_short_is_said_and_the_run_ends_well(
    size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "run" / FILE_NAME
    result = compress("torch", Evaluation(10, lambda: os.truncate(log, size)), results_dir=log.parent)
    assert result.stats.compressed_score == compress("torch", score_of).stats.compressed_score
    assert sum("was cut short by another program" in message for message in caplog.messages) == 1
    resumed = compress("torch", score_of, results_dir=log.parent, resume=True)
    assert resumed.comp_ratios == result.comp_ratios
