"""The example input of an ONNX model: what the user gave, else what the model declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from aimet_hooks.errors import UsageError, nearest

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnx import GraphProto, ValueInfoProto

    from aimet_hooks.adapters import ExampleInput


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
        self.notes: list[str] = []
        self.feeds: dict[str, npt.NDArray[Any]] = self._feeds(example)
        first = next(iter(self.feeds.values()), None)
        self.samples = max(1, first.shape[0]) if first is not None and first.ndim else 1

    def _feeds(self, example: ExampleInput) -> dict[str, npt.NDArray[Any]]:
        if example.values is not None:
            return self._given(example.values)
        if example.shape is None:
            return {name: _array(self._declared_shape(value), value) for name, value in self._inputs.items()}
        if len(self._inputs) != 1:
            raise UsageError(
                f"input_shape is for a model with one input, this one has {len(self._inputs)} ({', '.join(self._inputs)}); "
                "give example_inputs={name: array}"
            )
        name, value = next(iter(self._inputs.items()))
        return {name: _array(example.shape, value)}

    def _given(self, values: Any) -> dict[str, npt.NDArray[Any]]:
        if isinstance(values, Mapping):
            for name in values:
                if name not in self._inputs:
                    raise UsageError(
                        f"example_inputs has {name!r}, which is no input of the model{nearest(str(name), self._inputs)}"
                    )
            given = dict(values)
        else:
            listed = values if isinstance(values, (tuple, list)) else (values,)
            given = dict(zip(self._inputs, listed, strict=False))
            if len(listed) > len(self._inputs):
                raise UsageError(f"example_inputs has {len(listed)} values, the model has {len(self._inputs)} inputs")
        missing = [name for name in self._inputs if name not in given]
        if missing:
            raise UsageError(f"example_inputs lacks input {missing[0]!r} of the model; give one value for each input")
        return {name: np.asarray(given[name]) for name in self._inputs}

    def _declared_shape(self, value: ValueInfoProto) -> tuple[int, ...]:
        shape = []
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_value") and dimension.dim_value > 0:
                shape.append(dimension.dim_value)
                continue
            shape.append(1)
            self.notes.append(
                f"input {value.name!r}: dimension {axis} ({dimension.dim_param or 'not given'}) is not fixed and counts as 1; "
                "MACs depend on it, input_shape sets it"
            )
        return tuple(shape)


def _array(shape: tuple[int, ...], value: ValueInfoProto) -> npt.NDArray[Any]:
    """Seeded normal numbers for a floating input, zeros for any other (an index is then within its range)."""
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    if not np.issubdtype(dtype, np.floating):
        return np.zeros(shape, dtype)
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)
