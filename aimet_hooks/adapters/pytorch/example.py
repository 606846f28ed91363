"""The example input of a torch module, and a run of it that leaves no trace."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from aimet_hooks.adapters.pytorch import arrays
from aimet_hooks.adapters.pytorch.memory import bits
from aimet_hooks.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.adapters import ExampleInput


class Example:
    """The arguments that the model is run with.

    Args:
        root: The model, for device and dtype.
        example: What the user gave.

    Attributes:
        device: Where the model is.
        samples: First dimension of the first tensor.
        writes_buffers: Whether a run was seen to write the model's buffers.

    Raises:
        UsageError: If neither a shape nor values are given.
    """

    def __init__(self, root: nn.Module, example: ExampleInput) -> None:
        first = next((parameter for parameter in root.parameters() if parameter.is_floating_point()), None)
        self.device = first.device if first is not None else torch.device("cpu")
        self._dtype = first.dtype if first is not None else torch.float32
        self._args, self._kwargs = self._arguments(example)
        tensors = arrays.tensors_in((self._args, self._kwargs))
        self.samples = next((max(1, tensor.shape[0]) for tensor in tensors if tensor.dim()), 1)
        self.writes_buffers = False
        self._ran = False

    def _arguments(self, example: ExampleInput) -> tuple[tuple[Any, ...], dict[str, Any]]:
        values = example.values
        if values is None and example.shape is None:
            raise UsageError(
                "a torch model does not tell its input: give input_shape=(1, 3, 224, 224) or example_inputs=..."
            )
        if values is None:
            generator = torch.Generator("cpu").manual_seed(0)
            values = torch.randn(example.shape or (), generator=generator, device="cpu").to(self.device, self._dtype)
        if isinstance(values, Mapping):
            return (), {str(name): self._tensors(value) for name, value in values.items()}
        if isinstance(values, (tuple, list)):
            return tuple(self._tensors(value) for value in values), {}
        return (self._tensors(values),), {}

    def _tensors(self, values: Any) -> Any:
        return arrays.to_tensors(values, self.device, self._dtype)

    def run(self, model: nn.Module) -> None:
        """Call the model; buffers, random states and the example's own values are afterwards as before.

        Raises:
            ModelError: If the very first call fails, which then is no replacement's fault.
        """
        args, kwargs = arrays.own_copies((self._args, self._kwargs))
        with _kept_random_state(self.device), self._kept_buffers(model):
            try:
                model(*args, **kwargs)
            except Exception as error:
                if self._ran:
                    raise
                text = " ".join(f"{type(error).__name__}: {error}".split())
                raise ModelError(
                    f"{type(model).__name__} fails on the example input: {text}; check input_shape or example_inputs"
                ) from error
        self._ran = True

    @contextlib.contextmanager
    def _kept_buffers(self, model: nn.Module) -> Iterator[None]:
        """Put buffers back that the forward pass writes; that it writes none is remembered from the first call."""
        if self._ran and not self.writes_buffers:
            yield
            return
        places = [(module._buffers, dict(module._buffers)) for module in model.modules() if module._buffers]
        values = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
        try:
            yield
        finally:
            for buffers, before in places:
                if [*map(id, buffers.values())] != [*map(id, before.values())]:
                    self.writes_buffers = True
                    buffers.clear()
                    buffers.update(before)
            for buffer, kept in values:
                if not torch.equal(bits(buffer), bits(kept)):
                    self.writes_buffers = True
                    buffer.copy_(kept)


@contextlib.contextmanager
def _kept_random_state(device: torch.device) -> Iterator[None]:
    """The random states of torch, numpy and Python, again afterwards."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - a model may draw from it
    devices = [] if device.type == "cpu" else [device]
    try:
        with torch.random.fork_rng(devices=devices, device_type=device.type if devices else "cuda"):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
