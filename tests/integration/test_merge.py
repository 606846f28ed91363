"""Shards that run as processes of their own, joined into one table."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from aimet_hooks import GreedySelection, demo, load_run, merge_runs
from aimet_hooks.errors import RecordingError, ResultsDirError, UsageError
from tests.integration.test_resume import Evaluation, cells, compress, last_run, logged, network

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = ["--eval", "agreement", "--candidates", "5", "--threads", "1", "--console", "off", "--plugin", "file"]


def command(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aimet_hooks", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    path = tmp_path / "inputs.npz"
    np.savez(path, image=np.linspace(0, 1, 16 * 64, dtype=np.float32).reshape(16, 1, 8, 8))
    return path


def test_four_processes_make_the_table_of_one(inputs: Path, tmp_path: Path) -> None:
    one = [demo.model_path(), *OPTIONS, "--data", inputs]
    done(command("compress", *one, "-o", tmp_path / "one.onnx", "--results-dir", tmp_path / "one"))
    shards = [
        command("compress", *one, "--shard", f"{number}/4", "--results-dir", tmp_path / f"shard{number}")
        for number in range(1, 5)
    ]
    for shard in shards:
        assert "`aimet-hooks merge` joins them" in done(shard)
    directories = [tmp_path / f"shard{number}" for number in range(1, 5)]
    said = done(command("merge", *directories, "--into", tmp_path / "all", "--console", "off"))
    assert "none is missing" in said
    table = json.loads((tmp_path / "all" / "eval_scores.json").read_text())
    assert table == json.loads((tmp_path / "one" / "eval_scores.json").read_text())

    chosen = ["-o", tmp_path / "all.onnx", "--results-dir", tmp_path / "all", "--resume"]
    done(command("compress", *one, *chosen))
    assert not cells(last_run(tmp_path / "all"), reused=False)
    ratios = [json.loads((tmp_path / name / "comp_ratios.json").read_text()) for name in ("one", "all")]
    assert ratios[0] == ratios[1]
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "all.onnx").read_bytes()


def shards(directory: Path, count: int, **changed: Any) -> list[Path]:
    paths = [directory / f"shard{number}" for number in range(1, count + 1)]
    for number, path in enumerate(paths, start=1):
        compress(path, shard=(number, count), resume=False, **changed)
    return paths


def test_what_is_missing_is_told_and_evaluated_by_who_goes_on(tmp_path: Path) -> None:
    paths = shards(tmp_path, 3)
    merged = merge_runs(paths[:2], tmp_path / "all", plugins=[])
    assert merged.missing > 0
    known = {(cell.layer, cell.rank) for cell in cells(logged(tmp_path / "all"), reused=True)}
    result = compress(tmp_path / "all")
    evaluated = {(cell.layer, cell.rank) for cell in cells(last_run(tmp_path / "all"), reused=False)}
    assert evaluated
    assert not evaluated & known
    pd.testing.assert_frame_equal(result.eval_scores, compress(tmp_path / "one").eval_scores)


def test_merged_runs_can_be_chosen_from_at_once(tmp_path: Path) -> None:
    merge_runs(shards(tmp_path, 2), tmp_path / "all", plugins=[])
    compress(tmp_path / "one", selection=GreedySelection(0.7, num_comp_ratio_candidates=6))
    chosen = load_run(tmp_path / "all").select(target_comp_ratio=0.7)
    assert dict(chosen.comp_ratios) == dict(load_run(tmp_path / "one").select(target_comp_ratio=0.7).comp_ratios)


def test_cell_that_failed_in_one_run_has_the_score_of_the_other(tmp_path: Path) -> None:
    evaluation = Evaluation()
    evaluation.fails = lambda number: number == 4
    compress(tmp_path / "a", evaluation)
    compress(tmp_path / "b")
    merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "all", plugins=["file"])
    assert all(cell.error is None for cell in cells(logged(tmp_path / "all"), reused=True))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": network(1)}, "its scores are of model 'Sequential'"),
        ({"compress_scheme": "weight_svd"}, "its scores are of scheme weight_svd, those are of spatial_svd"),
        ({"evaluate": Evaluation(shift=0.1)}, "its scores are of baseline "),
    ],
)
def test_runs_that_do_not_compare_are_refused_with_what_differs(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    compress(tmp_path / "a")
    compress(tmp_path / "b", **changed)
    with pytest.raises(RecordingError, match=message):
        merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "all", plugins=[])
    assert not (tmp_path / "all").exists()


def test_scores_that_do_not_agree_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Drifting(Evaluation):
        def __call__(self, model: Any) -> float:
            return super().__call__(model) + (0.1 if self.count > 2 else 0.0)

    compress(tmp_path / "a")
    compress(tmp_path / "b", Drifting())
    caplog.clear()
    merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "all", plugins=[])
    assert "cells have several scores that differ by more than noise" in caplog.text


def test_wrong_use_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is nothing to merge"):
        merge_runs([], tmp_path / "all")
    compress(tmp_path / "a")
    with pytest.raises(ResultsDirError, match="already holds a run"):
        merge_runs([tmp_path / "a"], tmp_path / "a", plugins=[])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match="No such file"):
        merge_runs([tmp_path / "empty"], tmp_path / "all", plugins=[])
    with pytest.raises(KeyboardInterrupt):
        compress(tmp_path / "b", Evaluation(stop_after=2))
    with pytest.raises(RecordingError, match="is without scores"):
        merge_runs([tmp_path / "b"], tmp_path / "all", plugins=[])
