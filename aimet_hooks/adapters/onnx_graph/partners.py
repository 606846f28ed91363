"""Find the layer behind each layer of an ONNX graph, from its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.adapters.effects import mixing
from aimet_hooks.adapters.onnx_graph.effects import NodeEffects
from aimet_hooks.adapters.onnx_graph.graph_index import OUTPUT
from aimet_hooks.adapters.partners import Reader, partner_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import ModelProto

    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
    from aimet_hooks.adapters.onnx_graph.stored_node import StoredNode
    from aimet_hooks.adapters.partners import Partner
    from aimet_hooks.adapters.stored_weights import StoredLayer


def partners(
    model: ModelProto, index: GraphIndex, layers: Sequence[StoredLayer], found: Mapping[str, StoredNode]
) -> dict[str, Partner]:
    """The partner of every layer, by name.

    Args:
        model: With the main graph; the values of large initializers are not needed.
        index: Of the main graph.
        layers: Its layers.
        found: The layers' nodes, by name.
    """
    by_name = {layer.name: layer for layer in layers}
    nodes = dict(zip(index.names, model.graph.node, strict=True))
    effects = NodeEffects(model, index)

    def reader(name: str, value: str) -> Reader:
        if name == OUTPUT:
            return Reader(operation=OUTPUT, effect=mixing, result=None)
        node = nodes[name]
        multiplies = name in by_name and index.origin(found[name].data) == index.origin(value)
        return Reader(
            operation=node.op_type,
            effect=effects.of(node, value),
            result=node.output[0],
            layer=by_name[name] if multiplies else None,
            norm=name if effects.folds(node) else None,
        )

    def readers(value: str) -> list[Reader]:
        names = index.users(value)
        return [reader(name, value) for name in names if name == OUTPUT or not effects.measures(nodes[name])]

    return {layer.name: partner_of(layer, found[layer.name].node.output[0], readers) for layer in layers}
