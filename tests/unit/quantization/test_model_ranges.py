"""Which layers of two models are compared, and why the others are not."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from aimet_hooks import UnknownNameError, UsageError
from aimet_hooks.quantization.model_ranges import changes_of, ranges_of
from tests.unit.quantization.networks import equalized, onnx_network, torch_network


def test_ranges_hold_the_tables_of_the_selected_layers_and_their_problems() -> None:
    ranges = ranges_of(torch_network(wide=40), ["3", "9"], 8)
    assert [*ranges.layers.index] == ["3", "9"]
    assert [*ranges.channels.index.unique("layer")] == ["3", "9"]
    assert [*ranges.problems] == ["3"]
    assert [*ranges_of(torch_network(wide=40), ["9"], 8).problems] == []


def test_an_unknown_layer_is_named_with_the_argument() -> None:
    with pytest.raises(UnknownNameError, match=r"^selected_layers has 'conv1', which is no layer with weights"):
        ranges_of(torch_network(), ["conv1"], 8)
    with pytest.raises(UsageError, match=r"^selected_layers holds a Conv2d; give names"):
        ranges_of(torch_network(), [torch_network()[0]], 8)  # type: ignore[list-item]
    with pytest.raises(UnknownNameError, match=r"^selected_layers has 'conv1'"):
        changes_of(torch_network(), torch_network(), ["conv1"], 8)


def test_an_equalized_network_is_compared_layer_by_layer() -> None:
    changed = changes_of(torch_network(wide=40), equalized(torch_network(wide=40)), None, 8)
    assert [*changed.old.layers.index] == [*changed.new.layers.index] == ["0", "3", "5", "9"]
    assert [*changed.old.problems] == ["3"]
    assert [*changed.new.problems] == []
    assert changed.not_compared == {}


def test_what_cannot_be_compared_has_a_reason() -> None:
    old, new = torch_network(), copy.deepcopy(torch_network())
    new[0] = nn.Sequential(nn.Conv2d(3, 4, (3, 1)), nn.Conv2d(4, 16, (1, 3)))
    new[3] = nn.Conv2d(16, 12, 3)
    new[9] = nn.Identity()
    new.add_module("extra", nn.Linear(10, 3))
    changed = changes_of(old, new, None, 8)
    assert [*changed.new.layers.index] == ["5"]
    assert changed.not_compared == {
        "0": "was replaced: Conv2d (16, 3, 3, 3) became Conv2d (4, 3, 3, 1) and Conv2d (16, 4, 1, 3)",
        "3": "has another shape: Conv2d (24, 16, 3, 3) became Conv2d (12, 16, 3, 3)",
        "9": "is gone: the new model has no layer of this name, Linear (10, 24)",
        "extra": "is new: the old model has no layer of this name, Linear (3, 10)",
    }
    assert [*changes_of(old, new, ["3", "extra"], 8).not_compared] == ["3", "extra"]


def test_frameworks_and_models_without_a_common_layer_can_be_compared() -> None:
    changed = changes_of(torch_network(), onnx_network(), None, 8)
    assert changed.old.layers.empty
    assert len(changed.not_compared) == 8
    assert [*changes_of(onnx_network(wide=40), onnx_network(), None, 8).old.problems] == ["wide"]


def test_the_models_stay_as_they_are() -> None:
    old, new = torch_network(wide=40), torch_network()
    before = [copy.deepcopy(model.state_dict()) for model in (old, new)]
    changes_of(old, new, None, 8)
    for model, state in zip((old, new), before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
