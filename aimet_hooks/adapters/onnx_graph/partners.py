"""Find the layer behind each layer of an ONNX graph, from its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.adapters.onnx_graph.protobuf import attribute
from aimet_hooks.adapters.partners import Reader, effect_of, partner_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import GraphProto, NodeProto

    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
    from aimet_hooks.adapters.partners import Effect, Partner
    from aimet_hooks.adapters.stored_weights import StoredLayer


def partners(
    graph: GraphProto, index: GraphIndex, layers: Sequence[StoredLayer], places: Mapping[str, int]
) -> dict[str, Partner]:
    """The partner of every layer, by name.

    Args:
        graph: The main graph.
        index: Its index.
        layers: Its layers.
        places: The layers' nodes, by name.
    """
    by_name = {layer.name: layer for layer in layers}
    nodes = dict(zip(index.names, graph.node, strict=True))

    def readers(value: str) -> list[Reader]:
        return [_reader(name, nodes.get(name), value, index, by_name.get(name)) for name in index.users(value)]

    return {layer.name: partner_of(layer, graph.node[places[layer.name]].output[0], readers) for layer in layers}


def _reader(name: str, node: NodeProto | None, value: str, index: GraphIndex, layer: StoredLayer | None) -> Reader:
    if node is None:  # the graph's output
        return Reader(name, "unknown", "")
    first = index.origin(node.input[0]) == index.origin(value)
    if layer is not None:
        return Reader(node.op_type, "unknown", node.output[0], layer)
    return Reader(node.op_type, _effect(node, index, first=first), node.output[0])


def _effect(node: NodeProto, index: GraphIndex, *, first: bool) -> Effect:
    if node.op_type == "Add" and any(map(index.is_constant, node.input)):
        return "bias"
    if not first:
        return "unknown"
    if node.op_type == "Flatten":
        return "flatten" if attribute(node, "axis", 1) == 1 else "unknown"
    return effect_of(node.op_type)
