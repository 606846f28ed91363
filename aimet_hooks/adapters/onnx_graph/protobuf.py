"""Copy ONNX models in parts: what is large is never copied on the way."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator


def copy_without(source: ModelProto, fields: Collection[str]) -> ModelProto:
    """A copy of a model in which these fields of the main graph are empty."""
    model = onnx.ModelProto()
    for descriptor, value in source.ListFields():
        if descriptor.name != "graph":
            _copy_field(model, descriptor.name, value)
    for descriptor, value in source.graph.ListFields():
        if descriptor.name not in fields:
            _copy_field(model.graph, descriptor.name, value)
    return model


def _copy_field(target: ModelProto | GraphProto, name: str, value: Any) -> None:
    field = getattr(target, name)
    if hasattr(field, "extend"):
        field.extend(value)
    elif hasattr(field, "CopyFrom"):
        field.CopyFrom(value)
    else:
        setattr(target, name, value)


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute.

    Raises:
        ModelError: If it is of another type than the default.
    """
    value = next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), default)
    if default is not None and type(value) is not type(default):
        raise ModelError(
            f"{node.op_type} node {node.name!r} has {name} = {value!r:.60}, which is no {type(default).__name__}"
        )
    return value


def subgraphs(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """The graphs in a node's attributes, as the branches of If and the body of Loop, by the attribute's name."""
    for found in node.attribute:
        if found.type == AttributeProto.GRAPH:
            yield found.name, found.g
        elif found.type == AttributeProto.GRAPHS:
            yield from ((found.name, graph) for graph in found.graphs)


def all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes, and those in their graphs."""
    for node in nodes:
        yield node
        for _, inner in subgraphs(node):
            yield from all_nodes(inner.node)


def nested_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """The tensors in attributes of nodes, and everything in their graphs: all but the initializers of ``graph``."""
    for node in graph.node:
        for found in node.attribute:
            if found.type == AttributeProto.TENSOR:
                yield found.t
            yield from found.tensors
        for _, inner in subgraphs(node):
            yield from inner.initializer
            yield from nested_tensors(inner)


def constant_tensor(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node that holds one."""
    if node.op_type != "Constant" or node.domain not in STANDARD_DOMAINS:
        return None
    tensors: Iterator[TensorProto] = (found.t for found in node.attribute if found.name == "value")
    return next(tensors, None)


def tensor_bytes(tensor: TensorProto) -> int | None:
    """Bytes that the values take; None for a type whose elements do not fill whole bytes, and for strings."""
    if tensor.data_type not in _WHOLE_BYTES:
        return None
    return int(prod(tensor.dims)) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


STANDARD_DOMAINS = ("", "ai.onnx")

_WHOLE_BYTES = {
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
    TensorProto.BOOL,
}
