"""The tree of modules: its places, what is put there, and a copy of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the tree of modules. A name may hold anything, dots included, so it is never looked up again."""

    name: str
    parent: nn.Module | None
    key: str
    module: nn.Module

    def put(self, module: nn.Module) -> None:
        """Set what stands in this place.

        Raises:
            ModelError: If it is the root, which has no place.
        """
        if self.parent is None:
            raise ModelError("the model itself cannot be replaced")
        self.parent._modules[self.key] = module


def slots(root: nn.Module) -> Iterator[Slot]:
    """Every place of every module below ``root``, itself first, in the order of registration.

    A module in two places is there twice; what lies below it only once, under the first of its names. So cycles end.
    """
    pending = [Slot("", None, "", root)]
    entered: set[int] = set()
    while pending:
        slot = pending.pop()
        yield slot
        if id(slot.module) in entered:
            continue
        entered.add(id(slot.module))
        prefix = f"{slot.name}." if slot.name else ""
        for key, child in reversed(slot.module._modules.items()):
            if child is not None:
                pending.append(Slot(f"{prefix}{key}", slot.module, key, child))


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and what torch.compile made."""
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif (inner := compiled_from(model)) is not None:
            model = inner
        else:
            return model


def compiled_from(module: nn.Module) -> nn.Module | None:
    """What torch.compile was given, if ``module`` is what it made; found without importing the compiler."""
    return module._modules.get("_orig_mod") if type(module).__name__ == "OptimizedModule" else None


def copied(root: nn.Module) -> nn.Module:
    """A deep copy without gradients.

    Tensors that an old-style weight_norm or spectral_norm computed refuse to be copied; their values do for them, as
    they are computed again when the module is called.
    """
    twin = copy.deepcopy(root, {id(tensor): tensor.detach().clone() for tensor in _computed(root)})
    for parameter in twin.parameters():
        parameter.grad = None
    return twin


def check_copy(root: nn.Module) -> None:
    """Make sure that ``copied`` will work, without copying a tensor.

    Raises:
        ModelError: If it will not.
    """
    tensors = [*root.parameters(), *root.buffers(), *_computed(root)]
    try:
        copy.deepcopy(root, {id(tensor): tensor for tensor in tensors})
    except Exception as error:
        raise ModelError(
            f"{type(root).__name__} cannot be copied by copy.deepcopy, which the result needs: {error}"
        ) from error


def _computed(root: nn.Module) -> Iterator[torch.Tensor]:
    for module in root.modules():
        for value in (*vars(module).values(), *module._buffers.values()):
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                yield value
