"""The weights of a torch module as it stores them, read without running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from aimet_hooks.adapters.channels import Channels
from aimet_hooks.adapters.pytorch.calls import own_behaviour
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
        self.model_name = type(self._root).__name__
        self._found = found = list(stored_tensors(self._root))
        sharing = Owners(_tensors(self._root, found)).sharing()
        self._modules = {id(item.module): item.name for item in found}
        self.layers: Sequence[StoredLayer] = [
            _stored(item, next((other for other in sharing.get(item.name, ()) if other != item.name), None))
            for item in found
        ]

    def names_within(self, module: object) -> set[str]:
        """Names of the layers that are this module or lie below it."""
        inside = {id(child) for child in module.modules()} if isinstance(module, nn.Module) else set()
        return {item.name for item in self._found if id(item.module) in inside}

    def partners(self) -> Mapping[str, Partner]:
        """From a symbolic trace by torch.fx; the module is afterwards as before."""
        owners = Owners((item.name, item.tensor) for item in self._found)
        return partners(self._root, self.layers, self._modules, owners)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One weight of a module.

    Attributes:
        name: Name of the layer.
        module: Whose weight it is.
        key: Its name in the module.
        tensor: The weight itself, or what is made of the parameters that it is computed from.
    """

    name: str
    module: nn.Module
    key: str
    tensor: torch.Tensor

    @property
    def fixed(self) -> str | None:
        """Why another parameter cannot take its place."""
        if self.module._parameters.get(self.key) is self.tensor:
            return None
        return "its weight is computed from other parameters (a parametrization, weight_norm or pruning)"

    @property
    def channels(self) -> Channels:
        """Where its channels lie."""
        first, second, *kernel = self.tensor.shape
        if not isinstance(self.module, _CONVOLUTIONS):
            return Channels(outputs=first, inputs=second, output_axis=-1, input_axis=-1)
        groups, turned = self.module.groups, isinstance(self.module, _TRANSPOSED)
        return Channels(
            outputs=second * groups if turned else first,
            inputs=first if turned else second * groups,
            output_axis=1,
            input_axis=1,
            spatial=len(kernel),
        )

    def read(self) -> Array:
        """(out, in / groups, *kernel), float64 for float64, else float32, on the CPU."""
        weight = self.tensor.detach()
        dense = weight if weight.layout is torch.strided else weight.to_dense()
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        return self._turned(np.asarray(dense.to("cpu", dtype).resolve_neg().numpy()))

    def like(self, weight: Array) -> nn.Parameter:
        """A parameter of such values, on the device and in the type of the tensor."""
        values = torch.from_numpy(np.ascontiguousarray(self._turned(weight)))
        own = values.to(device=self.tensor.device, dtype=self.tensor.dtype, copy=True)
        return nn.Parameter(own, requires_grad=self.tensor.requires_grad)

    def _turned(self, values: Array) -> Array:
        """From inputs first to outputs first and back, where the module keeps its inputs first."""
        return outputs_first(values, self.module.groups) if isinstance(self.module, _TRANSPOSED) else values


def stored_tensors(root: nn.Module) -> Iterator[StoredTensor]:
    """Every weight once, by the first of its module's names."""
    seen: set[int] = set()
    for slot in slots(root):
        if id(slot.module) in seen or not isinstance(slot.module, _LISTED) or is_quantized(slot.module):
            continue
        seen.add(id(slot.module))
        for key, weight in matrices(slot.module).items():
            if weight.numel() and weight.is_floating_point() and not key.startswith("bias"):
                name = slot.name if key in ("weight", "in_proj_weight") else f"{slot.name}.{key}".lstrip(".")
                yield StoredTensor(name, slot.module, key, weight)


def _tensors(root: nn.Module, found: Sequence[StoredTensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Every parameter and buffer with its name; a layer's weight with that of the layer."""
    layers = {(id(item.module), item.key): item.name for item in found}
    for slot in {id(slot.module): slot for slot in slots(root)}.values():
        for key, tensor in (*slot.module._parameters.items(), *slot.module._buffers.items()):
            if tensor is not None:
                yield layers.get((id(slot.module), key), f"{slot.name}.{key}".lstrip(".")), tensor


def _stored(found: StoredTensor, shared_with: str | None) -> StoredLayer:
    shared = None if shared_with is None else f"its weight is shared with {shared_with!r}"
    own = own_behaviour(found.module, next(kind for kind in _LISTED if isinstance(found.module, kind)))
    return StoredLayer(
        name=found.name,
        kind=kind(found.module),
        groups=getattr(found.module, "groups", 1),
        channels=found.channels,
        unscalable=found.fixed or shared or (f"it has {own}" if own else None),
        read=found.read,
        fixed=found.fixed,
    )
