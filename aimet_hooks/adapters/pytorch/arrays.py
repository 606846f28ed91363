"""Inputs of a torch module, given as tensors, numpy arrays, or containers of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from aimet_hooks.errors import UsageError


def to_tensors(values: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """``values`` with every array, at any depth, as a tensor on ``device``; floating arrays in ``dtype``.

    Tensors keep their dtype; what is neither array nor tensor stays as it is.

    Raises:
        UsageError: If an array has a dtype that torch has not.
    """
    return pytree.tree_map(lambda value: _to_tensor(value, device, dtype), values)


def _to_tensor(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    try:
        tensor = torch.from_numpy(np.array(value))  # a copy: torch takes no negative strides and no read-only memory
    except TypeError as error:
        raise UsageError(f"an input is an array of dtype {value.dtype}, which torch does not take") from error
    return tensor.to(device, dtype if tensor.is_floating_point() else None)


def own_copies(values: Any) -> Any:
    """``values`` with every tensor copied, as a model may work in place."""
    return pytree.tree_map(lambda value: value.detach().clone() if isinstance(value, torch.Tensor) else value, values)


def tensors_in(values: Any) -> list[torch.Tensor]:
    """All tensors at any depth, in order."""
    return [value for value in pytree.tree_leaves(values) if isinstance(value, torch.Tensor)]
