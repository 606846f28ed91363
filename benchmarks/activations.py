"""What analyzing activations costs: CPU time and peak memory, beside plain runs of the same model.

The model has 40 convolutions of 32 channels, each with a ReLU, for images of 112 x 112: its tensors take 514 MB for a
batch of four. There are three batches. Each line is a process of its own; OMP_NUM_THREADS=1 keeps it on one thread.
Run it from the repository; it takes half a minute::

    python benchmarks/activations.py
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from aimet_hooks import analyze_activations, compare_quantized

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS, CHANNELS, SIZE, SAMPLES, BATCHES = 40, 32, 112, 4, 3


def network() -> onnx.ModelProto:
    """A chain of convolutions and ReLUs."""
    random = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for layer in range(LAYERS):
        values = random.standard_normal((CHANNELS, 3 if layer == 0 else CHANNELS, 3, 3), np.float32) / 12
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        value = f"r{layer}"
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [value]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, SIZE, SIZE])
        for name, channels in (("x", 3), (value, CHANNELS))
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, inputs: list[np.ndarray]) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for batch in inputs:
        session.run(None, {"x": batch})


def analyze(model: onnx.ModelProto, inputs: list[np.ndarray]) -> None:
    analyze_activations(model, inputs)


def compare(model: onnx.ModelProto, inputs: list[np.ndarray]) -> None:
    compare_quantized(model, inputs)


def measure(action: Callable[[onnx.ModelProto, list[np.ndarray]], None]) -> tuple[float, float]:
    """CPU seconds, and MB of memory beyond the imports and the inputs."""
    random = np.random.default_rng(1)
    inputs = [random.standard_normal((SAMPLES, 3, SIZE, SIZE), np.float32) for _ in range(BATCHES)]
    model = network()
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    action(model, inputs)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return time.process_time() - begin, used / 1024


def main() -> None:
    context = multiprocessing.get_context("spawn")
    for action in (run, analyze, compare):
        with context.Pool(1) as pool:
            seconds, megabytes = pool.apply(measure, (action,))
        print(f"{action.__name__:8} {seconds:6.2f} s {megabytes:6.0f} MB")


if __name__ == "__main__":
    main()
