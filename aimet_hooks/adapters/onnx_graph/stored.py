"""The weights of an ONNX model as it stores them, read without a session."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from aimet_hooks.adapters.onnx_graph import external_data, operators
from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
from aimet_hooks.adapters.onnx_graph.partners import partners
from aimet_hooks.adapters.onnx_graph.protobuf import attribute
from aimet_hooks.adapters.onnx_graph.reading import read
from aimet_hooks.adapters.onnx_graph.survey import has_weight, weight_value
from aimet_hooks.adapters.onnx_graph.weight_store import prepared_graph
from aimet_hooks.adapters.stored_weights import StoredLayer, outputs_first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx

    from aimet_hooks.adapters.partners import Partner
    from aimet_hooks.factorization import Array

_CONVOLUTIONS = ("Conv", "ConvTranspose", "FusedConv", "NhwcFusedConv")
_PRODUCTS = ("Gemm", "MatMul", "FusedGemm", "FusedMatMul")


class OnnxWeights:
    """The convolutions and matrix products with constant float weights in the main graph of an ONNX model.

    Weights that a Transpose node turns count; those that other nodes compute, and quantized ones, do not.

    Args:
        model: The user's model, which is only read; its local functions are written out in a copy.

    Raises:
        ModelError: If the file cannot be read, is no ONNX model, or is of an opset before 11.
    """

    def __init__(self, model: onnx.ModelProto | str | Path) -> None:
        source, self._base = read(model)
        self._tensors = {tensor.name: tensor for tensor in source.graph.initializer}
        self._model = prepared_graph(source, self._base)
        self._model.graph.initializer.extend(_header(tensor) for tensor in source.graph.initializer)
        self._index = GraphIndex(self._model.graph)
        self._places: dict[str, int] = {}
        self.layers: Sequence[StoredLayer] = [
            layer for place, node in enumerate(self._model.graph.node) if (layer := self._layer(place, node))
        ]

    def partners(self) -> Mapping[str, Partner]:
        """From the edges of the graph."""
        return partners(self._model.graph, self._index, self.layers, self._places)

    def output(self, layer: str) -> str:
        """The value that a layer makes."""
        return str(self._model.graph.node[self._places[layer]].output[0])

    def node_with(self, layer: str, weight: Array, name: str) -> tuple[NodeProto, TensorProto]:
        """A copy of a layer's node that reads another weight, and that weight as the node takes it.

        Args:
            layer: Name of the layer.
            weight: Of the shape that ``read`` of the layer gives.
            name: What the tensor will be called; no value of the graph may be.
        """
        node = NodeProto()
        node.CopyFrom(self._model.graph.node[self._places[layer]])
        value = weight_value(node, self._index)
        tensor, turning = self._constant(value)
        assert tensor is not None  # noqa: S101  # or it would be no layer
        at = list(node.input).index(value)
        shape = _turned(np.broadcast_to(np.float32(0), tuple(tensor.dims)), turning).shape
        positions: Any = np.arange(weight.size).reshape(shape)
        order = _outputs_first(node, positions, left=at == 0)
        values = np.empty(weight.size, helper.tensor_dtype_to_np_dtype(tensor.data_type))
        values[order.ravel()] = weight.ravel()
        node.input[at] = name
        return node, numpy_helper.from_array(values.reshape(shape), name)

    def _layer(self, place: int, node: NodeProto) -> StoredLayer | None:
        if node.op_type not in (*_CONVOLUTIONS, *_PRODUCTS) or not has_weight(node, self._index):
            return None
        value = weight_value(node, self._index)
        tensor, turning = self._constant(value)
        if tensor is None or tensor.data_type not in operators.FLOATS or not tensor.dims or 0 in tensor.dims:
            return None
        name = self._index.names[place]
        self._places[name] = place
        return StoredLayer(
            name=name,
            kind=node.op_type,
            groups=attribute(node, "group", 1),
            convolution=node.op_type in _CONVOLUTIONS,
            shared_with=next((user for user in self._index.users(value) if user != name), None),
            read=partial(_read, node, tensor, self._base, turning, left=value == node.input[0]),
        )

    def _constant(self, value: str) -> tuple[TensorProto | None, NodeProto | None]:
        """The tensor that a weight is stored in, its values perhaps left out, and the node that turns it."""
        turning = self._turning(value)
        stored = turning.input[0] if turning else value
        return self._tensors.get(self._index.origin(stored), self._index.constant(stored)), turning

    def _turning(self, value: str) -> NodeProto | None:
        """The Transpose node that makes a weight from a stored one."""
        producer = self._index.producer(value)
        return producer if producer is not None and producer.op_type == "Transpose" else None


def _header(tensor: TensorProto) -> TensorProto:
    """A tensor without its values."""
    return TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)


def _read(node: NodeProto, tensor: TensorProto, base: Path | None, turning: NodeProto | None, *, left: bool) -> Array:
    stored = numpy_helper.to_array(external_data.inlined(tensor, base))
    values: Array = stored.astype(np.float64 if stored.dtype == np.float64 else np.float32, copy=False)
    return _outputs_first(node, _turned(values, turning), left=left)


def _turned(values: Array, turning: NodeProto | None) -> Array:
    """A stored weight as the node takes it."""
    return values if turning is None else np.transpose(values, attribute(turning, "perm", None))


def _outputs_first(node: NodeProto, values: Array, *, left: bool) -> Array:
    """A weight as the node takes it, (out, in / groups, *kernel)."""
    if node.op_type == "ConvTranspose":
        return outputs_first(values, attribute(node, "group", 1))
    return values if node.op_type in _CONVOLUTIONS else _product_outputs_first(node, values, left=left)


def _product_outputs_first(node: NodeProto, values: Array, *, left: bool) -> Array:
    """(out, ..., in): outputs are the columns of a right operand, the rows of a left one."""
    if values.ndim == 1:
        return values[np.newaxis]
    turned = bool(attribute(node, "transA" if left else "transB", 0))
    outputs, inputs = (-2, -1) if left != turned else (-1, -2)
    return np.moveaxis(values, (outputs, inputs), (0, -1))
