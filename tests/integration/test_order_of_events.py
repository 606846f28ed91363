"""Which hooks a real run calls, in which order, whatever becomes of the run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from aimet_hooks import GreedySelection, ManualSelection, compress_model, demo, event_log, hookimpl
from aimet_hooks.errors import EvaluationError, ResultsDirError, TargetError, UnknownNameError
from aimet_hooks.events import (
    EvalScored,
    ExplorationStarted,
    LayerCompressed,
    LayerSkipped,
    Progressed,
    RatiosSelected,
    RunFailed,
    RunFinished,
    RunStarted,
)
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import RecordingPlugin

LETTERS = {
    "run_started": "S",
    "layer_skipped": "k",
    "progress": "p",
    "baseline_score": "B",
    "exploration_started": "E",
    "eval_score": "e",
    "ratios_selected": "R",
    "layer_compressed": "c",
    "run_finished": "F",
    "run_failed": "X",
}
IGNORED = ("head", "stem", "block1.*", "block2.*")


def letters(recorded: RecordingPlugin) -> str:
    return "".join(LETTERS[name] for name in recorded.names)


@pytest.fixture
def options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


@pytest.fixture
def compress(options: onnxruntime.SessionOptions) -> Callable[..., Any]:
    """Compress two layers of the demo network at three ratios."""

    def run(callback: Callable[[Any], Any] | None = None, **keywords: Any) -> Any:
        arguments = {
            "layers_to_ignore": IGNORED,
            "selection": GreedySelection(target_comp_ratio=0.98, num_comp_ratio_candidates=4),
            "console": "off",
            "session_options": options,
            **keywords,
        }
        return compress_model(demo.model_path(), callback or demo.accuracy(), **arguments)

    return run


def test_hooks_of_a_run_fire_in_the_order_of_its_stages(compress: Callable[..., Any], tmp_path: Path) -> None:
    recorded = RecordingPlugin()
    result = compress(plugins=[recorded], results_dir=tmp_path / "run")

    assert re.fullmatch(r"S(k?p)+BEe{6}R(cp)+F", letters(recorded)), letters(recorded)
    (started,) = recorded.of_kind(RunStarted)
    skipped = {event.layer: event.reason for event in recorded.of_kind(LayerSkipped)}
    (exploring,) = recorded.of_kind(ExplorationStarted)
    assert skipped == result.skipped
    assert set(started.layers) == {*skipped, *exploring.layers}
    cells = recorded.of_kind(EvalScored)
    assert [cell.completed for cell in cells] == list(range(1, 7))
    assert {(cell.layer, cell.comp_ratio) for cell in cells} == {
        (layer, ratio) for layer in exploring.layers for ratio in exploring.candidates
    }
    (selected,) = recorded.of_kind(RatiosSelected)
    assert selected.comp_ratios == result.comp_ratios
    assert [event.layer for event in recorded.of_kind(LayerCompressed)] == [
        layer for layer, ratio in result.comp_ratios.items() if ratio is not None
    ]
    (finished,) = recorded.of_kind(RunFinished)
    assert finished.compressed_score == result.stats.compressed_score


def test_hooks_hear_what_the_log_holds_numbered_without_a_gap(compress: Callable[..., Any], tmp_path: Path) -> None:
    recorded = RecordingPlugin()
    compress(plugins=[recorded], results_dir=tmp_path / "run")
    logged = list(event_log.read(tmp_path / "run" / "events.jsonl"))
    assert logged == [event for event in recorded.events if not isinstance(event, Progressed)]
    assert [event.seq for event in logged] == list(range(len(logged)))
    assert len({event.run_id for event in recorded.events}) == 1
    times = [event.time for event in recorded.events]
    assert times == sorted(times)


def test_replayed_log_is_the_state_that_the_run_ended_with(compress: Callable[..., Any], tmp_path: Path) -> None:
    class Keeps:
        state: dict[str, object]

        @hookimpl
        def on_run_finished(self, run: RunState) -> None:
            self.state = dict(vars(run))

    keeps = Keeps()
    compress(plugins=[keeps], results_dir=tmp_path / "run")
    replayed = RunState()
    for event in event_log.read(tmp_path / "run" / "events.jsonl"):
        replayed.apply(event)
    assert vars(replayed) == keeps.state


def test_first_event_records_what_the_result_depends_on(compress: Callable[..., Any], tmp_path: Path) -> None:
    compress(plugins=[], results_dir=tmp_path / "run", run_name="mine")
    first = next(iter(event_log.read(tmp_path / "run" / "events.jsonl")))
    assert isinstance(first, RunStarted)
    assert first.run_name == "mine"
    assert first.settings["selection"]["target_comp_ratio"] == 0.98
    assert first.settings["layers_to_ignore"] == IGNORED
    assert first.settings["eval_callback"] == "accuracy.<locals>.digits_accuracy"
    assert first.provenance["versions"]["onnxruntime"] == onnxruntime.__version__
    assert {"python", "platform", "cpus", "git_commit", "command", "omp_num_threads"} <= set(first.provenance)
    assert first.provenance["threads"] == 1
    assert first.provenance["device"]
    assert re.fullmatch("[0-9a-f]{64}", first.fingerprint)


def test_run_with_given_ratios_has_no_exploration(compress: Callable[..., Any]) -> None:
    recorded = RecordingPlugin()
    compress(plugins=[recorded], selection=ManualSelection({"block3.project": 0.5}))
    assert re.fullmatch(r"S(k?p)+BRcpF", letters(recorded)), letters(recorded)


def test_known_cells_are_announced_first(compress: Callable[..., Any]) -> None:
    recorded = RecordingPlugin()
    saved = {"block3.project": {0.25: 0.9, 0.75: 0.95}}
    selection = GreedySelection(target_comp_ratio=0.98, num_comp_ratio_candidates=4, saved_eval_scores=saved)
    compress(plugins=[recorded], selection=selection)
    cells = recorded.of_kind(EvalScored)
    assert [cell.reused for cell in cells] == [True, True, False, False, False, False]
    assert recorded.of_kind(ExplorationStarted)[0].reused == 2


def failing_from(call: int, error: BaseException) -> Callable[[Any], float]:
    """The demo's callback, which raises at one call and all after it."""
    callback, calls = demo.accuracy(), iter(range(1, 1000))

    def evaluate(session: Any) -> float:
        if next(calls) >= call:
            raise error
        return callback(session)

    return evaluate


