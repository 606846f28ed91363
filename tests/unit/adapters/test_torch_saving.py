"""A compressed torch model on the disk, and back."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from aimet_hooks import (
    ManualSelection,
    RecordingError,
    ResultsDirError,
    SpatialSvd,
    UsageError,
    WeightSvd,
    compress_model,
    load_compressed,
)

SHAPE = (2, 3, 8, 8)


class Network(nn.Module):
    """Batch norm, dropout, two tied linear layers, a buffer that is not saved, and a name with a dot."""

    def __init__(self, width: int = 8, *, tied: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential()
        self.blocks._modules["odd.name"] = nn.Conv2d(width, 8, (1, 3), padding="same", padding_mode="circular")
        self.drop = nn.Dropout(0.3)
        self.encode, self.decode = nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
        if tied:
            self.decode.weight = self.encode.weight
        self.fc = nn.Linear(8, 5)
        self.register_buffer("scale", torch.ones(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.norm(self.conv(x)).relu()).mean(dim=(2, 3))
        return self.fc(self.decode(self.encode(self.drop(x)))) * self.scale


def inputs() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def outputs(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(inputs())


def compressed(model: nn.Module | None = None, scheme: Any = None, **ratios: float) -> Any:
    return compress_model(
        model or Network(),
        lambda native: float(native(inputs()).mean()),
        input_shape=SHAPE,
        compress_scheme=scheme or WeightSvd(),
        selection=ManualSelection(ratios or {"conv": 0.5, "blocks.odd.name": 0.6, "fc": 0.5}),
        plugins=[],
    )


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Any, Path]:
    result = compressed()
    return result, result.save(tmp_path / "model")


def test_a_fresh_model_gives_the_same_outputs_bit_for_bit(saved: tuple[Any, Path]) -> None:
    result, directory = saved
    assert {path.name for path in directory.iterdir()} == {"weights.safetensors", "compression.json"}
    fresh = Network()
    assert load_compressed(fresh, directory) is fresh
    assert torch.equal(outputs(fresh), outputs(result.model))
    assert fresh.decode.weight is fresh.encode.weight
    assert str(fresh) == str(result.model)


def test_spatial_svd_comes_back_with_its_axes(tmp_path: Path) -> None:
    result = compressed(None, SpatialSvd(), **{"conv": 0.5, "blocks.odd.name": 0.6})
    fresh = load_compressed(Network(), result.save(tmp_path))
    assert torch.equal(outputs(fresh), outputs(result.model))
    assert str(fresh) == str(result.model)


def test_frozen_layers_and_modes_are_those_of_the_fresh_model(saved: tuple[Any, Path]) -> None:
    fresh = Network().eval()
    fresh.conv.requires_grad_(requires_grad=False)
    load_compressed(fresh, saved[1])
    assert {parameter.requires_grad for parameter in fresh.conv.parameters()} == {False}
    assert {module.training for module in fresh.modules()} == {False}


def test_loading_draws_no_random_numbers(saved: tuple[Any, Path]) -> None:
    fresh = Network()
    before = torch.get_rng_state()
    load_compressed(fresh, saved[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_in_another_dtype_takes_the_weights(saved: tuple[Any, Path]) -> None:
    fresh = load_compressed(Network().double(), saved[1])
    assert {parameter.dtype for parameter in fresh.parameters()} == {torch.float64}


def test_a_wrapped_fresh_model_is_unwrapped(saved: tuple[Any, Path]) -> None:
    fresh = nn.DataParallel(Network())
    assert load_compressed(fresh, saved[1]) is fresh
    assert torch.equal(outputs(fresh.module), outputs(saved[0].model))


def fine_tuned(result: Any) -> torch.Tensor:
    """Train the result for a few steps and give its new outputs."""
    optimizer = torch.optim.SGD(result.model.parameters(), lr=0.1)
    result.model.train()
    for _ in range(3):
        optimizer.zero_grad()
        result.model(inputs()).square().mean().backward()
        optimizer.step()
    return outputs(result.model)


def test_a_fine_tuned_model_is_saved_again_over_the_first(saved: tuple[Any, Path]) -> None:
    result, directory = saved
    before, expected = outputs(result.model), fine_tuned(result)
    assert not torch.equal(before, expected)
    result.save(directory)
    assert torch.equal(outputs(load_compressed(Network(), directory)), expected)


def test_a_fine_tuned_checkpoint_is_loaded_strictly(saved: tuple[Any, Path], tmp_path: Path) -> None:
    result, directory = saved
    expected = fine_tuned(result)
    torch.save(result.model.state_dict(), tmp_path / "tuned.pt")
    fresh = load_compressed(Network(), directory, weights=tmp_path / "tuned.pt")
    assert torch.equal(outputs(fresh), expected)


def test_the_model_of_a_run_lies_in_its_results_dir(tmp_path: Path) -> None:
    result = compress_model(
        Network(),
        lambda native: float(native(inputs()).mean()),
        input_shape=SHAPE,
        selection=ManualSelection({"conv": 0.5}),
        results_dir=tmp_path / "run",
        plugins=[],
    )
    assert torch.equal(outputs(load_compressed(Network(), tmp_path / "run" / "model")), outputs(result.model))


# -- what does not fit --


def refused(model: nn.Module, directory: Path, match: str, **options: Any) -> None:
    """The error is clear, and the model's modules are what they were."""
    before = [(name, id(module)) for name, module in model.named_modules()]
    with pytest.raises(RecordingError, match=match):
        load_compressed(model, directory, **options)
    assert [(name, id(module)) for name, module in model.named_modules()] == before


