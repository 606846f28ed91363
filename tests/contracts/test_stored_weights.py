"""What both frameworks promise of stored weights: names, shapes, outputs first, the model untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from aimet_hooks import ModelError, UsageError
from aimet_hooks.adapters import ExampleInput
from aimet_hooks.adapters.pytorch import TorchAdapter
from aimet_hooks.adapters.stored_weights import stored_weights
from tests.contracts.test_onnx_adapter import SHAPE as ONNX_SHAPE
from tests.contracts.test_onnx_adapter import TestOnnxAdapter as OnnxModel
from tests.contracts.test_torch_adapter import SHAPE as TORCH_SHAPE
from tests.contracts.test_torch_adapter import Network
from tests.unit.adapters.onnx_networks import adapter_of, array, network, node, run


def weights_of(model: Any) -> dict[str, np.ndarray]:
    return {layer.name: layer.read() for layer in stored_weights(model).layers}


@pytest.mark.parametrize("framework", ["torch", "onnx"])
def test_what_an_adapter_can_replace_has_the_same_weight(framework: str) -> None:
    model = Network() if framework == "torch" else OnnxModel().make_model()
    shape = TORCH_SHAPE if framework == "torch" else ONNX_SHAPE
    made = TorchAdapter(model, ExampleInput(shape=shape)) if framework == "torch" else adapter_of(model, shape=shape)
    stored = weights_of(model)
    with made as adapter:
        assert {layer.name for layer in adapter.layers()} == set(stored)
        for layer in adapter.layers():
            if layer.reason is None:
                np.testing.assert_array_equal(stored[layer.name], adapter.weight(layer.name))
    assert stored["depthwise"].shape == (6, 1, 3, 3)


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_have_their_outputs_first(groups: int) -> None:
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False)
    proto = network(
        [node("ConvTranspose", "x w", "y", "up", group=groups)],
        {"w": layer.weight.detach().numpy()},
        inputs={"x": None},
    )
    (weight,), (same,) = weights_of(nn.Sequential(layer)).values(), weights_of(proto).values()
    assert weight.shape == (6, 4 // groups, 3, 3)
    np.testing.assert_array_equal(weight, same)
    with torch.no_grad():  # without a channel's weights, that channel is zero
        layer.weight.view(groups, 4 // groups, 6 // groups, 3, 3)[-1, :, -1] = 0
        assert (layer(torch.randn(1, 4, 5, 5))[0, 5] == 0).all()
    assert (weights_of(nn.Sequential(layer))["0"][5] == 0).all()


@pytest.mark.parametrize(
    ("nodes", "shape", "expected"),
    [
        ([node("MatMul", "x w", "y", "l")], (4, 3), (3, 4)),
        ([node("MatMul", "w x", "y", "l")], (3, 4), (3, 4)),
        ([node("MatMul", "x w", "y", "l")], (2, 4, 3), (3, 2, 4)),
        ([node("MatMul", "x w", "y", "l")], (4,), (1, 4)),
        ([node("Gemm", "x w", "y", "l")], (4, 3), (3, 4)),
        ([node("Gemm", "x w", "y", "l", transB=1)], (3, 4), (3, 4)),
        ([node("Gemm", "w x", "y", "l", transA=1)], (4, 3), (3, 4)),
        ([node("Transpose", "w", "v", perm=[1, 0]), node("MatMul", "x v", "y", "l")], (3, 4), (3, 4)),
        ([node("Identity", "w", "v"), node("Conv", "x v", "y", "l")], (3, 4, 5), (3, 4, 5)),
    ],
)
def test_onnx_weights_have_their_outputs_first(
    nodes: list[onnx.NodeProto], shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    weight = array(*shape)
    (found,) = weights_of(network(nodes, {"w": weight}, inputs={"x": None})).values()
    assert found.shape == expected
    assert sorted(found.ravel()) == sorted(weight.ravel())


def test_constant_nodes_and_halves_are_read() -> None:
    values = onnx.numpy_helper.from_array(array(3, 4).astype(np.float16), "clash")
    bfloat = helper.make_tensor("w", TensorProto.BFLOAT16, (3, 3), [1.0] * 9)
    nodes = [
        helper.make_node("Constant", [], ["v"], value=values),
        node("Gemm", "x v", "a", "half", transB=1),
        node("MatMul", "a w", "y", "bfloat"),
    ]
    found = weights_of(network(nodes, {"w": bfloat, "clash": array(7, 7)}, inputs={"x": None}))
    assert {name: (value.dtype, value.shape) for name, value in found.items()} == {
        "half": (np.float32, (3, 4)),
        "bfloat": (np.float32, (3, 3)),
    }


def test_integer_weights_and_products_of_activations_are_left_out() -> None:
    nodes = [node("MatMul", "x x", "a", "activations"), node("MatMulInteger", "z w", "b", "integers")]
    model = network(nodes, {"w": array(3, 3).astype(np.int8)}, inputs={"x": (3, 3), "z": (3, 3)}, outputs=["a", "b"])
    assert weights_of(model) == {}


def test_computed_and_packed_torch_weights_are_read() -> None:
    model = nn.ModuleDict(
        {
            "norm": nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
            "attention": nn.MultiheadAttention(8, 2),
            "split": nn.MultiheadAttention(8, 2, kdim=4, vdim=4),
        }
    )
    found = weights_of(model)
    np.testing.assert_array_equal(found["norm"], model["norm"].weight.detach().numpy())
    assert {name: value.shape for name, value in found.items() if name != "norm"} == {
        "attention": (24, 8),
        "attention.out_proj": (8, 8),
        "split.q_proj_weight": (8, 8),
        "split.k_proj_weight": (8, 4),
        "split.v_proj_weight": (8, 4),
        "split.out_proj": (8, 8),
    }


def test_models_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(UsageError, match=r"model is a dict"):
        stored_weights({})
    with pytest.raises(ModelError, match="there is no file"):
        stored_weights("missing.onnx")
    with pytest.raises(ModelError, match="on the meta device"):
        stored_weights(nn.Linear(2, 2, device="meta"))


# -- another weight in one layer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ([node("MatMul", "x w", "y", "l")], (4, 3)),
        ([node("MatMul", "w x", "y", "l")], (3, 4)),
        ([node("MatMul", "x w", "y", "l")], (4,)),
        ([node("Gemm", "x w", "y", "l")], (4, 3)),
        ([node("Gemm", "x w", "y", "l", transB=1)], (3, 4)),
        ([node("Gemm", "w x", "y", "l", transA=1)], (4, 3)),
        ([node("Transpose", "w", "v", perm=[1, 0]), node("MatMul", "x v", "y", "l")], (3, 4)),
        (
            [
                node("Identity", "w", "u"),
                node("Transpose", "u", "v"),
                node("Identity", "v", "t"),
                node("MatMul", "x t", "y", "l"),
            ],
            (3, 4),
        ),
        ([node("Transpose", "w", "v"), node("MatMul", "x v", "a", "l"), node("MatMul", "a w", "y", "m")], (3, 4)),
        ([node("MatMul", "x w", "a", "l"), node("MatMul", "a w", "y", "m")], (4, 4)),
        ([node("MatMul", "x w", "y", "l")], (4, 4, 3)),
    ],
)
@pytest.mark.parametrize("ir_version", [3, 8])
def test_onnx_weights_go_back_as_they_lie_in_the_graph(
    nodes: list[onnx.NodeProto], shape: tuple[int, ...], ir_version: int
) -> None:
    model = network(nodes, {"w": array(*shape)}, inputs={"x": (4, 4)}, ir_version=ir_version)
    before = model.SerializeToString(deterministic=True)
    x = {"x": array(4, 4, seed=3)}
    halved = network(
        [helper.make_node("Mul", ["w", "half"], ["h"]), *_reading_half(nodes)],
        {"w": array(*shape), "half": np.float32(0.5).reshape(())},
        inputs={"x": (4, 4)},
    )
    with adapter_of(model, shape=(4, 4)) as adapter:
        layer = next(layer for layer in stored_weights(model).layers if layer.name == "l")
        with adapter.reweighted("l", layer.read()) as session:
            np.testing.assert_array_equal(session.run(None, x)[0], run(model, x)[0])
        with adapter.reweighted("l", layer.read() / 2) as session:
            np.testing.assert_allclose(session.run(None, x)[0], run(halved, x)[0], rtol=1e-5, atol=1e-6)
    assert model.SerializeToString(deterministic=True) == before


def _reading_half(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes as layer "l" sees them with half of its weight: "m" goes on with the whole."""
    copies = []
    for original in nodes:
        copied = onnx.NodeProto()
        copied.CopyFrom(original)
        if original.name != "m":
            copied.input[:] = ["h" if value == "w" else value for value in original.input]
        copies.append(copied)
    return copies


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_go_back_with_their_inputs_first(groups: int) -> None:
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=groups))
    proto = network(
        [node("ConvTranspose", "x w", "y", "up", group=groups)],
        {"w": model[0].weight.detach().numpy()},
        inputs={"x": (1, 4, 5, 5)},
    )
    zeroed = weights_of(model)["0"].copy()
    zeroed[5] = 0
    x = array(1, 4, 5, 5)
    with TorchAdapter(model, ExampleInput(shape=(1, 4, 5, 5))) as adapter, adapter.reweighted("0", zeroed) as native:
        channels = native(torch.from_numpy(x))[0] - model[0].bias.view(6, 1, 1)
        assert [bool((channel == 0).all()) for channel in channels.round(decimals=6)] == [False] * 5 + [True]
    with adapter_of(proto, shape=(1, 4, 5, 5)) as adapter, adapter.reweighted("up", zeroed) as session:
        (output,) = session.run(None, {"x": x})
        assert [bool((channel == 0).all()) for channel in output[0]] == [False] * 5 + [True]


def test_computed_torch_weights_cannot_be_others_and_attention_can() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
            self.attention = nn.MultiheadAttention(8, 2, kdim=8, vdim=8, batch_first=True)
            self.unused = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm(x)
            return self.attention(x, x, x)[0]

    model = Model()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = weights_of(model)
    with TorchAdapter(model, ExampleInput(shape=(2, 3, 8))) as adapter:
        with (
            pytest.raises(ModelError, match="computed from other parameters"),
            adapter.reweighted("norm", found["norm"]),
        ):
            pass
        own, other = adapter.layer_output("attention"), adapter.layer_output("attention", found["attention"] * 0)
        assert own is not None
        assert other is not None
        assert not np.array_equal(own, other)
        assert adapter.layer_output("unused") is None
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
