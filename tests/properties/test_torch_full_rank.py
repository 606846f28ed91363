"""At full rank the two modules compute what the layer computes, whatever its settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from aimet_hooks import SpatialSvd, WeightSvd, cost
from aimet_hooks.adapters.pytorch import replacement
from aimet_hooks.factorization import Array
from aimet_hooks.layers import Geometry
from aimet_hooks.schemes import SvdScheme

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths:UserWarning")
SCHEMES = st.sampled_from([SpatialSvd(), WeightSvd()])
QUICK = settings(max_examples=300, deadline=None)


@st.composite
def convolutions(draw: st.DrawFn, axes: int) -> tuple[nn.Module, torch.Tensor]:
    """A convolution with any settings that torch takes, and an input that fits it."""
    per_axis = st.lists(st.integers(1, 3), min_size=axes, max_size=axes).map(tuple)
    kernel = draw(st.lists(st.integers(1, 5), min_size=axes, max_size=axes).map(tuple))
    stride, dilation = draw(per_axis), draw(per_axis)
    padding: Any = draw(st.sampled_from(["same", "valid", "numbers"]))
    if padding == "numbers":
        padding = tuple(draw(st.integers(0, d * (k - 1))) for k, d in zip(kernel, dilation, strict=True))
    stride = (1,) * axes if padding == "same" else stride
    kind = nn.Conv1d if axes == 1 else nn.Conv2d
    size = [draw(st.integers(d * (k - 1) + 1, d * (k - 1) + 6)) for k, d in zip(kernel, dilation, strict=True)]
    torch.manual_seed(draw(st.integers(0, 2**31)))
    layer = kind(
        draw(st.integers(1, 7)),
        draw(st.integers(1, 7)),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    )
    return layer, torch.randn(draw(st.integers(1, 2)), layer.in_channels, *size)


def full_rank(weight: Array, scheme: SvdScheme) -> int:
    n, m, *kernel = weight.shape
    sizes = Geometry(in_channels=m, out_channels=n, kernel=tuple(kernel), input_size=(), output_size=(), repeats=1)
    return cost.full_rank(sizes, scheme.first_axes)


def error_of(layer: nn.Module, x: torch.Tensor, scheme: SvdScheme) -> float:
    """The largest error of the replacement as a share of the layer's largest output.

    Not where that is all but nothing, as in a single sum that happens to cancel.
    """
    weight = replacement.weight_of(layer)
    rank = full_rank(weight, scheme)
    with torch.no_grad():
        expected = layer(x)
        actual = replacement.sequential(layer, scheme.prepare(weight, rank).at(rank))(x)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    largest = float(expected.abs().max())
    assume(largest > 0.1 * float(x.norm() / x.numel() ** 0.5) * float(np.linalg.norm(weight) / weight.shape[0] ** 0.5))
    return float((actual - expected).abs().max()) / largest


@QUICK
@given(convolutions(2), SCHEMES)
def test_a_convolution_is_reproduced(made: tuple[nn.Module, torch.Tensor], scheme: SvdScheme) -> None:
    layer, x = made
    assert error_of(layer, x, scheme) <= 1e-5


@QUICK
@given(convolutions(1), SCHEMES)
def test_a_convolution_of_one_axis_is_reproduced(made: tuple[nn.Module, torch.Tensor], scheme: SvdScheme) -> None:
    layer, x = made
    assert error_of(layer, x, scheme) <= 1e-5


@QUICK
@given(
    st.integers(1, 40), st.integers(1, 40), st.lists(st.integers(1, 4), max_size=3), st.booleans(), st.integers(0, 999)
)
def test_a_linear_layer_is_reproduced_with_any_leading_dimensions(
    m: int, n: int, leading: list[int], bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(m, n, bias=bias)
    assert error_of(layer, torch.randn(*leading, m), WeightSvd()) <= 1e-5


@QUICK
@given(convolutions(2), SCHEMES, st.integers(1, 4))
def test_a_lower_rank_is_the_same_convolution_with_the_nearest_weight(
    made: tuple[nn.Module, torch.Tensor], scheme: SvdScheme, rank: int
) -> None:
    """Cut at any rank, the two modules are one convolution: that whose weight is the product of the factors."""
    layer, x = made
    weight = replacement.weight_of(layer)
    rank = min(rank, full_rank(weight, scheme))
    found = scheme.prepare(weight.astype("float64"), rank).at(rank)
    first, second = (torch.from_numpy(factor.weight.copy()) for factor in (found.first, found.second))
    product = torch.einsum("rmab,nrcd->nmacbd", first, second)
    joined = product.reshape(*weight.shape).float()
    with torch.no_grad():
        actual = replacement.sequential(layer, found)(x)
        layer.weight.copy_(joined)
        expected = layer(x)
    scale = float(x.abs().max() * joined.abs().sum(dim=(1, 2, 3)).max())  # of the sums, before anything cancels
    assert float((actual - expected).abs().max()) <= 1e-5 * scale + 1e-6
