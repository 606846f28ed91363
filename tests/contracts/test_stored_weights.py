"""What both frameworks promise of stored weights: names, shapes, outputs first, the model untouched, the partners."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
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


def partner_of(model: Any, name: str) -> str:
    """The partner's name, or why there is none."""
    found = stored_weights(model).partners()[name]
    return found.layer or found.reason


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
    with pytest.raises(UsageError, match=r"model is a builtins\.dict"):
        stored_weights({})
    with pytest.raises(ModelError, match="there is no file"):
        stored_weights("missing.onnx")
    with pytest.raises(ModelError, match="on the meta device"):
        stored_weights(nn.Linear(2, 2, device="meta"))


class Forward(nn.Module):
    """Two convolutions, and a forward that the test writes."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 4)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.how = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.how(self, x)


def counting(model: Forward, x: torch.Tensor) -> torch.Tensor:
    model.calls.add_(1)
    model.last = x
    return model.b(F.relu(model.a(x)))


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda m, x: m.b(F.max_pool2d(F.relu(m.a(x)), 2)), "b"),
        (lambda m, x: m.b(F.leaky_relu(m.a(x)).relu_()), "b"),
        (lambda m, x: m.c(torch.flatten(F.adaptive_avg_pool2d(m.a(x), 1), 1)), "c"),
        (lambda m, x: m.b(F.dropout(m.a(x), training=m.training)), "b"),
        (counting, "b"),
        (lambda m, x: m.b(F.relu6(m.a(x))), "relu6 lies behind it"),
        (lambda m, x: m.b(m.norm(m.a(x))), "BatchNorm2d lies behind it; fold it into the layer first"),
        (lambda m, x: m.b(m.a(x) + x), "add lies behind it"),
        (lambda m, x: m.b(m.a(x)) + m.a(x), "the model calls it 2 times as a module"),
        (lambda m, x: (y := m.a(x)) + m.b(y), "2 operations read its output (Conv2d, add)"),
        (lambda m, x: m.c(m.a(x)), "'c' works along another axis"),
        (lambda m, x: m.c(torch.flatten(m.a(x))), "flatten lies behind it"),
        (lambda m, x: m.a(x), "the model's output lies behind it"),
        (lambda m, x: m.b(x), "torch.fx does not see the model call it as a module"),
        (
            lambda m, x: m.b(m.a(x)) if x.sum() > 0 else x,
            "torch.fx cannot trace the model: TraceError: symbolically traced",
        ),
    ],
)
def test_partners_in_torch_are_found_without_a_trace_in_the_model(forward: Any, expected: str) -> None:
    model = Forward(forward)
    before = [(module, dict(vars(module)), copy.copy(module._buffers)) for module in model.modules()]
    state = torch.get_rng_state()
    assert partner_of(model, "a").startswith(expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.calls == 0
    for module, attributes, buffers in before:
        assert vars(module) == attributes
        assert module._buffers == buffers


def test_shared_weights_have_no_partner() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[4].weight = model[2].weight
    assert partner_of(model, "2") == "its weight is shared with '4'"
    assert partner_of(model, "0") == "the weight of '2' is shared with '4'"


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ([node("LeakyRelu", "a", "b", alpha=0.1), node("PRelu", "b s", "c")], "second"),
        ([node("AveragePool", "a", "b", kernel_shape=[2, 2]), node("Identity", "b", "c")], "second"),
        ([node("Add", "a s", "b"), node("Relu", "b", "c")], "second"),
        ([node("Relu", "a", "b"), node("Add", "b s", "c")], "Add lies behind it"),
        ([node("Clip", "a", "c")], "Clip lies behind it"),
        ([node("Add", "a x", "c")], "Add lies behind it"),
        ([node("Relu", "a", "c"), node("Neg", "a", "z")], "2 operations read its output (Relu, Neg)"),
    ],
)
def test_partners_in_onnx(between: list[onnx.NodeProto], expected: str) -> None:
    nodes = [node("Conv", "x w1", "a", "first"), *between, node("Conv", "c w2", "y", "second")]
    weights = {"w1": array(4, 4, 1, 1), "w2": array(4, 4, 1, 1), "s": array(4, 1, 1)}
    assert partner_of(network(nodes, weights), "first") == expected


def test_equalizing_partners_changes_no_output() -> None:
    nodes = [
        node("Conv", "x w1", "a", "first"),
        node("PRelu", "a s", "b"),
        node("MaxPool", "b", "c", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "c w2", "d", "depthwise", group=4),
        node("AveragePool", "d", "e", kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
        node("Flatten", "e", "f"),
        node("Gemm", "f w3", "y", "fc"),
    ]
    weights = {"w1": array(4, 4, 1, 1), "s": array(4, 1, 1), "w2": array(4, 1, 1, 1), "w3": array(4 * 9 * 9, 3)}
    inputs = {"x": (1, 4, 16, 16)}
    model = network(nodes, weights, inputs=inputs)
    assert (partner_of(model, "first"), partner_of(model, "depthwise")) == ("depthwise", "fc")
    scaled = {name: values.copy() for name, values in weights.items()}
    scaled["w1"][1] *= 40
    scaled["w2"][1] *= np.float32(3 / 40)
    scaled["w3"][81:162] /= 3
    x = {"x": array(*inputs["x"])}
    np.testing.assert_allclose(run(network(nodes, scaled, inputs=inputs), x), run(model, x), rtol=1e-4, atol=1e-4)


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


def test_what_a_traced_forward_puts_into_lists_and_dicts_is_taken_out_again() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
            self.calls, self.cache, self.seen = [0], {"before": 1}, {2}

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls[0] += 1
            self.cache["images"] = images
            self.seen.add(3)
            return self.second(self.first(images))

    model = Counting()
    assert stored_weights(model).partners()["first"].layer == "second"
    assert (model.calls, model.cache, model.seen) == ([0], {"before": 1}, {2})
