"""How the defaults of ``find_problematic_layers`` separate sound layers from broken ones.

Prints, for sound networks, the fewest effective bits of any layer and the largest share of weights that become zero;
for the demo network, whose channels are made uneven without changing what it computes (one channel of a layer times f,
the next layer's weights for it divided by f), what the network loses if that one layer's weights are quantized with one
scale; and what it loses if the smallest weights of one layer, or some of its channels, become zero. Run it from the
repository; it takes half a minute::

    python benchmarks/quantization_thresholds.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from sklearn.datasets import load_digits
from torch import nn

from aimet_hooks import demo
from aimet_hooks.quantization import find_problematic_layers, summarize_weight_ranges
from aimet_hooks.quantization.quantizer import quantize_dequantize
from benchmarks.weight_ranges import resnet50_layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BITWIDTHS = (4, 8)
FACTORS = (1, 2, 4, 8, 16, 40, 100, 300)
ZEROED = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
NARROWED = (1 / 16, 1 / 8, 3 / 16, 1 / 4)
PAIRS = (("block1.conv1", "block1.conv2"), ("block2.conv1", "block2.conv2"), ("fc1", "head"))


def sound_networks() -> Iterator[tuple[str, nn.Module | str]]:
    torch.manual_seed(0)
    yield "demo network, trained", str(demo.model_path())
    yield "ResNet-50's layers, uniform initial weights (torch's default)", resnet50_layers()
    normal = resnet50_layers()
    for layer in normal:
        nn.init.kaiming_normal_(layer.weight)
    yield "ResNet-50's layers, normal initial weights (torchvision's)", normal
    for seed in range(3):
        yield f"digits, convolutional, trained, seed {seed}", trained_on_digits(seed)


def trained_on_digits(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    data = load_digits()
    images, labels = torch.tensor(data.images[:, None] / 16).float(), torch.tensor(data.target)
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU(), nn.Conv2d(32, 64, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(12):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return model


def print_sound_networks() -> None:
    for name, model in sound_networks():
        for bitwidth in BITWIDTHS:
            summary = summarize_weight_ranges(model, bitwidth=bitwidth)
            bits = summary["effective_bits_per_tensor"]
            print(
                f"{name}, {bitwidth} bits: {bits.min():.2f} effective bits in {bits.idxmin()!r}, the median layer "
                f"{bits.median():.2f}, widest channel {summary['relative_range'].max():.1f} times the median, at most "
                f"{summary['rounded_to_zero'].max():.2f} of a layer's weights become zero; "
                f"{len(find_problematic_layers(model, bitwidth=bitwidth))} of {len(bits)} layers listed"
            )


def uneven(weights: Mapping[str, np.ndarray], first: str, second: str, channel: int, factor: int) -> onnx.ModelProto:
    """The demo network with one channel of a layer times ``factor``; it computes the same."""
    changed = {name: values.copy() for name, values in weights.items()}
    changed[f"{first}.weight"][channel] *= factor
    changed[f"{first}.bias"][channel] *= factor
    changed[f"{second}.weight"][:, channel] /= factor
    return with_weights(changed)


def with_weights(weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    model = onnx.load(demo.model_path())
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return model


def accuracy(model: onnx.ModelProto) -> float:
    return demo.accuracy()(onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]))


def print_uneven_demo() -> None:
    stored = {item.name: numpy_helper.to_array(item) for item in onnx.load(demo.model_path()).graph.initializer}
    print(f"demo network in float: accuracy {accuracy(with_weights(stored)):.4f}")
    for bitwidth in BITWIDTHS:
        for first, second in PAIRS:
            for factor in FACTORS:
                print_one(stored, bitwidth, first, second, factor)


def print_one(stored: Mapping[str, np.ndarray], bitwidth: int, first: str, second: str, factor: int) -> None:
    scores, bits, listed = [], [], 0
    for channel in range(0, 32, 4):
        model = uneven(stored, first, second, channel, factor)
        bits.append(
            summarize_weight_ranges(model, layers=[first], bitwidth=bitwidth)["effective_bits_per_tensor"][first]
        )
        listed += first in {problem.layer for problem in find_problematic_layers(model, bitwidth=bitwidth)}
        weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        name = f"{first}.weight"
        weights[name] = quantize_dequantize(weights[name], bitwidth=bitwidth, per_channel=False).astype(np.float32)
        scores.append(accuracy(with_weights(weights)))
    print(
        f"{bitwidth} bits, {first}, one channel times {factor:3d}: {np.mean(bits):5.2f} effective bits, accuracy "
        f"{np.mean(scores):.4f} (worst {min(scores):.4f}), listed {listed} of {len(bits)}"
    )


def print_zeroed_demo() -> None:
    stored = {item.name: numpy_helper.to_array(item) for item in onnx.load(demo.model_path()).graph.initializer}
    for first, _ in PAIRS:
        name = f"{first}.weight"
        sizes = np.abs(stored[name])
        for share in ZEROED:
            kept = np.where(sizes > np.quantile(sizes, share), stored[name], 0)
            print(f"{first}, the smallest {share:.2f} of its weights zero: {accuracy(with_weights({name: kept})):.4f}")
        for share in NARROWED:
            scores = list(without_channels(stored, name, share))
            print(f"{first}, {share:.4f} of its channels zero: {np.mean(scores):.4f} (worst {min(scores):.4f})")


def without_channels(stored: Mapping[str, np.ndarray], name: str, share: float) -> Iterator[float]:
    """The accuracy without the weights of so many channels, for four choices of them."""
    for seed in range(4):
        weight = stored[name].copy()
        weight[np.random.default_rng(seed).permutation(len(weight))[: int(len(weight) * share)]] = 0
        yield accuracy(with_weights({name: weight}))


def main() -> None:
    torch.set_num_threads(1)
    print_sound_networks()
    print_uneven_demo()
    print_zeroed_demo()


if __name__ == "__main__":
    main()
