"""Plugins that do what they should not: a run goes on without them, and the others hear everything."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aimet_hooks import hookimpl
from aimet_hooks.errors import EvaluationError
from aimet_hooks.events import EvalScored, RunFailed, RunFinished
from aimet_hooks.every_event import EveryEvent
from aimet_hooks.testing import RecordingPlugin
from tests.faults.attempts import assert_unlocked
from tests.faults.campaign import logged
from tests.faults.small_runs import compress, network, score_of

if TYPE_CHECKING:
    from aimet_hooks.events import Event
    from aimet_hooks.run_settings import RunSettings
    from aimet_hooks.run_state import RunState


class Does(EveryEvent):
    """Does something in every hook, or in one."""

    def __init__(self, deed: Any, only: str = "") -> None:
        self.calls: list[str] = []
        self._deed = deed
        self._only = only

    def hear(self, event: Event, run: RunState) -> None:
        if self._only in ("", event.name):
            self.calls.append(event.name)
            self._deed(event)


def fail(event: Event) -> None:
    raise RuntimeError("broken")


def exits(event: Event) -> None:
    sys.exit(3)


def overwrite(event: Any) -> None:
    event.run_id = "mine"


def assert_heard_all(recorded: RecordingPlugin, directory: Path) -> None:
    """The plugin heard what the log holds, from the first to the last event."""
    events = logged(directory)
    assert [event for event in recorded.events if event.logged] == events
    assert isinstance(events[-1], RunFinished)


HOOKS = [
    "run_started",
    "progress",
    "baseline_score",
    "exploration_started",
    "eval_score",
    "probe_score",
    "ratios_selected",
    "layer_compressed",
    "run_finished",
]


@pytest.mark.parametrize("deed", [fail, overwrite], ids=["raises", "writes to the event"])
@pytest.mark.parametrize("only", ["", *HOOKS])
def test_plugin_that_fails_in_a_hook_is_left_out_after_three_times(
    deed: Any, only: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin, recorded = Does(deed, only), RecordingPlugin()
    compress("torch", score_of, results_dir=tmp_path, plugins=[plugin, recorded])
    failures = [message for message in caplog.messages if "failed in on_" in message]
    assert len(failures) == len(plugin.calls) <= 3
    assert plugin.calls
    assert all(f"plugin 'Does' failed in on_{name}" in said for name, said in zip(plugin.calls, failures, strict=True))
    assert_heard_all(recorded, tmp_path)


def test_plugin_that_cannot_make_its_reporter_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Makes:
        @hookimpl
        def create_reporter(self, settings: RunSettings) -> object:
            raise RuntimeError("broken")

    recorded = RecordingPlugin()
    compress("torch", score_of, results_dir=tmp_path, plugins=[Makes(), recorded])
    assert sum("create_reporter failed; the plugin is left out of this run" in said for said in caplog.messages) == 1
    assert_heard_all(recorded, tmp_path)


@pytest.mark.parametrize("text", ["raise RuntimeError('broken')", "import sys\nsys.exit(3)", "import does_not_exist"])
def test_plugin_that_fails_at_its_import_is_said_and_the_installed_others_hear_the_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = tmp_path / "site"
    works = "from aimet_hooks import testing\nrecorded = testing.RecordingPlugin()\n"
    for name, content, target in (("breaks", text, ""), ("works", works, ":recorded")):
        metadata = site / f"fault_{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fault-{name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[aimet_hooks]\n{name} = fault_{name}{target}\n")
        (site / f"fault_{name}.py").write_text(content)
        monkeypatch.delitem(sys.modules, f"fault_{name}", raising=False)
    monkeypatch.syspath_prepend(site)
    compress("torch", score_of, results_dir=tmp_path / "run", plugins=None)
    assert sum("plugin 'breaks'" in said for said in caplog.messages) == 1
    assert_heard_all(sys.modules["fault_works"].recorded, tmp_path / "run")
    assert (tmp_path / "run" / "stats.json").exists()
    monkeypatch.delitem(sys.modules, "fault_works")


def test_plugin_that_blocks_delays_the_run_and_nothing_else(tmp_path: Path) -> None:
    plugin, recorded = Does(lambda event: threading.Event().wait(2), "baseline_score"), RecordingPlugin()
    begin = time.monotonic()
    result = compress("torch", score_of, results_dir=tmp_path, plugins=[plugin, recorded])
    assert time.monotonic() - begin >= 2
    assert result.comp_ratios == compress("torch", score_of).comp_ratios
    assert all(event.seconds < 1 for event in recorded.of_kind(EvalScored))
    assert_heard_all(recorded, tmp_path)


def test_plugin_that_is_given_twice_hears_the_run_once(tmp_path: Path) -> None:
    recorded = RecordingPlugin()
    compress("torch", score_of, results_dir=tmp_path, plugins=["file", recorded, recorded, "file"])
    assert_heard_all(recorded, tmp_path)


def test_plugin_that_runs_of_two_threads_have_hears_each_of_them_whole(tmp_path: Path) -> None:
    recorded = RecordingPlugin()
    directories = [tmp_path / "1", tmp_path / "2"]

    def run(directory: Path) -> None:
        compress("torch", score_of, model=network(), results_dir=directory, plugins=[recorded])

    threads = [threading.Thread(target=run, args=(directory,)) for directory in directories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for directory in directories:
        events = logged(directory)
        assert [event for event in recorded.events if event.logged and event.run_id == events[0].run_id] == events
        assert isinstance(events[-1], RunFinished)


@pytest.mark.parametrize("only", HOOKS)
def test_plugin_that_leaves_python_ends_the_run_which_can_go_on(only: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        compress("torch", score_of, results_dir=tmp_path, plugins=[Does(exits, only)])
    last = logged(tmp_path)[-1]
    assert isinstance(last, RunFinished if only == "run_finished" else RunFailed)
    assert_unlocked(tmp_path)
    recorded = RecordingPlugin()
    compress("torch", score_of, results_dir=tmp_path, plugins=[recorded], resume=True)
    explored = HOOKS.index(only) > HOOKS.index("eval_score")
    assert all(event.reused for event in recorded.of_kind(EvalScored)) == explored


@pytest.mark.parametrize("only", ["run_started", "eval_score", "ratios_selected", "run_finished"])
def test_plugin_that_deletes_the_results_costs_the_log_nothing(only: str, tmp_path: Path) -> None:
    directory, recorded = tmp_path / "run", RecordingPlugin()
    plugin = Does(lambda event: shutil.rmtree(directory), only)
    result = compress("torch", score_of, results_dir=directory, plugins=[plugin, "file", recorded])
    assert not result.eval_scores.isna().any(axis=None)
    assert_heard_all(recorded, directory)


def test_hooks_that_fail_here_are_those_of_the_run() -> None:
    recorded = RecordingPlugin()
    compress("torch", score_of, plugins=[recorded])
    assert set(recorded.names) == set(HOOKS)


def test_plugin_that_fails_when_the_run_fails_does_not_hide_why(tmp_path: Path) -> None:
    plugin, recorded = Does(fail, "run_failed"), RecordingPlugin()
    with pytest.raises(EvaluationError, match="the baseline cannot be evaluated"):
        compress("torch", lambda model: None, results_dir=tmp_path, plugins=[plugin, recorded])
    assert plugin.calls == ["run_failed"]
    assert recorded.names[-1] == "run_failed"
