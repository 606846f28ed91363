"""A histogram of parts is that of the whole, and its quantiles lie where they should."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aimet_hooks.quantization.expected_noise import expected_noise, grid_between
from aimet_hooks.quantization.streaming_histogram import CELLS, StreamingHistogram
from aimet_hooks.quantization.tensor_statistics import QUANTILES, TensorStatistics

FLOATS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-10, 10, width=32),
    st.sampled_from([0.0, -0.0, 1.0, 2.0**-149, 65504.0]),
)
SIZES = st.integers(1, 200)
DOUBLES = st.one_of(
    st.floats(-(2.0**1000), 2.0**1000), st.sampled_from([-(2.0**-1074), 2.0**-1074, -(2.0**-1022), 2.0**1000])
)
VALUES = st.one_of(
    hnp.arrays(np.float32, SIZES, elements=FLOATS),
    hnp.arrays(np.float64, SIZES, elements=DOUBLES),
)
SHARES = list(QUANTILES.values())


def histogram(*parts: np.ndarray) -> StreamingHistogram:
    made = StreamingHistogram()
    for part in parts:
        made.add(part.astype(np.float64))
    return made


@given(values=VALUES, data=st.data(), bins=st.integers(1, 300))
def test_any_split_and_order_gives_the_same(values: np.ndarray, data: st.DataObject, bins: int) -> None:
    places = data.draw(st.lists(st.integers(0, len(values)), max_size=8).map(sorted))
    order = data.draw(st.permutations(range(len(values))))
    whole, parts = histogram(values), histogram(*np.split(values[order], places))
    for one, other in zip(whole.bins(bins), parts.bins(bins), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(whole.quantiles(SHARES), parts.quantiles(SHARES))
    assert (whole.low, whole.high, whole.zeros) == (parts.low, parts.high, parts.zeros)
    np.testing.assert_allclose(whole.cells().means, parts.cells().means, rtol=1e-12)
    np.testing.assert_array_equal(whole.cells().counts, parts.cells().counts)


@given(values=VALUES, bins=st.integers(1, 300))
def test_counts_are_those_of_numpy(values: np.ndarray, bins: int) -> None:
    counts, edges = histogram(values).bins(bins)
    np.testing.assert_array_equal(counts, np.histogram(values.astype(np.float64), edges)[0])
    assert counts.sum() == values.size
    assert counts.shape == (bins,)
    assert edges.shape == (bins + 1,)
    assert edges[0] <= values.min()
    assert values.max() < edges[-1]


@given(values=VALUES)
def test_quantiles_are_within_a_cell(values: np.ndarray) -> None:
    found = histogram(values)
    exact = np.quantile(values.astype(np.float64), SHARES, method="inverted_cdf")
    assert (np.abs(found.quantiles(SHARES) - exact) <= found.width).all()
    assert (found.quantiles(SHARES)[exact == 0] == 0).all()
    assert found.width * (CELLS / 2 - 2) <= max(float(np.ptp(values.astype(np.float64))), found.width * CELLS)


@given(values=hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(allow_nan=True)), bits=st.integers(2, 16))
def test_no_figure_is_ever_infinite(values: np.ndarray, bits: int) -> None:
    statistics = TensorStatistics()
    for part in np.array_split(values, 3):
        statistics.add(part)
    assert not np.isinf(list(statistics.figures(bits).values())).any()
    assert not np.isinf(statistics.histogram.bins(16)[1]).any()
    assert statistics.non_finite == (~np.isfinite(values)).sum()


@given(values=hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-8, 8, width=32)), bits=st.integers(2, 8))
def test_noise_of_cells_is_that_of_the_values(values: np.ndarray, bits: int) -> None:
    grid = grid_between(float(values.min()), float(values.max()), bitwidth=bits, symmetric=False)
    found = histogram(values)
    wide = values.astype(np.float64)
    exact = np.square(wide - grid.dequantized(grid.quantized(wide))).sum()
    # a value is at most a cell from its mean, and its error at most half a step
    most = values.size * found.width * (grid.scale.item() + found.width)
    assert abs(expected_noise(found.cells(), grid) - exact) <= most
