"""Make the recordings in ``tests/golden``, which this and every later version must read.

Run it when there is a recording of a new kind, and commit what it writes; a file that is there already stays what an
older version wrote::

    python scripts/make_golden_files.py tests/golden

The logs and tables are those of a real run of the demo network; times, run id, versions and paths are replaced by fixed
ones. The pickles are what AIMET 2.42 writes: scores as {layer: {Decimal: float}}, ratios as [(layer, Decimal or None)].
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pickle
import shutil
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime

from aimet_hooks import GreedySelection, analyze_sensitivity, compress_model, demo, event_log, load_run, merge_runs
from aimet_hooks.errors import EvaluationError
from aimet_hooks.events import BaselineScored, EvalScored, Event, ModelProbed, RunStarted, SensitivityScored
from aimet_hooks.log_writer import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN = 1_767_225_600.0
"""2026-01-01, UTC."""

PROVENANCE = {
    "python": "3.11.9",
    "platform": "Linux-6.1-x86_64",
    "cpus": 2,
    "versions": {"aimet-hooks": "0.1.0", "numpy": "2.4.6", "onnx": "1.23.2", "onnxruntime": "1.32.0"},
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
    "command": ["make_golden_files.py"],
    "omp_num_threads": "1",
    "framework": "onnxruntime 1.32.0",
    "device": "CPU",
    "providers": ["CPUExecutionProvider"],
    "threads": 1,
}
REUSED = {"block3.expand": {0.2: 0.9875}}


def evaluation(failing: range, interrupted: int | None = None) -> Callable[[Any], dict[str, float]]:
    """The accuracy of the demo network with another number beside it; fails at some of its calls, or is interrupted."""
    accuracy, calls = demo.accuracy(), iter(range(1000))

    def evaluate(session: Any) -> dict[str, float]:
        call = next(calls)
        if call == interrupted:
            raise KeyboardInterrupt
        if call in failing:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        score = accuracy(session)
        return {"score": score, "error_rate": 1 - score}

    return evaluate


TARGET = GreedySelection(target_comp_ratio=0.9925, num_comp_ratio_candidates=5, saved_eval_scores=REUSED)
DROP = GreedySelection(max_drop=0.003, num_comp_ratio_candidates=5)


def run(
    directory: Path,
    evaluate: Callable[[Any], dict[str, float]],
    selection: GreedySelection = TARGET,
    **options: Any,
) -> None:
    """Compress the demo network for real; the file plugin writes its tables."""
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = 1
    with contextlib.suppress(EvaluationError, KeyboardInterrupt):
        compress_model(
            demo.model_path(),
            evaluate,
            layers_to_ignore=("head", "stem", "block1.*", "block2.*"),
            selection=selection,
            results_dir=directory,
            run_name="digits",
            plugins=["file"],
            console="off",
            session_options=session_options,
            **options,
        )


def analyze(directory: Path, failing: range) -> None:
    """Analyse the sensitivity of the demo network for real; one of its layers has a channel that is too wide."""
    model = onnx.load(demo.model_path())
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "block3.expand.weight")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[7] *= 40
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with np.load(demo.model_path().with_name("digits_test.npz")) as data:
        images = data["images"][:8].astype(np.float32) / 16
    analyze_sensitivity(
        model,
        evaluation(failing),
        layers_to_ignore=("head", "stem", "block1.*", "block2.*"),
        example_inputs=images,
        results_dir=directory,
        run_name="digits",
        plugins=["file"],
        console="off",
        session_options=options,
    )


def fixed(event: Event, number: int) -> Event:
    """The event without anything that differs from one making to the next.

    Args:
        event: Of a real run.
        number: Which run of its log that is, from 0; each begins a minute after the one before.
    """
    run_id = f"20260101-00{number:02d}00-0a1b2c3d"
    event = event.placed(run_id=run_id, seq=event.seq, time=BEGIN + 60 * number + event.seq / 4)
    if isinstance(event, RunStarted):
        settings = {**event.settings, "results_dir": "runs/digits"}
        return replace(event, settings=settings, provenance=PROVENANCE)
    if isinstance(event, BaselineScored) or (
        isinstance(event, (EvalScored, ModelProbed, SensitivityScored)) and event.seconds
    ):
        return replace(event, seconds=0.25)
    return event


def write_log(source: Path, target: Path) -> None:
    """The log of one or more runs with fixed times and names."""
    number = -1
    with tempfile.TemporaryDirectory() as scratch, contextlib.closing(EventLog(Path(scratch))) as log:
        for event in event_log.read(source / event_log.FILE_NAME):
            number += isinstance(event, RunStarted)
            log.append(fixed(event, number))
        shutil.copyfile(log.path, target)


def write_pickles(tables: Path, target: Path) -> None:
    """What AIMET would have written for the tables of a run."""
    rows = json.loads((tables / "eval_scores.json").read_text("utf-8"))["scores"]
    scores = {
        layer: {Decimal(ratio): score for ratio, score in row.items() if score is not None}
        for layer, row in rows.items()
    }
    ratios = [
        (layer, None if ratio is None else Decimal(str(ratio)))
        for layer, ratio in json.loads((tables / "comp_ratios.json").read_text("utf-8")).items()
    ]
    arrays = {layer: {ratio: np.float64(score) for ratio, score in row.items()} for layer, row in scores.items()}
    for protocol in range(6):
        (target / f"aimet-eval-scores-protocol{protocol}.pkl").write_bytes(pickle.dumps(scores, protocol))
        (target / f"aimet-comp-ratios-protocol{protocol}.pkl").write_bytes(pickle.dumps(ratios, protocol))
    written = pickle.dumps(arrays, 2)
    (target / "aimet-eval-scores-numpy2.pkl").write_bytes(written)
    (target / "aimet-eval-scores-numpy1.pkl").write_bytes(
        written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    )


def make(target: Path, scratch: Path) -> None:
    """Write every golden file to a directory.

    Args:
        target: The directory.
        scratch: For the runs.
    """
    finished, failed, measured, resumed = (scratch / name for name in ("finished", "failed", "measured", "resumed"))
    run(finished, evaluation(failing=range(4, 5)))
    run(failed, evaluation(failing=range(3, 1000)))
    run(measured, evaluation(failing=range(0)), selection=DROP)
    load_run(measured).record_score("fine-tuned", 0.9986)
    run(resumed, evaluation(failing=range(4, 5), interrupted=7))
    run(resumed, evaluation(failing=range(0)), resume=True)
    shards, merged, analyzed = [scratch / "shard1", scratch / "shard2"], scratch / "merged", scratch / "analyzed"
    for number, shard in enumerate(shards, start=1):
        run(shard, evaluation(failing=range(0)), shard=(number, 2))
    merge_runs(shards, merged, plugins=[], console="off")
    analyze(analyzed, failing=range(4, 5))
    write_log(finished, target / "events-v1.jsonl")
    write_log(failed, target / "events-v1-failed.jsonl")
    write_log(measured, target / "events-v1-max-drop.jsonl")
    write_log(resumed, target / "events-v1-resumed.jsonl")
    write_log(merged, target / "events-v1-merged.jsonl")
    write_log(analyzed, target / "events-v1-quantization.jsonl")
    for name in ("eval_scores.json", "eval_scores.csv", "comp_ratios.json"):
        shutil.copyfile(finished / name, target / name)
    write_pickles(finished, target)


def main() -> None:
    """Write the golden files that are missing in the directory that is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as scratch:
        make(Path(made), Path(scratch))
        for path in Path(made).iterdir():
            if not (directory / path.name).exists():
                shutil.copyfile(path, directory / path.name)


if __name__ == "__main__":
    main()
