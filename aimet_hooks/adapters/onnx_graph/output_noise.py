"""What changed weights do to the outputs of layers, summed up within one graph.

Behind every layer stands a second node with the changed weight that reads the original's input, and everything
that depends on a changed layer is there a second time, reading the changed tensors. Sums of squares are all that leaves
the graph, so ONNX Runtime frees every tensor as soon as its last reader has run, and one run of twice the model's
nodes gives everything. Tensors are never kept, and so layers need not be taken in groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx import NodeProto, TensorProto, helper

from aimet_hooks.adapters.observed import OutputNoise
from aimet_hooks.adapters.onnx_graph import session_options, sessions
from aimet_hooks.adapters.onnx_graph.activations import run
from aimet_hooks.adapters.onnx_graph.feeds import Feeds
from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
from aimet_hooks.adapters.onnx_graph.protobuf import copy_without, subgraphs
from aimet_hooks.adapters.onnx_graph.reading import name_of, read
from aimet_hooks.adapters.onnx_graph.stored import OnnxWeights
from aimet_hooks.adapters.onnx_graph.weight_store import OLD_IR_VERSION, WeightStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import onnx

    from aimet_hooks.adapters import SessionSettings
    from aimet_hooks.adapters.stored_weights import StoredLayer
    from aimet_hooks.factorization import Array


def output_noise(
    model: onnx.ModelProto | str | Path, inputs: Any, changed: Callable[[Array], Array], settings: SessionSettings
) -> Sequence[OutputNoise]:
    """As ``aimet_hooks.adapters.observed.output_noise``, of an ONNX model."""
    sessions.check(settings)
    weights = OnnxWeights(model)
    source, base = read(model)
    name, store = name_of(model, source), WeightStore(source, base)
    try:
        feeds = Feeds(store.model.graph)
        built = _Comparison(store.model, weights, changed)
        options = settings.options or session_options.unplanned()
        session = sessions.opened(store, built.model, settings, name, options)
        sums = dict.fromkeys(built.outputs, 0.0)
        for at, feed in enumerate(feeds.batches(inputs)):
            found = run(session, built.outputs, feed, name, at)
            for output, value in zip(built.outputs, found, strict=True):
                sums[output] += float(value)
    finally:
        store.close()
    return [
        OutputNoise(layer.name, layer.kind, *(sums[output] for output in built.sums[layer.name]))
        for layer in weights.layers
    ]


class _Comparison:
    """A graph in which every layer is there with its own weight, alone with a changed one, and among changed ones.

    Attributes:
        model: The graph.
        sums: For each layer, by name, the outputs with signal, local and accumulated noise.
        outputs: All of them, each once.
    """

    def __init__(self, source: onnx.ModelProto, weights: OnnxWeights, changed: Callable[[Array], Array]) -> None:
        self._weights, self._changed = weights, changed
        self._prefix = _unused_prefix(GraphIndex(source.graph).taken)
        self._renamed: dict[str, str] = {}
        self.sums: dict[str, tuple[str, str, str]] = {}
        self._measuring: list[Sequence[NodeProto]] = []
        self.model = copy_without(source, ("node", "output"))
        self.model.ir_version = max(source.ir_version, OLD_IR_VERSION + 1)  # the new weights are no inputs
        layers = {weights.output(layer.name): layer for layer in weights.layers}
        for node in source.graph.node:
            self.model.graph.node.append(node)
            layer = layers.get(node.output[0]) if node.output else None
            if layer is not None:
                self._add_layer(layer, node.output[0])
            elif _reads(node, self._renamed):
                self._add(self._copy(node))
        for group in reversed(self._measuring):  # onnxruntime works towards the last of a graph's ends first, and so
            self.model.graph.node.extend(group)  # is done with a layer's tensors before it turns to the next layer
        self.outputs = list(dict.fromkeys(name for names in self.sums.values() for name in names))
        kept = self.outputs or [value.name for value in source.graph.output]  # a graph without outputs cannot be loaded
        declared = {value.name: value for value in source.graph.output}
        self.model.graph.output.extend(
            declared.get(name) or helper.make_tensor_value_info(name, TensorProto.DOUBLE, ()) for name in kept
        )

    def _add_layer(self, layer: StoredLayer, output: str) -> None:
        weight = self._changed(layer.read())
        alone, tensor = self._weights.node_with(layer.name, weight, f"{self._prefix}/weight/{output}")
        among = self._copy(alone) if _reads(alone, self._renamed) else None
        alone.name, alone.output[0] = "", f"{self._prefix}/alone/{output}"
        self.model.graph.initializer.append(tensor)
        self._add(alone)
        if among is None:
            self._renamed[output] = alone.output[0]
        else:
            self._add(among)
        measured = _Measurement(self._prefix, output)
        local = measured.noise(alone.output[0])
        accumulated = local if among is None else measured.noise(among.output[0])
        self._measuring.append(measured.nodes)
        self.sums[layer.name] = (measured.signal, local, accumulated)

    def _copy(self, node: NodeProto) -> NodeProto:
        """The node as it reads what is changed; from now on others read what it makes."""
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.name = ""
        _rename_inputs(copy, self._renamed)
        for at, value in enumerate(node.output):
            if value:
                copy.output[at] = self._renamed[value] = f"{self._prefix}/changed/{value}"
        return copy

    def _add(self, node: NodeProto) -> None:
        self.model.graph.node.append(node)


class _Measurement:
    """The nodes that sum up squares of one value, and of its differences to others.

    All is done in float64, in which squares of float32 neither overflow nor vanish.

    Attributes:
        nodes: What has to be added to the graph.
        signal: The sum of the value's squares.
    """

    def __init__(self, prefix: str, value: str) -> None:
        self.nodes: list[NodeProto] = []
        self._prefix = prefix
        self._original = self._double(value)
        self.signal = self._sum_of_squares(self._original)

    def noise(self, other: str) -> str:
        """The sum of the squared differences to another value."""
        pair = [self._original, self._double(other)]
        return self._sum_of_squares(self._added("difference", other, helper.make_node("Sub", pair, [])))

    def _double(self, value: str) -> str:
        return self._added("double", value, helper.make_node("Cast", [value], [], to=TensorProto.DOUBLE))

    def _sum_of_squares(self, value: str) -> str:
        return self._added("sum", value, helper.make_node("ReduceSumSquare", [value], [], keepdims=0))

    def _added(self, label: str, value: str, node: NodeProto) -> str:
        """The name of what a node makes of a value."""
        name = f"{self._prefix}/{label}/{value}"
        node.output[:] = [name]
        self.nodes.append(node)
        return name


def _reads(node: NodeProto, names: Mapping[str, str]) -> bool:
    """Whether a node or a graph in it reads one of these values."""
    if any(value in names for value in node.input):
        return True
    return any(_reads(inner, names) for _, graph in subgraphs(node) for inner in graph.node)


def _rename_inputs(node: NodeProto, names: Mapping[str, str]) -> None:
    """Let a node and the graphs in it read other values; a graph's own values go before those around it."""
    node.input[:] = [names.get(value, value) for value in node.input]
    for _, graph in subgraphs(node):
        own = {item.name for items in (graph.input, graph.initializer) for item in items}
        own.update(value for inner in graph.node for value in inner.output)
        outside = {name: other for name, other in names.items() if name not in own}
        for inner in graph.node:
            _rename_inputs(inner, outside)
        for output in graph.output:
            output.name = outside.get(output.name, output.name)


def _unused_prefix(taken: set[str]) -> str:
    prefix = "aimet_hooks"
    while any(name.startswith(f"{prefix}/") for name in taken):
        prefix += "_"
    return prefix
