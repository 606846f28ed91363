"""What a hook call costs a run with every installed plugin on, and whether memory stays bounded.

100,000 cells are announced as a run announces them: event log, state, reporters. Two tables: one of 1,000 cells, over
and over (nothing new is to be kept, so memory must stay where it is), and one in which every cell is new (memory grows
with the table, as it must). ``os.fsync`` does nothing here: what a disk takes is the disk's. The console draws plain
lines into the void, then the live panel, each in a process of its own. Run it from the repository, on Linux; it takes
about half a minute::

    python benchmarks/hook_cost.py
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aimet_hooks import discovery
from aimet_hooks.announcer import Announcer
from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    ExplorationStarted,
    LayerInfo,
    RatiosSelected,
    RunFinished,
    RunStarted,
)
from aimet_hooks.hooks import Hooks
from aimet_hooks.log_writer import EventLog
from aimet_hooks.run_settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = 100_000
MILESTONES = (10_000, 50_000, CALLS)
RATIOS = tuple(k / 21 for k in range(1, 21))
LIMIT = 100e-6
GROWTH_LIMIT = 10e6


@dataclass
class Figures:
    """Seconds for a call, wall clock and CPU, and RSS in bytes by number of calls."""

    plugins: list[str]
    wall: float = 0.0
    cpu: float = 0.0
    memory: dict[int, int] = field(default_factory=dict)


def _cells(layers: list[str]) -> Iterator[EvalScored]:
    """``CALLS`` cells of a table, again and again from its start where the table is smaller."""
    table = [(layer, ratio) for layer in layers for ratio in RATIOS]
    for number in range(CALLS):
        layer, ratio = table[number % len(table)]
        yield EvalScored(
            layer=layer,
            comp_ratio=ratio,
            score=0.9 * ratio,
            rank=8,
            achieved_comp_ratio=ratio,
            macs=1e6 * ratio,
            weights=1000,
            seconds=0.01,
            completed=number + 1,
            total=CALLS,
        )


def _begin(announcer: Announcer, layers: list[str]) -> None:
    infos = {name: LayerInfo(kind="Conv2d", weight_shape=(64, 64, 3, 3), macs=1e6, weights=36864) for name in layers}
    announcer.announce(
        RunStarted(
            run_name="benchmark",
            model_name="benchmark",
            scheme="spatial_svd",
            cost_metric="mac",
            settings={"direction": "maximize"},
            layers=infos,
            fingerprint="0",
        )
    )
    announcer.announce(BaselineScored(score=0.9, seconds=0.01))
    announcer.announce(
        ExplorationStarted(layers=tuple(layers), candidates=RATIOS, total=CALLS, reused=0, evaluations=CALLS)
    )


def _end(announcer: Announcer, layers: list[str]) -> None:
    chosen = dict.fromkeys(layers, 0.5)
    announcer.announce(RatiosSelected(comp_ratios=chosen, target_comp_ratio=0.5, achieved_comp_ratio=0.5))
    announcer.announce(RunFinished(baseline_score=0.9, compressed_score=0.8, mac_ratio=0.5, memory_ratio=0.5))


def measure(layers: list[str], console: str) -> Figures:
    """Announce ``CALLS`` cells and measure."""
    os.fsync = lambda _: None
    importlib.import_module("bokeh.plotting")  # 40 MB that the view's thread imports: no growth with the calls
    plugins = discovery.select(None)
    figures = Figures([name for name, _ in plugins])
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(EventLog(Path(folder) / "run")) as log:
        settings = RunSettings(results_dir=Path(folder) / "run", run_name="benchmark", console=console)
        announcer = Announcer("benchmark", Hooks(plugins, {name: settings for name, _ in plugins}), log)
        _begin(announcer, layers)
        for number, event in enumerate(_cells(layers), start=1):
            wall, cpu = time.perf_counter(), time.process_time()
            announcer.announce(event)
            figures.wall += time.perf_counter() - wall
            figures.cpu += time.process_time() - cpu
            if number in MILESTONES:
                figures.memory[number] = _resident()
        _end(announcer, layers)
    figures.wall /= CALLS
    figures.cpu /= CALLS
    return figures


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def report(layers: int, console: str) -> None:
    """Measure in a fresh process and print the figures, each with what is required."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        subprocess.run(
            [sys.executable, __file__, "--layers", str(layers), "--console", console, "--output", str(output)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        found = json.loads(output.read_text())
    cells = min(CALLS, layers * len(RATIOS))
    drawn = {"auto": "plain lines", "on": "live panel"}[console]
    case = f"{cells:,} cells, {', '.join(found['plugins']) or 'no plugin'}, {drawn}"
    print(
        f"{case}: a call costs {found['wall'] * 1e6:.0f} microseconds ({found['cpu'] * 1e6:.0f} of CPU)  "
        f"(required: below {LIMIT * 1e6:.0f})"
    )
    memory = found["memory"]
    shown = ", ".join(f"{int(calls):,}: {size / 1e6:.0f} MB" for calls, size in memory.items())
    growth = memory[str(CALLS)] - memory[str(MILESTONES[0])]
    required = f"required: less than {GROWTH_LIMIT / 1e6:.0f} MB" if cells < CALLS else "grows with the table"
    print(f"{case}: RSS after calls {shown}; growth {growth / 1e6:.1f} MB  ({required})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, help="one measurement in this process: layers of the table")
    parser.add_argument("--console", choices=("auto", "on"), default="auto", help="how that one's console draws")
    parser.add_argument("--output", type=Path, help="where its figures go, as JSON")
    arguments = parser.parse_args()
    if arguments.layers:
        figures = measure([f"layer{number}.conv" for number in range(arguments.layers)], arguments.console)
        arguments.output.write_text(json.dumps(asdict(figures)))
        return
    for layers in (50, CALLS // len(RATIOS)):
        for console in ("auto", "on"):
            report(layers, console)


if __name__ == "__main__":
    main()
