"""Whatever the weights: nothing is infinite, nothing raises, and a grid never errs by more than half a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from aimet_hooks import analyze_weight_ranges
from aimet_hooks.quantization import summarize_weight_ranges
from aimet_hooks.quantization.noise import NO_NOISE, noise_on
from aimet_hooks.quantization.quantizer import BITWIDTHS, grid_of, quantize_dequantize

DTYPES = st.sampled_from([np.float16, np.float32, np.float64])
SHAPES = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5)
BITS = st.sampled_from(BITWIDTHS)


def weights(*, finite: bool) -> st.SearchStrategy[np.ndarray]:
    """Any floats: subnormal, huge and, unless ``finite``, NaN and infinite ones."""

    def of(dtype: type) -> st.SearchStrategy[np.ndarray]:
        width = np.dtype(dtype).itemsize * 8
        elements = st.floats(width=width, allow_nan=not finite, allow_infinity=not finite)
        return hnp.arrays(dtype, SHAPES, elements=elements)

    return DTYPES.flatmap(of)


@given(weight=weights(finite=False), bitwidth=BITS, symmetric=st.booleans(), per_channel=st.booleans())
def test_sqnr_is_never_infinite(weight: np.ndarray, bitwidth: int, symmetric: bool, per_channel: bool) -> None:
    rows = weight.reshape(len(weight), -1)
    noise = noise_on(grid_of(weight, bitwidth=bitwidth, symmetric=symmetric, per_channel=per_channel), rows)
    for values in (noise.sqnr, noise.sqnr_of_layer):
        assert not np.isinf(values).any()
        assert not (np.asarray(values) > NO_NOISE).any()
    if per_channel:
        assert np.isnan(noise.sqnr[~np.isfinite(rows).all(axis=1)]).all()


@given(weight=weights(finite=False), bitwidth=BITS, per_channel=st.booleans())
def test_tables_hold_no_infinity(weight: np.ndarray, bitwidth: int, per_channel: bool) -> None:
    linear = nn.Linear(1, 1)
    linear.weight = nn.Parameter(torch.from_numpy(weight.reshape(len(weight), -1)))
    frame = analyze_weight_ranges(nn.Sequential(linear), bitwidth=bitwidth, per_channel=per_channel)
    summary = summarize_weight_ranges(nn.Sequential(linear), bitwidth=bitwidth).drop(columns="kind")
    assert not np.isinf(frame.to_numpy()).any()
    assert not np.isinf(summary.to_numpy(float)).any()
    assert frame["non_finite"].sum() == (~np.isfinite(weight)).sum()


@given(
    weight=hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32)),
    bitwidth=BITS,
    symmetric=st.booleans(),
    per_channel=st.booleans(),
)
def test_no_weight_moves_by_more_than_half_a_step(
    weight: np.ndarray, bitwidth: int, symmetric: bool, per_channel: bool
) -> None:
    grid = grid_of(weight, bitwidth=bitwidth, symmetric=symmetric, per_channel=per_channel)
    quantized = quantize_dequantize(weight, bitwidth=bitwidth, symmetric=symmetric, per_channel=per_channel)
    error = np.abs(quantized - weight).reshape(len(weight), -1)
    assert (error <= 0.5 * grid.scale * (1 + 1e-9)).all()
    assert (quantized[weight == 0] == 0).all()


@given(rows=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), power=st.integers(-20, 20))
def test_sqnr_knows_no_unit(rows: int, seed: int, power: int) -> None:
    weight = np.random.default_rng(seed).standard_normal((rows, 9)).astype(np.float32)
    one, other = (
        noise_on(grid_of(values, bitwidth=8, symmetric=True, per_channel=True), values).sqnr
        for values in (weight, weight * np.float32(2.0**power))
    )
    assert one == pytest.approx(other, abs=1e-9)
