"""Recorded runs, handed out again."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aimet_hooks import event_log, hookimpl, replay
from aimet_hooks.errors import RecordingError, ResultsDirError, UnknownNameError, UsageError
from aimet_hooks.events import AnalysisFinished, EvalScored, Event, RunFailed, RunStarted
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import SAMPLE_RUNS, RecordingPlugin, bare_table, failed_run, finished_run
from aimet_hooks.testing.sample_runs import run_with_a_recorded_score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GOLDEN = Path(__file__).parent.parent / "golden"


def logged(run: Iterable[Event], run_id: str | None = None) -> list[Event]:
    return [replace(event, run_id=run_id or event.run_id) for event in run if event.logged]


def log_of(directory: Path, *runs: Iterable[Event]) -> Path:
    path = directory / event_log.FILE_NAME
    path.write_bytes(
        b"".join(event_log.encoded(event_log.to_line(event)) + b"\n" for run in runs for event in run if event.logged)
    )
    return path


def heard(path: Path) -> RecordingPlugin:
    recorded = RecordingPlugin()
    replay(path, plugins=[recorded])
    return recorded


@pytest.mark.parametrize("make", SAMPLE_RUNS.values(), ids=SAMPLE_RUNS)
def test_events_are_those_of_the_log(make: Callable[[], list[Event]], tmp_path: Path) -> None:
    run = logged(make())
    recorded = heard(log_of(tmp_path, run))
    assert recorded.events[: len(run)] == run
    assert (tmp_path / event_log.FILE_NAME).read_bytes() == log_of(tmp_path, run).read_bytes()


def test_state_at_every_event_is_that_of_the_run(tmp_path: Path) -> None:
    told = RunState()
    found = []

    class Compares(RecordingPlugin):
        def hear(self, event: Event, run: RunState) -> None:
            told.apply(event)
            found.append(vars(run) == vars(told))

    replay(log_of(tmp_path, finished_run()), plugins=[Compares()])
    assert len(found) == len(logged(finished_run()))
    assert all(found)


def test_every_run_has_reporters_and_a_state_of_its_own(tmp_path: Path) -> None:
    runs = [logged(failed_run(), "one"), logged(run_with_a_recorded_score(), "two")]
    made: list[list[Event]] = []

    class Plugin:
        @hookimpl
        def create_reporter(self) -> RecordingPlugin:
            made.append([])
            reporter = RecordingPlugin()
            reporter.events = made[-1]
            return reporter

    replay(log_of(tmp_path, *runs), plugins=[Plugin()], console="off")
    assert made == runs


def test_settings_are_what_was_asked_for(tmp_path: Path) -> None:
    recorded = RecordingPlugin()
    target = tmp_path / "a" / "{run_name}"
    replay(
        log_of(tmp_path, finished_run()),
        plugins=[recorded],
        results_dir=target,
        visualization_url="http://nowhere:1/",
        plugin_options={"RecordingPlugin": {"depth": 3}},
        console="off",
    )
    (settings,) = recorded.settings
    assert (settings.run_name, settings.results_dir) == ("sample", tmp_path / "a" / "sample")
    assert (tmp_path / "a" / "sample").is_dir()
    assert (settings.visualization_url, settings.console) == ("http://nowhere:1/", "off")
    assert settings.plugin_options == {"depth": 3}


def test_without_a_results_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(tmp_path, finished_run())
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    replay(log, plugins=["console", "file", "bokeh"])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "events.jsonl"]


@pytest.mark.parametrize(
    ("kept", "stage"),
    [(1, "preflight"), (2, "preflight"), (8, "exploration"), (-2, "compression"), (-1, "compression")],
)
def test_run_whose_end_is_missing_ends_as_one_that_failed(
    kept: int, stage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = logged(finished_run())[:kept]
    recorded = heard(log_of(tmp_path, run, logged(finished_run(), "two")))
    assert recorded.events[: len(run)] == run
    assert recorded.events[len(run) + 1 :] == logged(finished_run(), "two")
    end = recorded.events[len(run)]
    assert isinstance(end, RunFailed)
    assert (end.run_id, end.seq, end.time) == (run[-1].run_id, len(run), run[-1].time)
    assert (end.stage, end.error) == (stage, "RecordingError")
    assert caplog.messages == [f"run {run[0].run_id!r}: its end was not recorded: it was killed, or goes on"]


@pytest.mark.parametrize(
    "name", ["eval_scores.json", "eval_scores.csv", "comp_ratios.json", "aimet-comp-ratios-protocol2.pkl"]
)
def test_table_or_choice_is_a_run_that_ends_well(name: str, caplog: pytest.LogCaptureFixture) -> None:
    recorded = heard(GOLDEN / name)
    assert isinstance(recorded.events[0], RunStarted)
    assert isinstance(recorded.events[-1], AnalysisFinished)
    assert recorded.phases[-1] == "finished"
    assert caplog.messages == []


def test_table_has_the_baseline_in_its_end(tmp_path: Path) -> None:
    (tmp_path / "eval_scores.json").write_text(json.dumps({"baseline": 0.5, "scores": {"a": {"0.5": 0.25}}}))
    end = heard(tmp_path).events[-1]
    assert isinstance(end, AnalysisFinished)
    assert (end.baseline_score, end.seq) == (0.5, len(heard(tmp_path).events) - 1)


def test_interrupted_replay_ends_the_run_for_every_reporter(tmp_path: Path) -> None:
    class Interrupts:
        @hookimpl
        def on_eval_score(self) -> None:
            raise KeyboardInterrupt

    recorded = RecordingPlugin()
    with pytest.raises(KeyboardInterrupt):
        replay(log_of(tmp_path, finished_run()), plugins=[recorded, Interrupts()])
    end = recorded.events[-1]
    assert isinstance(end, RunFailed)
    assert (end.stage, end.error) == ("exploration", "KeyboardInterrupt")


def test_plugin_that_fails_is_left_out_and_the_others_hear_everything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails:
        @hookimpl
        def on_eval_score(self) -> None:
            raise RuntimeError("broken")

    recorded = RecordingPlugin()
    replay(log_of(tmp_path, finished_run()), plugins=[Fails(), recorded])
    assert recorded.events == logged(finished_run())
    assert len(caplog.records) == 3


def test_damaged_log_is_replayed_as_far_as_it_can_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = log_of(tmp_path, finished_run())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"damaged\n", *lines[3:]]))
    assert heard(path).events == logged(finished_run())
    assert "line 4 is left out" in caplog.text


def test_log_that_lacks_its_beginning_is_replayed(tmp_path: Path) -> None:
    run = logged(finished_run())[1:]
    recorded = RecordingPlugin()
    replay(log_of(tmp_path, run), plugins=[recorded], console="off")
    assert recorded.events == run
    assert recorded.settings[0].run_name == run[0].run_id


def test_events_of_another_run_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = logged(run_with_a_recorded_score(), "one"), logged(failed_run(), "two")
    assert heard(log_of(tmp_path, one[:-1], two, one[-1:])).events == [*one[:-1], *two]
    assert caplog.messages == ["run 'two': events of other runs are left out (1)"]


def test_log_is_never_held_as_a_whole(tmp_path: Path) -> None:
    path = log_of(tmp_path, finished_run())
    half = path.read_bytes().splitlines(keepends=True)[:8]
    path.write_bytes(b"".join(half))
    rest = iter(logged(finished_run())[8:])

    class Writes(RecordingPlugin):
        """Adds to the log as soon as it has heard of what is there: a replay that reads ahead would miss it."""

        def hear(self, event: Event, run: RunState) -> None:
            super().hear(event, run)
            if event.seq >= 7 and (following := next(rest, None)):
                with path.open("ab") as file:
                    file.write(event_log.encoded(event_log.to_line(following)) + b"\n")

    recorded = Writes()
    replay(path, plugins=[recorded])
    assert recorded.events == logged(finished_run())


def test_wrong_use_is_named_before_anything_is_made(tmp_path: Path) -> None:
    log = log_of(tmp_path, finished_run())
    new = tmp_path / "new"
    for arguments, error, message in (
        ({"plugins": ["nothing"]}, UnknownNameError, "plugin 'nothing' is not installed"),
        ({"console": "loud"}, UsageError, "console is 'loud'"),
        ({"plugin_options": {"bokhe": {}}}, UnknownNameError, "plugin_options has 'bokhe'"),
        ({"results_dir": tmp_path}, ResultsDirError, "already holds a run"),
        ({"results_dir": log / "below"}, ResultsDirError, "cannot be made"),
    ):
        with pytest.raises(error, match=message):
            replay(log, **{"plugins": [RecordingPlugin()], "results_dir": new, **arguments})  # type: ignore[arg-type]
    (tmp_path / "empty.jsonl").write_text("")
    for path in (tmp_path / "nowhere", tmp_path / "empty.jsonl"):
        with pytest.raises(RecordingError):
            replay(path, plugins=[RecordingPlugin()], results_dir=new)
    assert not new.exists()


@pytest.mark.parametrize("given", ["directory", "file"])
def test_tables_are_never_written_over(given: str, tmp_path: Path) -> None:
    table = tmp_path / "eval_scores.json"
    table.write_text(json.dumps({"baseline": 0.5, "scores": {"a": {"0.5": 0.25}}}))
    with pytest.raises(ResultsDirError, match="holds the recording"):
        replay(tmp_path if given == "directory" else table, plugins=["file"], results_dir=tmp_path)


def test_page_without_its_plugin_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    replay(log_of(tmp_path, finished_run()), plugins=[], visualization_url="http://localhost:1/")
    with caplog.at_level(logging.WARNING):
        assert "but the plugin 'bokeh' is not loaded" in caplog.text


def test_no_thread_is_left_whatever_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    cut = logged(finished_run())
    last = max(number for number, event in enumerate(cut) if isinstance(event, EvalScored))
    replay(
        log_of(tmp_path, cut[:last], logged(bare_table())), plugins=["console", "file"], results_dir=tmp_path / "new"
    )
    assert set(threading.enumerate()) == before
    assert "run failed in exploration (RecordingError)" in capsys.readouterr().err
