"""Find the layer behind each layer of an ONNX graph, from its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.adapters.onnx_graph.graph_index import OUTPUT
from aimet_hooks.adapters.onnx_graph.protobuf import STANDARD_DOMAINS, attribute
from aimet_hooks.adapters.partners import Reader, effect_of, partner_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import GraphProto, NodeProto

    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
    from aimet_hooks.adapters.onnx_graph.stored_node import StoredNode
    from aimet_hooks.adapters.partners import Effect, Partner
    from aimet_hooks.adapters.stored_weights import StoredLayer


def partners(
    graph: GraphProto, index: GraphIndex, layers: Sequence[StoredLayer], found: Mapping[str, StoredNode]
) -> dict[str, Partner]:
    """The partner of every layer, by name.

    Args:
        graph: The main graph.
        index: Its index.
        layers: Its layers.
        found: The layers' nodes, by name.
    """
    by_name = {layer.name: layer for layer in layers}
    nodes = dict(zip(index.names, graph.node, strict=True))

    def reader(name: str, value: str) -> Reader:
        if name == OUTPUT:
            return Reader(OUTPUT, "end", "")
        node = nodes[name]
        if name in by_name and index.origin(found[name].data) == index.origin(value):
            return Reader(node.op_type, "unknown", node.output[0], by_name[name])
        return Reader(node.op_type, _effect(node, value, index), node.output[0])

    def readers(value: str) -> list[Reader]:
        return [reader(name, value) for name in index.users(value)]

    return {layer.name: partner_of(layer, found[layer.name].node.output[0], readers) for layer in layers}


def _effect(node: NodeProto, value: str, index: GraphIndex) -> Effect:
    if node.domain not in STANDARD_DOMAINS:
        return "unknown"
    if node.op_type == "Add" and any(map(index.is_constant, node.input)):
        return "bias"
    if index.origin(node.input[0]) != index.origin(value):
        return "unknown"
    if node.op_type == "Flatten":
        return "flatten" if attribute(node, "axis", 1) == 1 else "unknown"
    return effect_of(node.op_type)
