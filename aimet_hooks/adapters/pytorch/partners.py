"""Find the layer behind each layer of a torch module, from a symbolic trace."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from aimet_hooks.adapters.effects import mixing
from aimet_hooks.adapters.partners import NOTHING_FOLLOWS, Partner, Reader, partner_of
from aimet_hooks.adapters.pytorch.effects import Calls, reads_no_values
from aimet_hooks.adapters.pytorch.guard import evaluating

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from aimet_hooks.adapters.pytorch.memory import Owners
    from aimet_hooks.adapters.stored_weights import StoredLayer


def partners(
    root: nn.Module, layers: Sequence[StoredLayer], names: Mapping[int, str], weights: Owners
) -> dict[str, Partner]:
    """The partner of every layer, by name.

    Args:
        root: The module.
        layers: Its layers.
        names: The layers' names by the id of their modules.
        weights: Whose weight a tensor is.
    """
    try:
        with _left_alone(root), evaluating(root):
            graph = _Tracer(names).trace(root)
            read = {weights.of(tensor) for tensor in _read_tensors(graph, root)}
    except Exception as error:  # forward is the user's code
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return {layer.name: Partner(None, f"torch.fx cannot trace the model: {text}") for layer in layers}
    known = {layer.name: _unscalable(layer) if layer.name in read else layer for layer in layers}
    trace = _Trace(graph, root, known, names)
    return {name: trace.partner(layer) for name, layer in known.items()}


def _read_tensors(graph: fx.Graph, root: nn.Module) -> Iterator[torch.Tensor]:
    """Parameters and other tensors whose values forward itself reads, beside those that its modules read."""
    for node in graph.nodes:
        if node.op == "get_attr" and not all(map(reads_no_values, node.users)):
            value: object = functools.reduce(getattr, str(node.target).split("."), root)
            if isinstance(value, torch.Tensor):
                yield value


def _unscalable(layer: StoredLayer) -> StoredLayer:
    reason = layer.unscalable or "the model reads its weight outside of it as well"
    return dataclasses.replace(layer, unscalable=reason)


class _Trace:
    """A graph of calls, in which modules with weights are layers."""

    def __init__(
        self, graph: fx.Graph, root: nn.Module, layers: Mapping[str, StoredLayer], names: Mapping[int, str]
    ) -> None:
        self._nodes = {node.name: node for node in graph.nodes}
        self._modules = dict(root.named_modules(remove_duplicate=False))
        self._layers = layers
        self._names = names
        self._does = Calls(graph, self._modules)
        self._calls: dict[str, list[fx.Node]] = {}
        for node in graph.nodes:
            layer = self._layer(node)
            if layer is not None:
                self._calls.setdefault(layer.name, []).append(node)

    def partner(self, layer: StoredLayer) -> Partner:
        """The layer's partner, or why it has none."""
        calls = self._calls.get(layer.name, [])
        if self._names.get(id(self._modules[""])) == layer.name:
            return Partner(None, NOTHING_FOLLOWS)
        if len(calls) != 1:
            return Partner(None, f"the model calls it {len(calls)} times as a module" if calls else _NOT_CALLED)
        found = partner_of(layer, calls[0].name, self._readers)
        again = len(self._calls[found.layer]) if found.layer else 1
        return found if again == 1 else Partner(None, f"the model calls {found.layer!r} {again} times")

    def _layer(self, node: fx.Node) -> StoredLayer | None:
        if node.op != "call_module":
            return None
        return self._layers.get(self._names.get(id(self._modules[str(node.target)]), ""))

    def _readers(self, value: str) -> list[Reader]:
        source = self._nodes[value]
        return [self._reader(user, source) for user in source.users if not reads_no_values(user)]

    def _reader(self, node: fx.Node, source: fx.Node) -> Reader:
        if node.op == "output":
            return Reader(operation="the model's output", effect=mixing, result=None)
        operation, layer = self._does.operation(node), self._layer(node)
        if layer is not None and isinstance(self._modules[str(node.target)], nn.MultiheadAttention):
            return Reader(operation=operation, effect=mixing, result=node.name)  # which reads several values
        others: list[fx.Node] = []
        fx.node.map_arg((node.args[1:], node.kwargs), others.append)
        takes_it_once = node.args[:1] == (source,) and source not in others
        return Reader(
            operation=operation,
            effect=self._does.effect(node) if takes_it_once else mixing,
            result=node.name,
            layer=layer,
            norm=self._does.batch_norm(node),
        )


class _Tracer(fx.Tracer):
    """Goes through the user's modules and stops at layers with weights and at torch's own modules."""

    proxy_buffer_attributes = True  # a buffer that forward writes to is not written while it is traced

    def __init__(self, layers: Collection[int]) -> None:
        super().__init__()
        self._layer_ids = layers

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether the trace does not look into a module."""
        return id(m) in self._layer_ids or super().is_leaf_module(m, module_qualified_name)


_NOT_CALLED = "torch.fx does not see the model call it as a module"


@contextlib.contextmanager
def _left_alone(root: nn.Module) -> Iterator[None]:
    """Undo what a traced forward does to the modules' attributes, what these hold, and torch's random state."""
    before: list[tuple[Any, Any]] = []
    for module in root.modules():
        held = [vars(module), *(value for value in vars(module).values() if isinstance(value, (list, dict, set)))]
        before += [(container, _content(container)) for container in held]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            yield
    finally:
        for container, values in before:
            container.clear()
            if isinstance(container, list):
                container.extend(values)
            else:
                container.update(values)


def _content(container: Any) -> Any:
    """What a list, dict or set holds, whatever class it is of."""
    return next(kind(container) for kind in (list, dict, set) if isinstance(container, kind))
