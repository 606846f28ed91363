"""The example input of an ONNX model: what the user gave, else what the model declares."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper

from aimet_hooks.adapters.onnx_graph.validity import MOST_DIMENSIONS
from aimet_hooks.errors import UsageError, nearest

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnx import GraphProto, ValueInfoProto

    from aimet_hooks.adapters import ExampleInput

LARGEST_DECLARED = 10_000_000
"""Values of an input that are made up from nothing but what a file declares: 64 images of 224 x 224 in colour."""
_AT_ONCE = 1 << 18


class Example:
    """The feeds that the model is run with.

    Attributes:
        feeds: Array by input name.
        samples: First dimension of the first input.
        notes: Symbolic dimensions that were taken as 1.

    Raises:
        UsageError: If what the user gave does not fit the inputs.
    """

    def __init__(self, graph: GraphProto, example: ExampleInput) -> None:
        initializers = {tensor.name for tensor in graph.initializer}
        self._inputs = {value.name: value for value in graph.input if value.name not in initializers}
        for name, value in self._inputs.items():
            if not value.type.HasField("tensor_type"):
                raise UsageError(f"input {name!r} of the model is no tensor, which is not supported")
        self.notes: list[str] = []
        self.feeds: dict[str, npt.NDArray[Any]] = self._feeds(example)
        first = next(iter(self.feeds.values()), None)
        self.samples = max(1, first.shape[0]) if first is not None and first.ndim else 1

    def _feeds(self, example: ExampleInput) -> dict[str, npt.NDArray[Any]]:
        if example.values is not None:
            given = self._named(example.values) if isinstance(example.values, Mapping) else self._listed(example.values)
            return {name: as_declared(given[name], value) for name, value in self._inputs.items()}
        if example.shape is None:
            return {name: _made_up(self._declared_shape(value), value) for name, value in self._inputs.items()}
        if len(self._inputs) != 1:
            raise UsageError(
                f"input_shape is for a model with one input, this one has {len(self._inputs)} "
                f"({', '.join(self._inputs) or 'none'}); give example_inputs={{name: array}}"
            )
        return {name: _made_up(example.shape, value) for name, value in self._inputs.items()}

    def _named(self, values: Mapping[Any, Any]) -> Mapping[Any, Any]:
        for name in values:
            if name not in self._inputs:
                raise UsageError(
                    f"example_inputs has {name!r}, which is no input of the model{nearest(str(name), self._inputs)}"
                )
        missing = [name for name in self._inputs if name not in values]
        if missing:
            raise UsageError(f"example_inputs lacks input {missing[0]!r} of the model; give one value for each input")
        return values

    def _listed(self, values: Any) -> Mapping[Any, Any]:
        listed = values if isinstance(values, (tuple, list)) else (values,)
        if len(listed) != len(self._inputs):
            raise UsageError(
                f"example_inputs has {len(listed)} values, the model has {len(self._inputs)} inputs "
                f"({', '.join(self._inputs)}); give one value for each, as a tuple or by name"
            )
        return dict(zip(self._inputs, listed, strict=True))

    def _declared_shape(self, value: ValueInfoProto) -> tuple[int, ...]:
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            raise UsageError(
                f"the model does not declare the shape of its input {value.name!r}; give input_shape or example_inputs"
            )
        shape = []
        for axis, dimension in enumerate(tensor.shape.dim):
            if dimension.HasField("dim_value") and dimension.dim_value > 0:
                shape.append(dimension.dim_value)
                continue
            shape.append(1)
            depends = ", which the MACs depend on" if axis else ""  # they are counted for one sample
            self.notes.append(
                f"input {value.name!r}: dimension {axis} ({dimension.dim_param or 'not given'}) is not fixed and "
                f"counts as 1{depends}; input_shape or example_inputs sets it"
            )
        if len(shape) > MOST_DIMENSIONS or prod(shape) > LARGEST_DECLARED:
            raise UsageError(
                f"the model declares that its input {value.name!r} has {len(shape)} dimensions and {prod(shape):,} "
                "values; give input_shape or example_inputs if that is meant"
            )
        return tuple(shape)


def _made_up(shape: tuple[int, ...], value: ValueInfoProto) -> npt.NDArray[Any]:
    """Seeded normal numbers for a floating input, zeros for any other (an index is then within its range)."""
    element = value.type.tensor_type.elem_type
    if element == TensorProto.STRING:
        return np.full(shape, "", np.object_)
    dtype = helper.tensor_dtype_to_np_dtype(element)
    if not np.issubdtype(dtype, np.floating):
        return np.zeros(shape, dtype)
    made, rng = np.empty(prod(shape), dtype), np.random.default_rng(0)
    for start in range(0, made.size, _AT_ONCE):
        piece = made[start : start + _AT_ONCE]
        piece[:] = rng.standard_normal(piece.size)
    return made.reshape(shape)


def as_declared(given: Any, value: ValueInfoProto) -> npt.NDArray[Any]:
    """The user's array or tensor; a float of another size is cast to what the input takes."""
    array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    floats = np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.floating)
    return array.astype(dtype) if floats else array