def test_a_model_of_another_width_does_not_fit(saved: tuple[Any, Path]) -> None:
    refused(Network(width=6), saved[1], r"does not fit the compressed Network: .*size mismatch for conv")


def test_a_model_without_the_layer_does_not_fit(saved: tuple[Any, Path]) -> None:
    model = Network()
    model.convolution, model._modules["conv"] = model.conv, None
    refused(
        model, saved[1], "compression.json has layer 'conv', which the model has not; the nearest are 'convolution'"
    )


def test_a_layer_of_another_type_does_not_fit(saved: tuple[Any, Path]) -> None:
    model = Network()
    model.fc = nn.Identity()
    refused(model, saved[1], "layer 'fc' is a Identity in this model, which was not compressed")


def test_a_compressed_model_is_not_compressed_again(saved: tuple[Any, Path]) -> None:
    refused(saved[0].model, saved[1], "layer 'conv' is a Sequential in this model, which was not compressed")


def test_a_layer_too_small_for_the_rank_does_not_fit(saved: tuple[Any, Path]) -> None:
    model = Network()
    model.blocks._modules["odd.name"] = nn.Conv2d(1, 1, 1)
    refused(model, saved[1], r"layer 'blocks.odd.name' of shape \(1, 1, 1, 1\) cannot have rank \d on axes \[\]")


def test_weights_of_the_original_do_not_fit(saved: tuple[Any, Path], tmp_path: Path) -> None:
    torch.save(Network().state_dict(), tmp_path / "original.pt")
    refused(
        Network(),
        saved[1],
        "original.pt does not fit the compressed Network: missing are ",
        weights=tmp_path / "original.pt",
    )


def test_a_pickle_that_runs_code_is_refused(saved: tuple[Any, Path], tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(print))
    refused(Network(), saved[1], "evil.pt does not fit the compressed Network: .*[Uu]npickl", weights=path)


def test_missing_files_are_named(saved: tuple[Any, Path], tmp_path: Path) -> None:
    refused(
        Network(), tmp_path / "nowhere", "cannot read .*nowhere/compression.json: No such file or directory; give the"
    )
    refused(Network(), saved[1], "there is no file '.*lost.pt'; give the directory that", weights=tmp_path / "lost.pt")
    (saved[1] / "weights.safetensors").unlink()
    refused(Network(), saved[1], "there is no file '.*weights.safetensors'")


def test_torn_weights_are_named(saved: tuple[Any, Path]) -> None:
    path = saved[1] / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    refused(Network(), saved[1], "weights.safetensors does not fit the compressed Network")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"layers": {}}',
        '{"schema": 1}',
        '{"schema": 1, "layers": []}',
        '{"schema": 1, "layers": {"fc": 3}}',
        '{"schema": 1, "layers": {"fc": {"rank": 2}}}',
        '{"schema": 1, "layers": {"fc": {"rank": 2, "first_axes": 0}}}',
        '{"schema": 1, "layers": {"fc": {"rank": 2, "rank": 3, "first_axes": []}}}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_a_damaged_description_is_named(saved: tuple[Any, Path], text: str) -> None:
    (saved[1] / "compression.json").write_text(text, "latin-1")
    refused(Network(), saved[1], "compression.json does not describe a compression: ")


