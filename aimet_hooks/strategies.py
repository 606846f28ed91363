"""How ratios are chosen, as users configure it: by a rule from a table of scores, or by hand."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from aimet_hooks import knapsack, recordings, selection
from aimet_hooks.errors import RecordingError, TargetError, UnknownNameError, UsageError, kind_of, nearest
from aimet_hooks.ratio import TOLERANCE, exact_ratio, told
from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    from decimal import Decimal

    import pandas as pd

    from aimet_hooks.schemes import Variant
    from aimet_hooks.score_table import ScoreTable

    Scores = Mapping[str, Mapping[Any, float | None]] | pd.DataFrame | str | os.PathLike[str]


class Picked(NamedTuple):
    """What a rule chose.

    Attributes:
        comp_ratios: Ratio by layer; None: left alone.
        threshold: Score that every choice reaches, higher is better; None where the rule knows none.
    """

    comp_ratios: dict[str, float | None]
    threshold: float | None = None


class KnownScore(NamedTuple):
    """A finite score of a cell, and the rank that it is of; None where that was not recorded."""

    score: float
    rank: int | None = None


KnownScores = dict[str, dict[float, KnownScore]]
"""By layer and ratio."""

DEFAULT_TARGET = 0.5
MAX_CANDIDATES = 1000


@dataclass(frozen=True, slots=True)
class Decision:
    """What was chosen.

    Attributes:
        comp_ratios: Ratio for every row of the table; None: left alone.
        variants: Rank and cost of the rows that have a ratio.
        target: Share of the model's cost that was asked for, None where there is no target.
        threshold: Score that every choice reaches, None where there is no such rule.
    """

    comp_ratios: dict[str, float | None]
    variants: Mapping[str, Variant]
    target: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class TableSelection(ABC):
    """What choosing by a table of scores has in common; the rule is that of a subclass.

    Args:
        target_comp_ratio: Share of the model's cost to keep, 0 < target < 1.
        num_comp_ratio_candidates: N: the candidates are k / N for k = 1 .. N - 1.
        use_monotonic_fit: Choose by the scores' isotonic fit over the ratios, so that one lucky score does not decide.
        saved_eval_scores: Scores that are known: {layer: {ratio: score}}, a DataFrame (layers by ratios), or a file
            or results directory of this package or of AIMET. Only what is missing is evaluated.
        max_drop: In place of a target, in the unit of the score: the smallest model whose measured score is worse than
            the baseline's by at most so much.
        probe_targets: Targets at which the whole model is measured after the exploration, as many of them as take at
            most 5 % of its evaluations; those next to the target first.

    Attributes:
        rule: Name of the rule.

    Raises:
        UsageError: If a number is out of its range.
    """

    rule: ClassVar[str] = ""

    target_comp_ratio: float | Decimal | Fraction = DEFAULT_TARGET
    num_comp_ratio_candidates: int = 10
    use_monotonic_fit: bool = False
    saved_eval_scores: Scores | None = field(default=None, compare=False)
    max_drop: float | None = None
    probe_targets: Sequence[float] = (0.9, 0.7, 0.5, 0.4, 0.3)

    def __post_init__(self) -> None:
        exact_ratio(self.target_comp_ratio, "target_comp_ratio")
        self._check_max_drop()
        for target in listed_targets(self.probe_targets):
            exact_ratio(target, "a target of probe_targets")
        count = self.num_comp_ratio_candidates
        if type(count) is not int or not 2 <= count <= MAX_CANDIDATES:
            raise UsageError(
                f"num_comp_ratio_candidates is {count!r}; give an integer N from 2 to {MAX_CANDIDATES}: "
                "the candidates are k/N, k = 1 .. N-1"
            )

    def _check_max_drop(self) -> None:
        drop: Any = self.max_drop
        if drop is None:
            return
        if self.target_comp_ratio != DEFAULT_TARGET:
            raise UsageError(
                f"target_comp_ratio {self.target_comp_ratio} and max_drop {drop} are both given; give one of them"
            )
        if isinstance(drop, (bool, str)) or not isinstance(drop, numbers.Real) or not 0 <= float(drop) < math.inf:
            raise UsageError(
                f"max_drop is {drop!r}; give by how much the score may get worse, in its own unit, as 0.01"
            )

    @property
    def target(self) -> Fraction:
        """The target, exactly as it was written."""
        return exact_ratio(self.target_comp_ratio, "target_comp_ratio")

    def at(self, target: float | Fraction) -> Self:
        """The same with another target, and no ``max_drop``."""
        return dataclasses.replace(self, target_comp_ratio=target, max_drop=None)

    @property
    def candidates(self) -> tuple[Fraction, ...]:
        """K / N, ascending."""
        count = self.num_comp_ratio_candidates
        return tuple(Fraction(k, count) for k in range(1, count))

    def describe(self) -> dict[str, Any]:
        """The configuration in JSON types."""
        return {
            "rule": self.rule,
            "target_comp_ratio": None if self.max_drop is not None else float(self.target),
            "max_drop": self.max_drop,
            "probe_targets": list(listed_targets(self.probe_targets)),
            "num_comp_ratio_candidates": self.num_comp_ratio_candidates,
            "use_monotonic_fit": self.use_monotonic_fit,
            "saved_eval_scores": self.saved_eval_scores is not None,
        }

    def check(self, table: ScoreTable, skipped: Mapping[str, str]) -> None:
        """Make sure that the target can be reached at all.

        Raises:
            TargetError: With the lowest ratio that can be.
        """
        lowest = table.lowest_ratio()
        if self.max_drop is None and lowest > self.target:
            raise TargetError(
                f"target_comp_ratio {float(self.target):g} cannot be reached: the lowest ratio of the model is "
                f"{selection.rounded_up(lowest)} (layers in the table: {len(table.variants)}, skipped: "
                f"{len(skipped)}); raise the target or ignore fewer layers"
            )

    def highest_ranks(self, table: ScoreTable) -> dict[str, int]:
        """The highest rank that each row will be asked for."""
        return {name: row[-1].rank for name, row in table.variants.items()}

    def pick(
        self, choices: Mapping[str, Sequence[selection.Choice]], *, ties: Mapping[str, str], rest: int, total: int
    ) -> Picked:
        """Choose by the rule.

        Args:
            choices: As the functions of ``selection`` take them.
            ties: The tie of every layer that shares its ratio with another.
            rest: Cost of the layers that are not in the table.
            total: Cost of the whole original model.

        Raises:
            TargetError: If the choices do not reach the target.
        """
        picked = self._pick(selection.tied(choices, ties), rest=rest, total=total)
        return Picked(selection.untied(picked.comp_ratios, choices, ties), picked.threshold)

    @abstractmethod
    def _pick(self, choices: Mapping[str, Sequence[selection.Choice]], *, rest: int, total: int) -> Picked:
        """Choose a ratio for every row; tied layers are one."""

    def choose(self, table: ScoreTable, *, baseline: float, higher_is_better: bool) -> Decision:
        """The choice of the rule.

        Raises:
            TargetError: If cells failed that the target needs.
        """
        choices = table.choices(baseline=baseline, higher_is_better=higher_is_better, monotonic=self.use_monotonic_fit)
        picked = self.pick(choices, ties=table.ties, rest=table.rest, total=table.total_cost)
        variants = {
            name: next(variant for variant in table.variants[name] if ratio in variant.ratios)
            for name, ratio in picked.comp_ratios.items()
            if ratio is not None
        }
        threshold = picked.threshold
        if threshold is not None and not higher_is_better:
            threshold = -threshold
        return Decision(picked.comp_ratios, variants, float(self.target), threshold)

    def known_scores(self, layers: Collection[str], scheme: str) -> KnownScores:
        """The saved scores that are finite, keyed by the candidates.

        Args:
            layers: Names of the model's layers.
            scheme: Name of the scheme that they must be of.

        Raises:
            UsageError: If they are no table or of another scheme, or the table has a layer or a ratio that the model's
                table has not.
            RecordingError: If the file cannot be read.
        """
        columns = tuple(float(ratio) for ratio in self.candidates)
        return _fitted(self._saved_scores(scheme), layers, columns)

    def _saved_scores(self, scheme: str) -> KnownScores:
        saved: Any = self.saved_eval_scores
        if saved is None:
            return {}
        if isinstance(saved, (str, os.PathLike)):
            return _recorded_scores(Path(saved), scheme)
        rows = saved
        if hasattr(saved, "iterrows"):  # a DataFrame, without importing pandas
            rows = {layer: row.to_dict() for layer, row in saved.iterrows()}
        if not isinstance(rows, Mapping):
            raise UsageError(
                f"saved_eval_scores is {kind_of(saved)}; give {{layer: {{ratio: score}}}}, a DataFrame, or the "
                "path of a file or results directory"
            )
        return {str(layer): _known_row(str(layer), row) for layer, row in rows.items()}


@dataclass(frozen=True, slots=True)
class GreedySelection(TableSelection):
    """Choose by the table: every layer takes the smallest ratio that keeps the score at a common threshold.

    What the threshold leaves of the budget is spent on higher ratios. All arguments are those of ``TableSelection``.
    """

    rule: ClassVar[str] = "greedy"

    def _pick(self, choices: Mapping[str, Sequence[selection.Choice]], *, rest: int, total: int) -> Picked:
        """The greedy choice."""
        chosen = selection.greedy(choices, rest=rest, total=total, target=self.target)
        return Picked(chosen.comp_ratios, chosen.threshold)


@dataclass(frozen=True, slots=True)
class KnapsackSelection(TableSelection):
    """Choose by the table: of all ratios that meet the target, those whose single-layer losses have the smallest sum.

    All arguments are those of ``TableSelection``.
    """

    rule: ClassVar[str] = "knapsack"

    def _pick(self, choices: Mapping[str, Sequence[selection.Choice]], *, rest: int, total: int) -> Picked:
        """The choice with the smallest summed loss; what is left of the budget is spent where that costs no score."""
        chosen = knapsack.knapsack(choices, rest=rest, total=total, target=self.target)
        budget = math.floor(self.target * total) - rest
        return Picked(selection.without_loss(choices, chosen.comp_ratios, budget=budget))


def _recorded_scores(path: Path, scheme: str) -> KnownScores:
    run = RunState()
    for event in recordings.read_compression(path):
        run.apply(event)
    if run.exploration is None and not run.scores:
        raise RecordingError(f"{path} has no table of scores")
    recorded = run.started.scheme if run.started else ""
    if recorded and recorded != scheme:
        raise UsageError(
            f"saved_eval_scores {str(path)!r} is of {recorded}, and compress_scheme is {scheme}: their scores do not "
            "compare; take the same scheme, or leave saved_eval_scores out"
        )
    known = {
        layer: {ratio: KnownScore(cell.score, cell.rank) for ratio, cell in row.items() if cell.score is not None}
        for layer, row in run.scores.items()
    }
    return {layer: row for layer, row in known.items() if row}


def _known_row(layer: str, row: Any) -> dict[float, KnownScore]:
    if not isinstance(row, Mapping):
        raise UsageError(f"saved_eval_scores[{layer!r}] is {row!r}; give a mapping from ratio to score")
    known = {}
    for ratio, score in row.items():
        try:
            key, value = float(ratio), math.nan if score is None else float(score)
        except (TypeError, ValueError):
            key = value = math.nan
        if math.isnan(key) or isinstance(score, bool):
            raise UsageError(f"saved_eval_scores[{layer!r}] has {ratio!r}: {score!r}, which is not a ratio and a score")
        if math.isfinite(value):
            known[key] = KnownScore(value)
    return known


@dataclass(frozen=True, slots=True)
class ManualSelection:
    """Ratios given by hand; layers that are not named are left alone.

    Args:
        comp_ratios: {layer: ratio of cost kept, or None to leave it alone}, or the path of a ``comp_ratios.json``.

    Raises:
        UsageError: If a ratio is not between 0 and 1, or there is none.
        RecordingError: If the file cannot be read.
    """

    comp_ratios: Mapping[str, float | None] | str | os.PathLike[str]
    ratios: Mapping[str, Fraction | None] = field(init=False, repr=False, compare=False)
    """The ratios exactly as they were written; a file is read once, when this object is made."""

    def __post_init__(self) -> None:
        given = self.comp_ratios
        if isinstance(given, (str, os.PathLike)):
            given = recordings.comp_ratios(Path(given))
        if not isinstance(given, Mapping):
            raise UsageError(f"ManualSelection has {given!r}; give {{layer: ratio}} or the path of a comp_ratios.json")
        exact = {
            str(layer): None if ratio is None else exact_ratio(ratio, f"the ratio of layer {str(layer)!r}")
            for layer, ratio in given.items()
        }
        if not any(ratio is not None for ratio in exact.values()):
            raise UsageError("ManualSelection has no ratio; give at least one, as ManualSelection({'conv1': 0.5})")
        object.__setattr__(self, "ratios", exact)

    @property
    def candidates(self) -> tuple[Fraction, ...]:
        """None: nothing is explored."""
        return ()

    def describe(self) -> dict[str, Any]:
        """The configuration in JSON types."""
        ratios = {layer: None if ratio is None else float(ratio) for layer, ratio in self.ratios.items()}
        return {"rule": "manual", "comp_ratios": ratios}

    def known_scores(self, layers: Collection[str], scheme: str) -> KnownScores:
        """None; but every layer that is named must exist.

        Raises:
            UnknownNameError: If one does not.
        """
        del scheme
        for layer in self.ratios:
            if layer not in layers:
                raise UnknownNameError(
                    f"ManualSelection names layer {layer!r}, which does not exist{nearest(layer, layers)}"
                )
        return {}

    def check(self, table: ScoreTable, skipped: Mapping[str, str]) -> None:
        """Make sure that every named layer can be compressed to its ratio, and tied ones have the same.

        Raises:
            UsageError: If one was skipped, with the reason, or may not have its ratio, or the ratio saves nothing.
        """
        for layer, ratio in self.ratios.items():
            if ratio is not None and layer in skipped:
                raise UsageError(
                    f"layer {layer!r} cannot be compressed: {skipped[layer]}; take it out of the ManualSelection"
                )
        self._variants(table)
        self._check_ties(table, skipped)

    def _check_ties(self, table: ScoreTable, skipped: Mapping[str, str]) -> None:
        layers = [
            name for name in table.layers if (name in table.variants or name in self.ratios) and name not in skipped
        ]
        first: dict[str, str] = {}
        for name, tie in table.space.ties(layers).items():
            other = first.setdefault(tie, name)
            if self.ratios.get(other) != self.ratios.get(name):
                raise UsageError(
                    f"layers {other!r} and {name!r} are tied by {tie!r}, and ManualSelection gives them "
                    f"{told(self.ratios.get(other))} and {told(self.ratios.get(name))}; give both the same ratio"
                )

    def highest_ranks(self, table: ScoreTable) -> dict[str, int]:
        """The rank of each named row."""
        return {name: variant.rank for name, variant in self._variants(table).items()}

    def choose(self, table: ScoreTable, *, baseline: float, higher_is_better: bool) -> Decision:
        """The given ratios."""
        del baseline, higher_is_better
        variants = self._variants(table)
        ratios: dict[str, float | None] = dict.fromkeys(table.variants)
        return Decision(ratios | {name: variant.ratios[0] for name, variant in variants.items()}, variants)

    def _variants(self, table: ScoreTable) -> dict[str, Variant]:
        return {layer: table.variant(layer, ratio) for layer, ratio in self.ratios.items() if ratio is not None}


Strategy = TableSelection | ManualSelection

RULES: Mapping[str, type[TableSelection]] = {rule.rule: rule for rule in (GreedySelection, KnapsackSelection)}
"""The rules that choose by a table, by name."""


def listed_targets(targets: Any) -> tuple[float, ...]:
    """The targets of ``probe_targets``.

    Raises:
        UsageError: If it is no collection.
    """
    if isinstance(targets, (str, bytes)) or not isinstance(targets, Iterable):
        raise UsageError(f"probe_targets is {targets!r}; give a list of ratios, as [0.9, 0.7, 0.5], or [] for none")
    return tuple(targets)


def _fitted(known: KnownScores, layers: Collection[str], candidates: tuple[float, ...]) -> KnownScores:
    fitted: KnownScores = {}
    for layer, row in known.items():
        if layer not in layers:
            raise UnknownNameError(
                f"saved_eval_scores has layer {layer!r}, which the model has not{nearest(layer, layers)}"
            )
        fitted[layer] = {_column(ratio, layer, candidates): score for ratio, score in row.items()}
    return fitted


def _column(ratio: float, layer: str, candidates: tuple[float, ...]) -> float:
    """The candidate that a saved ratio stands for: 0.30000000000000004 is 3 / 10."""
    column = min(candidates, key=lambda candidate: abs(candidate - ratio))
    if abs(column - ratio) > TOLERANCE:
        raise UsageError(
            f"saved_eval_scores has ratio {ratio:g} for layer {layer!r}, which is none of the {len(candidates)} "
            f"candidates {candidates[0]:g} .. {candidates[-1]:g}; set num_comp_ratio_candidates as it was there"
        )
    return column
