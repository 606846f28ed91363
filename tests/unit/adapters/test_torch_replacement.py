"""The plain modules that stand for a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aimet_hooks import SpatialSvd, WeightSvd
from aimet_hooks.adapters.pytorch import replacement
from aimet_hooks.schemes import SvdScheme


def replaced(layer: nn.Module, scheme: SvdScheme, rank: int = 2) -> nn.Sequential:
    return replacement.sequential(layer, scheme.prepare(replacement.weight_of(layer), rank).at(rank))


def test_spatial_svd_gives_each_axis_its_settings() -> None:
    layer = nn.Conv2d(4, 6, (5, 3), stride=(3, 2), padding=(4, 1), dilation=(2, 1))
    first, second = replaced(layer, SpatialSvd())
    assert (first.kernel_size, first.stride, first.padding, first.dilation) == ((5, 1), (3, 1), (4, 0), (2, 1))
    assert (second.kernel_size, second.stride, second.padding, second.dilation) == ((1, 3), (1, 2), (0, 1), (1, 1))
    assert (first.in_channels, first.out_channels, second.in_channels, second.out_channels) == (4, 2, 2, 6)


def test_weight_svd_gives_the_kernel_to_the_second() -> None:
    layer = nn.Conv2d(4, 6, (5, 3), stride=(3, 2), padding=(4, 1), dilation=(2, 1), padding_mode="circular")
    first, second = replaced(layer, WeightSvd())
    assert (first.kernel_size, first.stride, first.padding, first.padding_mode) == ((1, 1), (1, 1), (0, 0), "zeros")
    assert (second.kernel_size, second.stride, second.padding) == ((5, 3), (3, 2), (4, 1))
    assert (second.dilation, second.padding_mode) == ((2, 1), "circular")


def test_the_layer_s_own_bias_goes_to_the_second() -> None:
    layer = nn.Linear(6, 5)
    first, second = replaced(layer, WeightSvd())
    assert first.bias is None
    assert second.bias is layer.bias
    assert replaced(nn.Linear(6, 5, bias=False), WeightSvd())[1].bias is None


def test_the_modules_are_plain_torch() -> None:
    made = replaced(nn.Conv1d(4, 6, 3), SpatialSvd())
    assert [type(module) for module in (made, *made)] == [nn.Sequential, nn.Conv1d, nn.Conv1d]
    assert not any(vars(module).get("forward") or module._forward_hooks for module in made.modules())


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_parameters_stay_frozen(frozen: bool) -> None:
    layer = nn.Conv2d(4, 6, 3).requires_grad_(not frozen)
    made = replaced(layer, SpatialSvd())
    assert [parameter.requires_grad for parameter in made.parameters()] == [not frozen] * 3


def test_a_bias_may_be_trained_where_the_weight_is_frozen() -> None:
    layer = nn.Linear(6, 5)
    layer.weight.requires_grad_(False)
    assert {name: parameter.requires_grad for name, parameter in replaced(layer, WeightSvd()).named_parameters()} == {
        "0.weight": False,
        "1.weight": False,
        "1.bias": True,
    }


@pytest.mark.parametrize("training", [True, False])
def test_the_training_mode_is_the_layer_s(training: bool) -> None:
    made = replaced(nn.Linear(6, 5).train(training), WeightSvd())
    assert {module.training for module in made.modules()} == {training}


@pytest.mark.parametrize(
    ("dtype", "array", "tolerance"),
    [
        (torch.float64, np.float64, 1e-12),
        (torch.float32, np.float32, 1e-5),
        (torch.bfloat16, np.float32, 3e-2),
        (torch.float16, np.float32, 4e-3),
    ],
)
@pytest.mark.parametrize("kind", ["Conv2d", "Conv1d", "Linear"])
def test_every_floating_dtype_is_kept(kind: str, dtype: torch.dtype, array: Any, tolerance: float) -> None:
    torch.manual_seed(0)
    layer: nn.Module = {
        "Conv2d": nn.Conv2d(6, 8, 3, padding=1),
        "Conv1d": nn.Conv1d(6, 8, 3),
        "Linear": nn.Linear(6, 8),
    }[kind].to(dtype)
    x = torch.randn({"Conv2d": (2, 6, 7, 7), "Conv1d": (2, 6, 9), "Linear": (2, 3, 6)}[kind]).to(dtype)
    assert replacement.weight_of(layer).dtype == array
    made = replaced(layer, WeightSvd(), rank=6)
    assert {parameter.dtype for parameter in made.parameters()} == {dtype}
    with torch.no_grad():
        expected, actual = layer(x).double(), made(x).double()
    assert float((actual - expected).abs().max() / expected.abs().max()) <= tolerance


def test_the_weights_are_its_own() -> None:
    layer = nn.Linear(6, 5)
    found = WeightSvd().prepare(replacement.weight_of(layer), 3).at(3)
    made = replacement.sequential(layer, found)
    with torch.no_grad():
        made[0].weight.zero_()
    assert found.first.weight.any()


def test_random_numbers_are_not_drawn() -> None:
    before = torch.get_rng_state()
    replaced(nn.Conv2d(4, 6, 3), SpatialSvd())  # whose own initialisation does draw
    torch.set_rng_state(before)
    layer = nn.Conv2d(4, 6, 3)
    middle = torch.get_rng_state()
    replaced(layer, SpatialSvd())
    assert torch.equal(torch.get_rng_state(), middle)


def test_a_module_of_another_kind_has_no_weight() -> None:
    with pytest.raises(TypeError, match="a ConvTranspose2d cannot be replaced"):
        replacement.weight_of(nn.ConvTranspose2d(2, 2, 2))
