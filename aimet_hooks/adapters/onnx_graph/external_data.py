"""Values of tensors in a file beside the model."""

from __future__ import annotations

import os
from math import prod
from typing import TYPE_CHECKING, BinaryIO

from onnx import TensorProto, external_data_helper, numpy_helper

from aimet_hooks import regular_file
from aimet_hooks.adapters.onnx_graph.protobuf import tensor_bytes
from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_ALIGNMENT = 64
_LARGEST_ELEMENT = 16
"""Bytes of a complex number of two doubles."""


def is_external(tensor: TensorProto) -> bool:
    """Whether the values lie in a file."""
    return bool(external_data_helper.uses_external_data(tensor))


def inlined(tensor: TensorProto, folder: Path | None) -> TensorProto:
    """A tensor with its values inside; the tensor itself if they are already.

    Args:
        tensor: Stays as it is.
        folder: Where the model lies, None if it came without a file.

    Raises:
        ModelError: If the file is missing, cannot be read, is too short, or lies outside of the folder.
    """
    if not is_external(tensor):
        return tensor
    if folder is None:
        raise ModelError(
            f"tensor {tensor.name!r} has its values in an external file; "
            "give the path of the .onnx file, or load the model with its external data"
        )
    whole = TensorProto()
    whole.CopyFrom(tensor)
    try:
        whole.raw_data = _read(tensor, folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"the external data of tensor {tensor.name!r} cannot be read: {error}") from error
    whole.ClearField("external_data")
    whole.data_location = TensorProto.DEFAULT
    return whole


def _read(tensor: TensorProto, folder: Path) -> bytes:
    """The values, of which nothing is read before their place and size are known to be right."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    location, offset = told.get("location", ""), int(told.get("offset", 0))
    if not (folder / location).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{location!r} lies outside of the model's folder")
    path = folder / location
    if not path.exists():
        raise ModelError(
            f"{path}, which holds the weights of the model, is missing; put it beside the .onnx file again"
        )
    with regular_file.opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        length = int(told.get("length", size - offset))
        if not 0 <= offset <= offset + length <= size:
            raise ValueError(
                f"{location!r} has {size:,} bytes, not {length:,} from byte {offset:,} on; the file was cut off or "
                "belongs to another model"
            )
        wanted = tensor_bytes(tensor)
        least, most = (0, _LARGEST_ELEMENT * prod(tensor.dims)) if wanted is None else (wanted, wanted)
        if not least <= length <= most:
            raise ValueError(f"it is {length:,} bytes long, its shape needs {most:,}")
        file.seek(offset)
        return file.read(length)


def raw_values(tensor: TensorProto) -> bytes | None:
    """The values of a tensor as its ``raw_data`` would hold them; None where they cannot be held so, as strings."""
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    if tensor_bytes(tensor) is None:
        return None
    return bytes(numpy_helper.to_array(tensor).tobytes())


def outlined(tensor: TensorProto, values: bytes, file: BinaryIO, location: str) -> TensorProto:
    """A tensor that refers to the file for its values, which are appended there."""
    header = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    header.data_location = TensorProto.EXTERNAL
    file.write(bytes(-file.tell() % _ALIGNMENT))
    for key, value in (("location", location), ("offset", str(file.tell())), ("length", str(len(values)))):
        header.external_data.add(key=key, value=value)
    file.write(values)
    return header
