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
    from aimet_hooks.earlier_runs import EarlierRuns
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
        earlier: The analyses that this one goes on from.
    """

    def __init__(
        self, run: SensitivityRun, adapter: Adapter, callback: EvalCallback, tried: TriedLayers, earlier: EarlierRuns
    ) -> None:
        self._run = run
        self._adapter = adapter
        self._callback = callback
        self._evaluator = Evaluator(adapter, run.announcer, callback)
        self._tried = tried
        self._earlier = earlier

    def score_baseline(self) -> float:
        """Evaluate the original model twice.

        Raises:
            EvaluationError: If it has no score, or none a second time.
            ResultsDirError: If it is another than that of the analysis which this one goes on from.
        """
        self._run.stage = "baseline"
        baseline = self._evaluator.score_baseline(self._callback, "eval_callback")
        self._earlier.refuse_other_baseline(baseline)
        return baseline.score

    def fill(self, rows: Sequence[str]) -> None:
        """Announce every cell; the lowest bit width of every layer comes first, as it says most.

        Raises:
            EvaluationError: If too many evaluations in a row fail, or one with ``on_eval_error="raise"``.
        """
        run = self._run
        run.stage = "exploration"
        cells = [Cell(name, bitwidth) for bitwidth in run.options.bitwidths for name in rows]
        known = {cell: found for cell in cells if (found := self._earlier.quantized.get((cell.layer, cell.bitwidth)))}
        unknown = [cell for cell in cells if cell not in known]
        run.announcer.announce(
            SensitivityStarted(
                layers=tuple(rows),
                bitwidths=run.options.bitwidths,
                total=len(cells),
                reused=len(known),
                evaluations=len(unknown),
            )
        )
        for cell, found in known.items():
            self._announce(cell, found, reused=True)
        stop_at_first = run.options.on_eval_error == "raise"
        for cell, outcome in exploration.explore(unknown, self._evaluate, stop_at_first_failure=stop_at_first):
            self._announce(cell, outcome, reused=False)
        table = run.announcer.state.sensitivity
        scores = (cell.score for row in table.values() for cell in row.values())
        self._evaluator.note_direction([score for score in scores if score is not None])
        self._evaluator.note_changes(thorough=True)

    def _evaluate(self, cell: Cell) -> Outcome:
        weight = self._tried.quantized(cell.layer, cell.bitwidth)
        return self._evaluator.evaluate(lambda: self._adapter.reweighted(cell.layer, weight))

    def _announce(self, cell: Cell, outcome: Outcome | SensitivityScored, *, reused: bool) -> None:
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
                reused=reused,
                error=outcome.error,
                metrics=outcome.metrics,
            )
        )
