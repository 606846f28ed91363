"""Find the nodes with weights of an ONNX model, what each costs, and what stands against replacing it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from onnx import TensorProto

from aimet_hooks.adapters.onnx_graph import operators
from aimet_hooks.adapters.onnx_graph.nested_layers import NestedLayers
from aimet_hooks.adapters.onnx_graph.protobuf import attribute
from aimet_hooks.layers import Geometry, Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import onnx
    from onnx import NodeProto

    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
    from aimet_hooks.adapters.onnx_graph.operators import Shape

    ShapesOf = Callable[[Sequence[str]], Mapping[str, Shape]]
    """Shapes of values of the main graph for the example, by name."""


@dataclass(frozen=True, slots=True)
class WeightNode:
    """A node of the main graph that can be replaced.

    Attributes:
        name: Name of the layer.
        place: Its place in the graph.
        weight: Its constant weight.
        transposed: Whether the weight is stored as (in, out) instead of (out, in).
    """

    name: str
    place: int
    weight: TensorProto
    transposed: bool


def survey(
    model: onnx.ModelProto, index: GraphIndex, shapes_of: ShapesOf, samples: int
) -> tuple[list[Layer], dict[str, WeightNode]]:
    """Describe every node with weights, in the order of the graph.

    Returns:
        The layers, and by name the nodes of those that can be replaced.
    """
    found = {place: node for place, node in enumerate(model.graph.node) if has_weight(node, index)}
    shapes = _shapes(found.values(), index, shapes_of)
    nested = NestedLayers(index, samples)
    layers: list[Layer] = []
    nodes: dict[str, WeightNode] = {}
    for place, node in enumerate(model.graph.node):
        if place in found:
            layer = _described(index.names[place], node, index, shapes, samples)
            layers.append(layer)
            weight = index.constant(weight_value(node, index))
            if layer.reason is None and weight is not None:
                nodes[layer.name] = WeightNode(layer.name, place, weight, _is_transposed(node))
        layers += nested.of(index.names[place], node)
    return layers, nodes


def _shapes(nodes: Iterable[NodeProto], index: GraphIndex, shapes_of: ShapesOf) -> Mapping[str, Shape]:
    """Shapes of the inputs and the first outputs of nodes; only those of activations have to be measured."""
    values = {value for node in nodes for value in (*node.input, _output(node)) if value}
    tensors = {value: tensor for value in values if (tensor := index.constant(value)) is not None}
    measured = shapes_of(sorted(values - tensors.keys()))
    return {**measured, **{value: tuple(tensor.dims) for value, tensor in tensors.items()}}


def has_weight(node: NodeProto, index: GraphIndex) -> bool:
    """Whether a node works with weights rather than with activations alone."""
    if not operators.weight_places(node):
        return False
    value = weight_value(node, index)
    if node.op_type == "Gather":
        table = index.constant(value)
        return table is not None and len(table.dims) >= 2 and table.data_type in operators.FLOATS
    if index.is_constant(_output(node)):
        return False  # computed once, when the model is loaded
    if not operators.is_product(node):
        return True
    return index.is_constant(value) or (node.op_type == "Gemm" and value in index.inputs)


def weight_value(node: NodeProto, index: GraphIndex) -> str:
    """Name of the input that holds the weight: of a product the right one, or the left one if only that is constant."""
    values = [str(node.input[at]) for at in operators.weight_places(node)]
    return next((value for value in values if index.is_constant(value)), values[0])


def _output(node: NodeProto) -> str:
    """The first output that a node has; a recurrent one may leave out its first."""
    return next(filter(None, node.output), "")


def _described(name: str, node: NodeProto, index: GraphIndex, shapes: Mapping[str, Shape], samples: int) -> Layer:
    value = weight_value(node, index)
    reason = _reason_against(name, node, value, index)
    values = [value] if operators.is_product(node) else [node.input[at] for at in operators.weight_places(node)]
    weights = [shapes[item] for item in values]
    turned = _is_transposed(node) and len(weights[0]) == 2 and value != node.input[0]
    shape = weights[0][::-1] if turned else weights[0]
    inputs = [shapes[item] for item in node.input if item]
    output = shapes[_output(node)]
    return Layer(
        name=name,
        kind=node.op_type,
        weight_shape=shape,
        macs=operators.count_macs(node, weights, inputs, output),
        weights=operators.count_weights(node, weights),
        samples=samples,
        geometry=_geometry(shape, inputs[0], output) if reason is None else None,
        reason=reason,
    )


def _is_transposed(node: NodeProto) -> bool:
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not attribute(node, "transB", 0))


def _geometry(shape: Shape, source: Shape, target: Shape) -> Geometry:
    spatial = len(shape) - 2
    return Geometry(
        in_channels=shape[1],
        out_channels=shape[0],
        kernel=shape[2:],
        input_size=source[len(source) - spatial :],
        output_size=target[len(target) - spatial :],
        repeats=prod(target[:-1]) if spatial == 0 else target[0],
    )


def _reason_against(name: str, node: NodeProto, value: str, index: GraphIndex) -> str | None:
    if operators.is_quantized(node):
        return f"{node.op_type} is a quantized operator"
    if not operators.is_replaceable(node):
        return f"{node.op_type} is not supported"
    weight = index.constant(value)
    if weight is None:
        return _reason_not_constant(index, value)
    if weight.data_type not in operators.FLOATS:
        return f"its weight is of type {TensorProto.DataType.Name(weight.data_type)}"
    others = list(index.users(value))
    others.remove(name)
    if others:
        return f"its weight is shared with {others[0]!r}"
    if node.op_type == "Conv":
        return _reason_of_convolution(node, weight)
    if value == node.input[0]:
        return "its weight is the left operand"
    if attribute(node, "transA", 0):
        return "its input is transposed (transA=1)"
    return None if len(weight.dims) == 2 else f"its weight has {len(weight.dims)} dimensions, not 2"


def _reason_not_constant(index: GraphIndex, value: str) -> str:
    producer = index.producer(value)
    if producer is None:
        return "its weight is an input of the graph, not constant"
    if producer.op_type == "DequantizeLinear":
        return "its weight is quantized (DequantizeLinear)"
    how = "from constants " if index.is_constant(value) else ""
    return f"its weight is not constant but computed {how}by a {producer.op_type} node"


def _reason_of_convolution(node: NodeProto, weight: TensorProto) -> str | None:
    groups = attribute(node, "group", 1)
    if groups != 1:
        return f"{'depthwise' if weight.dims[1] == 1 else 'grouped'} convolution (group={groups})"
    return None if len(weight.dims) in (3, 4) else f"{len(weight.dims) - 2}-D convolution is not supported"
