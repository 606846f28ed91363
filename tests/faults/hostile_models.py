"""ONNX files that nobody should load: each changes a convolution that is as it should be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aimet_hooks import demo

Change = Callable[[onnx.ModelProto], object]


def good() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="c", pads=[1, 1, 1, 1])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((8, 4, 3, 3), np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def prepare(folder: Path) -> None:
    """Write what external data may point to, and ratios to apply."""
    (folder / "weights.bin").write_bytes(bytes(1152))
    (folder / "sparse.bin").touch()
    os.truncate(folder / "sparse.bin", 1 << 30)
    (folder / "link.bin").symlink_to("/etc/hostname")
    (folder / "device.bin").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.bin")
    (folder / "ratios.json").write_text('{"c": 0.5}')
    np.savez(folder / "inputs.npz", x=np.ones((1, 4, 8, 8), np.float32))


def weight(model: onnx.ModelProto) -> TensorProto:
    return model.graph.initializer[0]


def external(**told: object) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = weight(model)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in told.items():
            tensor.external_data.add(key=key, value=str(value))

    return change


def with_weight(**fields: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = weight(model)
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(tensor, name)[:] = value
            elif value is None:
                tensor.ClearField(name)  # type: ignore[arg-type]
            else:
                setattr(tensor, name, value)

    return change


def with_input(shape: list[int], kind: int = TensorProto.FLOAT) -> Change:
    return lambda model: model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, shape))


def with_nodes(*nodes: onnx.NodeProto) -> Change:
    return lambda model: model.graph.node.extend(nodes)


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, outputs, name=kind, **attributes)


def with_attribute(name: str, value: Any) -> Change:
    return lambda model: model.graph.node[0].attribute.append(helper.make_attribute(name, value))


def doubling(count: int) -> Change:
    """Functions of which each calls the next one twice: 2 ** count nodes when they are written out."""

    def change(model: onnx.ModelProto) -> None:
        for at in range(count):
            name, domain = (f"F{at + 1}", "local") if at < count - 1 else ("Relu", "")
            calls = [helper.make_node(name, [a], [b], domain=domain) for a, b in (("a", "b"), ("b", "c"))]
            opsets = [helper.make_opsetid("local", 1), helper.make_opsetid("", 17)]
            model.functions.append(helper.make_function("local", f"F{at}", ["a"], ["c"], calls, opsets))
        model.opset_import.append(helper.make_opsetid("local", 1))
        model.graph.node.append(helper.make_node("F0", ["x"], ["z"], domain="local"))

    return change


def calling_itself(model: onnx.ModelProto) -> None:
    call = helper.make_node("F", ["a"], ["b"], domain="local")
    model.functions.append(helper.make_function("local", "F", ["a"], ["b"], [call], [helper.make_opsetid("local", 1)]))
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.graph.node.append(helper.make_node("F", ["x"], ["z"], domain="local"))


def cyclic(model: onnx.ModelProto) -> None:
    model.graph.node.extend([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])])


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message, written by hand: protobuf itself refuses to write what is deep or damaged."""
    size, rest = b"", len(content)
    while True:
        size += bytes([rest & 127 | (128 if rest > 127 else 0)])
        rest >>= 7
        if not rest:
            return bytes([number << 3 | 2]) + size + content


def with_graph(graph: bytes) -> bytes:
    return good().SerializeToString() + field(7, graph)


def deep(levels: int) -> bytes:
    """Graphs in nodes in graphs ..."""
    graph = b""
    for _ in range(levels):
        graph = field(1, field(5, field(1, b"body") + field(6, graph) + b"\xa0\x01\x05"))
    return with_graph(graph)


