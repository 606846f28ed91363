"""Read an ONNX model that the user names."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from aimet_hooks import regular_file
from aimet_hooks.adapters.onnx_graph import validity, wire
from aimet_hooks.adapters.onnx_graph.protobuf import STANDARD_DOMAINS
from aimet_hooks.errors import AimetHooksError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_OPSET = 11
LARGEST_FILE = 2**31
"""Bytes that a protobuf file can have; what is larger has its weights in external data."""


def read(model: onnx.ModelProto | str | Path) -> tuple[onnx.ModelProto, Path | None]:
    """The model, without its external data, and the directory where that lies; None for a model without a file.

    Raises:
        ModelError: If there is no such file, it is no ONNX model, its opset is too old, or it cannot be what it says.
    """
    if isinstance(model, onnx.ModelProto):
        _check_opset(model, "the model")
        validity.check(model)
        return model, None
    path = Path(model)
    what = repr(str(path))
    if not path.is_file():
        raise ModelError(f"there is no file {what}; give the path of an .onnx file")
    loaded = _parsed(path, what)
    if not loaded.graph.node:
        raise ModelError(f"{what} is not an ONNX model: it has no nodes")
    _check_opset(loaded, what)
    validity.check(loaded)
    return loaded, path.parent


def _parsed(path: Path, what: str) -> onnx.ModelProto:
    try:
        content = regular_file.content(path, LARGEST_FILE)
        wire.check(content, onnx.ModelProto.DESCRIPTOR)
    except (OSError, ValueError) as error:
        raise ModelError(f"{what} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # protobuf has an error of its own for every implementation
        raise ModelError(f"{what} is not an ONNX model, or was cut off: {error}") from error


@contextlib.contextmanager
def understood(what: str) -> Iterator[None]:
    """Whatever a graph lets fail while it is taken apart is said as what it is: no valid model.

    Args:
        what: What the model is called.

    Raises:
        ModelError: For every exception but this package's own.
    """
    try:
        yield
    except AimetHooksError:
        raise
    except Exception as error:
        raise ModelError(
            f"{what} is no valid model ({type(error).__name__}: {error}); onnx.checker.check_model may tell more"
        ) from error


def name_of(model: onnx.ModelProto | str | Path, source: onnx.ModelProto) -> str:
    """What a model is called: its file, else its graph.

    Args:
        model: As the user named it.
        source: What was read.
    """
    return Path(model).name if isinstance(model, (str, Path)) else source.graph.name or "onnx model"


def _check_opset(model: onnx.ModelProto, what: str) -> None:
    opset = max((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=0)
    if opset < OLDEST_OPSET:
        found = f"of opset {opset}" if opset else "without an opset"
        raise ModelError(
            f"{what} is {found}; opset {OLDEST_OPSET} or newer is needed: "
            "onnx.version_converter.convert_version(model, 17) can help, or export it again"
        )
