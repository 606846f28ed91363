"""Evaluate the model as it is and with one layer changed, and say what the callback itself changed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimet_hooks import evaluation
from aimet_hooks.errors import AimetHooksError, EvaluationError
from aimet_hooks.evaluation import Outcome
from aimet_hooks.events import BaselineScored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.announcer import Announcer
    from aimet_hooks.evaluation import EvalCallback


class Evaluator:
    """Evaluates the states of one model.

    Args:
        adapter: The model.
        announcer: Where the baseline's event and the notes go.
        callback: What evaluates the cells.
    """

    def __init__(self, adapter: Adapter, announcer: Announcer, callback: EvalCallback) -> None:
        self._adapter = adapter
        self._announcer = announcer
        self._callback = callback
        self._changed: set[str] = set()

    def score_baseline(self, callback: EvalCallback, argument: str, *, twice: bool = True) -> BaselineScored:
        """Evaluate the original model and announce its score.

        Args:
            callback: What evaluates it; that of the cells may see the model before.
            argument: What the callback is called in a message.
            twice: Whether cells will be compared with it, so that the noise of the scores is to be seen.

        Returns:
            What was announced.

        Raises:
            EvaluationError: If it has no score, or none a second time.
        """
        with self._adapter.original() as native:
            first = last = evaluation.evaluate_original(callback, self._callback, native, argument)
        self.note_changes()
        score, repeated = required(first, "the baseline cannot be evaluated"), None
        if twice:
            with self._adapter.original() as native:  # as new, which is what every cell gets
                last = evaluation.evaluate(callback, native, argument)
            self.note_changes()
            repeated = required(last, "the baseline cannot be evaluated a second time, as every cell will have to be")
        baseline = BaselineScored(score=score, seconds=last.seconds, metrics=first.metrics, repeated_score=repeated)
        self._announcer.announce(baseline)
        if baseline.is_noisy:
            self._announcer.note(
                f"the original model scores {score:.10g}, and {repeated:.10g} when evaluated again: differences about "
                f"as large as {baseline.noise:.2g} between cells are noise; fix the seeds that {argument} uses, or let "
                "it evaluate more samples"
            )
        return baseline

    def evaluate(self, changed: Callable[[], AbstractContextManager[Any]]) -> Outcome:
        """Evaluate the model that a context of the adapter gives; where it cannot give one, that is the outcome."""
        try:
            with changed() as native:
                outcome = evaluation.evaluate(self._callback, native)
        except AimetHooksError as error:
            outcome = Outcome(None, error=str(error), exception=error)
        self.note_changes()
        return outcome

    def note_changes(self, *, thorough: bool = False) -> None:
        """Name what an evaluation changed in the model, each thing once."""
        changed = [name for name in self._adapter.changes(thorough=thorough) if name not in self._changed]
        self._changed.update(changed)
        if changed:
            shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
            self._announcer.note(
                f"the model was changed during an evaluation ({shown}); scores before and after do not compare: "
                "eval_callback must leave the model as it is"
            )

    def note_direction(self, scores: Sequence[float]) -> None:
        """Warn where most cells beat the baseline: the direction is wrong, or the scores do not compare.

        Args:
            scores: Those of the cells that have one.
        """
        state = self._announcer.state
        if state.baseline is None:
            return
        sign = 1 if state.direction == "maximize" else -1
        better = sum(sign * score > sign * state.baseline.score for score in scores)
        if better * 2 > len(scores):
            self._announcer.note(
                f"{better} of {len(scores)} cells score better than the baseline's {state.baseline.score:.6g}: check "
                f"direction={state.direction!r}, and that the cells and the baseline are measured on the same subset "
                "of the data"
            )


def required(outcome: Outcome, failure: str) -> float:
    """The score of a model without which the run cannot go on.

    Raises:
        EvaluationError: If there is none; begins with ``failure``.
    """
    if outcome.score is None:
        raise EvaluationError(f"{failure}: {outcome.error}") from outcome.exception
    return outcome.score
