"""The order of things at every event: placed, logged, applied, heard."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from aimet_hooks import event_log, hookimpl
from aimet_hooks.announcer import Announcer
from aimet_hooks.events import BaselineScored, Event, LayerSkipped, Progressed, RunFinished
from aimet_hooks.hooks import Hooks, Selected
from aimet_hooks.log_writer import EventLog
from aimet_hooks.run_settings import RunSettings
from aimet_hooks.testing import RecordingPlugin, finished_run

SKIPPED = LayerSkipped(layer="conv", reason="grouped")
FINISHED = RunFinished(baseline_score=0.5, compressed_score=0.5, mac_ratio=0.5, memory_ratio=0.5)


def announcer(plugin: object, log: EventLog | None = None) -> Announcer:
    times = iter(range(100, 10_000))
    hooks = Hooks([Selected("plugin", plugin)], {"plugin": RunSettings()})
    return Announcer("run-1", hooks, log, clock=lambda: float(next(times)))


def test_events_are_numbered_from_zero_with_the_run_and_the_time() -> None:
    recorded = RecordingPlugin()
    announce = announcer(recorded).announce
    for event in (finished_run()[0], SKIPPED, SKIPPED):
        announce(event)
    assert [(event.run_id, event.seq, event.time) for event in recorded.events] == [
        ("run-1", 0, 100.0),
        ("run-1", 1, 101.0),
        ("run-1", 2, 102.0),
    ]


def test_progress_repeats_the_last_number_and_is_not_logged(tmp_path: Path) -> None:
    recorded = RecordingPlugin()
    with contextlib.closing(EventLog(tmp_path)) as log:
        announce = announcer(recorded, log).announce
        for event in (SKIPPED, Progressed(stage="preflight", completed=1, total=2), SKIPPED):
            announce(event)
    assert [event.seq for event in recorded.events] == [0, 0, 1]
    assert [event.name for event in event_log.read(log.path)] == ["layer_skipped", "layer_skipped"]


def test_event_is_in_the_log_and_in_the_state_before_a_plugin_hears_it(tmp_path: Path) -> None:
    found = []

    class Reads:
        @hookimpl
        def on_baseline_score(self, event: Event) -> None:
            found.append(
                (list(event_log.read(tmp_path / "events.jsonl"))[-1] == event, announced.state.baseline == event)
            )

    with contextlib.closing(EventLog(tmp_path)) as log:
        announced = announcer(Reads(), log)
        announced.announce(BaselineScored(score=0.5))
    assert found == [(True, True)]


def test_plugin_that_fails_costs_neither_the_log_nor_the_state_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails:
        @hookimpl
        def on_layer_skipped(self) -> None:
            raise RuntimeError("broken")

    with contextlib.closing(EventLog(tmp_path)) as log:
        announced = announcer(Fails(), log)
        for _ in range(5):
            announced.announce(SKIPPED)
    assert len(list(event_log.read(log.path))) == 5
    assert announced.state.skipped == {"conv": "grouped"}
    assert len(caplog.records) == 3


def test_run_without_a_log_announces_to_plugins_all_the_same() -> None:
    recorded = RecordingPlugin()
    announcer(recorded).announce(SKIPPED)
    assert recorded.names == ["layer_skipped"]


def test_note_is_said_once_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    announced = announcer(RecordingPlugin())
    for text in ("100% slower", "changed", "100% slower"):
        announced.note(text)
    assert caplog.messages == ["100% slower", "changed"]
    assert {record.name for record in caplog.records} == {"aimet_hooks"}
    assert announced.notes == ("100% slower", "changed")


def test_event_that_is_announced_is_not_touched() -> None:
    announcer(RecordingPlugin()).announce(SKIPPED)
    assert (SKIPPED.run_id, SKIPPED.seq, SKIPPED.time) == ("", -1, 0.0)
