"""What stands against replacing a module, in words that say what to do where something can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize

from aimet_hooks.adapters.pytorch.weights import FLOATS, REPLACEABLE, is_quantized, kind, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.adapters.pytorch.observation import Usage
    from aimet_hooks.adapters.pytorch.tree import Slot


def reason_against(slot: Slot, *, aliases: Sequence[str], sharing: Sequence[str]) -> str | None:
    """Why a module cannot be replaced, from what it is and where it stands; None if nothing speaks against it.

    Args:
        slot: Its first place.
        aliases: The names of its other places.
        sharing: The names of other layers that use the same weight.
    """
    reason = _reason_of_type(slot.module)
    if reason is not None:
        return reason
    if any(hooks_of(slot.module)):
        return "it has hooks, which a replacement would lose; remove them first"
    if slot.parent is None:
        return "it is the whole model; put it into an nn.Sequential to compress it"
    if aliases:
        return f"the same module is also {aliases[0]!r}"
    if sharing:
        return f"its weight is shared with {sharing[0]!r}"
    return _reason_of_weight(slot.module)


def reason_in_use(usage: Usage) -> str | None:
    """Why a module cannot be replaced, from what the example showed of it."""
    if usage.calls == 0:
        return "the example input does not reach it"
    if usage.calls > 1:
        return f"it is called {usage.calls} times in one forward pass"
    return None if usage.geometry else "it does not map one tensor to one tensor"


def hooks_of(module: nn.Module) -> tuple[tuple[int, ...], ...]:
    """The ids of all its forward and backward hooks, by kind."""
    return (
        tuple(module._forward_pre_hooks),
        tuple(module._forward_hooks),
        tuple(module._backward_pre_hooks),
        tuple(module._backward_hooks),
    )


def _reason_of_type(module: nn.Module) -> str | None:
    if parametrize.is_parametrized(module):
        return "its weight is parametrized; torch.nn.utils.parametrize.remove_parametrizations makes it plain"
    if is_quantized(module):
        return f"{kind(module)} is a quantized module"
    if type(module) not in REPLACEABLE:
        base = next((base.__name__ for base in REPLACEABLE if isinstance(module, base)), None)
        name = kind(module)
        return f"{name} is a subclass of {base} and may compute something else" if base else f"{name} is not supported"
    if "forward" in vars(module):
        return "it has a forward of its own"
    if not isinstance(module._parameters.get("weight"), torch.Tensor):
        return "its weight is computed, not a parameter (weight_norm and the like); make it plain first"
    return None


def _reason_of_weight(module: nn.Module) -> str | None:
    groups = getattr(module, "groups", 1)
    if groups != 1:
        depthwise = groups == getattr(module, "in_channels", None)
        return f"{'depthwise' if depthwise else 'grouped'} convolution (groups={groups})"
    weight = plain(module).weight
    if weight.dtype not in FLOATS:
        return f"its weight is of dtype {weight.dtype}"
    if weight.layout is not torch.strided:
        return f"its weight is sparse ({weight.layout})"
    if type(weight) is not nn.Parameter:
        return f"its weight is a {type(weight).__name__}, no plain parameter"
    return None
