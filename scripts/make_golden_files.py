"""Make the recordings in ``tests/golden``, which this and every later version must read.

Run it once for a version of the schema, and commit what it writes::

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

from aimet_hooks import GreedySelection, analyze_sensitivity, compress_model, demo, event_log, load_run
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


def evaluation(failing: range) -> Callable[[Any], dict[str, float]]:
    """The accuracy of the demo network with another number beside it; fails at some of its calls."""
    accuracy, calls = demo.accuracy(), iter(range(1000))

    def evaluate(session: Any) -> dict[str, float]:
        if next(calls) in failing:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        score = accuracy(session)
        return {"score": score, "error_rate": 1 - score}

    return evaluate


TARGET = GreedySelection(target_comp_ratio=0.9925, num_comp_ratio_candidates=5, saved_eval_scores=REUSED)
DROP = GreedySelection(max_drop=0.003, num_comp_ratio_candidates=5)


def run(directory: Path, failing: range, selection: GreedySelection = TARGET) -> None:
    """Compress the demo network for real; the file plugin writes its tables."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with contextlib.suppress(EvaluationError):
        compress_model(
            demo.model_path(),
            evaluation(failing),
            layers_to_ignore=("head", "stem", "block1.*", "block2.*"),
            selection=selection,
            results_dir=directory,
            run_name="digits",
            plugins=["file"],
            console="off",
            session_options=options,
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


def fixed(event: Event) -> Event:
    """The event without anything that differs from run to run."""
    event = event.placed(run_id="20260101-000000-0a1b2c3d", seq=event.seq, time=BEGIN + event.seq / 4)
    if isinstance(event, RunStarted):
        settings = {**event.settings, "results_dir": "runs/digits"}
        return replace(event, settings=settings, provenance=PROVENANCE)
    if isinstance(event, BaselineScored) or (
        isinstance(event, (EvalScored, ModelProbed, SensitivityScored)) and event.seconds
    ):
        return replace(event, seconds=0.25)
    return event


def write_log(source: Path, target: Path) -> None:
    """The log of a run with fixed times and names."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.closing(EventLog(Path(scratch))) as log:
        for event in event_log.read(source):
            log.append(fixed(event))
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


def main() -> None:
    """Write every golden file to the directory that is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    target = parser.parse_args().directory
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        finished, failed, measured = Path(scratch, "finished"), Path(scratch, "failed"), Path(scratch, "measured")
        run(finished, failing=range(4, 5))
        run(failed, failing=range(3, 1000))
        run(measured, failing=range(0), selection=DROP)
        load_run(measured).record_score("fine-tuned", 0.9986)
        write_log(measured / "events.jsonl", target / "events-v1-max-drop.jsonl")
        write_log(finished / "events.jsonl", target / "events-v1.jsonl")
        write_log(failed / "events.jsonl", target / "events-v1-failed.jsonl")
        for name in ("eval_scores.json", "eval_scores.csv", "comp_ratios.json"):
            shutil.copyfile(finished / name, target / name)
        analyzed = Path(scratch, "analyzed")
        analyze(analyzed, failing=range(4, 5))
        write_log(analyzed / "events.jsonl", target / "events-v1-quantization.jsonl")
        write_pickles(finished, target)


if __name__ == "__main__":
    main()
