"""What the analysis of weight ranges costs for a network of ResNet-50's size, beside the quartiles of numpy alone.

Prints the CPU time of ``analyze_weight_ranges`` (the layer's rows from the torch modules to the DataFrame) and of
``summarize_weight_ranges``, each divided by that of ``numpy.percentile(rows, [25, 50, 75], axis=1)`` over the same
layers: medians of interleaved repeats on one thread. Run it from the repository; it takes half a minute::

    python benchmarks/weight_ranges.py
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from aimet_hooks.quantization import analyze_weight_ranges, summarize_weight_ranges

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 5
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Channels and blocks of each stage of ResNet-50 (He et al. 2015, table 1)."""


def resnet50_layers() -> nn.ModuleList:
    """The 53 convolutions and the linear layer of ResNet-50; they are never called."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, bias=False)]
    inputs = 64
    for width, blocks in STAGES:
        for block in range(blocks):
            shapes = [(inputs, width, 1), (width, width, 3), (width, 4 * width, 1)]
            shapes += [(inputs, 4 * width, 1)] if block == 0 else []
            layers += [nn.Conv2d(m, n, k, bias=False) for m, n, k in shapes]
            inputs = 4 * width
    return nn.ModuleList([*layers, nn.Linear(inputs, 1000)])


def seconds(action: Callable[[], object]) -> float:
    begin = time.process_time()
    action()
    return time.process_time() - begin


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = resnet50_layers()
    rows = [layer.weight.detach().flatten(1).numpy() for layer in model]
    actions: dict[str, Callable[[], object]] = {
        "numpy.percentile": lambda: [np.percentile(layer, [25, 50, 75], axis=1) for layer in rows],
        "analyze_weight_ranges": lambda: analyze_weight_ranges(model),
        "analyze_weight_ranges, one scale a layer": lambda: analyze_weight_ranges(model, per_channel=False),
        "summarize_weight_ranges": lambda: summarize_weight_ranges(model),
    }
    actions["analyze_weight_ranges"]()  # imports pandas
    times = [{name: seconds(action) for name, action in actions.items()} for _ in range(REPEATS)]
    yardstick = statistics.median(run["numpy.percentile"] for run in times)
    print(f"{len(rows)} layers, {sum(layer.size for layer in rows):,} weights; median of {REPEATS}")
    for name in actions:
        found = statistics.median(run[name] for run in times)
        print(f"{name}: {found:.2f} s of CPU, {found / yardstick:.2f} times numpy.percentile  (required: at most 3)")


if __name__ == "__main__":
    main()
