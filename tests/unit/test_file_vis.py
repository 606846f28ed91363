"""The files that the plugin ``file`` writes."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import pytest

from aimet_hooks import recordings
from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    LayerCompressed,
    LayerInfo,
    LayerSkipped,
    RatiosSelected,
    RunFailed,
    RunFinished,
    RunStarted,
)
from aimet_hooks.hooks import Hooks
from aimet_hooks.run_settings import RunSettings
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import sensitivity_run, weight_ranges_run
from aimet_hooks.testing.sample_runs import output_noise_run
from file_vis import FileReporter, create_reporter, tables
from file_vis.reporter import INTERVAL

INFO = LayerInfo(kind="Conv2d", weight_shape=(8, 4, 3, 3), macs=1000, weights=288)


def cell(layer: str, ratio: float, score: float | None, completed: int) -> EvalScored:
    return EvalScored(
        layer=layer,
        comp_ratio=ratio,
        score=score,
        rank=2,
        achieved_comp_ratio=ratio,
        macs=1000 * ratio,
        weights=100,
        seconds=0.1,
        completed=completed,
        total=4,
    )


def started() -> list[Event]:
    return [
        RunStarted(
            run_name="r",
            model_name="m",
            scheme="spatial_svd",
            cost_metric="mac",
            settings={},
            layers={"a,1": INFO, 'b"2': INFO, "dw": INFO},
            fingerprint="f",
        ),
        LayerSkipped(layer="dw", reason="depthwise"),
        BaselineScored(score=0.9),
        ExplorationStarted(layers=("a,1", 'b"2'), candidates=(1 / 3, 2 / 3), total=4, reused=0, evaluations=4),
    ]


def ended() -> list[Event]:
    return [
        cell("a,1", 1 / 3, 0.5, 1),
        cell("a,1", 2 / 3, 0.8, 2),
        cell('b"2', 1 / 3, None, 3),
        cell('b"2', 2 / 3, 0.7, 4),
        RatiosSelected(
            comp_ratios={"a,1": 2 / 3, 'b"2': None}, target_comp_ratio=0.9, achieved_comp_ratio=0.88, threshold=0.8
        ),
        LayerCompressed(
            layer="a,1",
            comp_ratio=2 / 3,
            achieved_comp_ratio=0.66,
            rank=2,
            macs_before=1000,
            macs_after=660,
            weights_before=288,
            weights_after=100,
        ),
        RunFinished(baseline_score=0.9, compressed_score=0.8, mac_ratio=0.88, memory_ratio=0.78, notes=("n",)),
    ]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def feed(reporter: FileReporter, events: list[Event], run: RunState | None = None) -> RunState:
    run = run or RunState()
    hooks = Hooks([("file", reporter)], {"file": RunSettings()})
    for event in events:
        run.apply(event)
        hooks.call(event, run)
    return run


def test_a_run_without_a_results_directory_has_no_reporter() -> None:
    assert create_reporter(RunSettings(results_dir=None)) is None


def test_scores_are_written_with_null_for_failed_cells(tmp_path: Path) -> None:
    feed(FileReporter(tmp_path), started() + ended())
    assert json.loads((tmp_path / "eval_scores.json").read_text()) == {
        "schema": 1,
        "baseline": 0.9,
        "scores": {
            "a,1": {"0.3333333333333333": 0.5, "0.6666666666666666": 0.8},
            'b"2': {"0.3333333333333333": None, "0.6666666666666666": 0.7},
        },
    }


def test_the_csv_quotes_names_and_leaves_failed_cells_empty(tmp_path: Path) -> None:
    feed(FileReporter(tmp_path), started() + ended())
    with (tmp_path / "eval_scores.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["layer", "0.3333333333333333", "0.6666666666666666"],
        ["a,1", "0.5", "0.8"],
        ['b"2', "", "0.7"],
    ]


def test_ratios_and_stats_are_written(tmp_path: Path) -> None:
    feed(FileReporter(tmp_path), started() + ended())
    assert json.loads((tmp_path / "comp_ratios.json").read_text()) == {"a,1": 2 / 3, 'b"2': None}
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert (stats["baseline_score"], stats["compressed_score"]) == (0.9, 0.8)
    assert (stats["mac_ratio"], stats["memory_ratio"], stats["notes"]) == (0.88, 0.78, ["n"])
    assert stats["skipped"] == {"dw": "depthwise"}
    assert stats["layers"]["a,1"] == {
        "comp_ratio": 2 / 3,
        "achieved_comp_ratio": 0.66,
        "rank": 2,
        "macs_before": 1000,
        "macs_after": 660,
        "weights_before": 288,
        "weights_after": 100,
    }
    assert stats["layers"]["dw"]["macs_after"] == 1000


@pytest.mark.parametrize("name", ["eval_scores.json", "eval_scores.csv"])
def test_what_is_written_can_be_read_again(tmp_path: Path, name: str) -> None:
    feed(FileReporter(tmp_path), started() + ended())
    assert recordings.scores(tmp_path / name) == {"a,1": {1 / 3: 0.5, 2 / 3: 0.8}, 'b"2': {2 / 3: 0.7}}
    assert recordings.comp_ratios(tmp_path / "comp_ratios.json") == {"a,1": 2 / 3, 'b"2': None}


def test_the_table_is_written_at_most_once_an_interval(tmp_path: Path) -> None:
    clock = Clock()
    reporter = FileReporter(tmp_path, clock)
    run = feed(reporter, started())
    first, second, third, *_ = ended()
    feed(reporter, [first], run)
    assert "0.5" not in (tmp_path / "eval_scores.csv").read_text()
    clock.now += INTERVAL
    feed(reporter, [second], run)
    assert "0.8" in (tmp_path / "eval_scores.csv").read_text()
    feed(reporter, [third], run)
    assert tables.scores_json(run) == (tmp_path / "eval_scores.json").read_text()


def test_a_directory_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.ERROR):
        feed(FileReporter(tmp_path / "file" / "below"), started() + ended())
    assert len(caplog.records) == 1
    assert "cannot be written" in caplog.text
    assert "the run goes on without its tables" in caplog.text


# -- analysis of quantization ------------------------------------------------------------------------------------------


def test_weight_ranges_are_written_with_null_for_what_is_undefined(tmp_path: Path) -> None:
    run = feed(FileReporter(tmp_path), weight_ranges_run())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weight_ranges.csv", "weight_ranges.json"]
    written = json.loads((tmp_path / "weight_ranges.json").read_text())
    assert (written["schema"], written["bitwidth"]) == (1, 8)
    assert run.weight_ranges is not None
    assert written["layers"] == {name: dict(figures) for name, figures in run.weight_ranges.layers.items()}
    assert written["layers"]["fc"]["relative_range"] is None
    assert [problem["layer"] for problem in written["problems"]] == ["fc", "conv1"]
    with (tmp_path / "weight_ranges.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:4] == ["layer", "bitwidth", "channels", "weights"]
    assert header[-3:] == ["non_finite", "cause", "remedy"]
    assert [row[0] for row in rows] == ["conv1", "fc"]
    assert rows[0][:5] == ["conv1", "8", "64", "18432", "2.75"]
    assert rows[1][:5] == ["fc", "8", "64", "18432", ""]
    assert rows[1][-1] == "repair these weights, or leave the layer in float"


def test_sensitivity_is_written_to_the_cell(tmp_path: Path) -> None:
    feed(FileReporter(tmp_path), sensitivity_run(("a,1", 'b"2')))
    assert (tmp_path / "sensitivity.csv").read_text() == (
        'layer,bitwidth,score,sqnr\n"a,1",4,0.86875,24.0\n"a,1",8,0.884375,48.0\n"b""2",4,0.884375,23.0\n"b""2",8,,\n'
    )
    assert json.loads((tmp_path / "sensitivity.json").read_text()) == {
        "schema": 1,
        "baseline": 0.9,
        "bitwidths": [4, 8],
        "scores": {"a,1": {"4": 0.86875, "8": 0.884375}, 'b"2': {"4": 0.884375, "8": None}},
        "sqnr": {"a,1": {"4": 24.0, "8": 48.0}, 'b"2': {"4": 23.0, "8": None}},
    }


def test_noise_without_scores_is_written_to_the_same_files(tmp_path: Path) -> None:
    feed(FileReporter(tmp_path), output_noise_run())
    assert (tmp_path / "sensitivity.csv").read_text() == (
        "layer,bitwidth,score,sqnr\nconv1,4,,24.0\nconv1,8,,48.0\nfc,4,,23.0\nfc,8,,47.0\n"
    )
    written = json.loads((tmp_path / "sensitivity.json").read_text())
    assert written["baseline"] is None
    assert written["bitwidths"] == [4, 8]
    assert written["scores"]["fc"] == {"4": None, "8": None}
    assert written["sqnr"]["fc"] == {"4": 23.0, "8": 47.0}


def test_a_sensitivity_analysis_that_fails_leaves_what_it_knew(tmp_path: Path) -> None:
    events = sensitivity_run(("a", "b"))
    begin = next(number for number, event in enumerate(events) if event.name == "sensitivity_score")
    end = RunFailed(stage="exploration", error="EvaluationError", message="no")
    feed(FileReporter(tmp_path), [*events[: begin + 1], end])
    assert (tmp_path / "sensitivity.csv").read_text() == (
        "layer,bitwidth,score,sqnr\na,4,0.86875,24.0\na,8,,48.0\nb,4,,23.0\nb,8,,47.0\n"
    )
    assert not (tmp_path / "eval_scores.json").exists()
