"""The weights of a torch module as it stores them, read without running it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from aimet_hooks.adapters.pytorch.guard import check_values
from aimet_hooks.adapters.pytorch.memory import Owners
from aimet_hooks.adapters.pytorch.partners import partners
from aimet_hooks.adapters.pytorch.tree import slots, unwrapped
from aimet_hooks.adapters.pytorch.weights import is_quantized, kind, matrices
from aimet_hooks.adapters.stored_weights import StoredLayer, outputs_first

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aimet_hooks.adapters.partners import Partner
    from aimet_hooks.factorization import Array

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_LISTED = (*_CONVOLUTIONS, nn.Linear, nn.MultiheadAttention)


class TorchWeights:
    """The convolutions, linear layers and input projections of attention of a ``torch.nn.Module``.

    Subclasses and parametrized modules count as what they are made from; modules that are quantized already do not.

    Args:
        model: The user's module, unwrapped from DataParallel, DistributedDataParallel and torch.compile.

    Raises:
        UsageError: If it is a ScriptModule.
        ModelError: If a parameter has no values.
    """

    def __init__(self, model: nn.Module) -> None:
        self._root = unwrapped(model)
        check_values(self._root)
        found = list(_weights(self._root))
        sharing = Owners((name, weight) for name, _, weight in found).sharing()
        self._modules = {id(module): name for name, module, _ in found}
        self.layers: Sequence[StoredLayer] = [
            _stored(name, module, weight, next((other for other in sharing.get(name, ()) if other != name), None))
            for name, module, weight in found
        ]

    def partners(self) -> Mapping[str, Partner]:
        """From a symbolic trace by torch.fx; the module is afterwards as before."""
        return partners(self._root, self.layers, self._modules)


def _weights(root: nn.Module) -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    """Every weight once, by the first of its module's names."""
    seen: set[int] = set()
    for slot in slots(root):
        if id(slot.module) in seen or not isinstance(slot.module, _LISTED) or is_quantized(slot.module):
            continue
        seen.add(id(slot.module))
        for key, weight in matrices(slot.module).items():
            if weight.numel() and weight.is_floating_point() and not key.startswith("bias"):
                name = slot.name if key in ("weight", "in_proj_weight") else f"{slot.name}.{key}".lstrip(".")
                yield name, slot.module, weight


def _stored(name: str, module: nn.Module, weight: torch.Tensor, shared_with: str | None) -> StoredLayer:
    return StoredLayer(
        name=name,
        kind=kind(module),
        groups=getattr(module, "groups", 1),
        convolution=isinstance(module, _CONVOLUTIONS),
        shared_with=shared_with,
        read=partial(_read, module, weight),
    )


def _read(module: nn.Module, weight: torch.Tensor) -> Array:
    dense = weight.detach() if weight.layout is torch.strided else weight.detach().to_dense()
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    values: Array = np.asarray(dense.to("cpu", dtype).resolve_neg().numpy())
    return outputs_first(values, module.groups) if isinstance(module, _TRANSPOSED) else values
