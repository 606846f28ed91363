"""A node of ONNX replaced at full rank computes what it computed, however it is configured."""

from __future__ import annotations

from typing import Any

import onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from aimet_hooks.factorization import zeros
from tests.unit.adapters.onnx_networks import (
    adapter_of,
    array,
    full_rank_error,
    layers_of,
    macs_by_shape_inference,
    network,
    node,
    schemes_for,
)

TOLERANCE = 1e-5


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[int, dict[str, Any], tuple[int, ...], tuple[int, ...]]:
    """Number of spatial axes, attributes (any may be left at its default), shapes of input and weight."""
    spatial = draw(st.sampled_from([1, 2]))

    def sizes(low: int, high: int, count: int = spatial) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(count))

    kernel = sizes(1, 4)
    attributes: dict[str, Any] = {}
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    if draw(st.booleans()):
        attributes["strides"] = sizes(1, 3)
    padding = draw(st.sampled_from(["default", "pads", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if padding == "pads":
        attributes["pads"] = sizes(0, 3, 2 * spatial)
    elif padding != "default":
        attributes["auto_pad"] = padding
    if not padding.startswith("SAME") and draw(st.booleans()):  # onnxruntime has no dilation with auto_pad SAME
        attributes["dilations"] = sizes(1, 3)
    dilations = attributes.get("dilations", (1,) * spatial)
    smallest = max((size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True))
    source = (draw(st.integers(1, 2)), draw(st.integers(1, 4)), *sizes(smallest, smallest + 6))
    return spatial, attributes, source, (draw(st.integers(1, 5)), source[1], *kernel)


@settings(max_examples=150)
@given(convolutions(), st.booleans())
def test_a_convolution_at_full_rank_computes_the_same(
    convolution: tuple[int, dict[str, Any], tuple[int, ...], tuple[int, ...]], with_bias: bool
) -> None:
    _, attributes, source, shape = convolution
    weights = {"w": array(*shape)} | ({"b": array(shape[0])} if with_bias else {})
    nodes = [node("Conv", "x w b" if with_bias else "x w", "y", "conv", **attributes)]
    model = network(nodes, weights, inputs={"x": source})
    assert full_rank_error(model) <= TOLERANCE
    assert layers_of(model)["conv"].macs == macs_by_shape_inference(model)


@settings(max_examples=60)
@given(convolutions(), st.integers(1, 3))
def test_a_replaced_convolution_costs_what_its_scheme_says(
    convolution: tuple[int, dict[str, Any], tuple[int, ...], tuple[int, ...]], rank: int
) -> None:
    _, attributes, source, shape = convolution
    model = network([node("Conv", "x w", "y", "conv", **attributes)], {"w": array(*shape)}, inputs={"x": source})
    with adapter_of(model) as adapter:
        layer = adapter.layers()[0]
        for scheme in schemes_for(layer):
            build = adapter.begin_build()
            build.replace("conv", zeros(layer.weight_shape, scheme.first_axes, rank))
            counted = [part.macs for part in layers_of(build.model).values()]
            assert sum(counted) == scheme.cost(layer, rank).macs == macs_by_shape_inference(build.model)
            onnx.checker.check_model(build.model, full_check=True)


@settings(max_examples=40)
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    trans_b=st.booleans(),
    alpha=st.sampled_from([None, 1.0, 0.5, -3.0]),
    beta=st.sampled_from([None, 1.0, 0.25]),
    bias=st.sampled_from(["none", "vector", "scalar", "matrix", "input"]),
)
def test_a_gemm_at_full_rank_computes_the_same(
    sizes: tuple[int, int, int], trans_b: bool, alpha: float | None, beta: float | None, bias: str
) -> None:
    rows, m, n = sizes
    attributes = {"transB": int(trans_b), "alpha": alpha, "beta": beta}
    attributes = {name: value for name, value in attributes.items() if value is not None}
    weights = {"w": array(n, m) if trans_b else array(m, n)}
    biases = {"vector": array(n), "scalar": array(1), "matrix": array(rows, n)}
    if bias in biases:
        weights["c"] = biases[bias]
    inputs = {"x": (rows, m)} | ({"c": (n,)} if bias == "input" else {})
    nodes = [node("Gemm", "x w" if bias == "none" else "x w c", "y", "gemm", **attributes)]
    model = network(nodes, weights, inputs=inputs)
    assert layers_of(model)["gemm"].macs == rows * m * n
    assert full_rank_error(model) <= TOLERANCE


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4), max_size=3), st.integers(1, 9), st.integers(1, 9))
def test_a_matmul_at_full_rank_computes_the_same(leading: list[int], m: int, n: int) -> None:
    nodes = [node("MatMul", "x w", "p", "matmul"), node("Add", "p b", "y")]
    model = network(nodes, {"w": array(m, n), "b": array(n)}, inputs={"x": (*leading, m)})
    layer = layers_of(model)["matmul"]
    positions = 1
    for size in leading:
        positions *= size
    assert layer.macs == positions * m * n
    assert layer.samples == (leading[0] if leading else m)
    assert full_rank_error(model) <= TOLERANCE
