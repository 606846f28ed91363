"""What runs that are over, or were killed, found out: so that no score is computed twice."""

from __future__ import annotations

import hashlib
import json
import socket
from typing import TYPE_CHECKING, NamedTuple

from aimet_hooks import event_log
from aimet_hooks.errors import ResultsDirError
from aimet_hooks.events import SensitivityScored

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aimet_hooks.events import (
        BaselineScored,
        EvalScored,
        Event,
        ExplorationStarted,
        LayerSkipped,
        ModelProbed,
        RunFailed,
        RunStarted,
    )

Ranks = frozenset[tuple[str, int]]
"""The layers of a whole model that are compressed, each with its rank."""


def fingerprint(identity: Mapping[str, str]) -> str:
    """SHA-256 of what scores depend on."""
    return hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()


class Difference(NamedTuple):
    """What two runs differ in.

    Attributes:
        what: Its name.
        there: What it is in the earlier run, in words.
        here: What it is in the other.
    """

    what: str
    there: str
    here: str


class EarlierRuns:
    """The scores of all runs of one log, of which each may have been given other targets and candidates.

    Args:
        path: The log; None where there is none.

    Attributes:
        path: As given.
        runs: First events of the runs that have scores.
        baselines: Their baselines.
        skipped: Layers that the latest of them left out.
        explorations: The tables that were begun.
        scored: The latest score by layer and ratio, also of cells that failed.
        quantized: The latest score by layer and bit width.
        probes: The latest score of every whole model that was measured.
        interrupted: First event of the last run if that did not end.

    Raises:
        RecordingError: If the log cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.runs: list[RunStarted] = []
        self.baselines: list[BaselineScored] = []
        self.skipped: dict[str, LayerSkipped] = {}
        self.explorations: list[ExplorationStarted] = []
        self.scored: dict[tuple[str, float], EvalScored] = {}
        self.quantized: dict[tuple[str, int], SensitivityScored] = {}
        self.probes: dict[Ranks, ModelProbed] = {}
        self.interrupted: RunStarted | None = None
        self._started: RunStarted | None = None
        self._baseline: BaselineScored | None = None
        self._failing: list[EvalScored | SensitivityScored] = []
        self._by_rank: dict[tuple[str, int], EvalScored] = {}
        for event in event_log.read(path) if path else ():
            getattr(self, f"_take_{event.name}", _nothing)(event)

    @property
    def interrupted_elsewhere(self) -> bool:
        """Whether the last run did not end and was of another host, which may still go on with it."""
        return self.interrupted is not None and self.interrupted.provenance.get("host") != socket.gethostname()

    def of_rank(self, layer: str, rank: int) -> EvalScored | None:
        """The latest score of a layer at a rank, whichever ratio stood for it."""
        return self._by_rank.get((layer, rank))

    def difference(self, started: RunStarted) -> Difference | None:
        """What these scores depend on that is another thing in that run; None: it may take them."""
        return next((_difference(run, started) for run in self.runs if run.fingerprint != started.fingerprint), None)

    def other_baseline(self, baseline: BaselineScored) -> Difference | None:
        """Whether the original model scored something else, by more than noise; None: it did not."""
        for earlier in self.baselines:
            if not earlier.fits(baseline):
                return Difference("baseline", f"{earlier.score:.10g}", f"{baseline.score:.10g}")
        return None

    def refuse_other(self, started: RunStarted) -> None:
        """Make sure that these scores answer what another run asks.

        Raises:
            ResultsDirError: Names what differs.
        """
        found = self.difference(started)
        if found is not None:
            raise ResultsDirError(
                f"{self._source} cannot be continued: its scores are of {found.what} {found.there}, this run's are of "
                f"{found.here}; give what that run was given, or choose another directory"
            )

    def refuse_other_baseline(self, baseline: BaselineScored) -> None:
        """Make sure that the original model scores what it scored then.

        Raises:
            ResultsDirError: Names both scores.
        """
        found = self.other_baseline(baseline)
        if found is not None:
            raise ResultsDirError(
                f"{self._source} cannot be continued: the original model scored {found.there} there and scores "
                f"{found.here} now, which differ by more than 1e-6 of them and than their noise; give eval_callback "
                "the same data and settings, or choose another directory"
            )

    @property
    def _source(self) -> str:
        return f"the run in {str(self.path.parent if self.path else '')!r}"

    def _take_run_started(self, event: RunStarted) -> None:
        self._started = self.interrupted = event
        self._baseline, self._failing = None, []

    def _take_layer_skipped(self, event: LayerSkipped) -> None:
        self.skipped[event.layer] = event

    def _take_baseline_score(self, event: BaselineScored) -> None:
        self._baseline = event

    def _take_exploration_started(self, event: ExplorationStarted) -> None:
        self.explorations.append(event)

    def _take_eval_score(self, event: EvalScored) -> None:
        self.scored[event.layer, event.comp_ratio] = event
        if event.rank is not None:
            self._by_rank[event.layer, event.rank] = event
        self._count(event)

    def _take_sensitivity_score(self, event: SensitivityScored) -> None:
        self.quantized[event.layer, event.bitwidth] = event
        self._count(event)

    def _take_probe_score(self, event: ModelProbed) -> None:
        cells = [self.scored.get((layer, ratio)) for layer, ratio in event.comp_ratios.items() if ratio is not None]
        ranks = {(cell.layer, cell.rank) for cell in cells if cell is not None and cell.rank is not None}
        if len(ranks) == len(cells):
            self.probes[frozenset(ranks)] = event

    def _take_run_finished(self, event: Event) -> None:
        del event
        self.interrupted = None

    _take_analysis_finished = _take_run_finished

    def _take_run_failed(self, event: RunFailed) -> None:
        self.interrupted = None
        if event.error == "EvaluationError":
            self._forget_failures()

    def _count(self, event: EvalScored | SensitivityScored) -> None:
        if event.error is None:
            self._failing = []
        elif not event.reused:
            self._failing.append(event)
        if self._started is not None and not (self.runs and self.runs[-1] is self._started):
            self.runs.append(self._started)
            self.baselines += [self._baseline] if self._baseline else []

    def _forget_failures(self) -> None:
        """Failures that ended their run were the callback's, which has been mended since, and not the cells'."""
        for event in self._failing:
            if isinstance(event, SensitivityScored):
                self.quantized.pop((event.layer, event.bitwidth), None)
            else:
                self.scored.pop((event.layer, event.comp_ratio), None)
                self._by_rank.pop((event.layer, event.rank or 0), None)


def _nothing(event: Event) -> None:
    """What most events tell of scores."""


def _difference(run: RunStarted, started: RunStarted) -> Difference:
    for what in {**started.identity, **run.identity}:
        there, here = run.identity.get(what, "unknown"), started.identity.get(what, "unknown")
        if there != here:
            if what == "model":
                return Difference(what, _named(run), _named(started))
            if what == "compress_scheme":  # which an analysis of quantization is not asked for
                return Difference("scheme", there, here)
            return Difference(what, there, here)
    return Difference("fingerprint", run.fingerprint[:12], started.fingerprint[:12])


def _named(run: RunStarted) -> str:
    return f"{run.model_name!r} ({run.identity.get('model', run.fingerprint)[:12]})"
