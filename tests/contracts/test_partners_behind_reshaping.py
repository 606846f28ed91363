"""Partners behind means, views and batch norms: where one is named, equalizing changes no output."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from aimet_hooks import find_problematic_layers
from aimet_hooks.adapters.partners import Partner
from aimet_hooks.adapters.stored_weights import stored_weights
from tests.unit.adapters.onnx_networks import array, network, node, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FACTORS = np.array([4, 0.25, 1, 0.25], np.float32)
"""Of the four channels; powers of two, by which floats are scaled exactly."""
SIZES = {"x": (2, 3, 4, 4)}
ANY_BATCH = {"x": (None, 3, 4, 4)}
ANY_SIZE = {"x": ("n", 3, "n", "n")}


# -- ONNX --------------------------------------------------------------------------------------------------------------


def reshaped(*shape: int, of: str = "b") -> list[onnx.NodeProto]:
    return [node("Constant", "", "shape", value_ints=shape), node("Reshape", f"{of} shape", "c")]


def reduced(kind: str = "ReduceMean", **attributes: Any) -> list[onnx.NodeProto]:
    return [node(kind, "b", "c", **attributes)]


def sized(axis: int, of: str = "b") -> list[onnx.NodeProto]:
    """As ``x.view(x.size(axis), -1)`` is exported."""
    return [
        node("Shape", of, "sizes"),
        node("Constant", "", "axis", value_int=axis),
        node("Constant", "", "rest", value_ints=[-1]),
        node("Constant", "", "zero", value_ints=[0]),
        node("Gather", "sizes axis", "size"),
        node("Unsqueeze", "size zero", "first"),
        node("Concat", "first rest", "shape", axis=0),
        node("Reshape", "b shape", "c"),
    ]


INDICES = {"width": np.array([-1]), "positions": np.array([2, 3]), "given": np.array([0, -1])}
POOLED = node("GlobalAveragePool", "b", "p")


@pytest.mark.parametrize(
    ("inputs", "between", "columns", "expected"),
    [
        (SIZES, reduced(axes=[2, 3], keepdims=0), 4, "second"),
        (SIZES, reduced("ReduceMax", axes=[-1, -2], keepdims=0), 4, "second"),
        (ANY_SIZE, [*reduced(axes=[3], keepdims=0), node("ReduceSum", "c width", "d", keepdims=0)], 4, "second"),
        (SIZES, [node("ReduceMean", "b", "p", axes=[-1, -2]), node("Flatten", "p", "c")], 4, "second"),
        (SIZES, reduced(axes=[1, 2], keepdims=0), 4, "ReduceMean lies behind it"),
        (SIZES, reduced(axes=[0, 3], keepdims=0), 4, "ReduceMean lies behind it"),
        (SIZES, reshaped(2, -1), 64, "second"),
        (SIZES, reshaped(0, -1), 64, "second"),
        (SIZES, reshaped(-1, 64), 64, "second"),
        (SIZES, reshaped(2, 64), 64, "second"),
        (SIZES, reshaped(1, -1), 128, "Reshape lies behind it"),
        (SIZES, reshaped(4, -1), 32, "Reshape lies behind it"),
        (SIZES, reshaped(-1, 16), 16, "Reshape lies behind it"),
        (SIZES, reshaped(-1, 4), 4, "Reshape lies behind it"),
        (ANY_BATCH, reshaped(-1, 64), 64, "second"),
        (ANY_BATCH, reshaped(-1, 32), 32, "Reshape lies behind it"),
        (ANY_BATCH, reshaped(2, -1), 64, "Reshape lies behind it"),  # which another batch would mix
        (ANY_SIZE, reshaped(0, -1), 64, "second"),
        (ANY_SIZE, reshaped(-1, 64), 64, "Reshape lies behind it"),  # which other images would mix
        (ANY_SIZE, sized(0), 64, "second"),
        (ANY_SIZE, sized(0, of="x"), 64, "second"),
        (ANY_SIZE, sized(2), 32, "Reshape lies behind it"),  # "n" too, and nothing holds a run to that
        (ANY_SIZE, [POOLED, *reshaped(-1, 4, of="p")], 4, "second"),
        (ANY_SIZE, [POOLED, node("Squeeze", "p positions", "c")], 4, "second"),
        (SIZES, [*reshaped(2, 4, -1), node("Flatten", "c", "d")], 64, "second"),
        (SIZES, [*reshaped(2, 8, -1), node("Flatten", "c", "d")], 64, "Reshape lies behind it"),
        (SIZES, [node("Flatten", "b", "c", axis=-3)], 64, "second"),
        (SIZES, [node("Reshape", "b given", "c")], 64, "second"),
    ],
)
def test_onnx(inputs: Any, between: Sequence[onnx.NodeProto], columns: int, expected: str) -> None:
    nodes = [
        node("Conv", "x w", "a", "first"),
        node("Relu", "a", "b"),
        *between,
        node("Gemm", f"{between[-1].output[0]} v", "y", "second"),
    ]
    weights = {"w": array(4, 3, 1, 1), "v": array(columns, 5), **INDICES}
    model = network(nodes, weights, inputs=inputs)
    found = stored_weights(model).partners()["first"]
    assert (found.layer or found.reason) == expected
    if found.layer is not None:
        scaled = {
            "w": weights["w"] * FACTORS[:, None, None, None],
            "v": weights["v"] / np.repeat(FACTORS, columns // 4)[:, None],
        }
        x = {"x": array(*SIZES["x"])}
        (before,), (after,) = run(model, x), run(network(nodes, weights | scaled, inputs=inputs), x)
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def behind_batch_norm(*first: onnx.NodeProto, **attributes: Any) -> list[onnx.NodeProto]:
    return [
        *first,
        node("BatchNormalization", "a scale bias mean var", "b", "norm", **attributes),
        node("Relu", "b", "c"),
        node("Conv", "c v", "y", "second"),
    ]


CONVOLUTION = node("Conv", "x w", "a", "first")


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (behind_batch_norm(CONVOLUTION), Partner("second", fold_first="norm")),
        (
            behind_batch_norm(node("Conv", "x w", "d", "first"), node("Relu", "d", "a")),
            Partner(None, "BatchNormalization lies behind it"),
        ),
        (
            behind_batch_norm(CONVOLUTION, node("Neg", "x", "mean"))[:1]
            + behind_batch_norm(node("ReduceMean", "x", "mean", axes=[0, 2, 3], keepdims=0)),
            Partner(None, "BatchNormalization lies behind it"),
        ),
    ],
)
def test_batch_norms_of_onnx_are_folded_first(nodes: list[onnx.NodeProto], expected: Partner) -> None:
    made = {name for found in nodes for name in found.output}
    statistics = {name: array(4, seed=seed) for seed, name in enumerate(("scale", "bias", "mean"))}
    weights = {"w": array(4, 4, 1, 1), "v": array(3, 4, 1, 1), **statistics, "var": np.arange(1, 5, dtype=np.float32)}
    weights = {name: values for name, values in weights.items() if name not in made}
    model = network(nodes, weights)
    assert stored_weights(model).partners()["first"] == expected
    if expected.layer is not None:
        slope = weights["scale"] / np.sqrt(weights["var"] + np.float32(1e-5))
        shift = weights["bias"] - weights["mean"] * slope
        equalized = {
            "w": weights["w"] * (slope * FACTORS)[:, None, None, None],
            "shift": shift * FACTORS,
            "v": weights["v"] / FACTORS[:, None, None],
        }
        folded = [node("Conv", "x w shift", "b", "first"), *nodes[2:]]
        x = {"x": array(2, 4, 8, 8)}
        np.testing.assert_allclose(run(network(folded, equalized), x)[0], run(model, x)[0], rtol=1e-4, atol=1e-5)


def test_a_batch_norm_behind_a_matrix_product_lies_along_its_channels() -> None:
    nodes = [
        node("Gemm", "x w", "a", "first"),
        node("BatchNormalization", "a s s s s", "b", "norm"),
        node("MatMul", "b v", "y", "second"),
    ]
    weights = {"w": array(3, 4), "v": array(4, 3), "s": np.ones(4, np.float32)}
    found = stored_weights(network(nodes, weights, inputs={"x": (2, 3)})).partners()["first"]
    assert found == Partner("second", fold_first="norm")
    nodes[0] = node("MatMul", "x w", "a", "first")  # of a batch of sequences as long as there are channels
    found = stored_weights(network(nodes, weights, inputs={"x": (2, 4, 3)})).partners()["first"]
    assert found == Partner(None, "BatchNormalization lies behind it; fold it into the layer first")


def test_a_constant_with_more_axes_moves_the_channels() -> None:
    nodes = [CONVOLUTION, node("Add", "a s", "b"), node("Flatten", "b", "c"), node("MatMul", "c v", "y", "second")]
    weights = {"w": array(4, 4, 1, 1), "s": array(2, 1, 1, 1, 1), "v": array(256, 3)}
    found = stored_weights(network(nodes, weights, inputs={"x": (1, 4, 8, 8)})).partners()["first"]
    assert found == Partner(None, "Add lies behind it")


def test_a_graph_that_leads_back_to_itself_has_an_end() -> None:
    nodes = [CONVOLUTION, node("Relu", "a", "b"), node("Relu", "b", "a")]
    graph = helper.make_graph(nodes, "circle", [], [], [numpy_helper.from_array(array(4, 4, 1, 1), "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert stored_weights(model).partners()["first"] == Partner(None, "its output leads back to itself")


# -- torch -------------------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """A convolution, a batch norm and what may follow, and a forward that the test writes."""

    def __init__(self, forward: Callable[[Network, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.b, self.flat, self.rest = nn.Linear(4, 5), nn.Linear(64, 5), nn.Linear(32, 5)
        self.conv = nn.Conv2d(4, 5, 1)
        self.other_norm = nn.BatchNorm2d(4, track_running_stats=False)
        self.how = forward
        with torch.no_grad():
            for values in (self.norm.running_mean, self.norm.running_var, self.norm.weight):
                values.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.how(self, x)


def relu(x: torch.Tensor) -> torch.Tensor:
    return x + 1


torch.fx.wrap("relu")


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda m, x: m.flat((y := F.relu(m.a(x))).view(y.size(0), -1)), "flat"),
        (lambda m, x: m.flat((y := m.a(x).relu()).reshape(y.shape[0], -1)), "flat"),
        (lambda m, x: m.flat(torch.reshape(y := torch.relu(m.a(x)), (y.size()[0], 64))), "flat"),
        (lambda m, x: m.flat(F.relu(m.a(x)).view(x.size(0), -1)), "flat"),
        (lambda m, x: m.flat(torch.flatten(m.a(x), 1)), "flat"),
        (lambda m, x: m.flat(m.a(x).flatten(1)), "flat"),
        (lambda m, x: m.flat(m.a(x).flatten(start_dim=1)), "flat"),
        (lambda m, x: m.b(m.a(x).mean((2, 3))), "b"),
        (lambda m, x: m.b(m.a(x).mean([-2, -1])), "b"),
        (lambda m, x: m.b(torch.mean(m.a(x), dim=(2, 3), keepdim=True).flatten(1)), "b"),
        (lambda m, x: m.b(m.a(x).amax(3).sum(-1)), "b"),
        (lambda m, x: m.b(F.adaptive_avg_pool2d(m.a(x), 1).flatten(1)), "b"),
        (lambda m, x: m.b(F.adaptive_avg_pool2d(F.max_pool2d(m.a(x), 2), (1, 1)).view(-1, 4)), "b"),
        (lambda m, x: m.b(F.adaptive_avg_pool2d(m.a(x), 1).squeeze(-1).squeeze(-1)), "b"),
        (lambda m, x: m.conv(F.relu(m.norm(m.a(x)))), "conv"),
        (lambda m, x: m.b(m.norm(m.a(x)).mean((2, 3))), "b"),
        (lambda m, x: m.rest((y := m.a(x)).view(y.size(1), -1)), "view lies behind it"),
        (lambda m, x: m.rest(m.a(x).view(4, -1)), "view lies behind it"),
        (lambda m, x: m.b(m.a(x).view(-1, 4)), "view lies behind it"),
        (lambda m, x: m.b(m.a(x).sum((2, 3), dtype=torch.int32).float()), "sum lies behind it"),
        (lambda m, x: m.b(m.a(x).mean((1, 2))), "mean lies behind it"),
        (lambda m, x: m.b(m.a(x).mean() * torch.ones(1, 4)), "mean lies behind it"),
        (lambda m, x: m.b(m.a(x[:, :, :, :1]).squeeze(-1).mean(2)), "squeeze lies behind it"),
        (lambda m, x: m.conv(relu(m.a(x))), "relu lies behind it"),
        (lambda m, x: m.conv(F.prelu(y := m.a(x), y)), "prelu lies behind it"),
        (lambda m, x: m.conv(m.other_norm(m.a(x))), "BatchNorm2d lies behind it"),
        (lambda m, x: m.conv(m.norm(m.norm(m.a(x)))), "BatchNorm2d lies behind it"),
        (lambda m, x: m.conv(m.norm(F.relu(m.a(x)))), "BatchNorm2d lies behind it"),
    ],
)
def test_torch(forward: Any, expected: str) -> None:
    torch.manual_seed(0)
    model, x = Network(forward).eval(), torch.randn(2, 3, 4, 4)
    found = stored_weights(model).partners()["a"]
    assert (found.layer or found.reason) == expected
    if found.layer is not None:
        equalized, factors = copy.deepcopy(model), torch.from_numpy(FACTORS)
        if found.fold_first is not None:
            equalized.a, equalized.norm = fuse_conv_bn_eval(equalized.a, equalized.norm), nn.Identity()
        following = equalized.get_submodule(found.layer)
        with torch.no_grad():
            equalized.a.weight *= factors[:, None, None, None]
            equalized.a.bias *= factors
            inputs = following.weight.shape[1]
            shape = (inputs, *[1] * (following.weight.ndim - 2))
            following.weight /= factors.repeat_interleave(inputs // 4).reshape(shape)
        torch.testing.assert_close(equalized(x), model(x), rtol=1e-4, atol=1e-5)


def test_the_remedy_names_the_batch_norm_and_the_partner_behind_it() -> None:
    model = Network(lambda m, x: m.conv(F.relu(m.norm(m.a(x)))))
    with torch.no_grad():
        model.a.weight[1] *= 100
    (found,) = (problem for problem in find_problematic_layers(model) if problem.layer == "a")
    assert (found.partner, found.fold_first) == ("conv", "norm")
    assert (
        "or fold the batch norm 'norm' into it, then equalize it with 'conv', which reads its channels" in found.remedy
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("pool", "columns", "batch"),
    [(nn.AdaptiveAvgPool2d(1), 8, {}), (nn.Identity(), 8 * 36, {"dynamic_shapes": ({0: "batch"},)})],
)
def test_what_torch_exports_has_the_same_partner(pool: nn.Module, columns: int, batch: Any, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(columns, 5)).eval()
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (torch.rand(2, 3, 8, 8),), path, dynamo=True, verbose=False, **batch)
    found = stored_weights(path)
    first, last = (layer.name for layer in found.layers)
    assert found.partners()[first] == Partner(last)
