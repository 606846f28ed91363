"""What the pages of weight ranges hold, and where they go."""

from __future__ import annotations

import json
import math
import socket
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from bokeh.document import Document
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets.markups import Div
from torch import nn

from aimet_hooks import (
    AimetHooksError,
    ResultsDirError,
    UsageError,
    visualize_changes_after_optimization,
    visualize_relative_weight_ranges_to_identify_problematic_layers,
    visualize_weight_ranges,
)
from bokeh_vis.parts import Parts
from tests.unit.quantization.networks import WIDE, equalized, torch_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RANGES = (visualize_weight_ranges, visualize_relative_weight_ranges_to_identify_problematic_layers)


def changes(model: Any, *places: Any, **arguments: Any) -> Any:
    return visualize_changes_after_optimization(model, model, *places, **arguments)


ALL: tuple[Callable[..., Any], ...] = (*RANGES, changes)


def data(page: Column, name: str) -> dict[str, Any]:
    return dict(Parts(page).get(name, ColumnDataSource).data)


def words(page: Column, name: str) -> str:
    return Parts(page).get(name, Div).text


def broken_network() -> nn.Sequential:
    """Weights that are NaN, a constant channel, and a layer of zeros."""
    model = torch_network(wide=40)
    with torch.no_grad():
        model[0].weight[1, 0, 0, 0] = float("nan")
        model[5].weight[2] = 0.25
        model[9].weight.zero_()
    return model


@pytest.mark.parametrize("visualize", RANGES)
def test_the_layer_with_a_wide_channel_is_first_ticked_and_marked(visualize: Any) -> None:
    page = visualize(torch_network(wide=40))
    layers = data(page, "layers")
    assert (layers["layer"][0], layers["verdict"][0], layers["widest"][0]) == ("3", "breaks", WIDE)
    assert (layers["marked"][0], layers["mark"][0]) == (WIDE, "channel 5: 40 times the median range")
    assert Parts(page).get("layers", ColumnDataSource).selected.indices == [0]
    assert "1 layer would break" in words(page, "findings")
    assert "channel 5 is 40 times as wide" in words(page, "findings")
    assert "no layer stands out" in words(visualize(torch_network()), "findings")


def test_the_numbers_of_all_channels_are_there_in_the_order_of_the_model() -> None:
    model = torch_network(wide=40)
    channels = data(visualize_weight_ranges(model), "channels")
    weights = torch.cat([model[place].weight.detach().flatten(1).amax(1) for place in (0, 3, 5, 9)]).numpy()
    assert channels["max"].dtype == np.float32
    np.testing.assert_array_equal(channels["max"], weights)
    assert len(channels["sqnr_symmetric"]) == len(weights)


def test_relative_ranges_have_a_box_a_layer_and_few_outliers() -> None:
    page = RANGES[1](torch_network(wide=40))
    assert data(page, "strips")["number"] == [1, 2, 3, 4]
    outliers = data(page, "strip_outliers")
    assert 30 < max(outliers["relative"]) < 50
    assert outliers["channel"][outliers["relative"].index(max(outliers["relative"]))] == WIDE
    assert data(page, "strip_names")["text"] == ["3, channel 5"]
    many = nn.Linear(2, 5000)
    with torch.no_grad():
        many.weight.copy_(torch.exp(3 * torch.randn(5000, 2)))
    assert len(data(RANGES[1](many), "strip_outliers")["number"]) <= 40


def test_changes_show_both_states_the_greatest_improvement_first() -> None:
    page = visualize_changes_after_optimization(torch_network(wide=40), equalized(torch_network(wide=40)))
    layers = data(page, "layers")
    assert (layers["layer"][0], layers["state"][0]) == ("3", "repaired")
    assert layers["old_bits"][0] + 3 < layers["new_bits"][0]
    assert layers["mark"][0] == "channel 5: 40 times the median range before, 1 after"
    channels = data(page, "channels")
    assert channels["old_max"][16 + WIDE] > 30 * channels["new_max"][16 + WIDE]
    assert "1 layer repaired" in words(page, "findings")
    back = visualize_changes_after_optimization(equalized(torch_network(wide=40)), torch_network(wide=40))
    assert "1 layer made worse" in words(back, "findings")
    assert data(back, "layers")["layer"][-1] == "3"


