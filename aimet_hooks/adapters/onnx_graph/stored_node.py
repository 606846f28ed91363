"""The nodes whose weights are stored as constants, and how a weight lies in the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks.adapters.onnx_graph import operators
from aimet_hooks.adapters.onnx_graph.protobuf import attribute
from aimet_hooks.adapters.onnx_graph.survey import has_weight, weight_value
from aimet_hooks.adapters.stored_weights import outputs_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from onnx import NodeProto, TensorProto

    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
    from aimet_hooks.factorization import Array

CONVOLUTIONS = ("Conv", "ConvTranspose", "FusedConv", "NhwcFusedConv")
_PRODUCTS = ("Gemm", "MatMul", "FusedGemm", "FusedMatMul")


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A convolution or matrix product of the main graph with a constant float weight.

    Attributes:
        name: Name of the layer.
        place: Its place in the graph.
        node: The node itself.
        value: Name of the input that carries the weight.
        turning: The Transpose node that makes that input from the stored weight, None if nothing turns it.
        origin: Name of the stored weight: of an initializer, or of what a Constant node gives.
        tensor: The stored weight.
    """

    name: str
    place: int
    node: NodeProto
    value: str
    turning: NodeProto | None
    origin: str
    tensor: TensorProto

    @property
    def groups(self) -> int:
        """Groups that input channels are divided into."""
        return int(attribute(self.node, "group", 1))

    @property
    def is_convolution(self) -> bool:
        """Whether it is none of the products."""
        return self.node.op_type in CONVOLUTIONS

    @property
    def is_left(self) -> bool:
        """Whether the weight is the first input, as only that of a product can be."""
        return bool(self.value == self.node.input[0])

    @property
    def data(self) -> str:
        """The input that is multiplied by the weight."""
        return str(self.node.input[1 if self.is_left else 0])

    def outputs_first(self, stored: Array) -> Array:
        """The weight (out, in / groups, *kernel), or (out, ..., in) of a product, from the values of ``tensor``."""
        values = stored if self.turning is None else np.transpose(stored, attribute(self.turning, "perm", None))
        if self.node.op_type == "ConvTranspose":
            return outputs_first(values, self.groups)
        if self.is_convolution:
            return values
        if values.ndim == 1:
            return values[np.newaxis]
        first: Array = np.moveaxis(values, self.axes, (0, -1))
        return first

    def as_input(self, weight: Array) -> Array:
        """The values of ``value`` from such a weight."""
        if self.node.op_type == "ConvTranspose":
            return outputs_first(weight, self.groups)  # which is its own inverse
        if self.is_convolution:
            return weight
        if len(self.tensor.dims) == 1:
            return np.squeeze(weight, 0)
        values: Array = np.moveaxis(weight, (0, -1), self.axes)
        return values

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of ``value``, turned if it is."""
        dims = tuple(self.tensor.dims)
        if self.turning is None:
            return dims
        return tuple(dims[axis] for axis in attribute(self.turning, "perm", list(range(len(dims))[::-1])))

    @property
    def axes(self) -> tuple[int, int]:
        """The axes of a product's outputs and inputs: outputs are columns of a right operand, rows of a left one."""
        turned = bool(attribute(self.node, "transA" if self.is_left else "transB", 0))
        return (-2, -1) if self.is_left != turned else (-1, -2)


def stored_nodes(graph: onnx.GraphProto, index: GraphIndex) -> Iterator[StoredNode]:
    """Those of a graph, in its order. Weights that a Transpose node turns count, others that are computed do not."""
    for place, node in enumerate(graph.node):
        if node.op_type not in (*CONVOLUTIONS, *_PRODUCTS) or not has_weight(node, index):
            continue
        value = weight_value(node, index)
        producer = index.producer(value)
        turning = producer if producer is not None and producer.op_type == "Transpose" else None
        origin = index.origin(turning.input[0] if turning else value)
        tensor = index.constant(origin)
        if tensor is None or tensor.data_type not in operators.FLOATS or not tensor.dims or 0 in tensor.dims:
            continue
        if node.op_type in CONVOLUTIONS and len(tensor.dims) < 3:
            continue  # which nothing can run
        yield StoredNode(index.names[place], place, node, value, turning, origin, tensor)
