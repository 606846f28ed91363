"""The example input of a torch module, and a run of it that leaves no trace."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from aimet_hooks.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.adapters import ExampleInput


class Example:
    """The arguments that the model is run with.

    Attributes:
        samples: First dimension of the first tensor.

    Raises:
        UsageError: If neither a shape nor values are given.
    """

    def __init__(self, root: nn.Module, example: ExampleInput) -> None:
        first = next((parameter for parameter in root.parameters() if parameter.is_floating_point()), None)
        self._device = first.device if first is not None else torch.device("cpu")
        self._dtype = first.dtype if first is not None else torch.float32
        self._args, self._kwargs = self._arguments(example)
        tensors = [value for value in (*self._args, *self._kwargs.values()) if isinstance(value, torch.Tensor)]
        self.samples = next((max(1, tensor.shape[0]) for tensor in tensors if tensor.dim()), 1)
        self._stateful: bool | None = None

    def _arguments(self, example: ExampleInput) -> tuple[tuple[Any, ...], dict[str, Any]]:
        values = example.values
        if values is None and example.shape is None:
            raise UsageError(
                "a torch model does not tell its input: give input_shape=(1, 3, 224, 224) or example_inputs=..."
            )
        if values is None:
            generator = torch.Generator().manual_seed(0)
            values = torch.randn(example.shape or (), generator=generator).to(self._device, self._dtype)
        if isinstance(values, Mapping):
            return (), {str(name): self._tensor(value) for name, value in values.items()}
        if isinstance(values, (tuple, list)):
            return tuple(self._tensor(value) for value in values), {}
        return (self._tensor(values),), {}

    def _tensor(self, value: Any) -> Any:
        return torch.from_numpy(value).to(self._device) if isinstance(value, np.ndarray) else value

    def run(self, model: nn.Module) -> None:
        """Call the model; random state and buffers are put back.

        Raises:
            ModelError: If the very first call fails, which then is no replacement's fault.
        """
        first = self._stateful is None
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), self._kept_buffers(model):
            try:
                model(*self._args, **self._kwargs)
            except Exception as error:
                if not first:
                    raise
                raise ModelError(
                    f"{type(model).__name__} fails on the example input: {type(error).__name__}: {error}; "
                    "check input_shape or example_inputs"
                ) from error

    @contextlib.contextmanager
    def _kept_buffers(self, model: nn.Module) -> Iterator[None]:
        """Put buffers back that the forward pass writes; that it writes none is remembered from the first call."""
        buffers = [] if self._stateful is False else list(model.buffers())
        before = [(buffer, buffer.detach().clone()) for buffer in buffers]
        try:
            yield
        finally:
            changed = [(buffer, kept) for buffer, kept in before if not torch.equal(buffer, kept)]
            self._stateful = bool(changed) or bool(self._stateful)
            for buffer, kept in changed:
                buffer.copy_(kept)
