"""Who makes and who reads each value of a graph, and which values are constant."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Constant:
    """A weight that is there when the model is loaded.

    Attributes:
        tensor: Its values (or where they are).
        chain: Names of the values that carry it, the tensor's own first, then the outputs of Identity nodes.
    """

    tensor: TensorProto
    chain: tuple[str, ...]


class GraphIndex:
    """The main graph of a model, indexed once.

    Attributes:
        names: For each node its name: its own where that is set and unique, else its first output's.
    """

    def __init__(self, graph: GraphProto) -> None:
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {output: node for node in graph.node for output in node.output}
        self._outputs = {value.name for value in graph.output}
        self._readers: dict[str, list[str]] = defaultdict(list)
        counts: dict[str, int] = defaultdict(int)
        for node in graph.node:
            counts[node.name] += 1
        self.names = [
            node.name if node.name and counts[node.name] == 1 else next(filter(None, node.output), f"#{index}")
            for index, node in enumerate(graph.node)
        ]
        for name, node in zip(self.names, graph.node, strict=True):
            for value in _reads(node):
                self._readers[value].append(name)
        self._constant_values = self._find_constant_values(graph)

    def constant(self, value: str) -> Constant | None:
        """The weight behind a value: an initializer, a Constant node, or Identity nodes over one."""
        chain = [value]
        while (node := self._producers.get(chain[0])) is not None and node.op_type == "Identity":
            chain.insert(0, node.input[0])
        tensor = self._initializers.get(chain[0])
        node = self._producers.get(chain[0])
        if tensor is None and node is not None and node.op_type == "Constant":
            tensor = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
        return Constant(tensor, tuple(chain)) if tensor is not None else None

    def is_computed(self, value: str) -> bool:
        """Whether a value follows from constants alone, though it is none."""
        return value in self._constant_values and self.constant(value) is None

    def producer(self, value: str) -> NodeProto | None:
        """The node that makes a value, None for inputs and initializers."""
        return self._producers.get(value)

    def other_user(self, constant: Constant, name: str) -> str | None:
        """Somebody other than the node ``name`` who reads the constant: a node's name, or "the graph's output"."""
        identities = set(constant.chain[1:])
        for value in constant.chain:
            if value in self._outputs:
                return "the graph's output"
            for reader in self._readers[value]:
                if reader != name and not self._is_identity_of(reader, identities):
                    return reader
        return None

    def readers(self, value: str) -> int:
        """How many inputs of nodes read a value, those of nested graphs included; an output of the graph counts as one."""
        return len(self._readers[value]) + (value in self._outputs)

    def _is_identity_of(self, reader: str, identities: set[str]) -> bool:
        return any(
            node.op_type == "Identity" and output in identities and reader in (node.name, output)
            for output in identities
            if (node := self._producers.get(output)) is not None
        )

    def _find_constant_values(self, graph: GraphProto) -> set[str]:
        constant = {*self._initializers, ""}
        for node in graph.node:
            nested = any(
                attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for attribute in node.attribute
            )
            if not nested and not node.op_type.startswith("Random") and all(value in constant for value in node.input):
                constant.update(node.output)
        return constant


def subgraphs(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """The graphs in a node's attributes, as the branches of If and the body of Loop, by the attribute's name."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from ((attribute.name, graph) for graph in attribute.graphs)


def _reads(node: NodeProto) -> Iterator[str]:
    yield from filter(None, node.input)
    for _, graph in subgraphs(node):
        for inner in graph.node:
            yield from _reads(inner)
        yield from (value.name for value in graph.output)
