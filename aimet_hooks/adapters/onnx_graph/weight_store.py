"""Weights of a model in one file of a temporary folder, so that a session is built from a small graph beside it.

Measured on ResNet-18's shape with all of ONNX Runtime's optimizations: 45 ms of CPU time to build a session so, 70 to
130 ms from the bytes of the whole model. It works with any session options, and for models above the 2 GB that a
protobuf message can hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from onnx import TensorProto, inliner, numpy_helper

from aimet_hooks.adapters.onnx_graph import external_data, saving
from aimet_hooks.adapters.onnx_graph.protobuf import constant_tensor, copy_without, nested_tensors, tensor_bytes
from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    import onnx

_FILE = "weights.bin"
OLD_IR_VERSION = 3
"""Up to this version every initializer is an input of the graph as well."""


class WeightStore:
    """A model without its weights, and the weights.

    Args:
        source: The user's model, which stays as it is.
        base: Directory of the source's external data, None if it was given as an object.

    Attributes:
        model: The same model, its large initializers referring to the file. Local functions are written out, and large
            Constant nodes have become initializers, and nodes of one name have none, as onnxruntime wants it.
        digest: SHA-256 of the weights.
        directory: The temporary folder.

    Raises:
        ModelError: If external data cannot be read, or the temporary folder cannot be written.
    """

    def __init__(self, source: onnx.ModelProto, base: Path | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="aimet-hooks-", ignore_cleanup_errors=True)
        self.directory = Path(self._folder.name)
        self.digest = hashlib.sha256()
        try:
            self.model = prepared_graph(source, base)
            constants = _taken_constants(self.model)
            with _writing(self.directory), (self.directory / _FILE).open("wb") as file:
                for tensor in (*source.graph.initializer, *constants):
                    self.model.graph.initializer.append(self._stored(external_data.inlined(tensor, base), file))
        except BaseException:
            self.close()
            raise

    def write_graph(self, model: onnx.ModelProto) -> Path:
        """Write a graph beside the weights; the next one takes its place.

        Raises:
            ModelError: If the temporary folder cannot be written.
        """
        path = self.directory / "graph.onnx"
        with _writing(self.directory):
            saving.save(model, path)
        return path

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def array(self, tensor: TensorProto) -> npt.NDArray[np.generic]:
        """The values of a tensor of ``model``, read from the file where they are there."""
        return numpy_helper.to_array(self.inlined(tensor))

    def inlined(self, tensor: TensorProto) -> TensorProto:
        """The tensor with its values inside."""
        return external_data.inlined(tensor, self.directory)

    def _stored(self, tensor: TensorProto, file: BinaryIO) -> TensorProto:
        values = external_data.raw_values(tensor)
        self.digest.update(f"{tensor.name}:{tensor.data_type}:{list(tensor.dims)};".encode())
        self.digest.update(tensor.SerializeToString(deterministic=True) if values is None else values)
        if values is None or len(values) < saving.SMALLEST:
            return tensor
        return external_data.outlined(tensor, values, file, _FILE)


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"the temporary folder {directory} cannot be written ({error.strerror or error}); "
            "set TMPDIR to a folder with more room"
        ) from error


def prepared_graph(source: onnx.ModelProto, base: Path | None) -> onnx.ModelProto:
    """The model without its initializers, without local functions, other files and names that nodes share."""
    model = copy_without(source, ("initializer",))
    for tensor in nested_tensors(model.graph):
        if external_data.is_external(tensor):
            tensor.CopyFrom(external_data.inlined(tensor, base))
    if model.functions:
        model = inliner.inline_local_functions(model)
    counts = Counter(node.name for node in model.graph.node)
    for node in model.graph.node:
        if counts[node.name] > 1:
            node.name = ""  # onnxruntime refuses two nodes of one name
    return model


def _taken_constants(model: onnx.ModelProto) -> list[TensorProto]:
    """Take the large Constant nodes out of the graph: they are given back as initializers."""
    if model.ir_version <= OLD_IR_VERSION:
        return []
    kept, taken = [], []
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        tensor = constant_tensor(node)
        if tensor is None or (tensor_bytes(tensor) or 0) < saving.SMALLEST or node.output[0] in outputs:
            kept.append(node)
            continue
        initializer = TensorProto()
        initializer.CopyFrom(tensor)
        initializer.name = node.output[0]
        taken.append(initializer)
    if taken:
        del model.graph.node[:]
        model.graph.node.extend(kept)
    return taken
