"""What quantized weights do to the output of every layer: of this layer alone, and of all together."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from aimet_hooks.adapters import SessionSettings
from aimet_hooks.adapters.observed import output_noise
from aimet_hooks.quantization.noise import sqnr
from aimet_hooks.quantization.quantizer import check_bitwidth, check_flag, quantize_dequantize

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def compare_quantized(
    model: Any,
    inputs: Any,
    *,
    bitwidth: int = 8,
    per_channel: bool = False,
    session_options: Any = None,
    providers: Sequence[Any] | None = None,
) -> pd.DataFrame:
    """What quantized weights do to the output of every layer, on sample inputs.

    Weights are quantized on the symmetric grid of ``aimet_hooks.quantization.quantizer.grid``; activations and biases
    stay floats. The layers are those of ``analyze_weight_ranges``. A layer whose local figure is low breaks by itself;
    one whose accumulated figure is far below its local one suffers from the layers before it.

    ONNX Runtime computes the accumulated figure as "xmodel_err" from two models and all of their tensors
    (``onnxruntime.quantization.qdq_loss_debug``). Here one graph sums up squares, so that no tensor is kept: memory
    is about twice what the model needs for one batch, however many batches and layers there are. Random nodes behind
    a layer draw anew for the quantized weights.

    Args:
        model: An ``onnx.ModelProto`` or the path of an ``.onnx`` file. It stays as it is.
        inputs: As for ``analyze_activations``.
        bitwidth: Bits of a quantized weight, from 2 to 16.
        per_channel: Whether every output channel has a scale of its own.
        session_options: ``onnxruntime.SessionOptions``; None for its defaults.
        providers: Execution providers; None for the CPU.

    Returns:
        One row for every ``layer``, in the order of the graph:

        * ``kind``: the operator;
        * ``local_sqnr``: 10 log10(sum y**2 / sum (y - y')**2) in dB, where y is the layer's output in the original
          over all sample inputs, and y' its output when only its own weight is quantized and its input the original's;
        * ``accumulated_sqnr``: the same, where y' is its output when the weights of all layers are quantized.

        At most 200, which is no noise. NaN where y is zero throughout or empty, or y or y' is not finite everywhere,
        as with a weight that is NaN. Never infinite.

    Raises:
        UsageError: If ``model`` is a torch module or no model, ``bitwidth`` is out of range, ``per_channel`` is
            no bool, or a batch does not fit the model's inputs.
        MissingExtraError: If onnx or onnxruntime is not installed.
        ModelError: If the model cannot be read or run.
    """
    import pandas as pd

    quantized = partial(
        quantize_dequantize,
        bitwidth=check_bitwidth(bitwidth),
        symmetric=True,
        per_channel=check_flag(per_channel, "per_channel"),
    )
    found = output_noise(model, inputs, quantized, SessionSettings(options=session_options, providers=providers))
    signal = [row.signal for row in found]
    return pd.DataFrame(
        {
            "kind": pd.Series([row.kind for row in found], dtype=object),
            "local_sqnr": sqnr(signal, [row.local for row in found]),
            "accumulated_sqnr": sqnr(signal, [row.accumulated for row in found]),
        }
    ).set_index(pd.Index([row.layer for row in found], dtype=object, name="layer"))
