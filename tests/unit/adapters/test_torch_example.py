"""The example input of a torch model, and a run of it that leaves no trace."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aimet_hooks import ModelError, UsageError, compress_model, plan
from aimet_hooks.adapters import ExampleInput
from aimet_hooks.adapters.pytorch import TorchAdapter
from aimet_hooks.adapters.pytorch.example import Example


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 8), nn.Linear(4, 8)

    def forward(self, left: torch.Tensor, *, right: torch.Tensor, scale: float = 1.0) -> dict[str, Any]:
        return {"sum": self.left(left) + scale * self.right(right), "nothing": None, "pair": (left, right)}


def run_once(model: nn.Module, **example: Any) -> Example:
    made = Example(model, ExampleInput(**example))
    with torch.no_grad():
        made.run(model.eval())
    return made


@pytest.mark.parametrize(
    "values",
    [
        {"left": torch.randn(3, 6), "right": torch.randn(3, 4)},
        {"left": np.zeros((3, 6), np.float32), "right": np.zeros((3, 4), np.float32), "scale": 2.0},
    ],
)
def test_a_dict_is_given_by_name_and_a_dict_may_come_out(values: Any) -> None:
    assert run_once(TwoInputs(), values=values).samples == 3
    layers = plan(TwoInputs(), example_inputs=values, compress_scheme="weight_svd").layers
    assert [(layer.name, layer.macs, layer.reason) for layer in layers] == [("left", 48, None), ("right", 32, None)]


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_tuple_is_given_in_order(kind: Any) -> None:
    bilinear = nn.Bilinear(3, 4, 5)
    assert run_once(bilinear, values=kind((torch.randn(2, 3), np.zeros((2, 4), np.float32)))).samples == 2


def test_an_array_is_taken_as_it_is() -> None:
    assert run_once(nn.Embedding(5, 2), values=np.zeros((4, 3), np.int64)).samples == 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_shape_makes_values_of_the_model_s_dtype(dtype: torch.dtype) -> None:
    assert run_once(nn.Linear(3, 2).to(dtype), shape=(2, 3)).samples == 2


def test_a_model_without_parameters_gets_floats() -> None:
    assert run_once(nn.ReLU(), shape=(2, 3)).samples == 2


def test_without_an_example_the_error_says_how_to_give_one() -> None:
    with pytest.raises(UsageError, match=r"a torch model does not tell its input: give input_shape=\(1, 3, 224, 224\)"):
        compress_model(nn.Sequential(nn.Linear(2, 2)), lambda _: 0.0, plugins=[])


def test_an_example_that_does_not_fit_is_named_with_the_exception() -> None:
    with pytest.raises(ModelError, match=r"Linear fails on the example input: RuntimeError: mat1 .*check input_shape"):
        run_once(nn.Linear(3, 2), shape=(2, 5))


def test_later_failures_are_the_replacement_s_and_pass_as_they_are() -> None:
    model = nn.Linear(3, 2)
    example = run_once(model, shape=(2, 3))
    with pytest.raises(RuntimeError, match="mat1"):
        example.run(nn.Linear(4, 2))


def test_a_model_that_works_in_place_does_not_change_the_user_s_values() -> None:
    tensor, array = -torch.ones(2, 3), -np.ones((2, 3), np.float32)
    run_once(nn.ReLU(inplace=True), values=tensor)
    run_once(nn.ReLU(inplace=True), values=array)
    assert float(tensor.sum()) == float(array.sum()) == -6


def test_random_states_are_put_back_after_success_and_failure() -> None:
    class Draws(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002, S311
            return x if x.shape[0] == 1 else x @ x

    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    run_once(Draws(), shape=(1, 5))
    with pytest.raises(ModelError):
        run_once(Draws(), shape=(2, 5))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (str(np.random.get_state()), random.getstate()) == before[1:]  # noqa: NPY002


class Stateful(nn.Module):
    """Writes a buffer in place, another anew, and fills a third with its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.full((3,), float("nan")))
        self.register_buffer("cache", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        self.mean = x.mean(dim=0)
        self.cache = x
        return self.fc(x)


def test_buffers_that_the_forward_pass_writes_are_put_back() -> None:
    model = Stateful()
    buffers = dict(model._buffers)
    with TorchAdapter(model, ExampleInput(shape=(2, 3))) as adapter:
        adapter.layers()
        with adapter.original() as native:
            adapter.run_example(native)
        assert adapter.changes() == []
        assert adapter.changes(thorough=True) == []
    assert {name: id(value) for name, value in model._buffers.items()} == {name: id(v) for name, v in buffers.items()}
    assert float(model.count) == 0
    assert bool(model.mean.isnan().all())


def test_batch_norm_is_not_updated_by_a_model_that_trains_itself() -> None:
    class Trains(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm.train()(x)

    model = Trains()
    run_once(model, shape=(4, 3))
    assert (int(model.norm.num_batches_tracked), float(model.norm.running_mean.abs().sum())) == (0, 0)


def test_a_default_device_of_the_process_does_not_matter() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3))
    with torch.device("meta"):
        layers = plan(model, input_shape=(1, 2, 8, 8)).layers
    assert layers[0].reason is None
