"""The table that a run fills: layers by ratios, or layers by bit widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimet_hooks.events import EvalScored
from aimet_hooks.presentation import quantities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimet_hooks.events import SensitivityScored
    from aimet_hooks.run_state import RunState

    Cell = EvalScored | SensitivityScored


@dataclass(frozen=True, slots=True)
class ScoreGrid:
    """Scores of the whole model with one layer changed, as every view shows them.

    Attributes:
        rows: By layer, then by column, the cells that are known.
        columns: Compression ratios, or bit widths; ascending.
        by_bits: Whether the columns are bit widths.
    """

    rows: Mapping[str, Mapping[Any, Cell]]
    columns: tuple[float, ...]
    by_bits: bool

    @classmethod
    def of(cls, run: RunState) -> ScoreGrid:
        """The grid of a run; without columns where they are not known, or where nothing is explored."""
        if run.sensitivity_started is None:
            return cls(run.scores, run.candidates, by_bits=False)
        return cls(run.sensitivity, run.bitwidths, by_bits=True)

    @property
    def done(self) -> str:
        """What was done to the layer of a cell."""
        return "quantized" if self.by_bits else "compressed"

    @property
    def column(self) -> str:
        """What a column is."""
        return "bit width" if self.by_bits else "ratio"

    def title(self, column: float) -> str:
        """Heading of a column."""
        return f"{column:g} bits" if self.by_bits else quantities.ratio(column)

    def at(self, column: float) -> str:
        """A column in a sentence: "at ratio 0.5", "at 8 bits"."""
        return f"at {column:g} bits" if self.by_bits else f"at ratio {quantities.ratio(column)}"


def column_of(cell: Cell) -> float:
    """The column that a cell stands in."""
    return cell.comp_ratio if isinstance(cell, EvalScored) else cell.bitwidth
