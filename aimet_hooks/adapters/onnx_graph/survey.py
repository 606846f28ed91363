"""Find the nodes with weights of an ONNX model, what each costs for an example, and what stands against replacing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from aimet_hooks.adapters.onnx_graph.graph_index import Constant, GraphIndex, subgraphs
from aimet_hooks.layers import Geometry, Layer

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
ShapesOf = Callable[[Sequence[str]], Mapping[str, Shape]]
"""Shapes of values of the main graph for the example, by name."""

WEIGHT_INPUTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "MatMul": (1, 0),
    "Gather": (0,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
    "ConvInteger": (1,),
    "MatMulInteger": (1,),
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
    "QGemm": (3,),
    "DynamicQuantizeMatMul": (1,),
    "MatMulIntegerToFloat": (1,),
    "MatMulNBits": (1,),
    "FusedConv": (1,),
    "FusedMatMul": (1,),
    "FusedGemm": (1,),
}
"""Operators with weights, and which inputs hold them."""

QUANTIZED = {
    name for name in WEIGHT_INPUTS if name.startswith(("QLinear", "QGemm", "DynamicQuantize")) or "Integer" in name
}
QUANTIZED.add("MatMulNBits")
REPLACEABLE = ("Conv", "Gemm", "MatMul")
_RECURRENT = ("LSTM", "GRU", "RNN")
_CONVOLUTIONS = ("Conv", "FusedConv", "ConvInteger", "QLinearConv")
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True, slots=True)
class WeightNode:
    """A node of the main graph that can be replaced.

    Attributes:
        index: Its place in the graph.
        weight: Its constant weight.
        transposed: Whether the weight is stored as (in, out) instead of (out, in).
    """

    index: int
    weight: Constant
    transposed: bool


def survey(
    model: onnx.ModelProto, index: GraphIndex, shapes_of: ShapesOf, samples: int
) -> tuple[list[Layer], dict[str, WeightNode]]:
    """Describe every node with weights, in the order of the graph.

    Returns:
        The layers, and by name the nodes of those that can be replaced.
    """
    found = [
        (place, node) for place, node in enumerate(model.graph.node) if _has_weight(node, index) or any(subgraphs(node))
    ]
    wanted = {value for _, node in found if node.op_type in WEIGHT_INPUTS for value in _values_to_measure(node)}
    shapes = shapes_of(sorted(wanted))
    layers: list[Layer] = []
    nodes: dict[str, WeightNode] = {}
    for place, node in found:
        if node.op_type not in WEIGHT_INPUTS:
            layers += _nested(index.names[place], node, samples)
            continue
        layer, weight_node = _described(place, node, index, shapes, samples)
        layers.append(layer)
        if weight_node is not None:
            nodes[layer.name] = weight_node
    return layers, nodes


def _has_weight(node: NodeProto, index: GraphIndex) -> bool:
    """Whether a node works with weights rather than with activations alone. A convolution always does."""
    if node.op_type not in WEIGHT_INPUTS or node.domain not in ("", "ai.onnx", "com.microsoft"):
        return False
    if node.op_type in ("Conv", "ConvTranspose"):
        return True
    if node.op_type == "Gather":
        table = index.constant(node.input[0])
        return table is not None and len(table.tensor.dims) >= 2 and table.tensor.data_type in _FLOATS
    value = _weight_value(node, index)
    return index.constant(value) is not None or index.is_computed(value)


def _weight_value(node: NodeProto, index: GraphIndex) -> str:
    """Name of the input that holds the weight: for MatMul the right one, or the left one if only that is constant."""
    candidates = [node.input[place] for place in WEIGHT_INPUTS[node.op_type] if place < len(node.input)]
    if node.op_type == "MatMul":
        known = [value for value in candidates if index.constant(value) or index.is_computed(value)]
        return str(known[0] if known else candidates[0])
    return str(candidates[0])


def _values_to_measure(node: NodeProto) -> list[str]:
    places = WEIGHT_INPUTS[node.op_type]
    return [
        *filter(
            None,
            [
                node.input[0],
                node.output[0],
                *(node.input[place] for place in places if place < len(node.input)),
            ],
        )
    ]


def _described(
    place: int, node: NodeProto, index: GraphIndex, shapes: Mapping[str, Shape], samples: int
) -> tuple[Layer, WeightNode | None]:
    name = index.names[place]
    value = _weight_value(node, index)
    weight = index.constant(value)
    transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attribute(node, "transB", 0))
    stored = shapes[value]
    shape = stored[::-1] if transposed and len(stored) == 2 else stored
    reason = _reason_against(node, value, weight, index, name)
    source, target = shapes.get(node.input[0], ()), shapes.get(node.output[0], ())
    layer = Layer(
        name=name,
        kind=node.op_type,
        weight_shape=shape,
        macs=_macs(node, [shapes[item] for item in _weight_values(node)], source, target),
        weights=sum(prod(shapes[item]) for item in _weight_values(node) if item == value or node.op_type in _RECURRENT),
        samples=samples,
        geometry=_geometry(shape, source, target) if reason is None else None,
        reason=reason,
    )
    return layer, WeightNode(place, weight, transposed) if reason is None and weight is not None else None


def _weight_values(node: NodeProto) -> list[str]:
    return [node.input[place] for place in WEIGHT_INPUTS[node.op_type] if place < len(node.input) and node.input[place]]


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


def _macs(node: NodeProto, weights: Sequence[Shape], source: Shape, target: Shape) -> int:
    """MACs for the example: every weight works once at every position."""
    kind = node.op_type
    if kind in _CONVOLUTIONS:
        return prod(weights[0][1:]) * prod(target)
    if kind == "ConvTranspose":
        return prod(weights[0][1:]) * prod(source)
    if kind in _RECURRENT:
        return sum(map(prod, weights)) * prod(source[:2])
    if kind == "Gather":
        return 0
    return prod(target) * (source[-1] if kind != "Gemm" or not attribute(node, "transA", 0) else source[0])


def _reason_against(node: NodeProto, value: str, weight: Constant | None, index: GraphIndex, name: str) -> str | None:
    if node.op_type in QUANTIZED:
        return f"{node.op_type} is a quantized operator"
    if node.op_type not in REPLACEABLE or node.domain == "com.microsoft":
        return f"{node.op_type} is not supported"
    if weight is None:
        return _reason_not_constant(index, value)
    if weight.tensor.data_type not in _FLOATS:
        return f"its weight is of type {TensorProto.DataType.Name(weight.tensor.data_type)}"
    user = index.other_user(weight, name)
    if user is not None:
        return f"its weight is shared with {user!r}"
    if node.op_type == "Conv":
        return _reason_of_convolution(node, weight)
    if node.op_type == "Gemm":
        return "its input is transposed (transA=1)" if attribute(node, "transA", 0) else None
    if value == node.input[0]:
        return "its weight is the left operand"
    return None if len(weight.tensor.dims) == 2 else f"its weight has {len(weight.tensor.dims)} dimensions, not 2"


def _reason_not_constant(index: GraphIndex, value: str) -> str:
    producer = index.producer(value)
    if producer is None:
        return "its weight is an input of the graph, not constant"
    if producer.op_type == "DequantizeLinear":
        return "its weight is quantized (DequantizeLinear)"
    how = "from constants " if index.is_computed(value) else ""
    return f"its weight is not constant but computed {how}by a {producer.op_type} node"


def _reason_of_convolution(node: NodeProto, weight: Constant) -> str | None:
    dims = weight.tensor.dims
    groups = attribute(node, "group", 1)
    if groups != 1:
        return f"{'depthwise' if dims[1] == 1 else 'grouped'} convolution (group={groups})"
    return None if len(dims) in (3, 4) else f"{len(dims) - 2}-D convolution is not supported"


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute."""
    return next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), default)


def _nested(owner: str, node: NodeProto, samples: int) -> Iterator[Layer]:
    """The nodes with weights inside a node's graphs. Their MACs are not known: how often they run is not either."""
    for label, graph in subgraphs(node):
        weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        weights.update(_constants(graph))
        for inner in graph.node:
            values = [inner.input[at] for at in WEIGHT_INPUTS.get(inner.op_type, ()) if at < len(inner.input)]
            shapes = [weights[value] for value in values if len(weights.get(value, ())) >= 2]
            if shapes:
                yield Layer(
                    name=inner.name or inner.output[0],
                    kind=inner.op_type,
                    weight_shape=shapes[0],
                    macs=0,
                    weights=sum(map(prod, shapes)),
                    samples=samples,
                    reason=f"it lies in the {label} of {node.op_type} node {owner!r}; its MACs are not counted",
                )
            yield from _nested(inner.name or inner.output[0], inner, samples)


def _constants(graph: GraphProto) -> Iterator[tuple[str, Shape]]:
    for node in graph.node:
        value = attribute(node, "value", None) if node.op_type == "Constant" else None
        if isinstance(value, TensorProto):
            yield node.output[0], numpy_helper.to_array(value).shape
