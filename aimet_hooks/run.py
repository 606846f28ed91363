"""The stages of one run, each of which announces what it did."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimet_hooks import adapters, evaluation, evaluator, exploration, preflight, result
from aimet_hooks import stats as statistics
from aimet_hooks.cost import MAC, MEMORY
from aimet_hooks.errors import ModelError, ResultsDirError
from aimet_hooks.evaluator import Evaluator
from aimet_hooks.events import (
    AnalysisFinished,
    EvalScored,
    ExplorationStarted,
    LayerCompressed,
    LayerSkipped,
    ModelProbed,
    Progressed,
    RatiosSelected,
    RunFinished,
)
from aimet_hooks.factorization import Split
from aimet_hooks.known_cells import KnownCells
from aimet_hooks.layers import per_sample
from aimet_hooks.prepared_layers import PreparedLayers
from aimet_hooks.probing import Probes
from aimet_hooks.score_table import ScoreTable
from aimet_hooks.strategies import Decision, ManualSelection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimet_hooks.adapters import Adapter, ModelBuild
    from aimet_hooks.announcer import Announcer
    from aimet_hooks.earlier_runs import EarlierRuns
    from aimet_hooks.evaluation import EvalCallback, Outcome
    from aimet_hooks.exploration import Cell
    from aimet_hooks.layers import Layer
    from aimet_hooks.options import Options
    from aimet_hooks.search_space import SearchSpace
    from aimet_hooks.strategies import KnownScores, TableSelection

PROBE_SHARE = 0.05
"""Evaluations of whole models, as a share of those of the exploration."""

OPTIMISM = 0.10
"""Share of the baseline by which the result may lie below the lowest chosen score before that is said."""


class Run:
    """One run between its first and its last event.

    Args:
        options: What was asked for.
        adapter: The model.
        announcer: Where events go.
        space: What every layer may become.
        left_out: Layers that the user ignores, with the reason.
        saved: Scores that the user gave.
        earlier: The runs in the same directory that this one goes on from.

    Attributes:
        stage: What goes on: "preflight", "baseline", "exploration", "probing", "selection", "compression" or
            "evaluation".
        skipped: Reason for every layer that is not in the table.
    """

    def __init__(
        self,
        options: Options,
        adapter: Adapter,
        announcer: Announcer,
        space: SearchSpace,
        *,
        left_out: dict[str, str],
        saved: KnownScores,
        earlier: EarlierRuns,
    ) -> None:
        self.options = options
        self.announcer = announcer
        self.stage = "preflight"
        self.skipped: dict[str, str] = {}
        self._adapter = adapter
        self._layers: Sequence[Layer] = adapter.layers()
        self._space = space
        self._left_out = left_out
        self._known = KnownCells(saved, earlier)
        self._earlier = earlier
        self._evaluator = Evaluator(adapter, announcer, options.eval_callback)
        self._evaluations = 0

    def prepare_table(self) -> ScoreTable:
        """Try every layer; the table has a row for each that can be compressed.

        Raises:
            ModelError: If there is none.
            UsageError: If the target or the given ratios cannot be reached.
        """
        rows = []
        tried = preflight.try_layers(self._adapter, self._space, self._left_out)
        for number, (layer, reason) in enumerate(tried, start=1):
            if reason is None:
                rows.append(layer.name)
            else:
                self.skipped[layer.name] = reason
                self.announcer.announce(LayerSkipped(layer=layer.name, reason=reason))
            self.announcer.announce(Progressed(stage="preflight", completed=number, total=len(self._layers)))
        if not rows:
            raise ModelError(self._nothing_to_compress())
        table = ScoreTable(self._layers, rows, self._space)
        for note in preflight.loosened_ties(self._space, table.ties, self.skipped):
            self.announcer.note(note)
        self.options.selection.check(table, self.skipped)
        return table

    def _nothing_to_compress(self) -> str:
        what = f"no layer of {self._adapter.model_name} can be compressed by {self.options.scheme.name}"
        if not self.skipped:
            return f"{what}: it has no layer with weights"
        return f"{what}: " + "; ".join(f"{name!r}: {reason}" for name, reason in list(self.skipped.items())[:3])

    def score_baseline(self) -> float:
        """Evaluate the original model; twice if cells are evaluated alike, which shows the noise of the scores.

        Returns:
            The first score, in the unit of the callback.

        Raises:
            EvaluationError: If it has no score, or none a second time.
            ResultsDirError: If it is another than that of the run which this one goes on from.
        """
        self.stage = "baseline"
        alike = not isinstance(self.options.selection, ManualSelection) and self.options.full_eval_callback is None
        baseline = self._evaluator.score_baseline(*self._full_evaluation, twice=alike)
        self._earlier.refuse_other_baseline(baseline)
        return baseline.score

    @property
    def _full_evaluation(self) -> tuple[EvalCallback, str]:
        """What evaluates the baseline and the result, and the argument that gave it."""
        full = self.options.full_eval_callback
        return (self.options.eval_callback, "eval_callback") if full is None else (full, "full_eval_callback")

    def prepare_layers(self, table: ScoreTable) -> PreparedLayers:
        """The decompositions, each to be made when it is first needed."""
        return PreparedLayers(self._adapter, self.options.scheme, self.options.selection.highest_ranks(table))

    def explore(self, table: ScoreTable, prepared: PreparedLayers) -> None:
        """Announce every cell of the table, evaluating those whose score is not known.

        Raises:
            EvaluationError: If too many evaluations in a row fail, or one with ``on_eval_error="raise"``.
        """
        cells = table.cells
        if not any(cells.values()):
            return
        self.stage = "exploration"
        asked = exploration.coarse_first(table.variants)
        if self.options.shard is not None:
            asked = exploration.share(asked, *self.options.shard)
        outcomes = {cell: self._known.outcomes(cell) for cell in asked}
        known = [cell for cell in asked if outcomes[cell]]
        unknown = [cell for cell in asked if not outcomes[cell]]
        self.announcer.announce(
            ExplorationStarted(
                layers=tuple(table.variants),
                candidates=table.ratios,
                total=sum(len(cell.variant.ratios) for cell in asked),
                reused=sum(len(cell.variant.ratios) for cell in known),
                evaluations=len(unknown),
                cells=cells,
                lowest_comp_ratio=float(table.lowest_ratio()),
                ties=table.ties,
            )
        )
        for cell in known:
            self._announce_cell(table, cell, outcomes[cell], reused=True)
        others = sum(map(self._known.of_other_ranks, unknown))
        if others:
            self.announcer.note(
                f"saved_eval_scores has {others} scores of other ranks than the ratios stand for here, as costs or "
                "multiplicity differ; these cells are evaluated"
            )

        def evaluate(cell: Cell) -> Outcome:
            return self._evaluator.evaluate(
                lambda: self._adapter.swapped(cell.layer, prepared.at(cell.layer, cell.variant.rank))
            )

        self._evaluations = len(unknown) + sum(map(self._known.is_evaluated, known))
        stop_at_first = self.options.on_eval_error == "raise"
        for cell, outcome in exploration.explore(unknown, evaluate, stop_at_first_failure=stop_at_first):
            self._announce_cell(table, cell, dict.fromkeys(cell.variant.ratios, outcome), reused=False)
        self._evaluator.note_direction(table.scores())

    def _announce_cell(self, table: ScoreTable, cell: Cell, outcomes: Mapping[float, Outcome], *, reused: bool) -> None:
        layer, variant = table.layers[cell.layer], cell.variant
        for number, (ratio, outcome) in enumerate(outcomes.items()):
            table.record(cell.layer, ratio, outcome.score)
            self.announcer.announce(
                EvalScored(
                    layer=cell.layer,
                    comp_ratio=ratio,
                    score=outcome.score,
                    rank=variant.rank,
                    achieved_comp_ratio=statistics.achieved_ratio(layer, variant, table.metric),
                    macs=per_sample(variant.cost.macs, layer.samples),
                    weights=variant.cost.weights,
                    cost=table.metric.recorded(table.metric.of_rank(layer, variant.rank, variant.cost)),
                    seconds=outcome.seconds if number == 0 else 0.0,
                    completed=self.announcer.state.completed + 1,
                    total=self.announcer.state.total,
                    reused=reused,
                    error=outcome.error,
                    metrics=outcome.metrics,
                )
            )

    def probe(self, table: ScoreTable, baseline: float, prepared: PreparedLayers) -> Probes | None:
        """Measure the whole model at a few targets; None where the ratios are given by hand."""
        strategy = self.options.selection
        if isinstance(strategy, ManualSelection):
            return None
        self.stage = "probing"
        probes = Probes(_Laboratory(self, strategy, table, baseline, prepared))
        targets = sorted(strategy.probe_targets, key=lambda target: abs(target - float(strategy.target)))
        probes.curve(targets, int(PROBE_SHARE * self._evaluations))
        return probes

    def choose(self, table: ScoreTable, baseline: float, probes: Probes | None) -> Decision:
        """Choose a ratio for every row.

        Raises:
            TargetError: If cells failed that the target needs, or no measured model is within ``max_drop``.
        """
        strategy, higher_is_better = self.options.selection, self.options.direction == "maximize"
        if isinstance(strategy, ManualSelection) or strategy.max_drop is None or probes is None:
            self.stage = "selection"
            decision = strategy.choose(table, baseline=baseline, higher_is_better=higher_is_better)
        else:
            decision = probes.smallest_within(
                baseline, strategy.max_drop, higher_is_better=higher_is_better, lowest=float(table.lowest_ratio())
            )
            self.stage = "selection"
            decision = dataclasses.replace(decision, target=None)
        self.announcer.announce(
            RatiosSelected(
                comp_ratios=decision.comp_ratios,
                target_comp_ratio=decision.target,
                achieved_comp_ratio=statistics.model_ratio(self._layers, decision, table.metric),
                threshold=decision.threshold,
            )
        )
        return decision

    def finish_shard(self, table: ScoreTable, baseline: float) -> result.CompressionResult:
        """End a run that explored its share of the cells."""
        self.stage = "evaluation"
        self._evaluator.note_changes(thorough=True)
        nothing = Decision({}, {})
        stats = self._stats(table, nothing, baseline, math.nan)
        finished = result.CompressionResult(
            model=None, stats=stats, eval_scores=table.frame(), comp_ratios={}, skipped=dict(self.skipped), splits={}
        )
        self.announcer.announce(AnalysisFinished(baseline_score=baseline, notes=self.announcer.notes))
        return finished

    def known_probe(self, decision: Decision) -> Outcome | None:
        """What an earlier run measured for these ranks."""
        return self._known.probe({name: variant.rank for name, variant in decision.variants.items()})

    def measure(self, decision: Decision, prepared: PreparedLayers) -> Outcome:
        """Evaluate a copy of the model with these ratios as the cells are evaluated."""
        build = self._adapter.begin_build()
        for name, variant in decision.variants.items():
            build.replace(name, prepared.at(name, variant.rank))
        return self._evaluator.evaluate(build.evaluated)

    def build(self, table: ScoreTable, decision: Decision, prepared: PreparedLayers) -> ModelBuild:
        """Replace the chosen layers in a copy of the model.

        With a trainer, each layer is cut from the weights as the trainer left them.
        """
        self.stage = "compression"
        trainer, scheme = self.options.trainer, self.options.scheme
        build = self._adapter.begin_build()
        layers = statistics.layer_stats(self._layers, decision, table.metric)
        for number, (name, variant) in enumerate(decision.variants.items(), start=1):
            if trainer is None:
                build.replace(name, prepared.at(name, variant.rank))
            else:
                build.replace(name, scheme.prepare(build.weight(name), variant.rank).at(variant.rank))
                build.train(trainer, name)
            self.announcer.announce(_compressed(name, layers[name]))
            self.announcer.announce(Progressed(stage="compression", completed=number, total=len(decision.variants)))
        return build

    def finish(
        self, table: ScoreTable, decision: Decision, baseline: float, build: ModelBuild
    ) -> result.CompressionResult:
        """Save and evaluate the result.

        Raises:
            EvaluationError: If it has no score; it was saved before.
        """
        self.stage = "evaluation"
        axes = self.options.scheme.first_axes
        splits = {name: Split(variant.rank, axes) for name, variant in decision.variants.items()}
        model = build.model
        self._save(model, splits)
        with build.evaluated() as native:
            callback, argument = self._full_evaluation
            outcome = evaluation.evaluate(callback, native, argument)
        score = evaluator.required(outcome, "the compressed model cannot be evaluated")
        self._warn_of_optimism(baseline, score)
        self._evaluator.note_changes(thorough=True)
        stats = self._stats(table, decision, baseline, score)
        finished = result.CompressionResult(
            model=model,
            stats=stats,
            eval_scores=table.frame(),
            comp_ratios=decision.comp_ratios,
            skipped=dict(self.skipped),
            splits=splits,
        )
        self.announcer.announce(
            RunFinished(
                baseline_score=baseline,
                compressed_score=score,
                mac_ratio=stats.mac_ratio,
                memory_ratio=stats.memory_ratio,
                notes=self.announcer.notes,
                metrics=outcome.metrics,
            )
        )
        return finished

    def _stats(
        self, table: ScoreTable, decision: Decision, baseline: float, score: float
    ) -> statistics.CompressionStats:
        return statistics.CompressionStats(
            baseline_score=baseline,
            compressed_score=score,
            mac_ratio=statistics.model_ratio(self._layers, decision, MAC),
            memory_ratio=statistics.model_ratio(self._layers, decision, MEMORY),
            cost_ratio=statistics.model_ratio(self._layers, decision, table.metric),
            layers=statistics.layer_stats(self._layers, decision, table.metric),
        )

    def _save(self, model: Any, splits: Mapping[str, Split]) -> None:
        directory = self.options.reporting.results_dir
        if directory is None:
            return
        if adapters.framework_of(model) is adapters.TORCH:
            directory = directory / "model"
        try:
            result.save_model(model, splits, directory)
        except ResultsDirError as error:
            self.announcer.note(str(error))

    def _warn_of_optimism(self, baseline: float, compressed: float) -> None:
        lowest = self.announcer.state.lowest_chosen
        if lowest is None:
            return
        below = lowest - compressed if self.options.direction == "maximize" else compressed - lowest
        if below > OPTIMISM * abs(baseline):
            full = self.options.full_eval_callback is not None
            self.announcer.note(
                f"the compressed model scores {compressed:.6g}, the worst score among the chosen cells is "
                f"{lowest:.6g}: scores of single layers are optimistic, their losses add up; "
                "raise the target or fine-tune the model"
                + (" (the two are of different callbacks, and may not compare)" if full else "")
            )


@dataclass(frozen=True, slots=True)
class _Laboratory:
    """Chooses by the run's rule, and measures with its callback."""

    run: Run
    strategy: TableSelection
    table: ScoreTable
    baseline: float
    prepared: PreparedLayers

    def decide(self, target: float) -> tuple[Decision, float]:
        """The choice for a target, and the share of the cost that it keeps."""
        higher_is_better = self.run.options.direction == "maximize"
        decision = self.strategy.at(target).choose(
            self.table, baseline=self.baseline, higher_is_better=higher_is_better
        )
        return decision, statistics.model_ratio(list(self.table.layers.values()), decision, self.table.metric)

    def measure(self, target: float, decision: Decision, ratio: float) -> float | None:
        """Measure the whole model, unless it was measured before, and announce it."""
        known = self.run.known_probe(decision)
        outcome = self.run.measure(decision, self.prepared) if known is None else known
        self.run.announcer.announce(
            ModelProbed(
                comp_ratios=decision.comp_ratios,
                target_comp_ratio=target,
                achieved_comp_ratio=ratio,
                score=outcome.score,
                predicted_score=self.table.predicted_score(
                    decision.comp_ratios,
                    self.baseline,
                    higher_is_better=self.run.options.direction == "maximize",
                    monotonic=self.strategy.use_monotonic_fit,
                ),
                seconds=outcome.seconds,
                error=outcome.error,
                reused=known is not None,
            )
        )
        return outcome.score


def _compressed(name: str, stats: statistics.LayerStats) -> LayerCompressed:
    if stats.comp_ratio is None or stats.rank is None:
        raise ValueError(f"layer {name!r} was left alone")
    return LayerCompressed(
        layer=name,
        comp_ratio=stats.comp_ratio,
        achieved_comp_ratio=stats.achieved_comp_ratio,
        rank=stats.rank,
        macs_before=stats.macs_before,
        macs_after=stats.macs_after,
        weights_before=stats.weights_before,
        weights_after=stats.weights_after,
        cost_after=stats.cost_after,
    )
