"""Replace a node of an ONNX graph by two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimet_hooks.adapters.onnx_graph.survey import WeightNode
    from aimet_hooks.factorization import Factor, Replacement


def replace(graph: GraphProto, name: str, found: WeightNode, replacement: Replacement) -> None:
    """Put two nodes in the place of the node at ``found.index`` plus what was inserted before it.

    The node is looked for by its outputs, which stay the same. Its old weight goes, with everything that only led to
    it.
    """
    place = next(at for at, node in enumerate(graph.node) if found.weight.chain[-1] in node.input)
    node = graph.node[place]
    names = _fresh(graph, f"{name}/0", f"{name}/1", f"{name}/between", f"{name}/0.weight", f"{name}/1.weight")
    first_name, second_name, between, *weights = names
    first = _node(node, first_name, [node.input[0], weights[0]], [between], replacement.first)
    second = _node(node, second_name, [between, weights[1], *node.input[2:]], list(node.output), replacement.second)
    if node.op_type == "Gemm":  # alpha * (A B) + beta * C: the first node is the bare product
        _drop_attributes(first, ("alpha", "beta"))
    for tensor_name, factor in zip(weights, (replacement.first, replacement.second), strict=True):
        graph.initializer.append(_tensor(tensor_name, factor, found))
    graph.node[place].CopyFrom(second)
    graph.node.insert(place, first)
    _drop_unread(graph, found.weight.chain)


def _node(original: NodeProto, name: str, inputs: list[str], outputs: list[str], factor: Factor) -> NodeProto:
    node = NodeProto()
    node.CopyFrom(original)
    node.name = name
    node.input[:] = inputs
    node.output[:] = outputs
    if original.op_type == "Conv":
        _set_axes(node, factor)
    return node


def _set_axes(node: NodeProto, factor: Factor) -> None:
    """Keep stride, padding and dilation on the factor's axes only. ``auto_pad`` does that by itself."""
    spatial = factor.weight.ndim - 2
    neutral = {"strides": 1, "dilations": 1, "pads": 0}
    for attribute in node.attribute:
        if attribute.name in neutral:
            kept = [
                value if at % spatial in factor.axes else neutral[attribute.name]
                for at, value in enumerate(attribute.ints)
            ]
            attribute.ints[:] = kept
    _drop_attributes(node, ("kernel_shape",))
    node.attribute.append(helper.make_attribute("kernel_shape", factor.weight.shape[2:]))


def _drop_attributes(node: NodeProto, names: Iterable[str]) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)


def _tensor(name: str, factor: Factor, found: WeightNode) -> TensorProto:
    """The factor's weight in the type and the orientation of the weight that it replaces."""
    dtype = helper.tensor_dtype_to_np_dtype(found.weight.tensor.data_type)
    values: Any = factor.weight.T if found.transposed else factor.weight
    return numpy_helper.from_array(np.ascontiguousarray(values, dtype=dtype), name)


def _drop_unread(graph: GraphProto, chain: tuple[str, ...]) -> None:
    """Remove what made the old weight, from the last Identity back to the tensor, as far as nobody else reads it."""
    for value in reversed(chain):
        if GraphIndex(graph).readers(value):
            return
        for repeated in (graph.node, graph.initializer, graph.input, graph.value_info):
            for at in reversed(range(len(repeated))):
                item = repeated[at]
                if value in item.output if isinstance(item, NodeProto) else item.name == value:
                    del repeated[at]


def _fresh(graph: GraphProto, *wanted: str) -> list[str]:
    """Names that the graph does not have yet."""
    taken = {value for node in graph.node for value in (node.name, *node.input, *node.output)}
    taken.update(
        item.name for items in (graph.initializer, graph.input, graph.output, graph.value_info) for item in items
    )
    names = []
    for name in wanted:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name}.{count}"
        names.append(candidate)
    return names
