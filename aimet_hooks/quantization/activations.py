"""Where the activations of an ONNX model lie on sample inputs, and what quantization leaves of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aimet_hooks.adapters import SessionSettings
from aimet_hooks.adapters.observed import observed_model
from aimet_hooks.errors import UsageError
from aimet_hooks.quantization.names import matching
from aimet_hooks.quantization.quantizer import check_bitwidth
from aimet_hooks.quantization.streaming_histogram import CELLS
from aimet_hooks.quantization.tensor_statistics import QUANTILES, TensorStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from aimet_hooks.quantization.quantizer import Doubles
    from aimet_hooks.quantization.streaming_histogram import Counts

FIGURES = ("min", "max", "mean", "std", *QUANTILES, "zeros", "sqnr_asymmetric", "best_clip", "sqnr_clipped")
COLUMNS = ("node", "op_type", "shape", "count", "non_finite", *FIGURES)


@dataclass(frozen=True, slots=True)
class ActivationReport:
    """What ``analyze_activations`` has found.

    Attributes:
        ranges: A pandas DataFrame, one row for every ``tensor`` in the order of the graph, its inputs first:

            * ``node``, ``op_type``: what makes the tensor; empty and "Input" for an input of the graph;
            * ``shape``: a tuple, None for an axis whose size differs between batches;
            * ``count``, ``non_finite``: number of its values over all batches, and of those that are NaN or infinite,
              int64. Everything that follows, float64, leaves the latter out, and is NaN where nothing remains;
            * ``min``, ``max``, ``mean``, ``std`` (dividing by the number of values);
            * ``q0.1``, ``q1``, ``median``, ``q99``, ``q99.9``: percentiles, at most (max - min) / 4094 from the value
              that the percentile falls on;
            * ``zeros``: share of the values that are zero;
            * ``sqnr_asymmetric``: SQNR in dB on the asymmetric grid from ``min`` to ``max`` with one scale;
            * ``best_clip``: the c for which the symmetric grid from -c to c has the least noise, values beyond it
              becoming its ends: a multiple of 1/64 of the largest magnitude;
            * ``sqnr_clipped``: SQNR in dB on that grid. Both are expected values, from the histogram: see
              ``aimet_hooks.quantization.expected_noise``. At most 200, which is no noise; NaN if all values are zero.
        histograms: By tensor, counts (bins,) int64 and edges (bins + 1,) float64 of bins of one width. Edges are
            multiples of a power of two, the last at most a few hundredths of the range above ``max``; those of a
            tensor without finite values are NaN.
    """

    ranges: pd.DataFrame
    histograms: Mapping[str, tuple[Counts, Doubles]]


def analyze_activations(
    model: Any,
    inputs: Any,
    *,
    bitwidth: int = 8,
    tensors: Iterable[str] | None = None,
    bins: int = 128,
    session_options: Any = None,
    providers: Sequence[Any] | None = None,
) -> ActivationReport:
    """Where the activations of an ONNX model lie on sample inputs, and what quantization leaves of them.

    Every float tensor that depends on the input is there: the inputs of the graph, and what the nodes of its main graph
    make, float16, float32 or float64. Constants, integers and tensors inside the graphs of If, Loop and Scan are
    not. The model runs once a batch, and of a batch nothing is kept but counts: how samples are divided into batches
    changes figures by rounding only, and memory depends on the size of one batch. It has to hold all chosen tensors of
    one batch; smaller batches, or fewer ``tensors``, need less.

    Args:
        model: An ``onnx.ModelProto`` or the path of an ``.onnx`` file. It stays as it is.
        inputs: One batch: an array, a tuple of arrays in the order of the model's inputs, or a dict by input name; or
            an iterable of batches, as a list or a generator, which is gone through once.
        bitwidth: Bits of a quantized value, from 2 to 16.
        tensors: Names of tensors, or patterns as ``"*Relu*"``; None for all.
        bins: Bins of a histogram, from 1 to 8192.
        session_options: ``onnxruntime.SessionOptions``; None for its defaults.
        providers: Execution providers; None for the CPU.

    Raises:
        UsageError: If ``model`` is a torch module or no model, a number is out of range, or a batch does not fit the
            model's inputs.
        UnknownNameError: If a name or pattern of ``tensors`` matches nothing.
        MissingExtraError: If onnx or onnxruntime is not installed.
        ModelError: If the model cannot be read or run.
    """
    bits = check_bitwidth(bitwidth)
    _check_bins(bins)
    with observed_model(model, SessionSettings(options=session_options, providers=providers)) as observed:
        known = [tensor.name for tensor in observed.tensors]
        chosen = matching(tensors, known, option="tensors", what="tensor of floats that depends on the input")
        rows = [tensor for tensor in observed.tensors if tensor.name in chosen]
        statistics = {tensor.name: TensorStatistics() for tensor in rows}
        for name, values in observed.run(list(statistics), inputs):
            statistics[name].add(values)
    places = {tensor.name: {"node": tensor.node, "op_type": tensor.op_type} for tensor in rows}
    return ActivationReport(
        ranges=_table({name: {**places[name], **_figures(found, bits)} for name, found in statistics.items()}),
        histograms={name: found.histogram.bins(bins) for name, found in statistics.items()},
    )


def _figures(found: TensorStatistics, bitwidth: int) -> Mapping[str, Any]:
    counts = {"shape": found.shape, "count": found.count, "non_finite": found.non_finite}
    return {**counts, **found.figures(bitwidth)}


def _table(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    index = pd.Index(list(rows), dtype=object, name="tensor")
    dtypes: dict[str, Any] = dict.fromkeys(("node", "op_type", "shape"), object)
    dtypes |= dict.fromkeys(("count", "non_finite"), np.int64) | dict.fromkeys(FIGURES, np.float64)
    columns = {
        name: pd.Series([row[name] for row in rows.values()], index=index, dtype=dtypes[name]) for name in COLUMNS
    }
    return pd.DataFrame(columns, index=index)


def _check_bins(bins: Any) -> None:
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or not 1 <= bins <= CELLS:
        raise UsageError(f"bins is {bins!r}; give a whole number of bins from 1 to {CELLS}, as 128")