@pytest.mark.parametrize(
    ("callback", "keywords", "order", "stage", "error"),
    [
        (failing_from(1, RuntimeError("no data")), {}, r"S(k?p)+X", "baseline", EvaluationError),
        (failing_from(2, RuntimeError("no data")), {}, r"S(k?p)+X", "baseline", EvaluationError),
        (failing_from(3, RuntimeError("no data")), {}, r"S(k?p)+BEe{5}X", "exploration", EvaluationError),
        (failing_from(4, OSError("x")), {"on_eval_error": "raise"}, r"S(k?p)+BEe{2}X", "exploration", EvaluationError),
        (failing_from(9, RuntimeError("no data")), {}, r"S(k?p)+BEe{6}R(cp)+X", "evaluation", EvaluationError),
        (failing_from(5, KeyboardInterrupt()), {}, r"S(k?p)+BEe{2}X", "exploration", KeyboardInterrupt),
        (failing_from(5, SystemExit(1)), {}, r"S(k?p)+BEe{2}X", "exploration", SystemExit),
        (None, {"selection": GreedySelection(0.01)}, r"S(k?p)+X", "preflight", TargetError),
    ],
    ids=["baseline", "baseline again", "five in a row", "first with raise", "result", "interrupt", "exit", "target"],
)
def test_run_that_fails_ends_with_run_failed(
    callback: Any,
    keywords: dict[str, Any],
    order: str,
    stage: str,
    error: type[BaseException],
    compress: Callable[..., Any],
    tmp_path: Path,
) -> None:
    recorded = RecordingPlugin()
    with pytest.raises(error) as caught:
        compress(callback, plugins=[recorded], results_dir=tmp_path / "run", **keywords)
    assert re.fullmatch(order, letters(recorded)), letters(recorded)
    last = recorded.events[-1]
    assert isinstance(last, RunFailed)
    assert (last.stage, last.error, last.message) == (stage, error.__name__, str(caught.value))
    assert recorded.phases[-1] == "failed"
    logged = list(event_log.read(tmp_path / "run" / "events.jsonl"))
    assert logged == [event for event in recorded.events if not isinstance(event, Progressed)]


