"""The progress of a run as plain lines, for where there is no terminal."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from aimet_hooks.events import (
    AnalysisFinished,
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    LayerSkipped,
    ModelProbed,
    Progressed,
    RatiosSelected,
    RunFailed,
    RunFinished,
    RunStarted,
    SensitivityScored,
    SensitivityStarted,
    WeightRangesAnalyzed,
)
from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_scale import ScoreScale
from aimet_hooks.presentation.text import clean, layer_name
from console_vis.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aimet_hooks.run_state import RunState
    from console_vis.output import Output

INTERVAL = 60.0
"""Seconds within which there is a line of progress, as long as events come that often; while exploring, in any case."""

MOST_ERRORS = 10
"""So many different errors are printed; the failed cells after them are counted only."""


class PlainLines:
    """Prints what events tell. The times are those of the events, so the same events give the same lines.

    While an evaluation lasts so long that nothing would be printed, a thread says that it goes on. In a forked process,
    where that thread does not exist and may have left the lock locked, nothing is printed.

    Args:
        output: Where to print.
        clock: Seconds since the epoch, as the events' times are.
        interval: Seconds within which a line is printed while exploring.
    """

    def __init__(self, output: Output, clock: Callable[[], float] = time.time, *, interval: float = INTERVAL) -> None:
        self._output = output
        self._clock = clock
        self._interval = interval
        self._process = os.getpid()
        self._lock = threading.Lock()  # held for an event, and while the thread prints
        self._heartbeat = Heartbeat(self._break_silence)
        self._printed = 0.0  # by the clock, whatever the line was
        self._doing: str | None = None
        self._known = (0, 0)
        self._last_cell: float | None = None
        self._begin = 0.0
        self._last_line = 0.0
        self._last_event = 0.0
        self._scale = ScoreScale(None, 0.01, higher_is_better=True)
        self._printed_rows: set[str] = set()
        self._errors: set[str] = set()

    def hear(self, event: Event, run: RunState) -> None:
        """Print the lines of one event, if it has any."""
        if os.getpid() != self._process:
            return
        if isinstance(event, (RunStarted, RunFailed, RunFinished, AnalysisFinished)):
            self._heartbeat.stop()
        with self._lock:
            self._doing = _DOING.get(type(event), self._doing)
            self._hear(event, run)
        if isinstance(event, RunStarted):
            self._heartbeat.start()

    def stop(self, *, keep: bool) -> None:  # noqa: ARG002 -- lines stay where they are
        """Print nothing any more but what further events tell."""
        if os.getpid() == self._process:
            self._heartbeat.stop()

    def _hear(self, event: Event, run: RunState) -> None:
        if isinstance(event, RunStarted):
            self._begin = self._last_line = self._last_event = event.time
            self._print(event, " - ".join(wording.titles(run)))
        elif isinstance(event, (EvalScored, SensitivityScored)):
            self._hear_cell(event, run)
        elif isinstance(event, Progressed):
            if self._is_due(event):
                self._print(event, f"{clean(event.stage)}: {event.completed} of {event.total} layers")
                self._last_line = event.time
        elif isinstance(event, (RatiosSelected, RunFailed, AnalysisFinished)):
            self._hear_end_of_exploration(event, run)
        else:
            self._hear_step(event, run)
        self._last_event = event.time

    def _hear_step(self, event: Event, run: RunState) -> None:
        if isinstance(event, LayerSkipped):
            self._print(event, f"skipped {layer_name(event.layer)}: {wording.message(event.reason)}")
        elif isinstance(event, BaselineScored):
            self._scale = ScoreScale.of(run)
            noise = f", noise {self._scale.noise_points:.2g} points" if self._scale.noise else ""
            self._print(event, f"baseline {self._scale.text(event.score)} ({event.seconds:.3g} s){noise}")
        elif isinstance(event, (ExplorationStarted, SensitivityStarted)):
            self._print(event, _forecast(event, run))
            self._last_line = event.time
            self._known, self._last_cell = (0, event.total), None
        elif isinstance(event, ModelProbed):
            self._print(event, _probe(event, self._scale))
        elif isinstance(event, WeightRangesAnalyzed):
            self._print(event, _ranges(event))
        elif isinstance(event, RunFinished):
            self._print(event, f"finished in {quantities.duration(event.time - self._begin)}")

    def _hear_cell(self, cell: EvalScored | SensitivityScored, run: RunState) -> None:
        self._known, self._last_cell = (cell.completed, cell.total), cell.time
        if cell.score is None:
            self._print_failure(cell)
        if _row_is_complete(cell, run):
            self._print_row(cell, cell.layer, run)
        if self._is_due(cell):
            left = "" if run.eta is None else f", {quantities.duration(run.eta)} left"
            rate = "" if run.rate is None else f", {quantities.rate(run.rate)}"
            share = f"{cell.completed / cell.total:.0%}" if cell.total else "100%"
            self._print(cell, f"{wording.cells(cell.completed, cell.total)} ({share}){rate}{left}")
            self._last_line = cell.time

    def _is_due(self, event: Event) -> bool:
        """Whether a line of progress would come too late with the next event, if that takes as long as this one."""
        expected = event.time + max(0.0, event.time - self._last_event)
        return event.time - self._last_line >= self._interval or expected - self._last_line > self._interval

    def _break_silence(self) -> float:
        """Print a line if there was none for the interval; the seconds until that would be the case again."""
        with self._lock:
            now = self._clock()
            self._printed = min(self._printed, now)  # the clock may have been set back
            left = self._printed + self._interval - now
            if left > 0:
                return left
            self._print_at(now, f"still {self._doing or self._exploring(now)}")
            return self._interval

    def _exploring(self, now: float) -> str:
        completed, total = self._known
        latest = "" if self._last_cell is None else f", the latest {quantities.duration(now - self._last_cell)} ago"
        what = "evaluating" if completed < total else "choosing ratios"
        return f"{what}: {wording.cells(completed, total)}{latest}"

    def _print_failure(self, cell: EvalScored | SensitivityScored) -> None:
        error = wording.message(cell.error or "no reason given")
        if error in self._errors or len(self._errors) >= MOST_ERRORS:
            return
        self._errors.add(error)
        more = "; other errors will only be counted" if len(self._errors) == MOST_ERRORS else ""
        where = f"{layer_name(cell.layer)} at {wording.column(cell)}"
        self._print(cell, f"failed {where}: {error}{more}")

    def _hear_end_of_exploration(self, event: Event, run: RunState) -> None:
        for layer, row in (*run.scores.items(), *run.sensitivity.items()):
            if row and layer not in self._printed_rows:
                self._print_row(event, layer, run)
        if run.failures:
            self._print(event, f"{wording.cells(run.failures, run.total)} failed")
        if isinstance(event, RatiosSelected):
            self._print(event, _chosen(event, run, self._scale))
        elif isinstance(event, AnalysisFinished):
            self._print(event, f"finished in {quantities.duration(event.time - self._begin)}")

    def _print_row(self, event: Event, layer: str, run: RunState) -> None:
        self._printed_rows.add(layer)
        row: list[EvalScored | SensitivityScored] = [
            *(cell for _, cell in sorted(run.scores.get(layer, {}).items())),
            *(cell for _, cell in sorted(run.sensitivity.get(layer, {}).items())),
        ]
        scores = (
            f"{wording.column(cell)}: {'failed' if cell.score is None else self._scale.text(cell.score)}"
            for cell in row
        )
        self._print(event, f"{layer_name(layer)}  {'  '.join(scores)}")

    def _print(self, event: Event, line: str) -> None:
        self._print_at(event.time, line)

    def _print_at(self, time_of_line: float, line: str) -> None:
        self._output.print([f"[{quantities.duration(time_of_line - self._begin)}] {line}"])
        self._printed = self._clock()


_DOING: Mapping[type[Event], str | None] = {
    RunStarted: "evaluating the original model",
    ExplorationStarted: None,
    SensitivityStarted: None,
    RatiosSelected: "compressing and evaluating the model",
}
"""What goes on from an event on where nothing else tells; None: cells are evaluated."""


def _row_is_complete(cell: EvalScored | SensitivityScored, run: RunState) -> bool:
    if isinstance(cell, SensitivityScored):
        return len(run.sensitivity[cell.layer]) == len(run.bitwidths)
    return len(run.scores[cell.layer]) == len(run.ratios_of(cell.layer))


def _ranges(event: WeightRangesAnalyzed) -> str:
    broken = f"{len(event.problems)} of {wording.plural(len(event.layers), 'layer')} will break"
    worst = f", the worst is {layer_name(str(event.problems[0]['layer']))}" if event.problems else ""
    return f"weight ranges at {event.bitwidth} bits: {broken}{worst}"


def _forecast(event: ExplorationStarted | SensitivityStarted, run: RunState) -> str:
    columns = (
        wording.plural(len(event.candidates), "ratio")
        if isinstance(event, ExplorationStarted)
        else wording.plural(len(event.bitwidths), "bit width")
    )
    what = (
        f"exploring {wording.plural(len(event.layers), 'layer')} at {columns}: "
        f"{wording.plural(event.total, 'cell')}, {wording.plural(event.evaluations, 'evaluation')}"
    )
    reused = f", {event.reused} known already" if event.reused else ""
    return what + reused + ("" if run.eta is None else f", {quantities.rough_duration(run.eta)}")


def _probe(event: ModelProbed, scale: ScoreScale) -> str:
    what = f"failed: {wording.message(event.error or '')}" if event.score is None else scale.text(event.score)
    predicted = f"predicted {scale.text(event.predicted_score)}, one layer at a time"
    return f"whole model at {quantities.share(event.achieved_comp_ratio)}: {what} ({predicted})"


def _chosen(event: RatiosSelected, run: RunState, scale: ScoreScale) -> str:
    kept = "" if event.achieved_comp_ratio is None else f" {quantities.share(event.achieved_comp_ratio)} of the "
    target = "" if event.target_comp_ratio is None else f" (target {quantities.ratio(event.target_comp_ratio)})"
    lowest = "" if run.lowest_chosen is None else f", worst score of a chosen cell {scale.text(run.lowest_chosen)}"
    return f"chosen:{kept}{wording.metric(run) if kept else 'ratios'} kept{target}{lowest}"
