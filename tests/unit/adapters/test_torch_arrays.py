"""Inputs as tensors, arrays and containers of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aimet_hooks import plan
from aimet_hooks.adapters.pytorch import arrays
from aimet_hooks.errors import UsageError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3)[:, ::-1],
        np.broadcast_to(np.float32(1), (2, 3)),
        np.float64(0.5),
        np.asfortranarray(np.ones((2, 3))),
    ],
)
def test_any_array_becomes_a_tensor_of_the_models_dtype(array: Any) -> None:
    tensor = arrays.to_tensors(array, CPU, torch.float32)
    assert tensor.dtype is torch.float32
    assert np.array_equal(tensor.numpy(), array)


def test_integers_and_tensors_keep_their_dtype() -> None:
    given = {"ids": np.array([1, 2]), "half": torch.ones(2, dtype=torch.float16), "flag": True}
    tensors = arrays.to_tensors(given, CPU, torch.float32)
    assert (tensors["ids"].dtype, tensors["half"].dtype, tensors["flag"]) == (torch.int64, torch.float16, True)


def test_an_array_that_torch_does_not_take_is_named() -> None:
    with pytest.raises(UsageError, match="an input is an array of dtype <U1, which torch does not take"):
        arrays.to_tensors(np.array(["a"]), CPU, torch.float32)


def test_nested_inputs_count_per_sample() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.conv(batch["x"])

    for values in (np.zeros((4, 3, 8, 8)), torch.zeros(4, 3, 8, 8)):
        (layer,) = plan(Nested(), example_inputs=({"x": values},)).layers
        assert layer.macs == 3 * 8 * 9 * 36