REFUSED: dict[str, Change] = {
    "absolute": external(location="/etc/hostname"),
    "above": external(location="../weights.bin"),
    "link": external(location="link.bin"),
    "device": external(location="device.bin"),
    "pipe": external(location="pipe.bin"),
    "folder": external(location="."),
    "nowhere": external(location="nowhere.bin"),
    "no_location": external(),
    "null": external(location="a\0b"),
    "long_location": external(location="n" * 10_000),
    "offset_beyond": external(location="weights.bin", offset=2**40, length=1152),
    "offset_negative": external(location="weights.bin", offset=-4, length=1152),
    "length_beyond": external(location="weights.bin", offset=0, length=2**40),
    "length_negative": external(location="weights.bin", offset=0, length=-1),
    "length_of_text": external(location="weights.bin", offset="a", length="b"),
    "length_of_digits": external(location="weights.bin", length="9" * 10_000),
    "sparse": external(location="sparse.bin"),
    "values_missing": with_weight(raw_data=None),
    "values_short": with_weight(raw_data=bytes(1148)),
    "values_long": with_weight(raw_data=bytes(1159)),
    "values_typed": with_weight(raw_data=None, float_data=[1.0], dims=[2**31, 4, 3, 3]),
    "elements": with_weight(dims=[2**62]),
    "more_elements": with_weight(dims=[2**62, 2**62, 3, 3]),
    "negative": with_weight(dims=[-1, 4, 3, 3]),
    "dimensions": with_weight(dims=[8, 4, 3] * 2_000),
    "type_unknown": with_weight(data_type=99),
    "type_none": with_weight(data_type=0),
    "tensor_name": with_weight(name="\x1b[31m\u202e\n" + "w" * 10_000, raw_data=b"1"),
    "input_of_no_type": lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 99),
    "identity_without_input": with_nodes(node("Identity", [], ["z"])),
    "identity_without_output": with_nodes(node("Identity", ["x"], [])),
    "constant_without_output": with_nodes(node("Constant", [], [], value=weight(good()))),
    "functions_without_end": doubling(40),
    "function_of_itself": calling_itself,
    "opset_negative": lambda model: setattr(model.opset_import[0], "version", -1),
    "opset_missing": lambda model: model.ClearField("opset_import"),
    "no_nodes": lambda model: model.graph.ClearField("node"),
}
"""By every command."""

NOT_RUN: dict[str, Change] = {
    "input_elements": with_input([2**62, 4, 8, 8]),
    "input_of_gigabytes": with_input([1, 4, 30_000, 30_000]),
    "input_dimensions": with_input([1] * 500),
    "input_missing": lambda model: model.graph.ClearField("input"),
    "output_missing": lambda model: setattr(model.graph.output[0], "name", "nowhere"),
    "cycle": cyclic,
    "cycle_of_identities": with_nodes(node("Identity", ["q"], ["p"]), node("Identity", ["p"], ["q"])),
    "identity_of_itself": with_nodes(node("Identity", ["p"], ["p"])),
    "cycle_of_weights": with_nodes(node("Transpose", ["v"], ["v"])),
    "output_twice": with_nodes(node("Relu", ["x"], ["y"])),
    "weight_missing": lambda model: model.graph.node[0].input.pop(),
    "inputs": lambda model: model.graph.node[0].input.extend(["", "", "", ""]),
    "operator": lambda model: setattr(model.graph.node[0], "op_type", "\x1b[31mNonsense" * 1_000),
    "domain": lambda model: setattr(model.graph.node[0], "domain", "nowhere"),
    "group_huge": with_attribute("group", 10**15),
    "group_zero": with_attribute("group", 0),
    "group_text": with_attribute("group", "text"),
    "strides_zero": with_attribute("strides", [0, 0]),
    "pads_huge": lambda model: model.graph.node[0].attribute[0].ints.__setitem__(slice(None), [2**40] * 4),
    "einsum": with_nodes(node("Einsum", ["x", "w"], ["e"], equation=b"\xff\xfe")),
    "lstm": with_nodes(node("LSTM", ["x", "w"], ["e"])),
    "constant_without_value": with_nodes(node("Constant", [], ["k"])),
    "ir_version": lambda model: setattr(model, "ir_version", 10**9),
    "sparse_tensor": lambda model: model.graph.sparse_initializer.add().dims.append(2**40),
}
"""By every command that runs the model; the weights alone can be read."""


def changed(change: Change) -> bytes:
    model = good()
    change(model)
    return model.SerializeToString()


def damaged() -> dict[str, bytes]:
    """Files that are no whole protobuf."""
    whole = demo.model_path().read_bytes()
    cuts = (0, 1, 10, 100, 1_000, 10_000, len(whole) // 2, len(whole) - 1_000, len(whole) - 1)
    return {
        **{f"cut_at_{cut}": whole[:cut] for cut in cuts},
        "random": np.random.default_rng(0).bytes(5_000),
        "zeros": bytes(10_000),
        "text": b"hello world",
        "deep": deep(1_000),
        "nodes_of_two_bytes": with_graph(b"\x0a\x00" * 1_000_000),
        "tensors_of_two_bytes": with_graph(b"\x2a\x00" * 1_000_000),
        "dimensions_of_a_byte": with_graph(field(5, field(1, b"\x01" * 8_000_000))),
    }
