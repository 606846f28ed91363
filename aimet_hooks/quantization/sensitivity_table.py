"""The table of layers by bit widths: which layers are in it, and one evaluation after the other its scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks import exploration, preflight
from aimet_hooks.errors import ModelError
from aimet_hooks.evaluator import Evaluator
from aimet_hooks.events import Progressed, SensitivityScored, SensitivityStarted
from aimet_hooks.quantization.noise import sqnr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.adapters.stored_weights import StoredLayer
    from aimet_hooks.evaluation import EvalCallback, Outcome
    from aimet_hooks.quantization.sensitivity_run import SensitivityRun


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
    """The table of one analysis: which layers are in it, and its scores.

    Args:
        run: The analysis.
        adapter: The model.
        callback: What evaluates the baseline and the cells.
        has_inputs: Whether the example inputs are the user's, so that what layers give for them means something.
    """

    def __init__(self, run: SensitivityRun, adapter: Adapter, callback: EvalCallback, *, has_inputs: bool) -> None:
        self._run = run
        self._adapter = adapter
        self._callback = callback
        self._evaluator = Evaluator(adapter, run.announcer, callback)
        self._has_inputs = has_inputs
        self._weights: dict[str, StoredLayer] = {layer.name: layer for layer in run.stored.layers}
        self._sqnr: dict[Cell, float | None] = {}

    def try_layers(self, names: Sequence[str]) -> list[str]:
        """Try every layer with a quantized weight; the table has a row for each that the model works with.

        Raises:
            ModelError: If there is none.
        """
        run = self._run
        rows = []
        for number, name in enumerate(names, start=1):
            reason = run.left_out.get(name) or self._reason_against(name)
            if reason is None:
                rows.append(name)
            else:
                run.skip(name, reason)
            run.announcer.announce(Progressed(stage="preflight", completed=number, total=len(names)))
        if not rows:
            told = "; ".join(f"{name!r}: {reason}" for name, reason in list(run.announcer.state.skipped.items())[:3])
            what = f"no layer of {self._adapter.model_name} can be quantized"
            raise ModelError(f"{what}: {told or 'it has no layer with weights'}")
        return rows

    def _reason_against(self, name: str) -> str | None:
        if name not in self._weights:
            return "it is no convolution or matrix product with a float weight that is stored"
        layer = self._weights[name]
        if layer.fixed is not None:
            return layer.fixed
        weight = layer.read()
        if not np.isfinite(weight).all():
            return "its weight holds NaN or infinite values"
        trial = self._run.options.quantized(weight, self._run.options.bitwidths[0])
        reason = preflight.failure_in(self._adapter, self._adapter.reweighted(name, trial), "a quantized weight")
        if reason is None and self._has_inputs:
            try:
                self._measure_noise(name)
            except Exception as error:  # the model runs, and so does the analysis
                text = " ".join(f"{type(error).__name__}: {error}".split())
                self._run.announcer.note(f"what layer {name!r} gives for the example inputs cannot be seen: {text}")
        return reason

    def _measure_noise(self, name: str) -> None:
        """The SQNR of what a layer gives for the example, at every bit width."""
        signal = self._adapter.layer_output(name)
        if signal is None:
            return
        exact = signal.astype(np.float64)
        weight = self._weights[name].read()
        for bitwidth in self._run.options.bitwidths:
            given = self._adapter.layer_output(name, self._run.options.quantized(weight, bitwidth))
            if given is not None:
                with np.errstate(all="ignore"):  # outputs that are not finite have no SQNR
                    decibels = float(sqnr(np.square(exact).sum(), np.square(exact - given).sum()))
                self._sqnr[Cell(name, bitwidth)] = None if math.isnan(decibels) else decibels

    def score_baseline(self) -> float:
        """Evaluate the original model twice.

        Raises:
            EvaluationError: If it has no score, or none a second time.
        """
        self._run.stage = "baseline"
        return self._evaluator.score_baseline(self._callback, "eval_callback")

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
        weight = self._run.options.quantized(self._weights[cell.layer].read(), cell.bitwidth)
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
                sqnr=self._sqnr.get(cell),
                error=outcome.error,
                metrics=outcome.metrics,
            )
        )
