"""Which layers are listed, in which order, why, and with which remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aimet_hooks import UsageError, analyze_weight_ranges, find_problematic_layers
from aimet_hooks.demo import model_path
from aimet_hooks.quantization import summarize_weight_ranges
from tests.unit.quantization.networks import equalized, onnx_network, torch_network


@pytest.mark.parametrize("bitwidth", [4, 8])
@pytest.mark.parametrize(("make", "layer", "following"), [(torch_network, "3", "5"), (onnx_network, "wide", "next")])
def test_a_wide_channel_comes_first_with_its_number_and_its_partner(
    make: Any, layer: str, following: str, bitwidth: int
) -> None:
    found = find_problematic_layers(make(wide=40), bitwidth=bitwidth)[0]
    assert (found.layer, found.channel, found.partner) == (layer, 5, following)
    assert 30 < found.relative_range < 50
    assert f"channel 5 is {found.relative_range:.3g} times as wide" in found.cause
    assert f"leaves {found.bits_left:.1f} bits for the others" in found.cause
    assert "per channel" in found.remedy
    assert f"equalize it with {following!r}" in found.remedy
    assert found.effective_bits < found.effective_bits_per_channel - 3 or bitwidth == 4


@pytest.mark.parametrize("model", [torch_network(), onnx_network(), model_path(), equalized(torch_network(wide=40))])
def test_sound_and_equalized_networks_have_none(model: Any) -> None:
    assert find_problematic_layers(model) == []


def test_the_worst_comes_first() -> None:
    model = torch_network(wide=40)
    with torch.no_grad():
        model[0].weight[1] *= 30
        model[9].weight[2, 3] = float("nan")
    found = find_problematic_layers(model)
    assert [problem.layer for problem in found] == ["9", "3", "0"]
    assert found[0].cause == "1 of its 240 weights is NaN or infinite, in channel 2: it has no scale"
    assert "Repair these weights, or leave the layer in float" in found[0].remedy


def test_narrow_channels_are_found_without_a_wide_one() -> None:
    model = torch_network()
    with torch.no_grad():
        model[3].weight[:11] /= 10_000
    (found,) = find_problematic_layers(model)
    assert found.layer == "3"
    assert "a quarter of its channels is 9.9e+03 times narrower" in found.cause
    assert "per channel" in found.remedy


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_channel_of_weights_that_are_not_finite_is_the_one_that_holds_them(value: float) -> None:
    model = torch_network(wide=40)  # whose widest finite channel is 5
    with torch.no_grad():
        model[3].weight[[2, 7], 0, 0, 0] = value
    found = find_problematic_layers(model)[0]
    assert (found.layer, found.channel) == ("3", 2)
    assert np.isnan(found.relative_range)
    assert "2 of its 3,456 weights are NaN or infinite, the first in channel 2" in found.cause


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("bitwidth", [4, 8])
def test_of_few_channels_a_wide_one_is_found(channels: int, bitwidth: int) -> None:
    model = sequential(channels)
    with torch.no_grad():
        model[0].weight[1] *= 40
    (found,) = find_problematic_layers(model, bitwidth=bitwidth)
    assert (found.layer, found.channel) == ("0", 1)
    assert found.relative_range == pytest.approx(40, rel=0.1)
    assert found.cause.startswith("channel 1 is ")
    assert find_problematic_layers(sequential(channels)) == []


def test_of_three_channels_a_narrow_one_is_found() -> None:
    model = sequential(3)
    with torch.no_grad():
        model[0].weight[1] /= 1000
    (found,) = find_problematic_layers(model)
    assert found.cause.startswith("a quarter of its channels is 1e+03 times narrower")


def test_an_only_channel_is_as_wide_as_no_other() -> None:
    row = summarize_weight_ranges(sequential(1)).loc["0"]
    assert row.isna()[["relative_range", "bits_left"]].all()
    assert find_problematic_layers(sequential(1)) == []


def test_weights_that_a_few_large_ones_round_to_zero_are_found() -> None:
    """With all bits kept by the large weights, effective bits alone would call the layer sound."""
    model = torch_network()
    with torch.no_grad():
        model[3].weight[:, 3, 1, 1] = 500
    (found,) = find_problematic_layers(model)
    assert (found.layer, found.effective_bits) == ("3", 8)
    assert found.rounded_to_zero > 0.99
    assert found.cause == (
        "per-tensor quantization to 8 bits rounds 99% of its weights to zero, a scale a channel 99%: few weights are "
        "far larger than all others"
    )
    assert found.remedy == "Quantize it with more bits, or leave it in float: a scale a channel is not enough"
    assert find_problematic_layers(model, max_rounded_to_zero=1) == []


def test_narrow_channels_do_not_hide_them() -> None:
    model = torch_network()
    with torch.no_grad():
        model[3].weight[:, 3, 1, 1] = 500
        model[3].weight[:4] /= 10_000
    (found,) = find_problematic_layers(model)
    assert "rounds 99% of its weights to zero" in found.cause


def test_too_small_weights_are_not_helped_by_more_bits() -> None:
    model = torch_network()
    with torch.no_grad():
        model[3].weight *= 1e-38
    (found,) = find_problematic_layers(model)
    assert found.cause == (
        "a quarter of its channels or more have no weight above 1.5e-36: no normal float32 number is a scale for them "
        "in quantization to 8 bits, and all their weights become zero"
    )
    assert found.remedy.startswith("Set these weights to zero, or leave the layer in float")
    assert [problem.remedy for problem in find_problematic_layers(model, bitwidth=16)] == [found.remedy]


def test_weights_whose_squares_are_zero_are_too_small_not_uneven() -> None:
    layer = nn.Linear(40, 8, dtype=torch.float64)
    with torch.no_grad():
        layer.weight *= 1e-200
    (found,) = find_problematic_layers(layer)
    assert "no normal float32 number is a scale for them" in found.cause
    assert found.remedy.startswith("Set these weights to zero")


def test_less_than_a_tenth_of_a_bit_is_not_shown_as_none() -> None:
    model = torch_network()
    with torch.no_grad():
        model[3].weight[:11] /= 10_000
    (found,) = find_problematic_layers(model)
    assert found.cause.endswith("per-tensor quantization to 8 bits leaves them less than 0.1 bits")
    with torch.no_grad():
        model[3].weight[5] = 1e9
    assert "leaves less than 0.1 bits for the others" in find_problematic_layers(model)[0].cause


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_only_layer_has_no_next_one(wrapped: bool) -> None:
    layer = nn.Linear(40, 8)
    with torch.no_grad():
        layer.weight[1] *= 40
    (found,) = find_problematic_layers(nn.Sequential(layer) if wrapped else layer)
    assert found.remedy.endswith("or with more bits; no partner to equalize it with is known: no other layer follows")
    (found,) = find_problematic_layers(nn.Sequential(layer) if wrapped else layer, bitwidth=16, enough_bits=12)
    assert "more bits" not in found.remedy


def sequential(channels: int) -> nn.Sequential:
    """A convolution with so many channels, and one behind it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, channels, 5), nn.ReLU(), nn.Conv2d(channels, 24, 3))


