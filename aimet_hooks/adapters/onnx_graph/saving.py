"""Write an ONNX model to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_FILE = 2**31 - 2**20
"""Bytes that one protobuf file can hold, less some room."""


def save(model: onnx.ModelProto, path: Path) -> None:
    """One file; above 2 GB the weights lie beside it in ``<name>.data``."""
    if model.ByteSize() < LARGEST_FILE:
        onnx.save(model, str(path))
        return
    (path.parent / f"{path.name}.data").unlink(missing_ok=True)
    onnx.save(model, str(path), save_as_external_data=True, location=f"{path.name}.data")
