"""What a file would take in memory is told from its bytes, also where they are no message."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from aimet_hooks import demo
from aimet_hooks.adapters.onnx_graph import wire
from tests.faults.hostile_models import field
from tests.properties.mutations import mutated
from tests.unit.adapters.onnx_networks import array, network, node

MODEL = onnx.ModelProto.DESCRIPTOR
WHOLE = network([node("Conv", "x w", "y")], {"w": array(8, 4, 3, 3)}).SerializeToString()
MANY = 400_000


GRAPH, NODE, TENSOR = 7, 1, 5
EXPANDING = {
    "nodes": field(GRAPH, b"\x0a\x00" * MANY),
    "tensors": field(GRAPH, b"\x2a\x00" * MANY),
    "inputs": field(GRAPH, b"\x5a\x00" * 3 * MANY),
    "attributes": field(GRAPH, field(NODE, b"\x2a\x00" * MANY)),
    "names": field(GRAPH, field(NODE, b"\x0a\x00" * 5 * MANY)),
    "metadata": b"\x72\x00" * 3 * MANY,
    "dimensions": field(GRAPH, field(TENSOR, field(1, b"\x01" * 20 * MANY))),
    "integers": field(GRAPH, field(TENSOR, field(7, b"\x01" * 20 * MANY))),
}


@pytest.mark.parametrize("kind", EXPANDING)
def test_a_small_file_that_would_fill_the_memory_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="it would take far more memory than its size"):
        wire.check(WHOLE + EXPANDING[kind], MODEL)


def test_models_are_admitted() -> None:
    wire.check(WHOLE, MODEL)
    wire.check(demo.model_path().read_bytes(), MODEL)
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3_000_000])
    weights.float_data.extend(np.ones(3_000_000, np.float32))
    nodes = [helper.make_node("Relu", [f"v{at}"], [f"v{at + 1}"], name=f"relu {at}") for at in range(20_000)]
    model = network(nodes, {"w": weights, "v": array(3_000, 1_000)})
    model.graph.value_info.extend(
        helper.make_tensor_value_info(f"v{at}", TensorProto.FLOAT, [1, 64, 56, 56]) for at in range(20_000)
    )
    wire.check(model.SerializeToString(), MODEL)


@given(st.binary(max_size=200) | mutated(WHOLE))
def test_what_is_no_message_is_left_to_the_parser(content: bytes) -> None:
    wire.check(content, MODEL)


def test_messages_in_messages_without_end_are_left_to_the_parser() -> None:
    graph = b""
    for _ in range(2_000):
        graph = field(NODE, field(5, field(6, graph)))
    wire.check(field(GRAPH, graph), MODEL)
