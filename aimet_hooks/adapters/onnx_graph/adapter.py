"""An ONNX model as the core sees it: a session a cell, built from a small graph beside the weights."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import onnx
import onnxruntime

from aimet_hooks.adapters.onnx_graph import session_options, sessions
from aimet_hooks.adapters.onnx_graph.example import Example
from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
from aimet_hooks.adapters.onnx_graph.reading import name_of, read, understood
from aimet_hooks.adapters.onnx_graph.rewrite import observed, reweighted, rewritten
from aimet_hooks.adapters.onnx_graph.stored_node import StoredNode, stored_nodes
from aimet_hooks.adapters.onnx_graph.survey import WeightNode, survey
from aimet_hooks.adapters.onnx_graph.weight_store import WeightStore
from aimet_hooks.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from aimet_hooks.adapters import ExampleInput, SessionSettings
    from aimet_hooks.factorization import Array, Replacement
    from aimet_hooks.layers import Layer


class OnnxAdapter:
    """An ``onnx.ModelProto`` or the path of an ``.onnx`` file, with its weights inside or in external data.

    Args:
        model: The user's model, which is only read.
        example: Shape or values of the input; where both are missing the model's declaration counts.
        session: How sessions are made.

    Raises:
        ModelError: If the file cannot be read, is no ONNX model, or is of an opset before 11.
        UsageError: If the example does not fit the model's inputs, or onnxruntime has no such provider.
    """

    def __init__(self, model: onnx.ModelProto | str | Path, example: ExampleInput, session: SessionSettings) -> None:
        sessions.check(session)
        source, base = read(model)
        self.trainable = False
        self.model_name = name_of(model, source)
        self._session = session
        with understood(self.model_name), contextlib.ExitStack() as opened:
            self._store = WeightStore(source, base)
            opened.callback(self._store.close)
            self._index = GraphIndex(self._store.model.graph)
            self._example = Example(self._store.model.graph, example)
            opened.pop_all()
        self.notes: Sequence[str] = self._example.notes
        self._layers: Sequence[Layer] | None = None
        self._nodes: dict[str, WeightNode] = {}
        self._stored: dict[str, StoredNode] | None = None

    def __enter__(self) -> Self:
        """Nothing to hold: the user's model is only read."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the temporary weights."""
        self._store.close()

    def layers(self) -> Sequence[Layer]:
        """Every node with weights, with the shapes that one run of the example shows."""
        if self._layers is None:
            with understood(self.model_name):
                self._layers, self._nodes = survey(self._store.model, self._index, self._shapes, self._example.samples)
        return self._layers

    def weight(self, name: str) -> Array:
        """(out, in, *kernel) float64 for a double weight, else float32."""
        found = self._nodes[name]
        values = self._store.array(found.weight)
        array: Array = values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)
        return array.T if found.transposed else array

    def names_within(self, module: object) -> set[str]:
        """Layers of an ONNX model are chosen by name only."""
        del module
        return set()

    @contextlib.contextmanager
    def original(self) -> Iterator[onnxruntime.InferenceSession]:
        """A session of the model as it is."""
        yield self._session_of(self._store.model, self._session.options)

    @contextlib.contextmanager
    def swapped(self, name: str, replacement: Replacement) -> Iterator[onnxruntime.InferenceSession]:
        """A session of the model with one node replaced."""
        yield self._session_of(self._rewritten({name: replacement}), self._session.options)

    @contextlib.contextmanager
    def replaced(self, replacements: Mapping[str, Replacement]) -> Iterator[onnxruntime.InferenceSession]:
        """A session of the model with several nodes replaced."""
        yield self._session_of(self._rewritten(replacements), self._session.options)

    @contextlib.contextmanager
    def reweighted(self, name: str, weight: Array) -> Iterator[onnxruntime.InferenceSession]:
        """A session of the model with another weight in one node.

        Raises:
            ModelError: If the main graph has no such node with a constant float weight.
        """
        model = reweighted(self._store.model, self._index, self._stored_node(name), weight)
        yield self._session_of(model, self._session.options)

    def layer_output(self, name: str, weight: Array | None = None) -> Array | None:
        """What the node gives for the example, from a session of its own."""
        found = self._stored_node(name)
        model = self._store.model if weight is None else reweighted(self._store.model, self._index, found, weight)
        session = self._session_of(observed(model, found.node.output[0], found.tensor.data_type), self._session.options)
        return np.asarray(session.run(None, self._example.feeds)[0])

    def _stored_node(self, name: str) -> StoredNode:
        if self._stored is None:
            with understood(self.model_name):
                self._stored = {found.name: found for found in stored_nodes(self._store.model.graph, self._index)}
        if name not in self._stored:
            raise ModelError(f"{name!r} is no node of the main graph with a constant float weight")
        return self._stored[name]

    def run_example(self, native: onnxruntime.InferenceSession) -> None:
        """Run the example input once."""
        native.run(None, self._example.feeds)

    def begin_build(self) -> OnnxBuild:
        """Collects replacements; the model is made once, at the end."""
        return OnnxBuild(self)

    def fingerprint(self) -> str:
        """SHA-256 of the graph and of the weights."""
        digest = self._store.digest.copy()
        for node in self._store.model.graph.node:
            digest.update(node.SerializeToString(deterministic=True))
        return digest.hexdigest()

    def changes(self, *, thorough: bool = False) -> Sequence[str]:
        """A session cannot be changed by who runs it."""
        del thorough
        return ()

    def settings(self) -> Mapping[str, Any]:
        """Providers and threads."""
        options = self._session.options or onnxruntime.SessionOptions()
        return {
            "framework": f"onnxruntime {onnxruntime.__version__}",
            "device": str(onnxruntime.get_device()),
            "providers": [str(provider) for provider in sessions.providers(self._session)],
            "threads": options.intra_op_num_threads or "all cores",
        }

    def assembled(self, replacements: Mapping[str, Replacement]) -> onnx.ModelProto:
        """The whole model with nodes replaced and all weights inside."""
        model = self._rewritten(replacements)
        for tensor in model.graph.initializer:
            whole = self._store.inlined(tensor)
            if whole is not tensor:
                tensor.CopyFrom(whole)
        return model

    def _rewritten(self, replacements: Mapping[str, Replacement]) -> onnx.ModelProto:
        found = [(self._nodes[name], replacement) for name, replacement in replacements.items()]
        return rewritten(self._store.model, self._index, found)

    def _session_of(
        self, model: onnx.ModelProto, options: onnxruntime.SessionOptions | None
    ) -> onnxruntime.InferenceSession:
        return sessions.opened(self._store, model, self._session, self.model_name, options)

    def _shapes(self, values: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Shapes of values for the example, from one run with a Shape node on each."""
        model = onnx.ModelProto()
        model.CopyFrom(self._store.model)
        names = [f"aimet_hooks_shape_{at}" for at in range(len(values))]
        for name, value in zip(names, values, strict=True):
            model.graph.node.append(onnx.helper.make_node("Shape", [value], [name]))
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None))
        session = self._session_of(model, self._session.options or session_options.unoptimized())
        try:
            found = session.run(names or None, self._example.feeds)
        except Exception as error:
            raise ModelError(
                f"{self.model_name} fails on the example input: {error}; check input_shape or example_inputs"
            ) from error
        return {value: tuple(map(int, shape)) for value, shape in zip(values, found, strict=bool(values))}


class OnnxBuild:
    """The replacements of the result; the model is assembled when it is asked for."""

    def __init__(self, adapter: OnnxAdapter) -> None:
        self._adapter = adapter
        self._replacements: dict[str, Replacement] = {}

    @property
    def model(self) -> onnx.ModelProto:
        """The result, all weights inside."""
        return self._adapter.assembled(self._replacements)

    def weight(self, name: str) -> Array:
        """The weight of a layer, which nothing changes."""
        return self._adapter.weight(name)

    def replace(self, name: str, replacement: Replacement) -> None:
        """Replace a node of the result."""
        self._replacements[name] = replacement

    def train(self, trainer: Callable[[Any, str], object], name: str) -> None:
        """Refused: a session cannot be trained.

        Raises:
            UsageError: Always.
        """
        del trainer, name
        raise UsageError(f"trainer is for torch models; {self._adapter.model_name} is an ONNX model")

    def evaluated(self) -> contextlib.AbstractContextManager[onnxruntime.InferenceSession]:
        """A session of the result."""
        return self._adapter.replaced(self._replacements)
