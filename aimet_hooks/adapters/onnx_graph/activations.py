"""Run an ONNX model with its inner tensors as outputs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

from onnx import ValueInfoProto

from aimet_hooks.adapters.observed import ObservedTensor
from aimet_hooks.adapters.onnx_graph import session_options, sessions
from aimet_hooks.adapters.onnx_graph.feeds import Feeds
from aimet_hooks.adapters.onnx_graph.forward import FLOATS
from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
from aimet_hooks.adapters.onnx_graph.protobuf import copy_without
from aimet_hooks.adapters.onnx_graph.reading import name_of, read, understood
from aimet_hooks.adapters.onnx_graph.weight_store import WeightStore
from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import onnx
    import onnxruntime

    from aimet_hooks.adapters import SessionSettings
    from aimet_hooks.adapters.onnx_graph.feeds import Feed


class OnnxActivations:
    """The float tensors of the main graph that depend on its inputs; those that numpy has no type for are left out.

    Args:
        model: The user's model, which is only read.
        settings: How sessions are made.

    Raises:
        ModelError: If it cannot be read, or onnxruntime cannot load it.
        UsageError: If an input is no tensor, or the settings are none.
    """

    def __init__(self, model: onnx.ModelProto | str | Path, settings: SessionSettings) -> None:
        sessions.check(settings)
        source, base = read(model)
        self._name = name_of(model, source)
        self._settings = settings
        with understood(self._name), contextlib.ExitStack() as opened:
            self._store = WeightStore(source, base)
            opened.callback(self._store.close)
            self._feeds = Feeds(self._store.model.graph)
            self.tensors: Sequence[ObservedTensor] = self._float_tensors()
            opened.pop_all()

    def __enter__(self) -> Self:
        """Nothing to hold: the user's model is only read."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the temporary weights."""
        self._store.close()

    def run(self, names: Sequence[str], inputs: Any) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """The tensors with these names, each once a batch; those that were read are gone.

        Raises:
            UsageError: If a batch does not fit the model's inputs.
            ModelError: If the model fails on a batch.
        """
        chosen = set(names)
        made = [tensor.name for tensor in self.tensors if tensor.node and tensor.name in chosen]
        session = self._session(made, self._settings.options or session_options.unplanned())
        for at, feed in enumerate(self._feeds.batches(inputs)):
            yield from ((name, values) for name, values in feed.items() if name in chosen)
            found = run(session, made, feed, self._name, at)
            for name in reversed(made):
                yield name, found.pop()

    def _float_tensors(self) -> list[ObservedTensor]:
        """The graph's inputs and what its nodes make of them, with the types that onnxruntime infers."""
        graph = self._store.model.graph
        index = GraphIndex(graph)
        made = [
            ObservedTensor(value, name, node.op_type)
            for name, node in zip(index.names, graph.node, strict=True)
            for value in node.output
            if not index.is_constant(value)
        ]
        session = self._session(
            [tensor.name for tensor in made], self._settings.options or session_options.unoptimized()
        )
        floats = {value.name for value in (*session.get_inputs(), *session.get_outputs()) if value.type in FLOATS}
        inputs = [ObservedTensor(value.name, "", "Input") for value in session.get_inputs()]
        return [tensor for tensor in (*inputs, *made) if tensor.name in floats]

    def _session(self, names: Iterable[str], options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        """A session that gives these tensors beside the model's outputs; onnxruntime infers their types."""
        model = copy_without(self._store.model, ("output",))
        outputs = {value.name: value for value in self._store.model.graph.output}
        added = [ValueInfoProto(name=name) for name in names if name not in outputs]
        model.graph.output.extend((*outputs.values(), *added))
        return sessions.opened(self._store, model, self._settings, self._name, options)


def run(
    session: onnxruntime.InferenceSession, names: Sequence[str], feed: Feed, model: str, batch: int
) -> list[npt.NDArray[Any]]:
    """Outputs of a session for one batch.

    Raises:
        ModelError: If the model fails on it.
    """
    if not names:
        return []  # no names would mean all outputs to onnxruntime
    try:
        found: list[npt.NDArray[Any]] = session.run(list(names), feed)
    except Exception as error:
        raise ModelError(f"{model} fails on batch {batch} of inputs: {error}; check its values and sizes") from error
    return found
