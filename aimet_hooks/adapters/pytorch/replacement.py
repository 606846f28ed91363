"""Make the plain torch modules that stand for a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from aimet_hooks.factorization import Factor, Replacement


def sequential(module: nn.Module, replacement: Replacement) -> nn.Sequential:
    """Two modules in a row for a Conv1d, Conv2d or Linear, on its device, in its dtype and training mode.

    The weights are new and need a gradient if the layer's did; the second module takes the layer's own bias.
    """
    first, second = (
        skeleton(module, factor.weight.shape, factor.axes) for factor in (replacement.first, replacement.second)
    )
    first.weight = _parameter(replacement.first, module)
    second.weight = _parameter(replacement.second, module)
    second.bias = module.bias
    return nn.Sequential(first, second).train(module.training)


def skeleton(module: nn.Module, shape: tuple[int, ...], axes: tuple[int, ...]) -> nn.Module:
    """One of the two modules, its weight not there yet (on the meta device: no memory, no random numbers)."""
    if isinstance(module, nn.Linear):
        return nn.Linear(shape[1], shape[0], bias=False, device="meta")
    if not isinstance(module, (nn.Conv1d, nn.Conv2d)):
        raise TypeError(f"{type(module).__name__} has no replacement")
    kind = nn.Conv1d if isinstance(module, nn.Conv1d) else nn.Conv2d

    def on_axes(values: tuple[int, ...], otherwise: int) -> tuple[int, ...]:
        return tuple(value if axis in axes else otherwise for axis, value in enumerate(values))

    return kind(
        shape[1],
        shape[0],
        shape[2:],  # type: ignore[arg-type]
        stride=on_axes(module.stride, 1),  # type: ignore[arg-type]
        padding=module.padding if isinstance(module.padding, str) else on_axes(module.padding, 0),  # type: ignore[arg-type]
        dilation=on_axes(module.dilation, 1),  # type: ignore[arg-type]
        bias=False,
        padding_mode=module.padding_mode,
        device="meta",
    )


def _parameter(factor: Factor, module: nn.Module) -> nn.Parameter:
    weight = module.weight
    if not isinstance(weight, torch.Tensor):
        raise TypeError(f"{type(module).__name__} has no weight")
    values = torch.from_numpy(np.ascontiguousarray(factor.weight))
    return nn.Parameter(
        values.to(device=weight.device, dtype=weight.dtype, copy=True), requires_grad=weight.requires_grad
    )