@pytest.mark.parametrize("visualize", ALL)
def test_what_is_undefined_is_empty(visualize: Any) -> None:
    page = visualize(broken_network())
    document = Document()
    document.add_root(page)
    sources = [source for source in page.select({"type": ColumnDataSource}) if source.name != "channels"]
    for source in sources:
        for column in source.data.values():
            assert all(value is None or not isinstance(value, float) or math.isfinite(value) for value in column)
            assert not any("nan" in str(value).split() or "inf" in str(value).split() for value in column)
    assert "1 of its 432 weights is NaN or infinite" in words(page, "findings")


@pytest.mark.parametrize("visualize", ALL)
@pytest.mark.parametrize("model", [nn.ReLU(), nn.Linear(1, 1)])
def test_models_of_nothing_or_of_one_channel_have_a_page(visualize: Any, model: nn.Module, tmp_path: Path) -> None:
    assert visualize(model, tmp_path).stat().st_size > 1_000_000


@pytest.mark.parametrize("visualize", ALL)
def test_names_are_text(visualize: Any) -> None:
    name = "<img src=x onerror=alert(1)>$$\\href{javascript:alert(1)}{x}$$"
    model = nn.Sequential()
    model.add_module(name, torch_network(wide=40)[3])
    page = visualize(model)
    divs = [part.text for part in page.select({"type": Div})] + data(page, "layers")["about"]
    assert not any("<img" in text for text in divs)
    assert any("&lt;img" in text for text in divs)
    assert all(part.disable_math for part in page.select({"type": Div}))
    if visualize is RANGES[1]:
        assert "$$" not in json.dumps(data(page, "strip_names"))


@pytest.mark.parametrize(
    ("visualize", "name"),
    [
        (RANGES[0], "visualize_weight_ranges"),
        (RANGES[1], "visualize_relative_weight_ranges_to_identify_problematic_layers"),
        (changes, "visualize_changes_after_optimization"),
    ],
)
def test_a_file_has_the_name_of_its_function_and_is_returned(visualize: Any, name: str, tmp_path: Path) -> None:
    path = visualize(torch_network(), str(tmp_path / "a" / "b"))
    assert path == tmp_path / "a" / "b" / f"{name}.html"
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_with_neither_place_it_is_a_layout_that_belongs_to_nobody() -> None:
    page = visualize_weight_ranges(torch_network())
    assert isinstance(page, Column)
    assert page.document is None


@pytest.mark.parametrize("visualize", ALL)
def test_of_a_wrong_model_nothing_is_left(visualize: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model is None; give a torch"):
        visualize(None, tmp_path / "plots")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("visualize", ALL)
def test_places_that_are_none_are_refused_before_anything_is_read(visualize: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsDirError, match=r"results_dir '.*file' cannot be made \(File exists\); choose another"):
        visualize(torch_network(), tmp_path / "file")
    with pytest.raises(UsageError, match="results_dir is 5; give the path of a directory"):
        visualize(None, 5)
    with pytest.raises(UsageError, match="visualization_url is 5006; give the address of a Bokeh server"):
        visualize(None, None, 5006)
    with pytest.raises(UsageError, match="write it as 'http://localhost:5006/'"):
        visualize(None, None, "localhost:5006")


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "visualize_weight_ranges.html").mkdir()
    with pytest.raises(
        ResultsDirError, match=r"visualize_weight_ranges\.html cannot be written \(.*\); choose another"
    ):
        visualize_weight_ranges(torch_network(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["visualize_weight_ranges.html"]


def test_a_missing_server_is_one_sentence_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    begin = time.monotonic()
    with pytest.raises(AimetHooksError, match=f"there is no live page at .*nothing listens at 127.0.0.1:{port}"):
        visualize_weight_ranges(torch_network(), None, f"http://127.0.0.1:{port}/")
    assert time.monotonic() - begin < 5
