"""Make the plain torch modules that stand for a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from aimet_hooks.adapters.pytorch.weights import plain

if TYPE_CHECKING:
    from aimet_hooks.adapters.pytorch.weights import Plain
    from aimet_hooks.factorization import Array, Replacement


def weight_of(module: nn.Module) -> Array:
    """The weight of a layer: (out, in, *kernel), float64 for float64, else float32."""
    weight = plain(module).weight.detach()
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    array: Array = np.asarray(weight.to("cpu", dtype).numpy())
    return array


def sequential(module: nn.Module, replacement: Replacement) -> nn.Sequential:
    """Two modules in a row for a Conv1d, Conv2d or Linear, on its device, in its dtype and training mode.

    The weights are new and need a gradient if the layer's did; the second module takes the layer's own bias.
    """
    layer = plain(module)
    return in_a_row(
        layer,
        [
            (torch.from_numpy(np.ascontiguousarray(factor.weight)), factor.axes)
            for factor in (replacement.first, replacement.second)
        ],
    )


def in_a_row(layer: Plain, factors: list[tuple[torch.Tensor, tuple[int, ...]]]) -> nn.Sequential:
    """The modules with these weights, (out, in, *kernel), each with the layer's settings on its own spatial axes."""
    parts = []
    for values, axes in factors:
        part = _skeleton(layer, tuple(values.shape), axes)
        own = values.to(device=layer.weight.device, dtype=layer.weight.dtype, copy=True)
        part.weight = nn.Parameter(own, requires_grad=layer.weight.requires_grad)
        parts.append(part)
    parts[-1]._parameters["bias"] = layer._parameters["bias"]
    return nn.Sequential(*parts).train(layer.training)


def _skeleton(layer: Plain, shape: tuple[int, ...], axes: tuple[int, ...]) -> nn.Module:
    """One of the modules, its weight not there yet (on the meta device: no memory, no random numbers)."""
    if isinstance(layer, nn.Linear):
        return nn.Linear(shape[1], shape[0], bias=False, device="meta")

    def on_axes(values: tuple[int, ...], otherwise: int) -> tuple[int, ...]:
        return tuple(value if axis in axes else otherwise for axis, value in enumerate(values))

    padding = layer.padding if isinstance(layer.padding, str) else on_axes(layer.padding, 0)
    pads = padding == "same" and bool(axes) if isinstance(padding, str) else any(padding)
    kind: type[nn.Module] = nn.Conv1d if isinstance(layer, nn.Conv1d) else nn.Conv2d
    return kind(
        shape[1],
        shape[0],
        shape[2:],
        stride=on_axes(layer.stride, 1),
        padding=padding,
        dilation=on_axes(layer.dilation, 1),
        bias=False,
        padding_mode=layer.padding_mode if pads else "zeros",  # no mode copies the input, where there is nothing to pad
        device="meta",
    )
