"""Which layers are listed, in which order, why, and with which remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aimet_hooks import UsageError, analyze_weight_ranges, find_problematic_layers
from aimet_hooks.demo import model_path
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
    assert found[0].cause == "1 of its 240 weights are NaN or infinite: it has no scale"
    assert "leave the layer in float" in found[0].remedy


def test_narrow_channels_are_found_without_a_wide_one() -> None:
    model = torch_network()
    with torch.no_grad():
        model[3].weight[:11] /= 10_000
    (found,) = find_problematic_layers(model)
    assert found.layer == "3"
    assert "a quarter of its channels is 9.9e+03 times narrower" in found.cause
    assert "per channel" in found.remedy


def test_long_tails_need_more_bits() -> None:
    linear = nn.Linear(4000, 6)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4000))))
        linear.weight[:, 0] = 30
    (found,) = find_problematic_layers(nn.Sequential(linear), bitwidth=4)
    assert found.cause.startswith("per-tensor quantization to 4 bits rounds 97% of its weights to zero")
    assert found.remedy.startswith("quantize it with more bits, or leave it in float")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bitwidth": 1}, "bitwidth is 1; give"),
        ({"enough_bits": 0.5}, "enough_bits is 0.5; give"),
        ({"enough_bits": float("nan")}, "enough_bits is nan; give"),
        ({"max_lost_bits": -1}, "max_lost_bits is -1; give"),
        ({"wide_channel": 0}, "wide_channel is 0; give"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_problematic_layers(torch_network(), **arguments)


@pytest.mark.parametrize("limit", ["enough_bits", "max_lost_bits", "wide_channel"])
@pytest.mark.parametrize("value", ["4", None, True, -1.0, float("nan")])
def test_a_limit_that_is_no_number_in_range_is_one_sentence(limit: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{limit} is {value!r}; give"):
        find_problematic_layers(torch.nn.Linear(4, 4), **{limit: value})


def test_names_that_are_none_are_one_sentence() -> None:
    with pytest.raises(UsageError, match="layers is 3; give names of layers or patterns"):
        analyze_weight_ranges(torch.nn.Linear(4, 4), layers=3)  # type: ignore[arg-type]
