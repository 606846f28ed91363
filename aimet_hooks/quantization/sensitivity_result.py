"""What an analysis of the sensitivity to quantization found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from aimet_hooks.quantization.problematic import ProblematicLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityResult:
    """What quantizing one layer at a time does to the model.

    Attributes:
        scores: Score of the model, in the callback's unit: a row a ``layer``, a column a ``bitwidth``; NaN where an
            evaluation failed. Empty without a callback.
        baseline_score: Score of the original model; None without a callback.
        sqnr: Of what the layer gives for the example inputs with its quantized weight, in dB, at most 200: a row
            a layer, a column a bit width; NaN where there were no ``example_inputs``, or where a note says why.
        weight_ranges: What quantization leaves of the weights at the highest of the bit widths, as
            ``summarize_weight_ranges`` gives it.
        problems: The layers that will break at that bit width, the worst first; with ``per_channel`` those that a
            scale for every channel does not help.
        skipped: Reason by name for every layer that is not in the table.
    """

    scores: pd.DataFrame
    baseline_score: float | None
    sqnr: pd.DataFrame
    weight_ranges: pd.DataFrame
    problems: Sequence[ProblematicLayer]
    skipped: Mapping[str, str]


def frame(rows: Mapping[str, Mapping[int, float | None]], bitwidths: Sequence[int]) -> pd.DataFrame:
    """Layers by bit widths, float64, NaN where nothing is known."""
    import pandas as pd

    values = [[_number(row.get(bits)) for bits in bitwidths] for row in rows.values()]
    found = pd.DataFrame(values, index=list(rows), columns=list(bitwidths), dtype="float64")
    return found.rename_axis(index="layer", columns="bitwidth")


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
