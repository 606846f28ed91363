"""Whether a call of a module does what its type does, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_COMPUTING = ("forward", "_conv_forward", "__call__")


def own_behaviour(module: nn.Module, kind: type[nn.Module]) -> str | None:
    """What may make a call of a module differ from one of this type, as "a forward hook"; None if nothing does.

    Args:
        module: Of this type or a subclass.
        kind: One of torch's own types.
    """
    if module._forward_pre_hooks or module._forward_hooks:
        return "a forward hook"
    made = type(module)
    if any(name in vars(module) or getattr(made, name, None) != getattr(kind, name, None) for name in _COMPUTING):
        return "a forward of its own"
    return None
