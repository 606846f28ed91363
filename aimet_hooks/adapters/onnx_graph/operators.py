"""The operators that work with weights: which inputs hold them, and how many multiply-accumulates they take."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from onnx import TensorProto

from aimet_hooks.adapters.onnx_graph.protobuf import STANDARD_DOMAINS, attribute

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import NodeProto

Shape = tuple[int, ...]

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
"""Types of weights that can be decomposed."""

_STANDARD: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "DeformConv": (1,),
    "Gemm": (1, 0),
    "MatMul": (1, 0),
    "Einsum": (1, 0),
    "Gather": (0,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
    "ConvInteger": (1,),
    "MatMulInteger": (1, 0),
    "QLinearConv": (3,),
    "QLinearMatMul": (3, 0),
}
_MICROSOFT: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "FusedConv": (1,),
    "NhwcFusedConv": (1,),
    "QLinearConv": (3,),
    "FusedGemm": (1, 0),
    "FusedMatMul": (1, 0),
    "QGemm": (3,),
    "DynamicQuantizeMatMul": (1,),
    "MatMulIntegerToFloat": (1,),
    "MatMulNBits": (1,),
    "MatMulBnb4": (1,),
    "Attention": (1,),
    "QAttention": (1,),
    "DynamicQuantizeLSTM": (1, 2),
}
_RECURRENT = ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM")
_REPLACEABLE = ("Conv", "Gemm", "MatMul")
_CONVOLUTIONS = ("Conv", "DeformConv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv")
_QUANTIZED = (
    *("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm", "DynamicQuantizeMatMul"),
    *("MatMulIntegerToFloat", "MatMulNBits", "MatMulBnb4", "QAttention", "DynamicQuantizeLSTM"),
)
_EITHER_OPERAND = ("Gemm", "MatMul", "Einsum", "MatMulInteger", "QLinearMatMul", "FusedGemm", "FusedMatMul")


def weight_places(node: NodeProto) -> tuple[int, ...]:
    """Which inputs of a node hold its weights, or may hold them; empty for an operator without weights."""
    known: Mapping[str, tuple[int, ...]] = {}
    if node.domain in STANDARD_DOMAINS:
        known = _STANDARD
    elif node.domain.startswith("com.microsoft"):
        known = _MICROSOFT
    return tuple(at for at in known.get(node.op_type, ()) if at < len(node.input) and node.input[at])


def is_product(node: NodeProto) -> bool:
    """Whether either of two operands may be the weight, or none: a product of two activations."""
    return node.op_type in _EITHER_OPERAND


def is_quantized(node: NodeProto) -> bool:
    """Whether the operator works on integers."""
    return node.op_type in _QUANTIZED


def is_replaceable(node: NodeProto) -> bool:
    """Whether the operator is one that two of its kind can stand in for."""
    return node.op_type in _REPLACEABLE and node.domain in STANDARD_DOMAINS


def count_weights(node: NodeProto, weights: Sequence[Shape]) -> int:
    """Number of weights of a node: those of 4 bits count one by one, not by the bytes that hold two of them."""
    if node.op_type in ("MatMulNBits", "MatMulBnb4"):
        return int(attribute(node, "K", 0) * attribute(node, "N", 0))
    return sum(map(prod, weights))


def count_macs(node: NodeProto, weights: Sequence[Shape], inputs: Sequence[Shape], output: Shape) -> int:
    """Multiply-accumulates of a node for the shapes of one example.

    Args:
        node: An operator with weights.
        weights: Shapes of its weights.
        inputs: Shapes of all its inputs.
        output: Shape of its first output.
    """
    kind, source = node.op_type, inputs[0]
    if kind in _CONVOLUTIONS:
        return prod(weights[0][1:]) * prod(output)
    if kind == "ConvTranspose":
        return prod(weights[0][1:]) * prod(source)
    if kind in _RECURRENT:
        return sum(map(prod, weights)) * prod(source[:2])
    if kind in ("Attention", "QAttention"):
        return prod(weights[0]) * prod(source[:-1])
    if kind == "Einsum":
        return _einsum_macs(attribute(node, "equation", b"").decode(), inputs)
    if kind == "Gather":
        return 0
    return prod(output) * (source[-2] if attribute(node, "transA", 0) else source[-1])


def _einsum_macs(equation: str, inputs: Sequence[Shape]) -> int:
    """One for every combination of indices; the axes that an ellipsis stands for are counted from their end."""
    sizes: dict[str, int] = {}
    for term, shape in zip(equation.replace(" ", "").partition("->")[0].split(","), inputs, strict=True):
        before, dots, after = term.partition("...")
        hidden = len(shape) - len(before) - len(after)
        labels = [*before, *(f"...{at - hidden}" for at in range(hidden if dots else 0)), *after]
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return prod(sizes.values())
