"""Who makes and who reads each value of a graph, and which values are constant."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from onnx import TensorProto, numpy_helper

from aimet_hooks.adapters.onnx_graph.protobuf import STANDARD_DOMAINS, attribute, constant_tensor, subgraphs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, NodeProto

_NOT_REPEATABLE = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")
OUTPUT = "the graph's output"


class GraphIndex:
    """The main graph of a model, indexed once. Identity nodes are seen through: they carry the value of their input.

    Args:
        graph: Its nodes' names are unique where they are set.

    Attributes:
        names: For each node a name that no other has: its own, or its first output's if it has none.
        taken: Every name of a node or a value, the values of nested graphs included.
        inputs: Names of the graph's inputs that are no initializers.
    """

    def __init__(self, graph: GraphProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = {value.name for value in graph.input} - self._tensors.keys()
        self._producers: dict[str, NodeProto] = {}
        self._makers: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        self._carriers: dict[str, list[int]] = defaultdict(list)
        self._users: dict[str, list[str]] = defaultdict(list)
        self._constant_values = {*self._tensors, ""}
        self.names = _node_names(graph)
        self.taken = {item.name for items in (graph.initializer, graph.input, graph.output) for item in items}
        for place, node in enumerate(graph.node):
            self._add(place, node)
        for value in graph.output:
            self._users[self.origin(value.name)].append(OUTPUT)

    def origin(self, value: str) -> str:
        """The value that this one carries: itself, or what Identity nodes pass on."""
        return self._origins.get(value, value)

    def constant(self, value: str) -> TensorProto | None:
        """The tensor that a value carries: of an initializer or a Constant node."""
        return self._tensors.get(self.origin(value))

    def integers(self, value: str) -> list[int] | None:
        """The whole numbers that a constant value holds, as axes; None if it is none, or its values are not there."""
        tensor = self.constant(value)
        if tensor is not None:
            held = tensor.data_type == TensorProto.INT64 and (tensor.raw_data or tensor.int64_data)
            return [int(number) for number in numpy_helper.to_array(tensor).flat] if held else None
        producer = self.producer(value)
        if producer is None or producer.op_type != "Constant" or producer.domain not in STANDARD_DOMAINS:
            return None
        return attribute(producer, "value_ints", []) or None

    def is_constant(self, value: str) -> bool:
        """Whether a value follows from constants alone."""
        return value in self._constant_values

    def producer(self, value: str) -> NodeProto | None:
        """The node that makes what a value carries, None for inputs and initializers."""
        return self._producers.get(self.origin(value))

    def maker(self, value: str) -> str:
        """Name of the node that makes what a value carries, empty for inputs and initializers."""
        return self._makers.get(self.origin(value), "")

    def users(self, value: str) -> list[str]:
        """Names of the nodes that read what a value carries, once for each time; an output of the graph is one too."""
        return self._users[self.origin(value)]

    def carriers(self, value: str) -> list[int]:
        """Places of the Constant and Identity nodes that make and pass on what a value carries."""
        return self._carriers[self.origin(value)]

    def _add(self, place: int, node: NodeProto) -> None:
        self.taken.update((node.name, *node.input, *node.output))
        if node.op_type == "Identity" and node.domain in STANDARD_DOMAINS:
            origin = self.origin(node.input[0])
            self._origins[node.output[0]] = origin
            self._carriers[origin].append(place)
        else:
            self._add_reader(place, node)
        nested = any(True for _ in subgraphs(node))
        if not nested and node.op_type not in _NOT_REPEATABLE and self._constant_values.issuperset(node.input):
            self._constant_values.update(node.output)

    def _add_reader(self, place: int, node: NodeProto) -> None:
        self._producers.update(dict.fromkeys(node.output, node))
        self._makers.update(dict.fromkeys(node.output, self.names[place]))
        tensor = constant_tensor(node)
        if tensor is not None:
            self._tensors[node.output[0]] = tensor
            self._carriers[node.output[0]].append(place)
        for value in node.input:
            self._users[self.origin(value)].append(self.names[place])
        for value in _values_in_subgraphs(node):
            self.taken.add(value)
            self._users[self.origin(value)].append(self.names[place])


def _node_names(graph: GraphProto) -> list[str]:
    """The nodes' own names; for one without, its first output, which may have to be told from a node's name."""
    own = {node.name for node in graph.node}
    names = []
    for place, node in enumerate(graph.node):
        output = next(filter(None, node.output), "")
        names.append(node.name or (output if output not in own else f"{output}#{place}"))
    return names


def _values_in_subgraphs(node: NodeProto) -> Iterator[str]:
    for _, graph in subgraphs(node):
        for inner in graph.node:
            yield from (*inner.input, *inner.output)
            yield from _values_in_subgraphs(inner)
        for items in (graph.input, graph.output, graph.initializer):
            yield from (item.name for item in items)
