"""The plugins of this package, and one of a third party, against the contract for plugins."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aimet_hooks import hookimpl
from aimet_hooks.events import EvalScored
from aimet_hooks.testing import PluginContract, RecordingPlugin, finished_run

if TYPE_CHECKING:
    from aimet_hooks.run_settings import RunSettings
    from aimet_hooks.run_state import RunState


class TestRecordingPlugin(PluginContract):
    def make_plugin(self) -> RecordingPlugin:
        return RecordingPlugin()


class TestFilePlugin(PluginContract):
    name = "file"

    def make_plugin(self) -> object:
        return importlib.import_module("file_vis")


class TestConsolePlugin(PluginContract):
    name = "console"

    def make_plugin(self) -> object:
        return importlib.import_module("console_vis")


# -- the contract finds what it is there to find -----------------------------------------------------------------------


class Broken:
    """A plugin whose ``on_eval_score`` is the function that it is given."""

    def __init__(self, deed: object) -> None:
        self._deed = deed

    @hookimpl
    def on_eval_score(self, event: EvalScored, run: RunState) -> None:
        self._deed(event, run)


class ContractOfBroken(PluginContract):
    def __init__(self, deed: object) -> None:
        self._deed = deed

    def make_plugin(self) -> Broken:
        return Broken(self._deed)


def broken_names(event: EvalScored, _: RunState) -> None:
    event.layer.encode("ascii")


def test_contract_raises_what_the_plugin_raises(tmp_path: Path) -> None:
    contract = ContractOfBroken(broken_names)
    contract.test_hears_a_finished_run(tmp_path)
    with pytest.raises(UnicodeEncodeError):
        contract.test_hears_layers_of_strange_names(tmp_path)


def test_contract_finds_a_plugin_that_relies_on_costs(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        ContractOfBroken(lambda event, _: event.rank + 1).test_hears_a_table_that_was_recorded_without_its_model(
            tmp_path
        )


def test_contract_finds_a_changed_event() -> None:
    with pytest.raises(AssertionError, match="an event was changed"):
        ContractOfBroken(
            lambda event, _: object.__setattr__(event, "seconds", 7.0)
        ).test_changes_neither_the_events_nor_the_state()


def test_contract_finds_a_changed_state() -> None:
    with pytest.raises(AssertionError, match="the state was changed in on_eval_score"):
        ContractOfBroken(
            lambda event, run: run.apply(replace(event, score=-1.0))
        ).test_changes_neither_the_events_nor_the_state()


def test_contract_finds_files_and_output_that_nobody_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def writes(event: EvalScored, _: RunState) -> None:
        Path("scores.txt").write_text(str(event.score))

    contract = ContractOfBroken(writes)
    with pytest.raises(AssertionError, match="files were written to the working directory"):
        contract.test_writes_and_prints_nothing_without_a_results_directory_and_a_console(tmp_path, monkeypatch, capfd)
    (tmp_path / "scores.txt").unlink()
    contract = ContractOfBroken(lambda event, _: print(event.score))
    with pytest.raises(AssertionError, match="something was printed"):
        contract.test_writes_and_prints_nothing_without_a_results_directory_and_a_console(tmp_path, monkeypatch, capfd)


def test_contract_finds_a_slow_plugin() -> None:
    contract = ContractOfBroken(lambda event, _: sum(range(2000)))
    contract.seconds_per_call = 1e-7
    with pytest.raises(AssertionError, match=r"a call takes .* microseconds on average"):
        contract.test_costs_a_run_little()


def test_contract_finds_a_plugin_that_changes_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)

    def changes(_: EvalScored, __: RunState) -> None:
        import sys

        sys.path.append("somewhere")

    with pytest.raises(AssertionError, match=r"the plugin changed sys\.path"):
        ContractOfBroken(changes).test_leaves_the_process_as_it_was(tmp_path)


# -- the recording plugin ----------------------------------------------------------------------------------------------


def test_recording_plugin_has_every_event_with_the_phase_that_it_was_heard_in() -> None:
    recorded = RecordingPlugin()
    contract = TestRecordingPlugin()
    contract.play(finished_run(), recorded)
    assert recorded.events == finished_run()
    assert recorded.phases[0] == "preparing"
    assert recorded.phases[-1] == "finished"
    assert {
        phase for event, phase in zip(recorded.events, recorded.phases, strict=True) if event.name == "eval_score"
    } == {"exploring"}
    assert recorded.names == [event.name for event in finished_run()]
    assert recorded.of_kind(EvalScored) == [event for event in finished_run() if isinstance(event, EvalScored)]


def test_recording_plugin_keeps_the_settings_of_every_run() -> None:
    recorded = RecordingPlugin()
    contract = TestRecordingPlugin()
    contract.play(finished_run(), recorded)
    contract.play(finished_run(), recorded)
    told: list[RunSettings] = recorded.settings
    assert [settings.console for settings in told] == ["off", "off"]
