"""The table of layers by bit widths: one evaluation after the other its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks import exploration
from aimet_hooks.evaluator import Evaluator
from aimet_hooks.events import SensitivityScored, SensitivityStarted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.evaluation import EvalCallback, Outcome
    from aimet_hooks.quantization.sensitivity_run import SensitivityRun
    from aimet_hooks.quantization.tried_layers import TriedLayers


@dataclass(frozen=True, slots=True)
class Cell:
    """One evaluation: a layer at a bit width."""

    layer: str
    bitwidth: int

    @property
    def described(self) -> str:
        """The layer and the bit width."""
        return f"layer {self.layer!r} at {self.bitwidth} bits"


class SensitivityTable:
    """The table of one analysis: its scores.

    Args:
        run: The analysis.
        adapter: The model.
        callback: What evaluates the baseline and the cells.
        tried: The layers, with their quantized weights.
    """

    def __init__(self, run: SensitivityRun, adapter: Adapter, callback: EvalCallback, tried: TriedLayers) -> None:
        self._run = run
        self._adapter = adapter
        self._callback = callback
        self._evaluator = Evaluator(adapter, run.announcer, callback)
        self._tried = tried

    def score_baseline(self) -> float:
        """Evaluate the original model twice.

        Raises:
            EvaluationError: If it has no score, or none a second time.
        """
        self._run.stage = "baseline"
        return self._evaluator.score_baseline(self._callback, "eval_callback").score

    def fill(self, rows: Sequence[str]) -> None:
        """Announce every cell; the lowest bit width of every layer comes first, as it says most.

        Raises:
            EvaluationError: If too many evaluations in a row fail, or one with ``on_eval_error="raise"``.
        """
        run = self._run
        run.stage = "exploration"
        cells = [Cell(name, bitwidth) for bitwidth in run.options.bitwidths for name in rows]
        run.announcer.announce(
            SensitivityStarted(
                layers=tuple(rows), bitwidths=run.options.bitwidths, total=len(cells), evaluations=len(cells)
            )
        )
        stop_at_first = run.options.on_eval_error == "raise"
        for cell, outcome in exploration.explore(cells, self._evaluate, stop_at_first_failure=stop_at_first):
            self._announce(cell, outcome)
        self._evaluator.note_changes(thorough=True)

    def _evaluate(self, cell: Cell) -> Outcome:
        weight = self._tried.quantized(cell.layer, cell.bitwidth)
        return self._evaluator.evaluate(lambda: self._adapter.reweighted(cell.layer, weight))

    def _announce(self, cell: Cell, outcome: Outcome) -> None:
        state = self._run.announcer.state
        self._run.announcer.announce(
            SensitivityScored(
                layer=cell.layer,
                bitwidth=cell.bitwidth,
                score=outcome.score,
                seconds=outcome.seconds,
                completed=state.completed + 1,
                total=state.total,
                sqnr=self._tried.sqnr.get(cell.layer, {}).get(cell.bitwidth),
                error=outcome.error,
                metrics=outcome.metrics,
            )
        )
