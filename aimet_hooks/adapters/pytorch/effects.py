"""What a traced call does to the channels of the layer before it."""

from __future__ import annotations

import operator
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.nn import functional

from aimet_hooks.adapters import effects
from aimet_hooks.adapters.pytorch.calls import own_behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimet_hooks.adapters.effects import Effect, Place

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_KEEPING_SAMPLES = (*_BATCH_NORMS, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_SIZE_METHODS = ("size", "dim", "ndimension", "numel")
_SIZE_ATTRIBUTES = ("dtype", "device", "shape", "ndim")


def reads_no_values(node: fx.Node) -> bool:
    """Whether a call asks for nothing but the size or type of a tensor."""
    if node.op == "call_method":
        return node.target in _SIZE_METHODS
    return node.target is getattr and node.args[1] in _SIZE_ATTRIBUTES


class Calls:
    """What the calls of a trace do.

    Args:
        graph: The trace.
        modules: Those that the calls name.
    """

    def __init__(self, graph: fx.Graph, modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        self._times = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that is called, None if it is a function or a method."""
        return self._modules[str(node.target)] if node.op == "call_module" else None

    def operation(self, node: fx.Node) -> str:
        """What is called, in a message; no name that is known if it may do more than the name says."""
        module = self.module(node)
        if module is not None:
            own = own_behaviour(module, type(module))
            return type(module).__name__ + (f" with {own}" if own else "")
        return str(getattr(node.target, "__name__", node.target))

    def batch_norm(self, node: fx.Node) -> str | None:
        """The name of the batch norm that is called, if it can be folded into the layer before it."""
        module = self.module(node)
        if not isinstance(module, _BATCH_NORMS) or own_behaviour(module, type(module)) or self._times[id(module)] != 1:
            return None
        return None if module.running_mean is None else str(node.target)

    def effect(self, node: fx.Node) -> Effect:
        """What a call does to the channels in its first argument, if it reads them there alone."""
        name = self.operation(node)
        if not _is_torchs(node, name):
            return effects.mixing
        if self.batch_norm(node) is not None:
            return effects.normalizing(None)
        match name.lower().replace("_", ""):
            case "flatten":
                bounds = self._given(node, start_dim=0, end_dim=-1)
                return effects.flattening if bounds == (1, -1) else effects.mixing
            case "view" | "reshape":
                return self._reshaping(node)
            case "mean" | "sum" | "amax":
                dim, keepdim, dtype = self._given(node, dim=(), keepdim=False, dtype=None)
                known = isinstance(keepdim, bool) and dtype is None
                return effects.reducing(_axes(dim), keeps_axes=keepdim) if known else effects.mixing
            case "squeeze":
                return effects.squeezing(_axes(*self._given(node, dim=())))
            case "adaptiveavgpool1d" | "adaptiveavgpool2d" | "adaptiveavgpool3d":
                (size,) = self._given(node, output_size=None)
                return effects.pooling(int(name[-2]), to_one=size is not None and set(_axes(size)) == {1})
        return effects.effect_of(name)

    def _given(self, node: fx.Node, **defaults: Any) -> tuple[Any, ...]:
        """Arguments of a call behind the first, in the order of the parameters; attributes of a module."""
        module = self.module(node)
        if module is not None:
            return tuple(getattr(module, name) for name in defaults)
        values = defaults | dict(zip(defaults, node.args[1:], strict=False)) | node.kwargs
        return tuple(values[name] for name in defaults)

    def _reshaping(self, node: fx.Node) -> Effect:
        """Of ``x.view(x.size(0), -1)`` and the like, and of ``x.view(-1, channels)`` with one position left."""
        sizes = node.args[1] if len(node.args) == 2 else node.args[1:]
        if not isinstance(sizes, (tuple, list)) or len(sizes) != 2 or node.kwargs:
            return effects.mixing
        first = sizes[0]
        if isinstance(first, fx.Node) and _measured(first) in set(self._of_as_many_samples(node.args[0])):
            return effects.flattening

        def effect(place: Place) -> Place | None:
            return effects.flattening(place) if place.single and tuple(sizes) == (-1, place.channels) else None

        return effect

    def _of_as_many_samples(self, value: Any) -> Iterator[fx.Node]:
        """A value, and those before it up to where the first axis may become another."""
        while isinstance(value, fx.Node):
            yield value
            if not self._keeps_samples(value):
                return
            value = next(iter(value.args), None)

    def _keeps_samples(self, node: fx.Node) -> bool:
        module, name = self.module(node), self.operation(node)
        if type(module) in _KEEPING_SAMPLES:
            return name == type(module).__name__
        return _is_torchs(node, name) and effects.effect_of(name) is not effects.mixing


def _is_torchs(node: fx.Node, name: str) -> bool:
    """Whether a function is torch's own, and not one of the same name. Modules that are traced as a whole are."""
    return node.op != "call_function" or any(getattr(space, name, None) is node.target for space in (torch, functional))


def _axes(given: Any) -> tuple[int, ...]:
    """One number or several; none if it is no number."""
    numbers = given if isinstance(given, (tuple, list)) else (given,)
    return tuple(numbers) if all(type(number) is int for number in numbers) else ()


def _measured(node: fx.Node) -> Any:
    """The value whose first size a node is, as ``x.size(0)`` or ``x.shape[0]``; None if it is none."""
    if node.op == "call_method" and node.target == "size" and node.args[1:] == (0,):
        return node.args[0]
    if node.target is not operator.getitem or node.args[1] != 0:
        return None
    sizes = node.args[0]
    if not isinstance(sizes, fx.Node):
        return None
    whole = sizes.target == "size" and len(sizes.args) == 1 and not sizes.kwargs
    return sizes.args[0] if whole or (sizes.target is getattr and sizes.args[1] == "shape") else None
