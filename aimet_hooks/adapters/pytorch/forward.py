"""Run a torch module on numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn


def first_output(model: nn.Module, inputs: Any) -> npt.NDArray[Any]:
    """The first output for one batch, as a float array on the CPU.

    Args:
        model: Called under no_grad.
        inputs: Array or tensor, tuple of them, or dict by name.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

    def tensor(value: Any) -> Any:
        return torch.as_tensor(value, device=device) if isinstance(value, (np.ndarray, torch.Tensor)) else value

    with torch.no_grad():
        if isinstance(inputs, Mapping):
            output = model(**{str(name): tensor(value) for name, value in inputs.items()})
        else:
            output = model(*map(tensor, inputs if isinstance(inputs, tuple) else (inputs,)))
    while not isinstance(output, torch.Tensor):
        output = next(iter(output.values() if isinstance(output, Mapping) else output))
    return output.detach().to("cpu", torch.float64).numpy()