@pytest.mark.parametrize("rank", [0, -1, 6, 1.5, "2", None, 10**30, True, 1.0, [1], {}])
def test_a_rank_that_cannot_be_is_named(saved: tuple[Any, Path], rank: Any) -> None:
    content = json.dumps({"schema": 1, "layers": {"fc": {"rank": rank, "first_axes": []}}})
    (saved[1] / "compression.json").write_text(content)
    refused(Network(), saved[1], "layer 'fc' of shape .* cannot have rank .* on axes")


@pytest.mark.parametrize("axes", [[2], [-1], ["0"], [True], [[0]], "01", [10**30] * 1000])
def test_axes_that_cannot_be_are_named(saved: tuple[Any, Path], axes: Any) -> None:
    content = json.dumps({"schema": 1, "layers": {"conv": {"rank": 2, "first_axes": axes}}})
    (saved[1] / "compression.json").write_text(content)
    refused(Network(), saved[1], "layer 'conv' of shape .* cannot have rank 2 on axes")


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\xff\xff\xff\xff\0\0\0\0{}", b"\2\0\0\0\0\0\0\0{}"])
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_damaged_weights_are_named(saved: tuple[Any, Path], name: str, content: bytes) -> None:
    weights = saved[1] / name
    weights.write_bytes(content)
    with pytest.raises(RecordingError, match=f"{name} does not fit the compressed Network"):
        load_compressed(Network(), saved[1], weights=weights)


def test_weights_that_would_run_something_are_refused(saved: tuple[Any, Path], tmp_path: Path) -> None:
    torch.save({"fc.weight": Runs(tmp_path / "ran")}, saved[1] / "weights.pt")
    with pytest.raises(
        RecordingError, match=r"weights.pt does not fit the compressed Network: Weights only load failed"
    ):
        load_compressed(Network(), saved[1], weights=saved[1] / "weights.pt")
    assert not (tmp_path / "ran").exists()


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_weights_that_never_end_are_refused(saved: tuple[Any, Path]) -> None:
    os.mkfifo(saved[1] / "weights.pt")
    with pytest.raises(RecordingError, match=r"there is no file .*weights\.pt"):
        load_compressed(Network(), saved[1], weights=saved[1] / "weights.pt")


def test_a_description_of_a_later_version_is_named(saved: tuple[Any, Path]) -> None:
    (saved[1] / "compression.json").write_text('{"schema": 2, "layers": {}}')
    refused(Network(), saved[1], "compression.json is of schema 2, this version of aimet-hooks reads 1")


def test_what_is_no_module_is_refused(saved: tuple[Any, Path]) -> None:
    with pytest.raises(UsageError, match=r"fresh_model is a type; give a torch.nn.Module of the original class"):
        load_compressed(Network, saved[1])
    with pytest.raises(
        UsageError, match=r"fresh_model is on the meta device; give it memory with fresh_model.to_empty"
    ):
        load_compressed(Network().to("meta"), saved[1])


class WithExtraState(Network):
    def get_extra_state(self) -> Any:
        return {"version": 3}

    def set_extra_state(self, state: Any) -> None:
        pass


def test_a_state_that_is_no_tensor_cannot_be_saved_and_says_what_can_be_done(tmp_path: Path) -> None:
    result = compressed(WithExtraState())
    with pytest.raises(ResultsDirError, match=r"'_extra_state' of its state is no tensor; keep it with torch.save"):
        result.save(tmp_path / "model")
    assert not list((tmp_path / "model").iterdir())


def test_weights_that_lie_in_one_storage_are_saved_each(tmp_path: Path) -> None:
    model = Network(tied=False)
    storage = torch.randn(128)
    model.encode.weight = nn.Parameter(storage[:64].view(8, 8))
    model.decode.weight = nn.Parameter(storage[64:].view(8, 8))
    result = compressed(model, conv=0.5)
    fresh = load_compressed(Network(tied=False), result.save(tmp_path))
    assert torch.equal(outputs(fresh), outputs(result.model))


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ResultsDirError, match=r"the model cannot be saved to '.*file' .*save it elsewhere with result.save"
    ):
        compressed().save(tmp_path / "file")
