"""A small network in both frameworks, whose second convolution may have one wide channel."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import nn

from tests.unit.adapters.onnx_networks import array, network, node

WIDE = 5


def torch_network(*, wide: float = 1.0) -> nn.Sequential:
    """Layers "0", "3", "5", "9"; channel 5 of "3" is ``wide`` times as wide, its column of "5" so much narrower."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 24, 3), nn.LeakyReLU()),
            *(nn.Conv2d(24, 24, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)),
        )
    with torch.no_grad():
        model[3].weight[WIDE] *= wide
        model[3].bias[WIDE] *= wide
        model[5].weight[:, WIDE] /= wide
    return model


def onnx_network(*, wide: float = 1.0) -> onnx.ModelProto:
    """The same with ONNX nodes "first", "wide", "next" and "fc"; it does not declare its input's shape."""
    weights = {"w1": array(16, 3, 3, 3), "w2": array(24, 16, 3, 3), "w3": array(24, 24, 3, 3), "w4": array(24, 10)}
    weights["w2"][WIDE] *= np.float32(wide)
    weights["w3"][:, WIDE] /= np.float32(wide)
    nodes = [
        node("Conv", "x w1", "a", "first"),
        node("Relu", "a", "b"),
        node("Conv", "b w2", "c", "wide"),
        node("Relu", "c", "d"),
        node("MaxPool", "d", "e", kernel_shape=[2, 2]),
        node("Conv", "e w3", "f", "next"),
        node("GlobalAveragePool", "f", "g"),
        node("Flatten", "g", "h"),
        node("Gemm", "h w4", "y", "fc"),
    ]
    return network(nodes, weights, inputs={"x": (None, 3, None, None)})


def equalized(model: nn.Sequential) -> nn.Sequential:
    """Layers "3" and "5" after cross-layer equalization (Nagel et al. 2019, equation 11)."""
    with torch.no_grad():
        first, second = model[3], model[5]
        widths = first.weight.abs().amax(dim=(1, 2, 3)), second.weight.abs().amax(dim=(0, 2, 3))
        factor = torch.sqrt(widths[0] * widths[1]) / widths[0]
        first.weight.mul_(factor[:, None, None, None])
        first.bias.mul_(factor)
        second.weight.div_(factor[None, :, None, None])
    return model
