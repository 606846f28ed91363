"""Sample inputs, batch by batch, as a session takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from onnx import TensorProto, helper

from aimet_hooks.adapters.onnx_graph.example import as_declared
from aimet_hooks.errors import UsageError, kind_of, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    from onnx import GraphProto, ValueInfoProto

    Feed = dict[str, npt.NDArray[Any]]
    """Array by input name."""


class Feeds:
    """The inputs that a model takes.

    Args:
        graph: Its main graph.

    Raises:
        UsageError: If an input is no tensor.
    """

    def __init__(self, graph: GraphProto) -> None:
        initializers = {tensor.name for tensor in graph.initializer}
        self._inputs = {value.name: value for value in graph.input if value.name not in initializers}
        for name, value in self._inputs.items():
            if not value.type.HasField("tensor_type"):
                raise UsageError(f"input {name!r} of the model is no tensor, which is not supported")

    def batches(self, inputs: Any) -> Iterator[Feed]:
        """One feed a batch, made when it is asked for.

        Args:
            inputs: One batch (array or tensor, tuple of them in the order of the model's inputs, or dict by input
                name), or an iterable of batches, as a list or a generator. It is gone through once.

        Raises:
            UsageError: If a batch does not fit the model's inputs, or there is none.
        """
        found = False
        for at, batch in enumerate(_batches(inputs)):
            found = True
            yield self._feed(batch, f"batch {at} of inputs")
        if not found:
            raise UsageError("inputs has no batch; give at least one, as an array for the model's input")

    def _feed(self, batch: Any, where: str) -> Feed:
        given = batch if isinstance(batch, Mapping) else self._listed(batch, where)
        for name in given:
            if name not in self._inputs:
                known = nearest(str(name), self._inputs)
                raise UsageError(f"{where} has {name!r}, which is no input of the model{known}")
        for name in self._inputs:
            if name not in given:
                raise UsageError(f"{where} lacks input {name!r} of the model; give one array for each input")
        return {name: _fitting(given[name], value, where) for name, value in self._inputs.items()}

    def _listed(self, batch: Any, where: str) -> Mapping[str, Any]:
        listed: Sequence[Any] = batch if isinstance(batch, (tuple, list)) else (batch,)
        if len(listed) != len(self._inputs):
            raise UsageError(
                f"{where} has {len(listed)} arrays, the model has {len(self._inputs)} inputs "
                f"({', '.join(self._inputs) or 'none'}); give one array for each, as a tuple or by name"
            )
        return dict(zip(self._inputs, listed, strict=True))


def _batches(inputs: Any) -> Iterable[Any]:
    if isinstance(inputs, (tuple, Mapping)) or hasattr(inputs, "__array__"):
        return (inputs,)
    if isinstance(inputs, Iterable) and not isinstance(inputs, (str, bytes)):
        return inputs
    raise UsageError(
        f"inputs is {kind_of(inputs)}; give an array, a tuple of arrays, a dict by input name, or an iterable of these"
    )


def _fitting(given: Any, value: ValueInfoProto, where: str) -> npt.NDArray[Any]:
    array = as_declared(given, value)
    what = f"{where}: input {value.name!r}"
    wanted = _dtype(value)
    if array.dtype != wanted and value.type.tensor_type.elem_type != TensorProto.STRING:
        raise UsageError(f"{what} has dtype {array.dtype}, the model takes {wanted}; give array.astype(numpy.{wanted})")
    if value.type.tensor_type.HasField("shape"):
        declared = [_size(dimension) for dimension in value.type.tensor_type.shape.dim]
        pairs = zip(array.shape, declared, strict=False)
        if array.ndim != len(declared) or any(isinstance(one, int) and one != size for size, one in pairs):
            taken = ", ".join(map(str, declared)) + ("," if len(declared) == 1 else "")
            raise UsageError(
                f"{what} has shape {array.shape}, the model takes ({taken}); reshape it, or check the order of inputs"
            )
    return array


def _dtype(value: ValueInfoProto) -> np.dtype[Any]:
    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _size(dimension: Any) -> int | str:
    """The size of an axis, or what it is called where any will do."""
    return int(dimension.dim_value) if dimension.HasField("dim_value") else dimension.dim_param or "any"
