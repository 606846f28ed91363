"""The shapes of a graph's values as far as its inputs and operators tell them, without running it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from onnx import TensorProto, shape_inference

from aimet_hooks.adapters.onnx_graph.protobuf import constant_tensor, copy_without

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from onnx import ModelProto, ValueInfoProto

Shape = tuple[int | str | None, ...]
"""Sizes of axes: a number, a name that is the same wherever the size is, or None if unknown."""

MOST_INDICES = 64
"""Elements of a tensor that may say a shape or axes: as many axes as validity allows."""


def inferred_shapes(model: ModelProto) -> Mapping[str, Shape]:
    """The shapes of what the nodes of the main graph make. Nothing that the model says of them itself is believed.

    Args:
        model: Only read; its initializers need no values, but those that say shapes.

    Returns:
        By name of the value; without those of which nothing is known.
    """
    light = copy_without(model, ("node", "input", "output", "value_info"))
    light.graph.input.extend(model.graph.input)
    for value in light.graph.input:
        _forget_names(value)
    for node in model.graph.node:
        tensor = constant_tensor(node)
        if tensor is None or is_small(tensor):
            light.graph.node.append(node)
        else:
            light.graph.initializer.append(header(tensor, node.output[0]))
    try:
        found = shape_inference.infer_shapes(light, data_prop=True).graph.value_info
    except Exception:  # onnx and protobuf have errors of their own for models that are not valid or too large
        return {}
    return dict(_shapes(found))


def is_small(tensor: TensorProto) -> bool:
    """Whether a tensor may say a shape or axes."""
    is_index = tensor.data_type in (TensorProto.INT64, TensorProto.INT32)
    return is_index and len(tensor.dims) <= 1 and prod(tensor.dims) <= MOST_INDICES


def header(tensor: TensorProto, name: str) -> TensorProto:
    """A tensor of this name without values."""
    return TensorProto(name=name, data_type=tensor.data_type, dims=tensor.dims)


def _forget_names(value: ValueInfoProto) -> None:
    """Nothing holds a run to sizes of the same name, so that each axis gets one of its own."""
    for axis, size in enumerate(value.type.tensor_type.shape.dim):
        if size.dim_value <= 0:
            size.dim_param = f"{value.name}.{axis}"


def _shapes(values: Iterable[ValueInfoProto]) -> Iterator[tuple[str, Shape]]:
    for value in values:
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            sizes = (dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.shape.dim)
            yield value.name, tuple(sizes)
