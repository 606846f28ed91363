"""Where the channels of a node with weights lie in the values that it reads and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.adapters.channels import Channels
from aimet_hooks.adapters.onnx_graph.protobuf import attribute

if TYPE_CHECKING:
    from aimet_hooks.adapters.onnx_graph.graph_index import GraphIndex
    from aimet_hooks.adapters.onnx_graph.stored_node import StoredNode

_HOMOGENEOUS = (b"", b"Relu", b"LeakyRelu")
"""Fused activations f with f(s * x) = s * f(x) for s > 0."""


def channels_of(found: StoredNode, index: GraphIndex) -> Channels:
    """Where a node's channels lie. What it adds has to be constant, so that it can be scaled with the weight."""
    added = (value for value in found.node.input[2:] if value)
    in_proportion = all(map(index.is_constant, added)) and attribute(found.node, "activation", b"") in _HOMOGENEOUS
    if found.is_convolution:
        return _of_convolution(found, in_proportion=in_proportion)
    return _of_product(found, in_proportion=in_proportion)


def _of_convolution(found: StoredNode, *, in_proportion: bool) -> Channels:
    first, second, *kernel = found.sizes
    turned = found.node.op_type == "ConvTranspose"
    axis = -1 if found.node.op_type == "NhwcFusedConv" else 1
    return Channels(
        outputs=second * found.groups if turned else first,
        inputs=first if turned else second * found.groups,
        output_axis=axis if in_proportion else None,
        input_axis=axis,
        spatial=len(kernel),
    )


def _of_product(found: StoredNode, *, in_proportion: bool) -> Channels:
    """A vector as the weight leaves no axis of channels; FusedMatMul may move the axes of a batch."""
    *_, inputs = found.sizes
    batch_moved = any(attribute(found.node, name, 0) for name in ("transBatchA", "transBatchB"))
    turned = bool(attribute(found.node, "transB" if found.is_left else "transA", 0))
    input_axis = None if batch_moved else -2 if found.is_left != turned else -1
    if len(found.sizes) == 1:
        return Channels(outputs=1, inputs=inputs, output_axis=None, input_axis=input_axis)
    outputs, inputs = (found.sizes[axis] for axis in found.axes)
    output_axis = (-2 if found.is_left else -1) if in_proportion and not batch_moved else None
    return Channels(outputs=outputs, inputs=inputs, output_axis=output_axis, input_axis=input_axis)
