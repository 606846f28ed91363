"""What a table promises and what the whole model then scores: both rules, two scores to explore with, five targets.

The demo network is explored twice, by accuracy and by agreement with the original (negative KL divergence, no labels).
For each rule and target the ratios are chosen from the saved table, the model is compressed to them, and its accuracy
on the 360 test images is measured. Predicted is the sum of single-layer losses, which only the table of accuracy gives.
It takes about ten seconds::

    python benchmarks/budget_curve.py
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before numpy is imported

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from aimet_hooks import GreedySelection, SpatialSvd, TargetError, WeightSvd, compress_model, demo, load_run
from aimet_hooks.adapters.onnx_graph.session_options import with_threads
from aimet_hooks.applying import apply_ratios
from aimet_hooks.evals import agreement

TARGETS = (0.9, 0.7, 0.5, 0.4, 0.3)
RULES = ("greedy", "knapsack")


def images() -> Any:
    with np.load(demo.model_path().with_name("digits_test.npz")) as data:
        return data["images"].astype(np.float32) / 16


def explore(directory: Path, evaluate: Any, scheme: Any) -> None:
    compress_model(
        demo.model_path(),
        evaluate,
        input_shape=demo.INPUT_SHAPE,
        compress_scheme=scheme,
        selection=GreedySelection(target_comp_ratio=0.5, probe_targets=()),
        layers_to_ignore=[demo.HEAD],
        results_dir=directory,
        plugins=[],
        session_options=with_threads(1),
    )


def measured(ratios: dict[str, float | None], scheme: Any) -> float:
    model = apply_ratios(demo.model_path(), ratios, input_shape=demo.INPUT_SHAPE, compress_scheme=scheme).model
    session = onnxruntime.InferenceSession(model.SerializeToString(), with_threads(1), ["CPUExecutionProvider"])
    return demo.accuracy()(session)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for scheme in (SpatialSvd(), WeightSvd()):
            for name, evaluate in (("accuracy", demo.accuracy()), ("agreement", agreement({"image": images()}))):
                explore(Path(folder, scheme.name, name), evaluate, scheme)
                saved = load_run(Path(folder, scheme.name, name))
                for rule in RULES:
                    print(f"{scheme.name}, table of {name}, {rule}:")
                    for target in TARGETS:
                        try:
                            chosen = saved.select(target_comp_ratio=target, rule=rule)
                        except TargetError as error:
                            print(f"  {target}: {error}")
                            continue
                        predicted = f", predicted {chosen.predicted_score:.4f}" if name == "accuracy" else ""
                        found = measured(chosen.comp_ratios, scheme)
                        print(f"  {target}: keeps {chosen.achieved_comp_ratio:.3f}, accuracy {found:.4f}{predicted}")


if __name__ == "__main__":
    main()
