"""The weights of an ONNX model as it stores them, read without a session."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from aimet_hooks.adapters.onnx_graph import external_data
from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
from aimet_hooks.adapters.onnx_graph.node_channels import channels_of
from aimet_hooks.adapters.onnx_graph.partners import partners
from aimet_hooks.adapters.onnx_graph.reading import name_of, read, understood
from aimet_hooks.adapters.onnx_graph.shapes import header, is_small
from aimet_hooks.adapters.onnx_graph.stored_node import StoredNode, stored_nodes
from aimet_hooks.adapters.onnx_graph.weight_store import prepared_graph
from aimet_hooks.adapters.stored_weights import StoredLayer
from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx
    from onnx import TensorProto

    from aimet_hooks.adapters.partners import Partner
    from aimet_hooks.factorization import Array

MOST_CHANNELS = 300_000
"""Outputs of a layer, each of which is a row of a table: more than the largest vocabularies have."""


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
        self.model_name = name_of(model, source)
        self._tensors = {tensor.name: tensor for tensor in source.graph.initializer}
        with understood(self.model_name):
            self._model = prepared_graph(source, self._base)
            self._model.graph.initializer.extend(map(self._without_values, source.graph.initializer))
            self._index = GraphIndex(self._model.graph)
            found = list(stored_nodes(self._model.graph, self._index))
            self._nodes = {node.name: node for node in found}
            self.layers: Sequence[StoredLayer] = [self._layer(node) for node in found]

    def names_within(self, module: object) -> set[str]:
        """Layers of an ONNX model are chosen by name only."""
        del module
        return set()

    def partners(self) -> Mapping[str, Partner]:
        """From the edges of the graph."""
        return partners(self._model, self._index, self.layers, self._nodes)

    def output(self, layer: str) -> str:
        """The value that a layer makes."""
        return str(self._nodes[layer].node.output[0])

    def node_with(self, layer: str, weight: Array, name: str) -> tuple[NodeProto, TensorProto]:
        """A copy of a layer's node that reads another weight, and that weight as the node takes it.

        Args:
            layer: Name of the layer.
            weight: Of the shape that ``read`` of the layer gives.
            name: What the tensor will be called; no value of the graph may be.
        """
        found, node = self._nodes[layer], NodeProto()
        node.CopyFrom(found.node)
        node.input[0 if found.is_left else 1] = name
        values = found.as_input(weight).astype(helper.tensor_dtype_to_np_dtype(found.tensor.data_type))
        return node, numpy_helper.from_array(np.ascontiguousarray(values), name)

    def _without_values(self, tensor: TensorProto) -> TensorProto:
        """An initializer without values, but for those that may say a shape."""
        return external_data.inlined(tensor, self._base) if is_small(tensor) else header(tensor, tensor.name)

    def _layer(self, found: StoredNode) -> StoredLayer:
        other = self._other_reader(found)
        return StoredLayer(
            name=found.name,
            kind=found.node.op_type,
            groups=found.groups,
            channels=channels_of(found, self._index),
            unscalable=None if other is None else f"its weight is shared with {other!r}",
            read=partial(self._read, found),
        )

    def _other_reader(self, found: StoredNode) -> str | None:
        """What else reads a layer's weight, as the layer does or as it is stored."""
        others = list(self._index.users(found.value))
        others.remove(found.name)
        if found.turning is not None:
            others += self._index.users(found.origin)
            others.remove(self._index.maker(found.value))
        return next(iter(others), None)

    def _read(self, found: StoredNode) -> Array:
        with understood(self.model_name):
            tensor = external_data.inlined(self._tensors.get(found.origin, found.tensor), self._base)
            stored = numpy_helper.to_array(tensor)
            values: Array = stored.astype(np.float64 if stored.dtype == np.float64 else np.float32, copy=False)
            weight = found.outputs_first(values)
        if len(weight) > MOST_CHANNELS:
            raise ModelError(f"{found.name!r} of {self.model_name} has {len(weight):,} channels, which no layer has")
        return weight
