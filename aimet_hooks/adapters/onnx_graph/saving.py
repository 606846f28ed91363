"""Write an ONNX model to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from aimet_hooks.adapters.onnx_graph import external_data
from aimet_hooks.adapters.onnx_graph.protobuf import copy_without, tensor_bytes

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_FILE = 2**31 - 2**24
"""Bytes of weights that one protobuf file can hold (2 GB), less room for the graph."""

SMALLEST = 1024
"""Bytes from which on a tensor goes to a file of its own; from smaller ones shapes are inferred."""


def save(model: onnx.ModelProto, path: Path) -> None:
    """One file; above 2 GB the weights lie beside it in ``<name>.data``. The model stays as it is.

    A file that is there is replaced only when the new one is whole.

    Raises:
        OSError: If it cannot be written; nothing is left then.
    """
    weights = sum(
        tensor_bytes(tensor) or 0 for tensor in model.graph.initializer if not external_data.is_external(tensor)
    )
    part = path.with_name(f".{path.name}.part")
    try:
        onnx.save(model if weights < LARGEST_FILE else _with_external_weights(model, path), str(part))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _with_external_weights(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    location = f"{path.name}.data"
    graph = copy_without(model, ("initializer",))
    data = path.with_name(location)
    data.unlink(missing_ok=True)  # never write into a file that a session may have mapped into memory
    with data.open("xb") as file:
        for tensor in model.graph.initializer:
            values = None if external_data.is_external(tensor) else external_data.raw_values(tensor)
            small = values is None or len(values) < SMALLEST
            graph.graph.initializer.append(
                tensor if small or values is None else external_data.outlined(tensor, values, file, location)
            )
    return graph
