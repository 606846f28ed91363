"""The layers inside the graphs of If, Loop and Scan nodes: listed, never replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.adapters.onnx_graph import operators
from aimet_hooks.adapters.onnx_graph.protobuf import constant_tensor, subgraphs
from aimet_hooks.layers import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onnx import GraphProto, NodeProto, TensorProto

    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex

    TensorOf = Callable[[str], TensorProto | None]
    """The constant tensor that a value carries."""


class NestedLayers:
    """Nodes with constant weights below the main graph.

    Their MACs are not known: neither is how often they run.

    Args:
        index: The main graph; weights may lie there.
        samples: First dimension of the example input.
    """

    def __init__(self, index: GraphIndex, samples: int) -> None:
        self._index = index
        self._samples = samples
        self._names = set(index.names)

    def of(self, owner: str, node: NodeProto) -> Iterator[Layer]:
        """The layers in the graphs of one node of the main graph, ``owner`` being its name."""
        yield from self._below(owner, node, self._index.constant)

    def _below(self, owner: str, node: NodeProto, outside: TensorOf) -> Iterator[Layer]:
        for label, graph in subgraphs(node):
            tensor_of = _tensors_of(graph, outside)
            for place, inner in enumerate(graph.node):
                name = self._unique(
                    inner.name or next(filter(None, inner.output), f"#{place}"), f"{owner}/{label}/{place}"
                )
                layer = self._layer(name, inner, tensor_of, f"the {label} of {node.op_type} node {owner!r}")
                if layer is not None:
                    self._names.add(name)
                    yield layer
                yield from self._below(name, inner, tensor_of)

    def _unique(self, name: str, path: str) -> str:
        return name if name not in self._names else f"{path}/{name}"

    def _layer(self, name: str, node: NodeProto, tensor_of: TensorOf, where: str) -> Layer | None:
        values = [node.input[at] for at in operators.weight_places(node)]
        tensors = [tensor for value in values if (tensor := tensor_of(value)) is not None and len(tensor.dims) >= 2]
        if not tensors or (node.op_type == "Gather" and tensors[0].data_type not in operators.FLOATS):
            return None
        shapes = [tuple(tensor.dims) for tensor in tensors]
        return Layer(
            name=name,
            kind=node.op_type,
            weight_shape=shapes[0],
            macs=0,
            weights=operators.count_weights(node, shapes),
            samples=self._samples,
            reason=f"it lies in {where}; its MACs are not counted",
        )


def _tensors_of(graph: GraphProto, outside: TensorOf) -> TensorOf:
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        tensor = constant_tensor(node)
        if node.op_type == "Identity":
            tensor = tensors.get(node.input[0]) or outside(node.input[0])
        if tensor is not None:
            tensors[node.output[0]] = tensor
    return lambda value: tensors.get(value) or outside(value)
