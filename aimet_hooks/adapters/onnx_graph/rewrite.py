"""Replace nodes of an ONNX graph by two each, or the weight of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from aimet_hooks.adapters.onnx_graph.protobuf import copy_without
from aimet_hooks.adapters.onnx_graph.weight_store import OLD_IR_VERSION

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    import onnx

    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
    from aimet_hooks.adapters.onnx_graph.stored_node import StoredNode
    from aimet_hooks.adapters.onnx_graph.survey import WeightNode
    from aimet_hooks.factorization import Array, Factor, Replacement


def rewritten(
    model: onnx.ModelProto, index: GraphIndex, replacements: Iterable[tuple[WeightNode, Replacement]]
) -> onnx.ModelProto:
    """A copy of a model, in one pass, with two nodes in the place of each of these.

    Their old weights are left out, with the Constant and Identity nodes that led to them: nobody else reads them.
    """
    new_nodes: dict[int, Sequence[NodeProto]] = {}
    new_weights: list[TensorProto] = []
    gone: set[str] = set()
    for found, replacement in replacements:
        node = model.graph.node[found.place]
        value = node.input[1]
        new_nodes.update(dict.fromkeys(index.carriers(value), ()))
        gone.update((index.origin(value), *(model.graph.node[at].output[0] for at in index.carriers(value))))
        weights, new_nodes[found.place] = _factored(node, found, replacement, index)
        new_weights += weights
    return _edited(model, new_nodes, gone, new_weights)


def reweighted(model: onnx.ModelProto, index: GraphIndex, found: StoredNode, weight: Array) -> onnx.ModelProto:
    """A copy of a model in which one node has another weight, (out, in / groups, *kernel).

    Its old weight is left out, with the nodes that led to it, unless somebody else reads it.
    """
    name = _fresh(f"{found.name}/weight", index.taken)
    node = NodeProto()
    node.CopyFrom(found.node)
    node.input[0 if found.is_left else 1] = name
    new_nodes: dict[int, Sequence[NodeProto]] = {found.place: (node,)}
    gone: set[str] = set()
    if index.users(found.value) == [found.name]:
        new_nodes.update(dict.fromkeys(index.carriers(found.value), ()))
        if found.turning is not None:
            new_nodes[list(model.graph.node).index(found.turning)] = ()
        if found.turning is None or len(index.users(found.origin)) == 1:
            new_nodes.update(dict.fromkeys(index.carriers(found.origin), ()))
            gone.add(found.origin)
    return _edited(model, new_nodes, gone, [_tensor(name, found.as_input(weight), found.tensor.data_type)])


def observed(model: onnx.ModelProto, value: str, data_type: int) -> onnx.ModelProto:
    """A copy of a model that gives one of its values as its only output."""
    result = copy_without(model, ("output",))
    result.graph.output.append(helper.make_tensor_value_info(value, data_type, None))
    return result


def _edited(
    model: onnx.ModelProto,
    new_nodes: Mapping[int, Sequence[NodeProto]],
    gone: Container[str],
    new_weights: Sequence[TensorProto],
) -> onnx.ModelProto:
    """A copy of a model with other nodes at some places, and other weights."""
    result = copy_without(model, ("node", "initializer", "input", "value_info"))
    for place, node in enumerate(model.graph.node):
        result.graph.node.extend(new_nodes.get(place, (node,)))
    for name in ("initializer", "input", "value_info"):
        getattr(result.graph, name).extend(item for item in getattr(model.graph, name) if item.name not in gone)
    result.graph.initializer.extend(new_weights)
    if model.ir_version <= OLD_IR_VERSION:
        result.graph.input.extend(_declared(tensor) for tensor in new_weights)
    return result


def _factored(
    node: NodeProto, found: WeightNode, replacement: Replacement, index: GraphIndex
) -> tuple[list[TensorProto], list[NodeProto]]:
    """The weights and the nodes that replace a node; inputs, outputs and bias are the node's own."""
    first_name, second_name, between, *weights = (
        _fresh(f"{found.name}/{part}", index.taken) for part in ("0", "1", "between", "0.weight", "1.weight")
    )
    first = _node(node, first_name, [node.input[0], weights[0]], [between], replacement.first)
    second = _node(node, second_name, [between, weights[1], *node.input[2:]], list(node.output), replacement.second)
    if node.op_type == "Gemm":  # alpha * (A B) + beta * C: the first node is the bare product
        _drop_attributes(first, ("alpha", "beta"))
    factors = (replacement.first.weight, replacement.second.weight)
    tensors = [
        _tensor(name, values.T if found.transposed else values, found.weight.data_type)
        for name, values in zip(weights, factors, strict=True)
    ]
    return tensors, [first, second]


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
            attribute.ints[:] = [
                value if at % spatial in factor.axes else neutral[attribute.name]
                for at, value in enumerate(attribute.ints)
            ]
    _drop_attributes(node, ("kernel_shape",))
    node.attribute.append(helper.make_attribute("kernel_shape", factor.weight.shape[2:]))


def _drop_attributes(node: NodeProto, names: Iterable[str]) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)


def _tensor(name: str, values: Any, data_type: int) -> TensorProto:
    """Values in the type of the weight that they replace."""
    if data_type == TensorProto.BFLOAT16:  # numpy has none
        return helper.make_tensor(name, TensorProto.BFLOAT16, values.shape, values.ravel())
    dtype = helper.tensor_dtype_to_np_dtype(data_type)
    return numpy_helper.from_array(np.ascontiguousarray(values, dtype=dtype), name)


def _declared(tensor: TensorProto) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)


def _fresh(wanted: str, taken: set[str]) -> str:
    """``wanted``, or with the first number behind it that makes it a name which the graph does not have yet."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}.{count}"
    return name
