"""What the live page costs the thread that computes: a run with the page on against one without, in one process.

A network of the demo's size is explored again and again, in turn without any plugin and with the plugin ``bokeh`` on a
real ``bokeh serve`` process; the CPU time of the calling thread is taken around ``compress_model``, and the wall clock.
The report in one file is left out (no results directory): it is drawn by the view's own thread. It takes about two
minutes::

    python benchmarks/view_cost.py
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before numpy is imported

import logging
import statistics
import time

from aimet_hooks import GreedySelection, compress_model, demo, start_bokeh_server_session
from aimet_hooks.adapters.onnx_graph.session_options import with_threads

ROUNDS = 12
REPEATS = 4
"""Evaluations of the test images a cell: one takes as long as it would on a larger network."""

LIMIT = 1.02


def measure(url: str | None) -> tuple[float, float]:
    """CPU seconds of this thread and seconds by the clock for one run."""
    accuracy = demo.accuracy()

    def evaluate(session: object) -> float:
        for _ in range(REPEATS - 1):
            accuracy(session)
        return accuracy(session)

    cpu, wall = time.thread_time(), time.perf_counter()
    compress_model(
        demo.model_path(),
        evaluate,
        input_shape=demo.INPUT_SHAPE,
        selection=GreedySelection(target_comp_ratio=0.5),
        layers_to_ignore=[demo.HEAD],
        plugins=[] if url is None else ["bokeh"],
        visualization_url=url,
        session_options=with_threads(1),
    )
    return time.thread_time() - cpu, time.perf_counter() - wall


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    url, server = start_bokeh_server_session()
    try:
        measure(url), measure(None)  # imports, first connection
        pairs = [(measure(None), measure(url)) for _ in range(ROUNDS)]
    finally:
        server.terminate()
        server.wait()
    for number, (name, required) in enumerate((("CPU of the computing thread", True), ("wall clock", False))):
        ratios = [with_view[number] / without[number] for without, with_view in pairs]
        without = statistics.median(pair[0][number] for pair in pairs)
        spread = f"quartiles {statistics.quantiles(ratios)[0]:.3f} to {statistics.quantiles(ratios)[2]:.3f}"
        bound = f"  (required: at most {LIMIT})" if required else ""
        print(
            f"{name}: {statistics.median(ratios):.3f} times that of a run without view, median of {ROUNDS} pairs, "
            f"{spread}; without {without:.2f} s{bound}"
        )


if __name__ == "__main__":
    main()
