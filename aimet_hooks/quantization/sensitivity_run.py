"""The stages of one analysis that need no evaluation, each of which announces what it found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimet_hooks.errors import ModelError
from aimet_hooks.events import AnalysisFinished, LayerSkipped, WeightRangesAnalyzed
from aimet_hooks.quantization.layer_summary import summary_of
from aimet_hooks.quantization.problematic import problems_of
from aimet_hooks.quantization.sensitivity_options import NOT_ASKED_FOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from aimet_hooks.adapters.stored_weights import StoredWeights
    from aimet_hooks.announcer import Announcer
    from aimet_hooks.quantization.problematic import ProblematicLayer
    from aimet_hooks.quantization.sensitivity_options import SensitivityOptions

SUMMARY = (
    *("channels", "weights", "effective_bits_per_tensor", "effective_bits_per_channel"),
    *("sqnr_symmetric_per_tensor", "sqnr_asymmetric_per_tensor"),
    *("sqnr_symmetric_per_channel", "sqnr_asymmetric_per_channel"),
    *("widest_channel", "relative_range", "rounded_to_zero", "non_finite"),
)
"""The columns of ``summarize_weight_ranges`` that the event carries."""


@dataclass(slots=True, kw_only=True)
class SensitivityRun:
    """One analysis between its first and its last event.

    Attributes:
        options: What was asked for.
        announcer: Where events go.
        stored: The weights.
        left_out: Layers that are not to be analysed, with the reason.
        stage: What goes on: "preflight", "baseline", "weight ranges" or "exploration".
    """

    options: SensitivityOptions
    announcer: Announcer
    stored: StoredWeights
    left_out: Mapping[str, str]
    stage: str = "preflight"

    def skip(self, name: str, reason: str) -> None:
        """Announce that a layer is not in the table."""
        self.announcer.announce(LayerSkipped(layer=name, reason=reason))

    def leave_out(self) -> None:
        """Skip what is not to be analysed: all that is skipped where nothing is run.

        Raises:
            ModelError: If no other layer is there.
        """
        for name, reason in self.left_out.items():
            self.skip(name, reason)
        self.require([layer for layer in self.stored.layers if layer.name not in self.left_out])

    def require(self, layers: Sequence[object]) -> None:
        """Make sure that there are layers to analyse.

        Raises:
            ModelError: If there is none; names some that were skipped, those that were asked for first.
        """
        if not layers:
            skipped = sorted(self.announcer.state.skipped.items(), key=lambda item: item[1] == NOT_ASKED_FOR)
            told = "; ".join(f"{name!r}: {reason}" for name, reason in skipped[:3])
            what = f"no layer of {self.stored.model_name} can be quantized"
            raise ModelError(f"{what}: {told or 'it has no layer with weights'}")

    def analyze_ranges(
        self, output_sqnr: Mapping[str, Mapping[int, float | None]]
    ) -> tuple[pd.DataFrame, list[ProblematicLayer]]:
        """What quantization leaves of the weights at the highest bit width, and which layers will break.

        Layers that the table cannot have are there too: it is just those of which something may be wrong.

        Args:
            output_sqnr: What it leaves of what layers give, by bit width; empty where that was not measured.
        """
        self.stage = "weight ranges"
        bitwidth = self.options.bitwidths[-1]
        summary = summary_of([layer for layer in self.stored.layers if layer.name not in self.left_out], bitwidth)
        problems = problems_of(self.stored, summary, per_channel=self.options.per_channel)
        self.announcer.announce(
            WeightRangesAnalyzed(
                bitwidth=bitwidth,
                layers={str(name): _figures(row) for name, row in summary.to_dict("index").items()},
                problems=tuple(_told(problem) for problem in problems),
                output_sqnr={
                    name: {str(bits): decibels for bits, decibels in row.items()} for name, row in output_sqnr.items()
                },
            )
        )
        return summary, problems

    def finish(self, baseline: float | None) -> None:
        """Announce the end."""
        self.announcer.announce(AnalysisFinished(baseline_score=baseline, notes=self.announcer.notes))


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figures(row: Mapping[Any, Any]) -> dict[str, float | None]:
    """The figures of one layer as plain numbers; None where undefined."""
    figures = {column: _defined(row[column]) for column in SUMMARY}
    return figures if row["widest_channel"] >= 0 else figures | {"widest_channel": None}


def _told(problem: ProblematicLayer) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("layer", "channel", "cause", "remedy", "partner")}
