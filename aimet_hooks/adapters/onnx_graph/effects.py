"""What an ONNX node does to the channels of the layer before it."""

from __future__ import annotations

import functools
from math import nan, prod
from typing import TYPE_CHECKING

from aimet_hooks.adapters import effects
from aimet_hooks.adapters.onnx_graph.protobuf import STANDARD_DOMAINS, attribute
from aimet_hooks.adapters.onnx_graph.shapes import inferred_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import ModelProto, NodeProto

    from aimet_hooks.adapters.effects import Effect
    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
    from aimet_hooks.adapters.onnx_graph.shapes import Shape

_REDUCING = ("ReduceMean", "ReduceSum", "ReduceMax")
_RESHAPING = ("Flatten", "Reshape", "Squeeze")
_MEASURING = ("Shape", "Size")


class NodeEffects:
    """The effects of a graph's nodes.

    Args:
        model: With the graph; the values of large initializers are not needed.
        index: Of the graph.
    """

    def __init__(self, model: ModelProto, index: GraphIndex) -> None:
        self._model = model
        self._index = index

    def of(self, node: NodeProto, value: str) -> Effect:
        """What a node that reads a value does to the channels in it."""
        if node.domain not in STANDARD_DOMAINS:
            return effects.mixing
        if node.op_type == "Add" and any(map(self._index.is_constant, node.input)):
            added = next(filter(self._index.is_constant, node.input))
            return effects.adding(self._rank(added))
        if self._index.origin(node.input[0]) != self._index.origin(value):
            return effects.mixing
        if node.op_type in _RESHAPING:
            return self._reshaping(node)
        if node.op_type in _REDUCING:
            axes = attribute(node, "axes", []) or self._index.integers(next(iter(node.input[1:]), "")) or ()
            return effects.reducing(axes, keeps_axes=bool(attribute(node, "keepdims", 1)))
        if self.folds(node):
            return effects.normalizing(self._rank(node.input[0]))
        return effects.effect_of(node.op_type)

    def folds(self, node: NodeProto) -> bool:
        """Whether a node is a batch norm that can be folded into the layer before it."""
        if node.op_type != "BatchNormalization" or node.domain not in STANDARD_DOMAINS or any(node.output[1:]):
            return False
        return all(map(self._index.is_constant, node.input[1:])) and not attribute(node, "training_mode", 0)

    def measures(self, node: NodeProto) -> bool:
        """Whether a node reads nothing but the shape of a value."""
        return node.op_type in _MEASURING and node.domain in STANDARD_DOMAINS

    @functools.cached_property
    def _shapes(self) -> Mapping[str, Shape]:
        return inferred_shapes(self._model)

    def _rank(self, value: str) -> int | None:
        tensor = self._index.constant(value)
        shape = self._shapes.get(value) if tensor is None else tensor.dims
        return None if shape is None else len(shape)

    def _reshaping(self, node: NodeProto) -> Effect:
        """Of a node that leaves the first axis as it is, and the second one too or makes one of all others."""
        if node.op_type == "Flatten" and attribute(node, "axis", 1) == 1:
            return effects.flattening
        before, after = (self._shapes.get(value, ()) for value in (node.input[0], node.output[0]))
        if len(before) > 2 and len(after) > 2 and _are_same(before[:2], after[:2]):
            return effects.regrouping(len(after))
        whole = len(before) > 1 and len(after) == 2
        flattens = whole and (_are_same(before[:1], after[:1]) or _product(before[1:]) == after[1])
        return effects.flattening if flattens else effects.mixing


def _are_same(first: Shape, second: Shape) -> bool:
    return first == second and None not in first


def _product(shape: Shape) -> float:
    """The number of elements; NaN if unknown, which is no number."""
    return prod(size if isinstance(size, int) else nan for size in shape)
