"""How long the greedy selection takes for a very large network: 5,000 layers by 19 ratios.

Prints the time for a noisy, a saturated (all scores equal) and a smooth table at three targets. Run it from the
repository; it takes five seconds::

    python benchmarks/selection_speed.py
"""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np

from aimet_hooks import selection
from aimet_hooks.selection import Choice

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


def main() -> None:
    rng = np.random.default_rng(0)
    for kind in ("noisy", "saturated", "smooth"):
        rows = table(kind, rng)
        total = sum(row[-1].cost for row in rows.values())
        for target in (Fraction(3, 10), Fraction(1, 2), Fraction(4, 5)):
            begin = time.perf_counter()
            chosen = selection.greedy(rows, rest=0, total=total, target=target)
            seconds = time.perf_counter() - begin
            print(
                f"{kind} table, {LAYERS} layers x {RATIOS} ratios, target {float(target):g}: {seconds:.2f} s, "
                f"cost kept {chosen.cost / total:.6f}  (required: about {SECONDS:g} s, at most the target)"
            )


if __name__ == "__main__":
    main()