# -- plugins in a real run ---------------------------------------------------------------------------------------------


def test_plugin_that_fails_changes_neither_the_result_nor_what_others_hear(
    compress: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Fails:
        calls = 0

        @hookimpl
        def on_eval_score(self) -> None:
            self.calls += 1
            raise ZeroDivisionError("of the plugin")

    alone, beside, fails = RecordingPlugin(), RecordingPlugin(), Fails()
    expected = compress(plugins=[alone])
    result = compress(plugins=[fails, beside])
    assert fails.calls == 3
    assert beside.names == alone.names
    assert result.comp_ratios == expected.comp_ratios
    records = [record for record in caplog.records if "Fails" in record.getMessage()]
    assert len(records) == 3
    assert "ZeroDivisionError: of the plugin" in caplog.text


def test_interrupt_in_a_plugin_ends_the_run_and_is_announced(compress: Callable[..., Any]) -> None:
    class Interrupts:
        @hookimpl
        def on_baseline_score(self) -> None:
            raise KeyboardInterrupt

    recorded = RecordingPlugin()
    with pytest.raises(KeyboardInterrupt):
        compress(plugins=[recorded, Interrupts()])
    assert re.fullmatch(r"S(k?p)+BX", letters(recorded)), letters(recorded)


def test_settings_reach_the_plugin_that_they_are_meant_for(compress: Callable[..., Any], tmp_path: Path) -> None:
    recorded = RecordingPlugin()
    compress(
        plugins=[recorded],
        plugin_options={"RecordingPlugin": {"depth": 3}},
        results_dir=tmp_path / "run",
        run_name="mine",
    )
    (told,) = recorded.settings
    assert (told.run_name, told.results_dir, told.console) == ("mine", tmp_path / "run", "off")
    assert told.plugin_options == {"depth": 3}
    with pytest.raises(TypeError, match="read-only"):
        told.plugin_options["depth"] = 4  # type: ignore[index]


def test_directory_of_another_run_is_refused_before_anything_is_heard(
    compress: Callable[..., Any], tmp_path: Path
) -> None:
    compress(plugins=[], results_dir=tmp_path / "run")
    before = (tmp_path / "run" / "events.jsonl").read_bytes()
    recorded = RecordingPlugin()
    with pytest.raises(ResultsDirError, match="choose another directory, or continue that run with resume=True"):
        compress(plugins=[recorded], results_dir=tmp_path / "run")
    assert recorded.events == []
    assert recorded.settings == []
    assert (tmp_path / "run" / "events.jsonl").read_bytes() == before


def test_misspelt_hook_in_a_made_reporter_leaves_the_directory_free(
    compress: Callable[..., Any], tmp_path: Path
) -> None:
    class Misspelt:
        @hookimpl
        def on_evalscore(self, event: object) -> None: ...

    class Plugin:
        @hookimpl
        def create_reporter(self, settings: object) -> Misspelt:
            return Misspelt()

    with pytest.raises(UnknownNameError, match="'on_evalscore', which does not exist"):
        compress(plugins=[Plugin()], results_dir=tmp_path / "run")
    compress(plugins=[], results_dir=tmp_path / "run")


def test_interrupt_after_the_last_event_adds_no_other_end(compress: Callable[..., Any], tmp_path: Path) -> None:
    class Interrupts:
        @hookimpl
        def on_run_finished(self) -> None:
            raise KeyboardInterrupt

    recorded = RecordingPlugin()
    with pytest.raises(KeyboardInterrupt):
        compress(plugins=[recorded, Interrupts()], results_dir=tmp_path / "run")
    assert letters(recorded).endswith("F")
    assert [event.name for event in event_log.read(tmp_path / "run" / "events.jsonl")][-1] == "run_finished"
