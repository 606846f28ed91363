"""How long the page's JavaScript takes to choose, as it does at every move of a slider.

Prints the median time of ``choose`` in Chromium, and the longest, for both rules on a noisy, a saturated (accuracies
over 360 samples) and a smooth table of 1,000 and of 5,000 layers by 19 ratios, over targets from 0.2 to 0.9. Run it
from the repository; it takes a quarter of a minute::

    python benchmarks/javascript_selection.py
"""

from __future__ import annotations

import json
import statistics
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from bokeh_vis import theme
from tests import chromium

SIZES = (1000, 5000)
RATIOS = 19
BASELINE = 0.9
TARGETS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
ROUNDS = 4
REQUIRED = 60.0

MEASURE = """
({rule, table, targets, rounds}) => {
  const rows = JSON.parse(table)
  const total = rows.reduce((sum, {costs}) => sum + costs.at(-1), 0)
  const times = []
  for (let round = 0; round < rounds; round++) {
    for (const target of targets) {
      const begin = performance.now()
      choose(rule, rows, Math.floor(target * total))
      if (round > 0) times.push(performance.now() - begin) // the first one warms up
    }
  }
  return times
}
"""


def table(kind: str, layers: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rows whose scores are "noisy", "saturated" or "smooth", and costs from 10^4 to 10^8 MACs."""
    ratios = np.arange(1, RATIOS + 1) / (RATIOS + 1)
    rows = []
    for number in range(layers):
        cost = int(10 ** rng.uniform(4, 8))
        drops = rng.uniform(0, 0.5) * (1 - ratios) ** 3
        scores = {
            "noisy": BASELINE - drops * rng.uniform(0, 2, RATIOS),
            "saturated": BASELINE - np.round(drops * 36) / 360,
            "smooth": BASELINE - drops,
        }[kind]
        rows.append(
            {
                "ratios": [*ratios.tolist(), 1.0],
                "scores": [*scores.tolist(), BASELINE],
                "costs": [*(ratios * cost).astype(int).tolist(), cost],
                "order": number,
            }
        )
    return rows


def measure(tab: Page, rule: str, kind: str, layers: int) -> None:
    rows = json.dumps(table(kind, layers, np.random.default_rng(0)))
    script = f"value => {{ {theme.scripts('greedy.js', 'knapsack.js')}\nreturn ({MEASURE})(value) }}"
    times = tab.evaluate(script, {"rule": rule, "table": rows, "targets": TARGETS, "rounds": ROUNDS})
    required = f"  (required: a median under {REQUIRED:g} ms)" if layers == SIZES[0] else ""
    print(
        f"{rule}, {kind} table, {layers} layers x {RATIOS} ratios: median {statistics.median(times):.1f} ms, "
        f"longest {max(times):.1f} ms{required}"
    )


def main() -> None:
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        tab = browser.new_page()
        for layers in SIZES:
            for kind in ("noisy", "saturated", "smooth"):
                for rule in ("greedy", "knapsack"):
                    measure(tab, rule, kind, layers)
        browser.close()


if __name__ == "__main__":
    main()
