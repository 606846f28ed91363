"""Small ONNX networks, and what the adapter makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from aimet_hooks.adapters import ExampleInput, SessionSettings
from aimet_hooks.adapters.onnx_graph import OnnxAdapter
from aimet_hooks.cost import full_rank
from aimet_hooks.factorization import zeros
from aimet_hooks.schemes import SpatialSvd, SvdScheme, WeightSvd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aimet_hooks.factorization import Replacement
    from aimet_hooks.layers import Layer

OPSET = 17


def array(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(dtype)


def node(kind: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> NodeProto:
    """A node; inputs and outputs are separated by blanks, "_" is one that is left out."""
    split = [[item.replace("_", "") if item == "_" else item for item in text.split()] for text in (inputs, outputs)]
    return helper.make_node(kind, *split, name=name, **attributes)


def network(
    nodes: Sequence[NodeProto],
    weights: Mapping[str, np.ndarray | TensorProto] | None = None,
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = ("y",),
    dtype: int = TensorProto.FLOAT,
    opset: int = OPSET,
    ir_version: int = 8,
    domains: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> ModelProto:
    """A model of these nodes; ``inputs`` gives shapes, or pairs of element type and shape."""
    declared = []
    for name, shape in (inputs or {"x": (2, 4, 8, 8)}).items():
        kind, dims = shape if isinstance(shape, list) else (dtype, shape)
        declared.append(helper.make_tensor_value_info(name, kind, dims))
    initializers = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        for name, value in (weights or {}).items()
    ]
    if ir_version <= 3:
        declared += [helper.make_tensor_value_info(item.name, item.data_type, item.dims) for item in initializers]
    made = [helper.make_tensor_value_info(name, dtype, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "network", declared, made, initializers)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions))
    inferred = onnx.shape_inference.infer_shapes(model).graph.output
    del model.graph.output[:]
    model.graph.output.extend(inferred)  # the checker wants their shapes
    return model


def quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def adapter_of(
    model: ModelProto | str | Path, *, shape: tuple[int, ...] | None = None, values: Any = None
) -> OnnxAdapter:
    return OnnxAdapter(model, ExampleInput(shape=shape, values=values), SessionSettings(options=quiet()))


def layers_of(model: ModelProto | str | Path, **example: Any) -> dict[str, Layer]:
    with adapter_of(model, **example) as adapter:
        return {layer.name: layer for layer in adapter.layers()}


def reasons_of(model: ModelProto | str | Path, **example: Any) -> dict[str, str | None]:
    return {name: layer.reason for name, layer in layers_of(model, **example).items()}


def run(model: ModelProto | str | Path, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    source = model.SerializeToString() if isinstance(model, ModelProto) else str(model)
    session = onnxruntime.InferenceSession(source, quiet(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))


def schemes_for(layer: Layer) -> tuple[SvdScheme, ...]:
    assert layer.geometry is not None
    return (SpatialSvd(), WeightSvd()) if layer.geometry.kernel else (WeightSvd(),)


def at_full_rank(adapter: OnnxAdapter, layer: Layer, scheme: SvdScheme) -> Replacement:
    assert layer.geometry is not None
    rank = full_rank(layer.geometry, scheme.first_axes)
    return scheme.prepare(adapter.weight(layer.name), rank).at(rank)


def nothing_for(layer: Layer) -> Replacement:
    return zeros(layer.weight_shape, (), 1)


def full_rank_error(model: ModelProto | str | Path, **example: Any) -> float:
    """The largest error that any replaceable layer at full rank makes, as a share of the largest output."""
    with adapter_of(model, **example) as adapter:
        feeds = adapter._example.feeds
        with adapter.original() as session:
            expected = session.run(None, feeds)[0].astype(np.float64)
        replaceable = [layer for layer in adapter.layers() if layer.reason is None]
        assert replaceable, {layer.name: layer.reason for layer in adapter.layers()}
        errors = []
        for layer in replaceable:
            for scheme in schemes_for(layer):
                with adapter.swapped(layer.name, at_full_rank(adapter, layer, scheme)) as session:
                    actual = session.run(None, feeds)[0].astype(np.float64)
                assert actual.shape == expected.shape
                errors.append(np.abs(actual - expected).max() / (np.abs(expected).max() or 1.0))
    return float(max(errors))


def macs_by_shape_inference(model: ModelProto) -> int:
    """MACs of all Conv, Gemm and MatMul nodes, from the shapes that onnx infers (not those that a run shows)."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    for items in (inferred.input, inferred.value_info, inferred.output):
        shapes |= {item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim] for item in items}
    total = 0
    for found in inferred.node:
        if found.op_type == "Conv":  # every output value is a sum over the kernel and the channels of its group
            total += int(np.prod(shapes[found.output[0]])) * int(np.prod(shapes[found.input[1]][1:]))
        elif found.op_type in ("Gemm", "MatMul"):  # every output value is a sum over the shared axis
            total += int(np.prod(shapes[found.output[0]])) * shapes[found.input[0]][-1]
    return total
