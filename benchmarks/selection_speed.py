"""How long a selection takes for a very large network, and from a saved run of 1,000 layers.

Prints the time of both rules for a noisy, a saturated (all scores equal) and a smooth table of 5,000 layers by 19
ratios at three targets, and that of ``load_run(...).select(...)`` for 1,000 layers by 19. Run it from the repository;
it takes half a minute::

    python benchmarks/selection_speed.py
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from aimet_hooks import load_run, selection
from aimet_hooks.knapsack import knapsack
from aimet_hooks.log_writer import EventLog
from aimet_hooks.selection import Choice
from tests import page_runs

LAYERS = 5000
RATIOS = 19
BASELINE = 0.9
SECONDS = 1.0


def table(kind: str, rng: np.random.Generator) -> dict[str, list[Choice]]:
    """A table whose scores are "noisy", "saturated" or "smooth", and costs from 10^4 to 10^8 MACs."""
    rows = {}
    for number in range(LAYERS):
        cost = int(10 ** rng.uniform(4, 8))
        ratios = np.arange(1, RATIOS + 1) / (RATIOS + 1)
        drops = rng.uniform(0, 0.5) * (1 - ratios) ** 3
        scores = {"noisy": BASELINE - drops * rng.uniform(0, 2, RATIOS), "smooth": BASELINE - drops}.get(
            kind, np.full(RATIOS, BASELINE)
        )
        rows[f"layer{number}"] = [
            *(Choice(float(r), float(s), int(r * cost)) for r, s in zip(ratios, scores, strict=True)),
            Choice(None, BASELINE, cost),
        ]
    return rows


def measure_rules() -> None:
    rng = np.random.default_rng(0)
    for kind in ("noisy", "saturated", "smooth"):
        rows = table(kind, rng)
        total = sum(row[-1].cost for row in rows.values())
        for target in (Fraction(3, 10), Fraction(1, 2), Fraction(4, 5)):
            for rule in (selection.greedy, knapsack):
                begin = time.perf_counter()
                chosen = rule(rows, rest=0, total=total, target=target)
                seconds = time.perf_counter() - begin
                print(
                    f"{rule.__name__}, {kind} table, {LAYERS} layers x {RATIOS} ratios, target {float(target):g}: "
                    f"{seconds:.2f} s, cost kept {chosen.cost / total:.6f}  (required: a few s, at most the target)"
                )


def measure_saved_run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(EventLog(Path(folder))) as log:
            for event in page_runs.whole_run(page_runs.layer_names(1000), RATIOS):
                log.append(event)
        begin = time.perf_counter()
        saved = load_run(folder)
        print(f"reading a saved run of 1000 layers x {RATIOS} ratios: {time.perf_counter() - begin:.2f} s")
        for rule in ("greedy", "knapsack"):
            begin = time.perf_counter()
            saved.select(target_comp_ratio=0.6, rule=rule)
            print(f"selecting from it, {rule}: {time.perf_counter() - begin:.2f} s  (required: under {SECONDS:g} s)")


def main() -> None:
    measure_rules()
    measure_saved_run()


if __name__ == "__main__":
    main()
