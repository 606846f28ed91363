"""Decide again from a saved exploration: another target, another rule, without evaluating anything."""

from __future__ import annotations

import json
import math
import numbers
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimet_hooks import event_log, log_writer, recordings
from aimet_hooks.choice_table import ChoiceTable
from aimet_hooks.errors import RecordingError, ResultsDirError, TargetError, UnknownNameError, UsageError, nearest
from aimet_hooks.events import ScoreRecorded
from aimet_hooks.run_state import RunState
from aimet_hooks.strategies import RULES, GreedySelection

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from decimal import Decimal
    from fractions import Fraction

    from aimet_hooks.events import ModelProbed


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSelection:
    """What a saved exploration says about a target.

    Attributes:
        comp_ratios: Ratio for every layer of the table; None: left alone.
        target_comp_ratio: Share of the model's cost that was asked for.
        achieved_comp_ratio: Share of the model's cost that the choice keeps.
        predicted_score: The baseline less the losses of all chosen layers, each measured with that layer alone
            compressed. A prediction, and an optimistic one: never take it for a result.
        rule: "greedy" or "knapsack".
    """

    comp_ratios: dict[str, float | None]
    target_comp_ratio: float
    achieved_comp_ratio: float
    predicted_score: float
    rule: str


def save_ratios(comp_ratios: Mapping[str, float | None], path: str | os.PathLike[str]) -> None:
    """Write ratios as ``ManualSelection`` and ``aimet-hooks apply`` take them.

    Args:
        comp_ratios: Ratio by layer; None: left alone.
        path: Of the JSON file, which is replaced as a whole.

    Raises:
        ResultsDirError: If the file cannot be written.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_text(json.dumps(dict(comp_ratios), indent=1, allow_nan=False) + "\n", "utf-8")
        part.replace(target)
    except OSError as error:
        raise ResultsDirError(
            f"{str(target)!r} cannot be written ({error.strerror or error}); choose another file"
        ) from error


class SavedRun:
    """One exploration that was recorded, whole or not.

    Args:
        state: The run.
        path: Where it was read, for messages.

    Attributes:
        state: As given.

    Raises:
        RecordingError: If it has no baseline, no table of scores, or no costs.
    """

    def __init__(self, state: RunState, path: Path) -> None:
        self.state = state
        self._log = path / event_log.FILE_NAME if path.is_dir() else path
        if state.baseline is None or state.exploration is None:
            raise RecordingError(f"{path} has no table of scores with a baseline; let the exploration begin first")
        fit = self._settings.get("use_monotonic_fit") is True
        table = ChoiceTable.of(state, monotonic=fit)
        if table is None:
            raise RecordingError(
                f"{path} has scores and no costs; give the results directory or events.jsonl of a run of this package"
            )
        self._table = table
        self._baseline = state.baseline.score

    @property
    def _settings(self) -> Mapping[str, Any]:
        recorded = self.state.settings.get("selection")
        return recorded if isinstance(recorded, dict) else {}

    def record_score(self, label: str, score: float) -> None:
        """Add to the log what was found out later, as the score of the fine-tuned result.

        Args:
            label: What was scored, as "fine-tuned".
            score: In the unit of the run's scores.

        Raises:
            UsageError: If the label is empty, the score no finite number, or the run has not ended.
            ResultsDirError: If the log cannot be written.
        """
        if not (isinstance(label, str) and label.strip()):
            raise UsageError(f"label is {label!r}; say what was scored, as record_score('fine-tuned', 0.75)")
        given: Any = score
        if isinstance(given, bool) or not isinstance(given, numbers.Real) or not math.isfinite(float(given)):
            raise UsageError(f"score is {score!r}; give one finite number, in the unit of the run's scores")
        if not self.state.is_over:
            raise UsageError(f"{self._log} is of a run that has not ended; record scores when it has")
        last = max((event.seq for event in recordings.read(self._log)), default=-1)
        event = ScoreRecorded(label=label, score=float(score))
        placed = event.placed(run_id=self.state.run_id, seq=last + 1, time=time.time())
        log_writer.add(self._log, placed)
        self.state.apply(placed)

    def smallest_within(self, max_drop: float) -> ModelProbed:
        """The smallest of the models that the run measured whose score is within a drop; nothing is predicted here.

        Args:
            max_drop: By how much the score may be worse than the baseline's, in its unit.

        Raises:
            TargetError: If no measured model is within.
        """
        worse = -1.0 if self.state.direction == "minimize" else 1.0
        within = [
            probe
            for probe in self.state.probes
            if probe.score is not None and worse * (self._baseline - probe.score) <= max_drop
        ]
        if not self.state.probes:
            raise TargetError("this run measured no whole model; choose a target, or run again with max_drop")
        if not within:
            raise TargetError(
                f"no model that this run measured is within max_drop {max_drop:g} of the baseline {self._baseline:.6g} "
                f"({len(self.state.probes)} were measured); raise it, choose a target, or run again with max_drop"
            )
        return min(within, key=lambda probe: probe.achieved_comp_ratio)

    def select(
        self,
        *,
        target_comp_ratio: float | Decimal | Fraction,
        rule: str | None = None,
        locked: Mapping[str, float | None] | None = None,
    ) -> SavedSelection:
        """Choose ratios for a target.

        Args:
            target_comp_ratio: Share of the model's cost to keep, between 0 and 1.
            rule: "greedy" or "knapsack"; None: that of the run, greedy where its ratios were given by hand.
            locked: Ratios that are given, by layer; None: left alone. They hold for layers that are tied to these, too.

        Raises:
            UsageError: If the target or the rule is none, a locked layer has no score at its ratio, or tied layers are
                locked at different ones.
            TargetError: If the scores of the table do not reach the target.
        """
        if rule is not None and (not isinstance(rule, str) or rule not in RULES):
            raise UnknownNameError(f"rule is {rule!r}, which is none{nearest(str(rule), RULES)}")
        strategy = RULES.get(rule or str(self._settings.get("rule")), GreedySelection)(target_comp_ratio)
        table = self._table
        given = table.known(table.with_ties(table.known({} if locked is None else locked)))
        free = table.locked(given)
        try:
            ratios = {**given, **strategy.pick(free.rows, ties=free.ties, rest=free.rest, total=free.total).comp_ratios}
        except TargetError as error:
            raise (TargetError(f"{error}; lock fewer layers") if given else error) from None
        lost = table.score_loss(ratios)
        return SavedSelection(
            comp_ratios={layer: ratios[layer] for layer in table.rows},
            target_comp_ratio=float(strategy.target),
            achieved_comp_ratio=table.cost(ratios) / table.total,
            predicted_score=self._baseline + (lost if self.state.direction == "minimize" else -lost),
            rule=strategy.rule,
        )


def load_run(path: str | os.PathLike[str]) -> SavedRun:
    """Read a run to decide again from it.

    Args:
        path: A results directory or ``events.jsonl``, of a run that ended, failed or goes on.

    Raises:
        RecordingError: If it cannot be read, or has no table of scores with costs.
    """
    state = RunState()
    for event in recordings.read_compression(path):
        state.apply(event)
    return SavedRun(state, Path(path))