def test_long_tails_need_more_bits() -> None:
    linear = nn.Linear(4000, 6)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4000))))
        linear.weight[:, 0] = 30
    (found,) = find_problematic_layers(nn.Sequential(linear), bitwidth=4)
    assert found.cause.startswith("per-tensor quantization to 4 bits rounds 97% of its weights to zero")
    assert found.remedy.startswith("Quantize it with more bits, or leave it in float")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bitwidth": 1}, "bitwidth is 1; give"),
        ({"enough_bits": 0.5}, "enough_bits is 0.5; give"),
        ({"enough_bits": float("nan")}, "enough_bits is nan; give"),
        ({"max_lost_bits": -1}, "max_lost_bits is -1; give"),
        ({"max_rounded_to_zero": 1.5}, "max_rounded_to_zero is 1.5; give"),
        ({"wide_channel": 0}, "wide_channel is 0; give"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_problematic_layers(torch_network(), **arguments)


@pytest.mark.parametrize("limit", ["enough_bits", "max_lost_bits", "max_rounded_to_zero", "wide_channel"])
@pytest.mark.parametrize("value", ["4", None, True, -1.0, float("nan")])
def test_a_limit_that_is_no_number_in_range_is_one_sentence(limit: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{limit} is {value!r}; give"):
        find_problematic_layers(torch.nn.Linear(4, 4), **{limit: value})


def test_names_that_are_none_are_one_sentence() -> None:
    with pytest.raises(UsageError, match="layers is 3; give names of layers or patterns"):
        analyze_weight_ranges(torch.nn.Linear(4, 4), layers=3)  # type: ignore[arg-type]
