"""Weights of a model in one file of a temporary folder, so that a session is built from a small graph beside it.

Measured on ResNet-18's shape with all of ONNX Runtime's optimizations: 35 ms to build a session so, 173 ms from the
bytes of the
whole model. It works with any session options, and for models above the 2 GB that a protobuf message can hold.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import onnx
from onnx import TensorProto, external_data_helper, numpy_helper

from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SMALLEST = 1024
"""Bytes from which on a tensor goes to the file; smaller ones stay in the graph, where shapes are inferred from them."""

_FILE = "weights.bin"
_ALIGNMENT = 64


class WeightStore:
    """The initializers of a model, moved out of it.

    Args:
        model: Receives the graph's copy: the same model with large initializers referring to the file.
        source: The user's model, which stays as it is.
        base: Directory of the source's external data, None if it was given as an object.

    Raises:
        ModelError: If external data cannot be read, or the temporary folder cannot be written.
    """

    def __init__(self, source: onnx.ModelProto, base: Path | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="aimet-hooks-", ignore_cleanup_errors=True)
        self.directory = Path(self._folder.name)
        self.digest = hashlib.sha256()
        self._base = base
        self.model = _without_initializers(source)
        try:
            with (self.directory / _FILE).open("wb") as file:
                for tensor in source.graph.initializer:
                    self.model.graph.initializer.append(self._stored(tensor, file))
        except OSError as error:
            raise ModelError(
                f"the weights cannot be written to the temporary folder {self.directory} ({error.strerror}); "
                "set TMPDIR to a folder with more room"
            ) from error

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def array(self, tensor: TensorProto) -> npt.NDArray[np.generic]:
        """The values of a tensor of ``model``, read from the file where it is there."""
        return numpy_helper.to_array(tensor, str(self.directory))

    def inlined(self, tensor: TensorProto) -> TensorProto:
        """A copy of a tensor with its values inside."""
        whole = TensorProto()
        whole.CopyFrom(tensor)
        if external_data_helper.uses_external_data(whole):
            external_data_helper.load_external_data_for_tensor(whole, str(self.directory))
            whole.ClearField("external_data")
            whole.data_location = TensorProto.DEFAULT
        return whole

    def _stored(self, tensor: TensorProto, file: BinaryIO) -> TensorProto:
        header = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        data = self._raw(tensor)
        self.digest.update(f"{tensor.name}:{tensor.data_type}:{list(tensor.dims)};".encode())
        self.digest.update(data)
        if len(data) < SMALLEST:
            header.raw_data = data
            return header
        file.write(bytes(-file.tell() % _ALIGNMENT))
        header.data_location = TensorProto.EXTERNAL
        for key, value in (("location", _FILE), ("offset", str(file.tell())), ("length", str(len(data)))):
            header.external_data.add(key=key, value=value)
        file.write(data)
        return header

    def _raw(self, tensor: TensorProto) -> bytes:
        if external_data_helper.uses_external_data(tensor):
            if self._base is None:
                raise ModelError(
                    f"tensor {tensor.name!r} has its values in an external file; give the path of the .onnx file instead"
                )
            whole = TensorProto()
            whole.CopyFrom(tensor)
            try:
                external_data_helper.load_external_data_for_tensor(whole, str(self._base))
            except (OSError, ValueError, onnx.checker.ValidationError) as error:
                raise ModelError(f"the external data of tensor {tensor.name!r} cannot be read: {error}") from error
            return bytes(whole.raw_data)
        if tensor.HasField("raw_data"):
            return bytes(tensor.raw_data)
        if tensor.data_type == TensorProto.STRING:
            raise ModelError(f"initializer {tensor.name!r} holds strings, which is not supported")
        return numpy_helper.to_array(tensor).tobytes()


def _without_initializers(source: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of everything but the initializers of the main graph, without copying those on the way."""
    model = onnx.ModelProto()
    for descriptor, value in source.ListFields():
        if descriptor.name != "graph":
            _copy_field(model, descriptor.name, value)
    for descriptor, value in source.graph.ListFields():
        if descriptor.name != "initializer":
            _copy_field(model.graph, descriptor.name, value)
    return model


def _copy_field(target: onnx.ModelProto | onnx.GraphProto, name: str, value: object) -> None:
    field = getattr(target, name)
    if hasattr(field, "extend"):
        field.extend(value)
    elif hasattr(field, "CopyFrom"):
        field.CopyFrom(value)
    else:
        setattr(target, name, value)
