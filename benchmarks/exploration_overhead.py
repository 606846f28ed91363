"""What an exploration costs beside its evaluations and decompositions, on ResNet-18's shape.

Prints for torch and for ONNX (the same network, exported):

- CPU time from on_exploration_started to on_ratios_selected, divided by the CPU time of the evaluations (inside the
  callback) and of one SVD a layer (measured by itself);
- peak memory of ``compress_model`` (high-water mark of a fresh process less its size right before the call), against
the
  model's size and what one SVD of its largest layer adds (measured in a process of its own).

What the run imports while it goes on counts as its memory. Run it from the repository, on Linux; it takes about two
minutes::

    python benchmarks/exploration_overhead.py            # all figures
    python benchmarks/exploration_overhead.py --profile  # where the CPU time goes, torch
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before numpy is imported

import argparse
import cProfile
import gc
import json
import logging
import pstats
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from aimet_hooks import GreedySelection, compress_model, hookimpl

INPUT_SHAPE = (8, 3, 64, 64)
CPU_LIMIT = 1.25
SVD_LIMIT = 1.2
MEGABYTE = 1e6


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, with batch norm (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 with random weights of a fixed seed, in eval mode: 11.7 million weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [BasicBlock(channels, outputs, stride), BasicBlock(outputs, outputs, 1)]
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)).eval()


@dataclass
class Figures:
    """What one run measured, CPU seconds and bytes."""

    exploration: float = 0.0
    evaluations: float = 0.0
    cells: int = 0
    decompositions: float = 0.0
    memory: int = 0
    model: int = 0


@dataclass
class Stopwatch:
    """A reporter: CPU time from the first hook of the exploration to the choice."""

    figures: Figures = field(default_factory=Figures)

    @hookimpl
    def on_exploration_started(self, event: Any) -> None:
        self.figures.exploration = -time.process_time()
        self.figures.evaluations = 0.0
        self.figures.cells = event.evaluations

    @hookimpl
    def on_ratios_selected(self) -> None:
        self.figures.exploration += time.process_time()


def run(framework: str) -> Figures:
    """Explore the network once with nothing but a stopwatch for a reporter."""
    torch.set_num_threads(1)
    logging.getLogger("aimet_hooks").setLevel(logging.ERROR)
    watch = Stopwatch()
    figures = watch.figures
    batch = np.random.default_rng(0).standard_normal(INPUT_SHAPE).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        model, forward, options = _prepared(framework, batch, Path(folder))
        figures.model = sum(parameter.numel() * parameter.element_size() for parameter in resnet18().parameters())
        reference: list[np.ndarray] = []

        def closeness(native: Any) -> float:
            begin = time.process_time()
            output = forward(native)
            if not reference:
                reference.append(output)
            score = -float(np.square(output - reference[0]).mean())
            figures.evaluations += time.process_time() - begin
            return score

        gc.collect()
        before = _reset_peak()
        compress_model(model, closeness, plugins=[watch], selection=GreedySelection(target_comp_ratio=0.5), **options)
        figures.memory = _memory("VmHWM") - before
    figures.decompositions = _decompose_all(resnet18())
    return figures


def _prepared(framework: str, batch: np.ndarray, folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """The model, how to run it, and the arguments that it needs."""
    if framework == "torch":
        inputs = torch.from_numpy(batch)
        return resnet18(), lambda module: module(inputs).numpy(), {"input_shape": INPUT_SHAPE}
    import onnxruntime

    path = folder / "resnet18.onnx"
    subprocess.run([sys.executable, __file__, "--export", str(path)], check=True)  # its memory is not the run's
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return path, lambda session: session.run(None, {"input": batch})[0], {"session_options": options}


def export(path: Path) -> None:
    """Write the network as ONNX, weights inside."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            resnet18(),
            (torch.zeros(INPUT_SHAPE),),
            path,
            input_names=["input"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _matrices(network: nn.Module) -> list[np.ndarray]:
    """The matrices that spatial SVD decomposes, [m * kh, n * kw]."""
    return [
        module.weight.detach().permute(1, 2, 0, 3).flatten(2).flatten(0, 1).numpy()
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]


def _decompose_all(network: nn.Module) -> float:
    begin = time.process_time()
    for matrix in _matrices(network):
        np.linalg.svd(matrix, full_matrices=False)
    return time.process_time() - begin


def svd_memory() -> int:
    """What one SVD of the largest layer adds, in bytes: a fresh process calls this."""
    matrix = np.ascontiguousarray(max(_matrices(resnet18()), key=lambda found: found.size))
    gc.collect()
    before = _reset_peak()
    np.linalg.svd(matrix, full_matrices=False)
    return _memory("VmHWM") - before


def _reset_peak() -> int:
    """The size of this process now, in bytes; its high-water mark starts from there."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _measured(*arguments: str) -> Any:
    """What this script prints as JSON for some arguments, in a fresh process."""
    found = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return json.loads(found.stdout.splitlines()[-1])


def report() -> None:
    """Print the figures, each with what is required."""
    one_svd = _measured("--svd-memory")
    for framework, required in (("torch", True), ("onnx", False)):
        figures = Figures(**_measured("--run", framework))
        needed = figures.evaluations + figures.decompositions
        limit = figures.model + SVD_LIMIT * one_svd
        cpu_limit = f"required: at most {CPU_LIMIT}" if required else "no requirement"
        memory_limit = f"required: at most {limit / MEGABYTE:.0f} MB" if required else "no requirement"
        print(
            f"{framework}: exploration {figures.exploration:.2f} CPU s / ({figures.cells} evaluations "
            f"{figures.evaluations:.2f} s + one SVD a layer {figures.decompositions:.2f} s) = "
            f"{figures.exploration / needed:.3f}  ({cpu_limit})"
        )
        print(
            f"{framework}: peak memory {figures.memory / MEGABYTE:.0f} MB; model {figures.model / MEGABYTE:.0f} MB, "
            f"one SVD of its largest layer {one_svd / MEGABYTE:.0f} MB  ({memory_limit})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="print where the CPU time of the torch run goes")
    parser.add_argument("--run", choices=("torch", "onnx"), help="one run in this process; figures as JSON")
    parser.add_argument("--svd-memory", action="store_true", help="one SVD in this process; bytes as JSON")
    parser.add_argument("--export", type=Path, help="write the network as ONNX")
    arguments = parser.parse_args()
    if arguments.export:
        export(arguments.export)
    elif arguments.svd_memory:
        print(json.dumps(svd_memory()))
    elif arguments.run:
        print(json.dumps(asdict(run(arguments.run))))
    elif arguments.profile:
        profile = cProfile.Profile()
        profile.runcall(run, "torch")
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    else:
        report()


if __name__ == "__main__":
    main()
