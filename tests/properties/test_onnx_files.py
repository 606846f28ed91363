"""ONNX files that are damaged or put together at random: read, or refused with an error of this package."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from aimet_hooks import analyze_weight_ranges, plan
from aimet_hooks.errors import AimetHooksError
from tests.properties.mutations import mutated
from tests.unit.adapters.onnx_networks import array, network, node

one_directory = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def read_or_refuse(path: Path) -> None:
    for read in (plan, analyze_weight_ranges):
        with contextlib.suppress(AimetHooksError):
            read(path)


def a_network() -> bytes:
    """Convolutions, a product, what passes weights on, and a branch."""
    branch = helper.make_graph(
        [node("Conv", "b w2", "o", name="inner")], "branch", [], [helper.make_tensor_value_info("o", 1, None)]
    )
    nodes = [
        node("Conv", "x w", "a", name="conv", pads=[1, 1, 1, 1]),
        node("Identity", "w2", "w3"),
        node("Conv", "a w3", "b", name="shared"),
        node("Constant", "", "w4", value=numpy_helper.from_array(array(4, 2, 1, 1), "w4")),
        node("ConvTranspose", "b w4", "c", name="transposed", group=2),
        node("If", "condition", "d", then_branch=branch, else_branch=branch),
        node("Flatten", "c", "e"),
        node("Gemm", "e g h", "y", name="gemm", transB=1),
    ]
    weights = {
        "w": array(4, 4, 3, 3),
        "w2": array(4, 4, 3, 3),
        "g": array(3, 144),
        "h": array(3),
        "condition": np.array(True),
    }
    return network(nodes, weights).SerializeToString()


WHOLE = a_network()


def test_the_network_itself_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(WHOLE)
    found = {layer.name for layer in plan(tmp_path / "m.onnx").layers}
    assert {"conv", "shared", "transposed", "inner", "gemm"} < found
    assert len(analyze_weight_ranges(tmp_path / "m.onnx"))


@one_directory
@given(st.binary(max_size=300) | mutated(WHOLE))
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    read_or_refuse(tmp_path / "m.onnx")


values = st.sampled_from(["x", "w", "v", "a", "b", "y", "", "\x1b[31m"])
sizes = st.integers(-1, 5) | st.sampled_from([2**31, 2**62])
kinds = st.sampled_from(
    [
        *("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Gather", "LSTM", "Identity", "Constant", "Transpose"),
        *("Relu", "Add", "Shape", "Nonsense", "QLinearConv", "MatMulInteger", "DequantizeLinear"),
    ]
)
attributes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "group": st.integers(-1, 4) | st.just("text"),
        "pads": st.lists(st.integers(-1, 3), min_size=1, max_size=4),
        "transB": st.integers(0, 2),
        "perm": st.lists(st.integers(-1, 4), min_size=1, max_size=4),
        "equation": st.sampled_from(["ab,bc->ac", "...a,ab", "a,,b", b"\xff"]),
        "value": st.just(numpy_helper.from_array(array(4, 4, 3, 3))),
        "axis": st.integers(-3, 3),
    },
)


@st.composite
def nodes(draw: st.DrawFn) -> onnx.NodeProto:
    inputs, outputs = draw(st.lists(values, max_size=4)), draw(st.lists(values, max_size=2))
    domain = draw(st.sampled_from(["", "", "", "com.microsoft", "local"]))
    return helper.make_node(draw(kinds), inputs, outputs, name=draw(values), domain=domain, **draw(attributes))


@st.composite
def tensors(draw: st.DrawFn) -> TensorProto:
    shape = draw(st.lists(sizes, max_size=5))
    tensor = TensorProto(name=draw(values), dims=shape, data_type=draw(st.integers(0, 30)))
    count = int(np.prod(shape, dtype=object))
    fits = draw(st.booleans()) and 0 <= count < 10_000
    tensor.raw_data = bytes(4 * count) if fits else draw(st.binary(max_size=40))
    if draw(st.integers(0, 4)) == 0:
        tensor.ClearField("raw_data")
        tensor.float_data.extend([1.0] * draw(st.integers(0, 5)))
    if draw(st.integers(0, 4)) == 0:
        tensor.data_location = TensorProto.EXTERNAL
        for key in ("location", "offset", "length"):
            tensor.external_data.add(key=key, value=draw(st.sampled_from(["m.onnx", "..", "0", "-1", "x", "9" * 30])))
    return tensor


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    calls = draw(st.lists(nodes(), max_size=3))
    functions = [helper.make_function("local", draw(kinds), ["x"], ["y"], calls, [helper.make_opsetid("local", 1)])]
    declared = helper.make_tensor_value_info("x", draw(st.integers(0, 20)), draw(st.lists(sizes, max_size=5)))
    graph = helper.make_graph(
        draw(st.lists(nodes(), min_size=1, max_size=6)),
        "graph",
        [declared],
        [helper.make_tensor_value_info(draw(values), TensorProto.FLOAT, None)],
        draw(st.lists(tensors(), max_size=4)),
    )
    return helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid(domain, 17 if not domain else 1) for domain in ("", "com.microsoft", "local")
        ],
        functions=functions if draw(st.booleans()) else [],
        ir_version=draw(st.sampled_from([3, 8])),
    )


@one_directory
@given(models())
def test_graphs_put_together_at_random(tmp_path: Path, model: onnx.ModelProto) -> None:
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    read_or_refuse(tmp_path / "m.onnx")
