"""Recordings of every version are read by this one; ``scripts/make_golden_files.py`` made them, nobody edits them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aimet_hooks import recordings, verify_log
from aimet_hooks.earlier_runs import EarlierRuns
from aimet_hooks.events import EVENTS, EvalScored, LayerInfo, RunFailed, RunFinished, RunStarted
from aimet_hooks.run_state import RunState

GOLDEN = Path(__file__).parent
SCRIPT = GOLDEN.parent.parent / "scripts" / "make_golden_files.py"
BEST = 0.9972222222222222
SCORES = {
    "block3.expand": {0.2: 0.9875, 0.6: BEST, 0.8: BEST},
    "block3.project": {0.2: BEST, 0.4: BEST, 0.6: BEST, 0.8: BEST},
}
RATIOS = {"block3.expand": None, "block3.project": 0.8}


def state_of(name: str) -> RunState:
    run = RunState()
    for event in recordings.read(GOLDEN / name):
        run.apply(event)
    return run


def test_logs_hold_every_kind_of_event_that_is_logged() -> None:
    names = ("events-v1.jsonl", "events-v1-failed.jsonl", "events-v1-max-drop.jsonl", "events-v1-quantization.jsonl")
    kinds = {event.name for name in names for event in recordings.read(GOLDEN / name)}
    assert kinds == set(EVENTS) - {"progress"}


def test_log_of_version_1_is_read_whole(caplog: pytest.LogCaptureFixture) -> None:
    events = recordings.read(GOLDEN / "events-v1.jsonl")
    assert caplog.messages == []
    lines = (GOLDEN / "events-v1.jsonl").read_text().splitlines()
    assert [event.seq for event in events] == list(range(len(lines)))
    for event, line in zip(events, lines, strict=True):
        stored = json.loads(line)
        assert (event.name, event.run_id, event.time) == (stored["event"], stored["run_id"], stored["time"])


def test_state_of_the_finished_run_is_as_it_was() -> None:
    run = state_of("events-v1.jsonl")
    assert run.phase == "finished"
    assert isinstance(run.started, RunStarted)
    assert run.started.provenance["versions"]["onnxruntime"] == "1.32.0"
    assert run.layers["block3.expand"] == LayerInfo(kind="Conv", weight_shape=(96, 64, 1, 1), macs=98304, weights=6144)
    assert len(run.layers) == 11
    assert run.skipped["block3.depthwise"] == "depthwise convolution (group=96)"
    assert run.baseline is not None
    assert run.baseline.metrics == {"error_rate": 1 - BEST}
    assert run.candidates == (0.2, 0.4, 0.6, 0.8)
    failed = run.scores["block3.expand"][0.4]
    assert (failed.score, failed.error) == (None, "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB")
    assert run.scores["block3.expand"][0.2].reused
    cell = run.scores["block3.project"][0.4]
    assert (cell.rank, cell.achieved_comp_ratio, cell.macs, cell.weights) == (15, 0.390625, 38400, 2400)
    assert list(run.compressed) == ["block3.project"]
    assert isinstance(run.finished, RunFinished)
    assert run.finished.compressed_score == BEST


def test_state_of_the_failed_run_is_as_it_was() -> None:
    run = state_of("events-v1-failed.jsonl")
    assert run.phase == "failed"
    assert isinstance(run.failed, RunFailed)
    assert (run.failed.stage, run.failed.error) == ("exploration", "EvaluationError")
    assert run.completed == 7
    assert isinstance(run.last_cell, EvalScored)
    assert run.last_cell.score is None


def test_models_that_were_measured_are_as_they_were() -> None:
    run = state_of("events-v1-max-drop.jsonl")
    assert run.selection is not None
    assert run.finished is not None
    assert run.selection.target_comp_ratio is None
    within = [probe for probe in run.probes if probe.score is not None and probe.score >= BEST - 0.003]
    smallest = min(within, key=lambda probe: probe.achieved_comp_ratio)
    assert smallest.comp_ratios == run.selection.comp_ratios
    assert smallest.score == run.finished.compressed_score
    assert [(event.label, event.score) for event in run.recorded] == [("fine-tuned", 0.9986)]


def test_analysis_of_quantization_is_as_it_was() -> None:
    run = state_of("events-v1-quantization.jsonl")
    assert (run.phase, run.finished, run.is_over) == ("finished", None, True)
    assert run.weight_ranges is not None
    assert run.weight_ranges.bitwidth == 8
    assert [problem["layer"] for problem in run.weight_ranges.problems] == ["block3.expand"]
    assert run.weight_ranges.problems[0]["channel"] == 7
    assert run.weight_ranges.problems[0]["partner"] == "block3.depthwise"
    assert run.weight_ranges.layers["block3.expand"]["effective_bits_per_tensor"] == pytest.approx(1.0794, abs=1e-4)
    rows = ["block3.expand", "block3.depthwise", "block3.project", "fc1"]
    assert (list(run.sensitivity), run.bitwidths, run.completed, run.failures) == (rows, (4, 8), 8, 1)
    failed = run.sensitivity["block3.project"][4]
    assert (failed.score, failed.error) == (None, "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB")
    assert run.sensitivity["block3.expand"][4].score == 0.6777777777777778
    assert all(cell.sqnr is not None for row in run.sensitivity.values() for cell in row.values())


def test_log_of_a_run_that_was_resumed_is_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    path = GOLDEN / "events-v1-resumed.jsonl"
    stored = [json.loads(line) for line in path.read_text().splitlines()]
    told = [(event.name, event.run_id, event.seq) for event in recordings.read_all(path)]
    assert told == [(line["event"], line["run_id"], line["seq"]) for line in stored]
    assert caplog.messages == []
    first, second = verify_log(path).runs
    assert (first.completed, first.reused, type(first.end)) == (6, 1, RunFailed)
    assert (second.completed, second.reused, type(second.end)) == (8, 6, RunFinished)
    run = state_of("events-v1-resumed.jsonl")
    assert run.run_id == second.run_id != first.run_id
    assert run.started is not None
    assert run.started.identity == stored[0]["identity"]
    assert list(run.started.identity) == ["model", "compress_scheme", "multiplicity", "cost_metric"]
    assert recordings.scores(path) == SCORES
    assert recordings.comp_ratios(path) == RATIOS


def test_log_of_merged_runs_is_as_it_was() -> None:
    run = state_of("events-v1-merged.jsonl")
    assert (run.phase, run.finished, run.completed, run.total) == ("finished", None, 8, 8)
    assert all(cell.reused for row in run.scores.values() for cell in row.values())
    table = recordings.scores(GOLDEN / "events-v1-merged.jsonl")
    assert table == {**SCORES, "block3.expand": {**SCORES["block3.expand"], 0.4: BEST}}


OLDER = ("events-v1.jsonl", "events-v1-failed.jsonl", "events-v1-max-drop.jsonl", "events-v1-quantization.jsonl")
"""Logs of versions that knew no identity of a run, and did not say which measured models were known before."""


@pytest.mark.parametrize("name", OLDER)
def test_logs_without_an_identity_are_read_and_gone_on_from(name: str) -> None:
    path = GOLDEN / name
    assert '"identity"' not in path.read_text()
    assert verify_log(path).is_whole
    run = state_of(name)
    assert run.started is not None
    assert (run.started.identity, [probe.reused for probe in run.probes]) == ({}, [False] * len(run.probes))
    earlier = EarlierRuns(path)
    assert [started.run_id for started in earlier.runs] == [run.run_id]
    assert earlier.scored == {
        (layer, ratio): cell
        for layer, row in run.scores.items()
        for ratio, cell in row.items()
        if (layer, ratio) in earlier.scored
    }
    assert earlier.difference(run.started) is None
    other = replace(run.started, fingerprint="0" * 64, identity={"model": "0" * 64})
    found = earlier.difference(other)
    assert found is not None
    assert found.what == "model"


@pytest.mark.parametrize(
    "name",
    [
        "events-v1.jsonl",
        "eval_scores.json",
        "eval_scores.csv",
        *(f"aimet-eval-scores-protocol{protocol}.pkl" for protocol in range(6)),
        "aimet-eval-scores-numpy1.pkl",
        "aimet-eval-scores-numpy2.pkl",
    ],
)
def test_every_file_with_the_table_gives_the_same_scores(name: str) -> None:
    assert recordings.scores(GOLDEN / name) == SCORES


@pytest.mark.parametrize(
    "name",
    ["events-v1.jsonl", "comp_ratios.json", *(f"aimet-comp-ratios-protocol{protocol}.pkl" for protocol in range(6))],
)
def test_every_file_with_the_choice_gives_the_same_ratios(name: str) -> None:
    assert recordings.comp_ratios(GOLDEN / name) == RATIOS


def test_baseline_is_in_every_file_that_has_one() -> None:
    for name in ("events-v1.jsonl", "eval_scores.json"):
        run = state_of(name)
        assert run.baseline is not None
        assert run.baseline.score == BEST


@pytest.mark.parametrize(
    ("name", "repeated"),
    [("events-v1.jsonl", None), ("events-v1-failed.jsonl", None), ("events-v1-max-drop.jsonl", BEST)],
)
def test_baseline_that_was_evaluated_once_has_no_noise(name: str, repeated: float | None) -> None:
    run = state_of(name)
    assert run.baseline is not None
    assert (run.baseline.repeated_score, run.baseline.noise) == (repeated, 0.0)


def test_script_still_makes_every_file_but_those_that_are_there_and_they_are_read(tmp_path: Path) -> None:
    shutil.copyfile(GOLDEN / OLDER[0], tmp_path / OLDER[0])
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in GOLDEN.iterdir() if path.suffix in (".jsonl", ".json", ".csv", ".pkl")}
    for name in made:
        assert recordings.read(tmp_path / name)
    assert (tmp_path / OLDER[0]).read_bytes() == (GOLDEN / OLDER[0]).read_bytes()
