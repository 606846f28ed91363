"""The result in the making: the only copy of the model."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

from aimet_hooks.adapters.pytorch import replacement as replacements
from aimet_hooks.adapters.pytorch.guard import evaluating
from aimet_hooks.adapters.pytorch.tree import copied, slots
from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import nn

    from aimet_hooks.adapters.pytorch.tree import Slot
    from aimet_hooks.factorization import Array, Replacement


class TorchBuild:
    """The copy that becomes the result.

    Args:
        root: The original, in eval mode.
        training: The training flags that its modules had, by id.
    """

    def __init__(self, root: nn.Module, training: Mapping[int, bool]) -> None:
        self.model = copied(root)
        for module, twin in zip(root.modules(), self.model.modules(), strict=True):
            twin.training = training.get(id(module), module.training)

    def weight(self, name: str) -> Array:
        """The present weight of a layer of the copy."""
        return replacements.weight_of(self._slot(name).module)

    def replace(self, name: str, replacement: Replacement) -> None:
        """Replace a layer of the copy for good."""
        slot = self._slot(name)
        slot.put(replacements.sequential(slot.module, replacement))

    def _slot(self, name: str) -> Slot:
        """The place as it is now: a trainer may have rebuilt what lies around it."""
        for slot in slots(self.model):
            if slot.name == name:
                return slot
        raise ModelError(f"layer {name!r} is gone from the model; trainer must leave the layers where they are")

    def train(self, trainer: Callable[[Any, str], object], name: str) -> None:
        """Call the trainer on the copy in train mode with gradients."""
        with evaluating(self.model), torch.enable_grad():
            self.model.train()
            trainer(self.model, name)

    @contextlib.contextmanager
    def evaluated(self) -> Iterator[nn.Module]:
        """The copy in eval mode, under no_grad."""
        with evaluating(self.model), torch.no_grad():
            yield self.model
