"""Run a torch module on numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from aimet_hooks.adapters.pytorch import arrays

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn


def first_output(model: nn.Module, inputs: Any) -> npt.NDArray[Any]:
    """The first output for one batch, as a float array on the CPU.

    Args:
        model: Called under no_grad.
        inputs: Array or tensor, tuple of them, or dict by name.
    """
    first = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.empty(0))
    tensors = arrays.to_tensors(inputs, first.device, first.dtype)
    with torch.no_grad():
        if isinstance(tensors, Mapping):
            output = model(**{str(name): value for name, value in tensors.items()})
        else:
            output = model(*(tensors if isinstance(tensors, tuple) else (tensors,)))
    while not isinstance(output, torch.Tensor):
        output = next(iter(output.values() if isinstance(output, Mapping) else output))
    return output.detach().to("cpu", torch.float64).numpy()
