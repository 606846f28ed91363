"""The state of a run, made from its events alone: what every view draws.

``RunState`` draws nothing and holds no lock. A plugin may read the ``run`` that a hook hands it during the call; a
view that draws on another thread feeds a ``RunState`` of its own under its own lock.
"""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimet_hooks.events import (
        AnalysisFinished,
        BaselineScored,
        EvalScored,
        Event,
        ExplorationStarted,
        LayerCompressed,
        LayerInfo,
        LayerSkipped,
        ModelProbed,
        Progressed,
        RatiosSelected,
        RunFailed,
        RunFinished,
        RunStarted,
        ScoreRecorded,
        SensitivityScored,
        SensitivityStarted,
        WeightRangesAnalyzed,
    )

Phase = Literal["waiting", "preparing", "exploring", "selected", "compressing", "finished", "failed"]

C = TypeVar("C", float, "float | None")

RATE_WINDOW = 50
"""Number of the latest evaluations that the rate is measured over."""


class Totals(NamedTuple):
    """What all layers with weights cost, before and after compression: MACs for one sample, weights without biases."""

    macs_before: float
    macs_after: float
    weights_before: int
    weights_after: int


class RunState:
    """A run so far. All is read-only but ``apply``, which is called once an event and takes constant time."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._phase: Phase = "waiting"
        self._time = 0.0
        self._started: RunStarted | None = None
        self._baseline: BaselineScored | None = None
        self._exploration: ExplorationStarted | None = None
        self._probes: list[ModelProbed] = []
        self._recorded: list[ScoreRecorded] = []
        self._selection: RatiosSelected | None = None
        self._finished: RunFinished | None = None
        self._weight_ranges: WeightRangesAnalyzed | None = None
        self._sensitivity_started: SensitivityStarted | None = None
        self._analyzed: AnalysisFinished | None = None
        self._failed: RunFailed | None = None
        self._progress: Progressed | None = None
        self._last_cell: EvalScored | None = None
        self._last_score: EvalScored | SensitivityScored | None = None
        self._cells: dict[str, dict[float, EvalScored]] = {}
        self._rows: dict[str, Mapping[float, EvalScored]] = {}
        self._quantized: dict[str, dict[int, SensitivityScored]] = {}
        self._quantized_rows: dict[str, Mapping[int, SensitivityScored]] = {}
        self._skipped: dict[str, str] = {}
        self._compressed: dict[str, LayerCompressed] = {}
        self._evaluated = 0
        self._failures = 0
        self._begin = 0.0
        self._total_cost = 0.0
        self._coverage: float | None = None
        self._times: deque[float] = deque(maxlen=RATE_WINDOW + 1)

    def apply(self, event: Event) -> None:
        """Take in one event. Events must come in the order of their ``seq``; a ``RunStarted`` begins anew."""
        getattr(self, f"_apply_{event.name}")(event)
        if event.in_run:
            self._begin = self._begin or event.time
            self._time = event.time

    @property
    def phase(self) -> Phase:
        """What goes on now."""
        return self._phase

    @property
    def begin(self) -> float:
        """Time of the first event, seconds since the epoch; 0 before it."""
        return self._begin

    @property
    def time(self) -> float:
        """Time of the latest event of the run itself, seconds since the epoch; 0 before the first."""
        return self._time

    @property
    def started(self) -> RunStarted | None:
        """The event that began the run, with its configuration."""
        return self._started

    @property
    def baseline(self) -> BaselineScored | None:
        """The original model's score."""
        return self._baseline

    @property
    def exploration(self) -> ExplorationStarted | None:
        """Rows and columns of the table; None before they are known, and where the ratios are given by hand."""
        return self._exploration

    @property
    def last_cell(self) -> EvalScored | None:
        """The cell of layers by ratios that was announced last."""
        return self._last_cell

    @property
    def last_score(self) -> EvalScored | SensitivityScored | None:
        """The cell that was announced last, of whichever table the run fills: by ratios, or by bit widths."""
        return self._last_score

    @property
    def probes(self) -> Sequence[ModelProbed]:
        """The whole models that were measured, in the order of their measurement."""
        return tuple(self._probes)

    @property
    def recorded(self) -> Sequence[ScoreRecorded]:
        """Scores that were added to the log after the run."""
        return tuple(self._recorded)

    @property
    def selection(self) -> RatiosSelected | None:
        """The chosen ratios."""
        return self._selection

    @property
    def progress(self) -> Progressed | None:
        """The latest step of a stage that has no event of its own; None outside such stages."""
        return self._progress

    @property
    def finished(self) -> RunFinished | None:
        """The last event of a run that succeeded."""
        return self._finished

    @property
    def weight_ranges(self) -> WeightRangesAnalyzed | None:
        """What quantization leaves of the weights; None where that was not analysed."""
        return self._weight_ranges

    @property
    def output_sqnr(self) -> Mapping[str, Mapping[str, float | None]]:
        """SQNR in dB of what layers give for the example inputs, as ``WeightRangesAnalyzed`` has it; or empty."""
        return self._weight_ranges.output_sqnr if self._weight_ranges else {}

    @property
    def sensitivity_started(self) -> SensitivityStarted | None:
        """Rows and columns of the table of layers by bit widths; None where there is none."""
        return self._sensitivity_started

    @property
    def bitwidths(self) -> tuple[int, ...]:
        """Columns of the table of layers by bit widths, ascending."""
        return self._sensitivity_started.bitwidths if self._sensitivity_started else ()

    @property
    def sensitivity(self) -> Mapping[str, Mapping[int, SensitivityScored]]:
        """That table so far: layer, then bit width, then the cell; cells that are not known yet are absent."""
        return MappingProxyType(self._quantized_rows)

    @property
    def analyzed(self) -> AnalysisFinished | None:
        """The last event of a run that makes no model and succeeded."""
        return self._analyzed

    @property
    def failed(self) -> RunFailed | None:
        """The last event of a run that failed."""
        return self._failed

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, well or not."""
        return self._phase in ("finished", "failed")

    @property
    def run_id(self) -> str:
        """Unique name of the run, "" before it started."""
        return self._started.run_id if self._started else ""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Configuration of the call."""
        return self._started.settings if self._started else {}

    @property
    def direction(self) -> str:
        """Whether a higher score is better ("maximize") or a lower one ("minimize")."""
        return str(self.settings.get("direction", "maximize"))

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """All layers with weights by name, in network order."""
        return self._started.layers if self._started else {}

    @property
    def skipped(self) -> Mapping[str, str]:
        """Reason by name for every layer that is not in the table."""
        return MappingProxyType(self._skipped)

    @property
    def scores(self) -> Mapping[str, Mapping[float, EvalScored]]:
        """The table so far: layer, then ratio, then the cell; cells that are not known yet are absent."""
        return MappingProxyType(self._rows)

    @property
    def compressed(self) -> Mapping[str, LayerCompressed]:
        """What became of each compressed layer."""
        return MappingProxyType(self._compressed)

    @property
    def ties(self) -> Mapping[str, str]:
        """The tie of every layer that shares its ratio with another."""
        return self._exploration.ties if self._exploration else {}

    @property
    def candidates(self) -> tuple[float, ...]:
        """Columns of the table: ratios of cost kept, ascending."""
        return self._exploration.candidates if self._exploration else ()

    @property
    def completed(self) -> int:
        """Cells that are known, of whichever table the run fills."""
        return self._last_score.completed if self._last_score else 0

    @property
    def total(self) -> int:
        """Cells of the table, whichever the run fills."""
        return self._table.total if self._table else 0

    @property
    def failures(self) -> int:
        """Cells that have no score because their evaluation failed."""
        return self._failures

    @property
    def total_cost(self) -> float:
        """What all layers cost before compression, in the run's cost metric; 0 where costs are not known."""
        return self._total_cost

    @property
    def coverage(self) -> float | None:
        """Share of the model's cost that lies in layers that can be compressed; None before they are known."""
        return self._coverage

    @property
    def totals(self) -> Totals | None:
        """Costs of the model before and after, as far as layers are compressed; None where costs are not known."""
        if not self.layers:
            return None
        before, done = self.layers.values(), self._compressed.values()
        macs, weights = sum(info.macs for info in before), sum(info.weights for info in before)
        return Totals(
            macs_before=macs,
            macs_after=macs - sum(event.macs_before - event.macs_after for event in done),
            weights_before=weights,
            weights_after=weights - sum(event.weights_before - event.weights_after for event in done),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything that the run warned of, known at its end."""
        last = self._finished or self._analyzed or self._failed
        return last.notes if last else ()

    def ratios_of(self, layer: str) -> tuple[float, ...]:
        """The candidates that have a cell in a layer's row; the others would save nothing."""
        found = self._exploration.cells.get(layer) if self._exploration else None
        return self.candidates if found is None else found

    @property
    def _table(self) -> ExplorationStarted | SensitivityStarted | None:
        return self._exploration or self._sensitivity_started

    @property
    def rate(self) -> float | None:
        """Evaluations a second over the latest ones, None before one is done; ratios of one rank share one."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            return None
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])

    @property
    def eta(self) -> float | None:
        """Seconds until the exploration ends, as seen at the latest event; None where nothing is known.

        Before the first cell this is the number of evaluations times the duration of the baseline's.
        """
        if not self._table or not self._baseline:
            return None
        if self.rate is None:
            return self._table.evaluations * self._baseline.seconds
        return max(0, self._table.evaluations - self._evaluated) / self.rate

    @property
    def lowest_chosen(self) -> float | None:
        """The worst of the scores of the chosen cells, each of which has one layer compressed."""
        if not self._selection:
            return None
        cells = (self._cells.get(name, {}).get(ratio) for name, ratio in self._selection.comp_ratios.items() if ratio)
        scores = [cell.score for cell in cells if cell and cell.score is not None]
        if not scores:
            return None
        return max(scores) if self.direction == "minimize" else min(scores)

    def cost(self, layer: str) -> float:
        """What a layer costs before compression, in the run's cost metric."""
        info = self.layers[layer]
        return self._in_metric(info.cost, info.weights, info.macs)

    def cost_of(self, cell: EvalScored) -> float | None:
        """What a layer costs as it was for a cell, in the run's cost metric; None where that was not recorded."""
        return self._in_metric(cell.cost, cell.weights, cell.macs)

    def cost_after(self, layer: str) -> float | None:
        """What a layer costs with the ratio chosen for it, in the run's cost metric; None where that is not known."""
        ratio = self._selection.comp_ratios.get(layer) if self._selection else None
        done = self._compressed.get(layer)
        if done is not None:
            return self._in_metric(done.cost_after, done.weights_after, done.macs_after)
        if ratio is None:
            return self.cost(layer) if layer in self.layers else None
        cell = self._cells.get(layer, {}).get(ratio)
        return None if cell is None else self.cost_of(cell)

    def _in_metric(self, own: float | None, weights: C, macs: C) -> C:
        if own is not None:
            return own
        return weights if self._started and self._started.cost_metric == "memory" else macs

    def _apply_run_started(self, event: RunStarted) -> None:
        self._reset()
        self._started = event
        self._total_cost = sum(self.cost(name) for name in event.layers)
        self._phase = "preparing"

    def _apply_layer_skipped(self, event: LayerSkipped) -> None:
        self._skipped[event.layer] = event.reason

    def _apply_baseline_score(self, event: BaselineScored) -> None:
        self._baseline = event
        self._progress = None

    def _apply_exploration_started(self, event: ExplorationStarted) -> None:
        self._exploration = event
        for layer in event.layers:
            self._row(layer)
        self._begin_table(event)

    def _apply_eval_score(self, event: EvalScored) -> None:
        self._row(event.layer)[event.comp_ratio] = event
        last, self._last_cell = self._last_cell, event
        shares = last is not None and event.rank is not None and (last.layer, last.rank) == (event.layer, event.rank)
        self._take_score(event, shares=shares)

    def _apply_weight_ranges(self, event: WeightRangesAnalyzed) -> None:
        self._weight_ranges = event

    def _apply_sensitivity_started(self, event: SensitivityStarted) -> None:
        self._sensitivity_started = event
        for layer in event.layers:
            self._quantized_row(layer)
        self._begin_table(event)

    def _apply_sensitivity_score(self, event: SensitivityScored) -> None:
        self._quantized_row(event.layer)[event.bitwidth] = event
        self._take_score(event, shares=False)

    def _begin_table(self, event: ExplorationStarted | SensitivityStarted) -> None:
        self._phase = "exploring"
        if self._total_cost:
            known = (self.cost(layer) for layer in event.layers if layer in self.layers)
            self._coverage = sum(known) / self._total_cost
        self._times.append(event.time)

    def _take_score(self, event: EvalScored | SensitivityScored, *, shares: bool) -> None:
        """Count a cell; one that shares its evaluation with the cell before was not evaluated again."""
        self._last_score = event
        self._failures += event.score is None
        if event.reused:
            self._times = deque([event.time], maxlen=RATE_WINDOW + 1)
        elif not shares:
            self._evaluated += 1
            self._times.append(event.time)

    def _apply_probe_score(self, event: ModelProbed) -> None:
        self._probes.append(event)

    def _apply_ratios_selected(self, event: RatiosSelected) -> None:
        self._selection = event
        self._phase = "selected"

    def _apply_layer_compressed(self, event: LayerCompressed) -> None:
        self._compressed[event.layer] = event
        self._phase = "compressing"

    def _apply_progress(self, event: Progressed) -> None:
        self._progress = event

    def _apply_run_finished(self, event: RunFinished) -> None:
        self._finished = event
        self._phase = "finished"
        self._progress = None

    def _apply_analysis_finished(self, event: AnalysisFinished) -> None:
        self._analyzed = event
        self._phase = "finished"
        self._progress = None

    def _apply_run_failed(self, event: RunFailed) -> None:
        self._failed = event
        self._phase = "failed"
        self._progress = None

    def _apply_score_recorded(self, event: ScoreRecorded) -> None:
        self._recorded.append(event)

    def _row(self, layer: str) -> dict[float, EvalScored]:
        if layer not in self._cells:
            self._cells[layer] = {}
            self._rows[layer] = MappingProxyType(self._cells[layer])
        return self._cells[layer]

    def _quantized_row(self, layer: str) -> dict[int, SensitivityScored]:
        if layer not in self._quantized:
            self._quantized[layer] = {}
            self._quantized_rows[layer] = MappingProxyType(self._quantized[layer])
        return self._quantized[layer]
