"""What a run holds while it works on a user's module: the module itself, eval mode, and what can be held at all."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from aimet_hooks.adapters.pytorch.tree import compiled_from
from aimet_hooks.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_in_use: set[int] = set()
_in_use_lock = threading.Lock()


def check_values(root: nn.Module) -> None:
    """Make sure that the module has layers that can be replaced and parameters with values.

    Raises:
        UsageError: If it is a ScriptModule.
        ModelError: If a parameter has no value.
    """
    if isinstance(root, torch.jit.ScriptModule):
        raise UsageError("model is a torch.jit.ScriptModule, whose layers cannot be replaced; give the nn.Module")
    for name, tensor in (*root.named_parameters(), *root.named_buffers()):
        if is_lazy(tensor):
            raise ModelError(f"parameter {name!r} is not initialized; run the model once on an input first")
        if tensor.is_meta:
            raise ModelError(f"parameter {name!r} is on the meta device and has no values; load the weights first")


@contextlib.contextmanager
def claimed(root: nn.Module) -> Iterator[None]:
    """Have the module, with all that lies below it, for one run alone.

    Raises:
        UsageError: If another run works on any of its modules.
    """
    modules = {id(module) for module in root.modules()}
    with _in_use_lock:
        if modules & _in_use:
            raise UsageError(
                f"this {type(root).__name__} is in use by another run in this process; wait for it, or give a copy"
            )
        _in_use.update(modules)
    try:
        yield
    finally:
        with _in_use_lock:
            _in_use.difference_update(modules)


@contextlib.contextmanager
def evaluating(root: nn.Module) -> Iterator[None]:
    """Eval mode and eager calls inside; each module's own flags and compiled calls again afterwards."""
    before = [
        (module, module.training, module._compiled_call_impl, vars(module).get("forward")) for module in root.modules()
    ]
    try:
        for module, *_ in before:
            module.training = False
            if module._compiled_call_impl is not None:
                module._compiled_call_impl = None
            original = compiled_from(module)
            if original is not None:
                vars(module)["forward"] = original.__call__
        yield
    finally:
        for module, training, compiled_call, forward in before:
            module.training = training
            if compiled_call is not None:
                module._compiled_call_impl = compiled_call
            if compiled_from(module) is not None:
                vars(module)["forward"] = forward


def set_eval(root: nn.Module) -> None:
    """Eval mode, by the flags alone: a module's own ``train`` may do more than set them."""
    for module in root.modules():
        if module.training:
            module.training = False
