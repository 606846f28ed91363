"""What must hold of an ONNX model before anything is computed from it. What only running shows, ONNX Runtime says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onnx import TensorProto, helper

from aimet_hooks.adapters.onnx_graph.external_data import is_external
from aimet_hooks.adapters.onnx_graph.protobuf import all_nodes, nested_tensors, tensor_bytes
from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from onnx import FunctionProto, ModelProto, NodeProto

    Called = tuple[str, str, str]
    """Domain, name and overload of a local function."""

MOST_DIMENSIONS = 64
"""As numpy has."""
LARGEST_EXPANSION = 8 * 1024 * 1024
"""Bytes of the graph with its local functions written out: a file of 40 that call one another makes 2 ** 40 nodes."""
_INPUTS = {"Identity": 1, "Constant": 0}


def check(model: ModelProto) -> None:
    """Refuse a model whose tensors, inputs, nodes or functions cannot be what they say.

    Raises:
        ModelError: With the first of them.
    """
    for tensor in (*model.graph.initializer, *nested_tensors(model.graph)):
        _check_tensor(tensor)
    for value in model.graph.input:
        if value.type.HasField("tensor_type") and not _is_known(value.type.tensor_type.elem_type):
            raise ModelError(f"input {value.name!r} of the model is of an unknown type")
    for node in all_nodes(model.graph.node):
        if not node.op_type:
            raise ModelError(f"node {node.name!r} of the model has no operator")
        if node.op_type in _INPUTS and (len(node.input) != _INPUTS[node.op_type] or len(node.output) != 1):
            raise ModelError(f"{node.op_type} node {node.name!r} of the model lacks its input or output")
    if model.functions:
        _check_functions(model)


def _check_tensor(tensor: TensorProto) -> None:
    if not _is_known(tensor.data_type):
        raise ModelError(f"tensor {tensor.name!r} of the model is of an unknown type")
    if len(tensor.dims) > MOST_DIMENSIONS or min(tensor.dims, default=0) < 0:
        raise ModelError(f"tensor {tensor.name!r} of the model has a shape that cannot be")
    wanted = tensor_bytes(tensor)
    if wanted is None or is_external(tensor):
        return
    unit, found = "bytes", len(tensor.raw_data)
    if not tensor.HasField("raw_data"):
        unit, wanted = "values", math.prod(tensor.dims)
        found = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type)))
    if found != wanted:
        raise ModelError(f"tensor {tensor.name!r} of the model has {found:,} {unit}, its shape needs {wanted:,}")


def _is_known(data_type: int) -> bool:
    return data_type in TensorProto.DataType.values() and data_type != TensorProto.UNDEFINED


def _check_functions(model: ModelProto) -> None:
    functions = {(found.domain, found.name, getattr(found, "overload", "")): found for found in model.functions}
    try:
        size = _written_out(model.graph.node, functions, {})
    except RecursionError:
        size = math.inf
    if size > LARGEST_EXPANSION + sum(node.ByteSize() for node in model.graph.node):
        raise ModelError("the local functions of the model call one another without end, or far too often")


def _written_out(
    nodes: Iterable[NodeProto], functions: Mapping[Called, FunctionProto], sizes: dict[Called, float]
) -> float:
    """Bytes of nodes in which every call of a local function is replaced by the function."""
    total = 0.0
    for node in all_nodes(nodes):
        called = (node.domain, node.op_type, getattr(node, "overload", ""))
        if called in functions and called not in sizes:
            sizes[called] = math.inf  # until it is known: what calls itself never ends
            sizes[called] = _written_out(functions[called].node, functions, sizes)
        total += sizes.get(called, node.ByteSize())
    return total
