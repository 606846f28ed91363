# ruff: noqa: S101, D102 - a contract asserts, and the name of a test says what it holds
"""What every plugin must do, as tests to inherit."""

from __future__ import annotations

import copy
import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from aimet_hooks import event_log, hooks
from aimet_hooks.events import EvalScored
from aimet_hooks.run_settings import RunSettings
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import sample_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

    from aimet_hooks.events import Event

CALLS = 2_000


class PluginContract(ABC):
    """Tests of a plugin; a subclass says which.

    ::

        class TestMyPlugin(PluginContract):
            name = "mine"

            def make_plugin(self):
                return MyPlugin()

    Attributes:
        name: Name of its entry point.
        plugin_options: Options that it needs.
        seconds_per_call: What a hook call may cost on average, in seconds of CPU time of the calling thread, for a
            run without results directory and console.
    """

    name: str = "plugin"
    plugin_options: Mapping[str, Any] = {}
    seconds_per_call: float = 0.001

    @abstractmethod
    def make_plugin(self) -> object:
        """The plugin, as ``plugins=[...]`` takes it: a module or an object."""

    def settings(self, results_dir: Path | None = None) -> RunSettings:
        """What the plugin is told: no console, no server, and the results directory of the test, if any."""
        return RunSettings(
            results_dir=results_dir, run_name="contract", console="off", plugin_options=dict(self.plugin_options)
        )

    def play(self, events: Sequence[Event], plugin: object | None = None, results_dir: Path | None = None) -> None:
        """Let the plugin hear a run as ``compress_model`` would, but raise what it raises."""
        plugin = self.make_plugin() if plugin is None else plugin
        heard = list(hooks.reporters(plugin, self.name, self.settings(results_dir)))
        run = RunState()
        for event in events:
            run.apply(event)
            for reporter in heard:
                reporter.hear(event, run)

    # -- hooks ---------------------------------------------------------------------------------------------------------

    def test_has_hooks_that_exist_and_are_marked(self) -> None:
        assert hooks.hooks_of(self.make_plugin(), self.name)

    # -- runs ----------------------------------------------------------------------------------------------------------

    def test_hears_a_finished_run(self, tmp_path: Path) -> None:
        self.play(sample_runs.finished_run(), results_dir=tmp_path)

    def test_hears_a_failed_run(self, tmp_path: Path) -> None:
        self.play(sample_runs.failed_run(), results_dir=tmp_path)

    def test_hears_a_run_that_fails_at_its_first_step(self, tmp_path: Path) -> None:
        failed = sample_runs.failed_run()
        self.play([failed[0], failed[-1]], results_dir=tmp_path)

    def test_hears_layers_of_strange_names(self, tmp_path: Path) -> None:
        self.play(sample_runs.run_of_strange_names(), results_dir=tmp_path)

    def test_hears_a_table_that_was_recorded_without_its_model(self, tmp_path: Path) -> None:
        self.play(sample_runs.bare_table(), results_dir=tmp_path)

    def test_hears_a_run_whose_end_nobody_recorded(self, tmp_path: Path) -> None:
        self.play(sample_runs.finished_run()[:-8], results_dir=tmp_path)

    def test_hears_an_analysis_of_quantization(self, tmp_path: Path) -> None:
        for name, events in (("scored", sample_runs.sensitivity_run()), ("ranges", sample_runs.weight_ranges_run())):
            (tmp_path / name).mkdir()
            self.play(events, results_dir=tmp_path / name)

    def test_hears_two_runs_one_after_the_other(self, tmp_path: Path) -> None:
        plugin = self.make_plugin()
        for name, events in (("first", sample_runs.failed_run()), ("second", sample_runs.finished_run())):
            (tmp_path / name).mkdir()
            self.play(events, plugin, tmp_path / name)

    # -- manners -------------------------------------------------------------------------------------------------------

    def test_changes_neither_the_events_nor_the_state(self) -> None:
        events = sample_runs.finished_run()
        lines = [event_log.to_line(event) for event in events]
        run, untouched = RunState(), RunState()
        heard = list(hooks.reporters(self.make_plugin(), self.name, self.settings()))
        for event in events:
            run.apply(event)
            untouched.apply(event)
            for reporter in heard:
                reporter.hear(event, run)
            assert vars(run) == vars(untouched), f"the state was changed in on_{event.name}"
        assert [event_log.to_line(event) for event in events] == lines, "an event was changed"

    def test_writes_and_prints_nothing_without_a_results_directory_and_a_console(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        self.play(sample_runs.finished_run())
        assert not list(tmp_path.iterdir()), "files were written to the working directory"
        assert tuple(capfd.readouterr()) == ("", ""), "something was printed with console='off'"

    def test_leaves_the_process_as_it_was(self, tmp_path: Path) -> None:
        before = _process()
        self.play(sample_runs.finished_run(), results_dir=tmp_path)
        after = _process()
        changed = [what for what, value in before.items() if after[what] != value]
        assert not changed, f"the plugin changed {', '.join(changed)}"

    def test_costs_a_run_little(self) -> None:
        events = sample_runs.finished_run()
        begin = next(number for number, event in enumerate(events) if isinstance(event, EvalScored))
        heard = list(hooks.reporters(self.make_plugin(), self.name, self.settings()))
        run = RunState()
        seconds = 0.0
        for event in [*events[:begin], *[events[begin]] * CALLS, *events[begin:]]:
            run.apply(event)
            started = time.thread_time()
            for reporter in heard:
                reporter.hear(event, run)
            seconds += time.thread_time() - started
        average = seconds / (CALLS + len(events))
        assert average <= self.seconds_per_call, f"a call takes {average * 1e6:.0f} microseconds on average"


def _process() -> dict[str, object]:
    """What a plugin shares with the process of its user."""
    return {
        "the handlers or the level of the root logger": (list(logging.root.handlers), logging.root.level),
        "sys.excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "sys.path": copy.copy(sys.path),
        "sys.stdout or sys.stderr": (sys.stdout, sys.stderr),
    }
