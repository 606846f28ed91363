"""Which layer suffers most from quantization."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aimet_hooks.presentation.score_scale import ScoreScale

if TYPE_CHECKING:
    from aimet_hooks.run_state import RunState


def most_sensitive_first(run: RunState) -> list[str]:
    """The layers of the table of bit widths: the largest drop at the lowest bit width first, then at the next.

    What was not evaluated, or failed, comes after what was; layers that are alike stay in network order.
    """
    scale = ScoreScale.of(run)

    def gains(layer: str) -> list[float]:
        cells = (run.sensitivity[layer].get(bits) for bits in run.bitwidths)
        drops = (None if cell is None or cell.score is None else scale.drop(cell.score) for cell in cells)
        return [math.inf if drop is None else -drop for drop in drops]

    return sorted(run.sensitivity, key=gains)


def noisiest_first(run: RunState) -> list[str]:
    """The layers of ``RunState.output_sqnr``: the lowest SQNR at the lowest bit width first, undefined ones last."""

    def decibels(layer: str) -> list[float]:
        return [math.inf if value is None else value for value in run.output_sqnr[layer].values()]

    return sorted(run.output_sqnr, key=decibels)
