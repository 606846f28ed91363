"""What a run announces: one frozen dataclass an event, in the past tense.

The same object is what a hook gets, what a line of the event log holds and what a replay hands out again. Every number
is a plain Python int or float; a number that is undefined is None, never NaN. Mappings are read-only, sequences
are tuples, and every event can be pickled.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, NoReturn, Self, TypeVar

SCHEMA = 1
"""The version of the fields below, written to every line of an event log."""

SAME_BASELINE = 1e-6
"""Share of the score by which baselines of the same model and data may differ."""

K = TypeVar("K")
V = TypeVar("V")


class ReadOnlyDict(dict[K, V]):
    """A dict that refuses every change and can be pickled and written as JSON.

    Raises:
        TypeError: On any attempt to change it.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the mappings of an event are read-only; copy it with dict(...) to change the copy")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[ReadOnlyDict[K, V]], tuple[dict[K, V]]]:
        return (type(self), (dict(self),))


def frozen(value: Any) -> Any:
    """``value`` with every dict in it made read-only and every list made a tuple."""
    if isinstance(value, ReadOnlyDict):
        return value
    if isinstance(value, Mapping):
        return ReadOnlyDict({key: frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerInfo:
    """One layer with weights, as it is before compression.

    Attributes:
        kind: Type of the module or operator, as "Conv2d" or "Gemm".
        weight_shape: (out, in per group, *kernel) of a convolution, (out, in) of a linear layer, else as stored.
        macs: Multiply-accumulates for one sample.
        weights: Number of weights, without the bias.
        cost: What it costs where the costs are the user's own, in their unit; else None.
    """

    kind: str
    weight_shape: tuple[int, ...]
    macs: float
    weights: int
    cost: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight_shape", tuple(self.weight_shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event carries.

    Attributes:
        name: Kind of the event: the hook that hears it is ``"on_" + name``.
        durable: Whether the event log waits until the disk has the event before the run goes on.
        logged: Whether the event is in the event log, and so in a replay.
        in_run: Whether it is a step of the run, and not something that was added to its log later.
        run_id: Unique name of the run.
        seq: Number of the event in its run, from 0. ``Progressed``, which is not logged, repeats the last number.
        time: Seconds since the epoch, UTC.
    """

    name: ClassVar[str] = ""
    durable: ClassVar[bool] = False
    logged: ClassVar[bool] = True
    in_run: ClassVar[bool] = True

    run_id: str = ""
    seq: int = -1
    time: float = 0.0

    def __post_init__(self) -> None:
        for field in _record(type(self)).containers:
            object.__setattr__(self, field, frozen(getattr(self, field)))

    def placed(self, *, run_id: str, seq: int, time: float) -> Self:
        """The same event at its place in a run; unlike ``dataclasses.replace`` this freezes nothing again."""
        event = object.__new__(type(self))
        write = object.__setattr__
        for field in _record(type(self)).fields:
            write(event, field, getattr(self, field))
        write(event, "run_id", run_id)
        write(event, "seq", seq)
        write(event, "time", time)
        return event


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run has begun: its model has been read, nothing has been evaluated.

    Attributes:
        run_name: Name given by the user, or the model's.
        model_name: Class of the module, or name of the ONNX file or graph.
        scheme: "spatial_svd" or "weight_svd"; "quantization" for a run that analyses and makes no model.
        cost_metric: "mac", "memory", or "own" for the user's own costs: which cost the ratios are shares of.
        settings: The configuration of the call, in JSON types.
        layers: Every layer with weights by name, in network order, also those that will be skipped; empty where only
            a table or a choice was recorded.
        fingerprint: Digest of ``identity``.
        identity: What scores depend on, by its name: "model" (digest of its weights and structure), "compress_scheme",
            "multiplicity", "cost_metric", or what else the run scores; runs of one identity share their scores. Where
            the model is not run, there are none, and "weights" (a digest of these) in place of "model". Empty where an
            older version wrote the log.
        provenance: Versions, thread counts, device, git commit of the working directory, name of the callback.
    """

    name: ClassVar[str] = "run_started"

    run_name: str
    model_name: str
    scheme: str
    cost_metric: str
    settings: Mapping[str, Any]
    layers: Mapping[str, LayerInfo]
    fingerprint: str
    identity: Mapping[str, str] = dataclasses.field(default_factory=ReadOnlyDict)
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=ReadOnlyDict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSkipped(Event):
    """A layer with weights will not be compressed.

    Attributes:
        layer: Its name.
        reason: Why, in words.
    """

    name: ClassVar[str] = "layer_skipped"

    layer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScored(Event):
    """The original model has been evaluated, twice where cells will be compared with it.

    Attributes:
        score: Its score, in the unit of the callback; of two evaluations that of the first.
        seconds: Duration of one evaluation: of the second if there were two, as the first often warms something up.
        metrics: Other numbers that the callback returned beside the score.
        repeated_score: Score of the second evaluation; None where there was one, or where no second was recorded.
    """

    name: ClassVar[str] = "baseline_score"
    durable: ClassVar[bool] = True

    score: float
    seconds: float = 0.0
    metrics: Mapping[str, float] = dataclasses.field(default_factory=ReadOnlyDict)
    repeated_score: float | None = None

    @property
    def noise(self) -> float:
        """By how much the two scores differ, in the unit of the score; 0 where there is one."""
        return 0.0 if self.repeated_score is None else abs(self.score - self.repeated_score)

    def fits(self, other: BaselineScored) -> bool:
        """Whether both can be of the same model and data: they differ by at most 1e-6 of them, or by their noise."""
        noise = max(self.noise, other.noise)
        return math.isclose(self.score, other.score, rel_tol=SAME_BASELINE, abs_tol=noise)

    @property
    def is_noisy(self) -> bool:
        """Whether they differ by more than sums do whose order varies: a difference that is worth telling."""
        return self.repeated_score is not None and not math.isclose(
            self.score, self.repeated_score, rel_tol=1e-9, abs_tol=1e-12
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationStarted(Event):
    """The cells of the table are known and will now be filled.

    Attributes:
        layers: The rows: names of the layers that can be compressed, in network order.
        candidates: The columns: compression ratios (cost kept), ascending.
        total: Number of cells, each of which will be announced once.
        reused: Number of those whose score is known already.
        evaluations: Number of evaluations that the others take: ratios of one rank share one.
        cells: The ratios that have a cell, by layer: a ratio that would save nothing has none. Empty: all of them have.
        lowest_comp_ratio: Lowest share of the model's cost that the cells can reach; None where costs are not known.
        ties: Layers of one name here share one ratio; only layers that share theirs with another.
    """

    name: ClassVar[str] = "exploration_started"

    layers: tuple[str, ...]
    candidates: tuple[float, ...]
    total: int
    reused: int
    evaluations: int = 0
    cells: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=ReadOnlyDict)
    lowest_comp_ratio: float | None = None
    ties: Mapping[str, str] = dataclasses.field(default_factory=ReadOnlyDict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalScored(Event):
    """One cell is known: the whole model's score with one layer compressed to one ratio.

    Attributes:
        layer: Name of the compressed layer.
        comp_ratio: The candidate: share of the layer's cost that was asked to be kept.
        score: Score of the model; None if the evaluation failed or is not finite, then ``error`` says why.
        rank: Rank of the two factors that replace the layer.
        achieved_comp_ratio: Share of the layer's cost that this rank keeps, in the run's cost metric.
        macs: Multiply-accumulates of the compressed layer for one sample.
        weights: Number of weights of the compressed layer, without the bias. Like the three before it None where only
            a table of scores was recorded.
        seconds: Duration of the evaluation; 0 where ratios share a rank and so an evaluation announced before.
        completed: Cells announced so far, this one included.
        total: Cells of the table.
        reused: Whether the score was not evaluated in this run.
        error: Why there is no score.
        metrics: Other numbers that the callback returned beside the score.
        cost: Cost of the compressed layer where the costs are the user's own, in their unit; else None.
    """

    name: ClassVar[str] = "eval_score"
    durable: ClassVar[bool] = True

    layer: str
    comp_ratio: float
    score: float | None
    rank: int | None
    achieved_comp_ratio: float | None
    macs: float | None
    weights: int | None
    seconds: float
    completed: int
    total: int
    reused: bool = False
    error: str | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=ReadOnlyDict)
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProbed(Event):
    """The whole model has been compressed to a target and measured, beside what is chosen in the end.

    Attributes:
        comp_ratios: Ratio by layer that the rule chooses for the target; None: left alone.
        target_comp_ratio: The target: share of the model's cost.
        achieved_comp_ratio: Share of the model's cost that the choice keeps.
        score: Measured score; None if the evaluation failed, then ``error`` says why.
        predicted_score: The baseline less the losses of the chosen cells, each measured with one layer compressed.
        seconds: Duration of the evaluation.
        error: Why there is no score.
        reused: Whether the score was not evaluated in this run.
    """

    name: ClassVar[str] = "probe_score"
    durable: ClassVar[bool] = True

    comp_ratios: Mapping[str, float | None]
    target_comp_ratio: float
    achieved_comp_ratio: float
    score: float | None
    predicted_score: float
    seconds: float
    error: str | None = None
    reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RatiosSelected(Event):
    """A ratio has been chosen for every row of the table.

    Attributes:
        comp_ratios: Chosen candidate by layer; None: the layer is left alone.
        target_comp_ratio: Share of the model's cost that was asked for; None for a manual selection.
        achieved_comp_ratio: Share of the model's cost that the choice keeps; None where only the ratios were recorded.
        threshold: The score that every choice of the greedy rule reaches, tied layers together; None where there is no
            such rule.
    """

    name: ClassVar[str] = "ratios_selected"
    durable: ClassVar[bool] = True

    comp_ratios: Mapping[str, float | None]
    target_comp_ratio: float | None
    achieved_comp_ratio: float | None
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCompressed(Event):
    """A layer of the result has been replaced (and fine-tuned, if there is a trainer).

    Attributes:
        layer: Its name.
        comp_ratio: The ratio that was chosen.
        achieved_comp_ratio: The ratio that its rank keeps, in the run's cost metric.
        rank: Rank of the two factors.
        macs_before: Multiply-accumulates for one sample, before.
        macs_after: The same, after.
        weights_before: Number of weights without the bias, before.
        weights_after: The same, after.
        cost_after: Its cost after where the costs are the user's own, in their unit; else None.
    """

    name: ClassVar[str] = "layer_compressed"

    layer: str
    comp_ratio: float
    achieved_comp_ratio: float
    rank: int
    macs_before: float
    macs_after: float
    weights_before: int
    weights_after: int
    cost_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed(Event):
    """A step that has no event of its own is done. Neither logged nor replayed.

    Attributes:
        stage: What goes on: "preflight" or "compression".
        completed: Steps done.
        total: Steps of the stage.
    """

    name: ClassVar[str] = "progress"
    logged: ClassVar[bool] = False

    stage: str
    completed: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The compressed model has been built and evaluated.

    Attributes:
        baseline_score: Score of the original model.
        compressed_score: Score of the compressed model.
        mac_ratio: Multiply-accumulates kept, of all layers with weights.
        memory_ratio: Weights kept, of all layers with weights.
        notes: Everything that the run warned of, in words.
        metrics: Other numbers that the callback returned for the compressed model.
    """

    name: ClassVar[str] = "run_finished"
    durable: ClassVar[bool] = True

    baseline_score: float
    compressed_score: float
    mac_ratio: float
    memory_ratio: float
    notes: tuple[str, ...] = ()
    metrics: Mapping[str, float] = dataclasses.field(default_factory=ReadOnlyDict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightRangesAnalyzed(Event):
    """It is known what quantization leaves of every layer; nothing was evaluated for it.

    Attributes:
        bitwidth: Bits of a quantized weight.
        layers: By layer, in network order: ``channels``, ``weights``, ``effective_bits_per_tensor``,
            ``effective_bits_per_channel``, ``sqnr_symmetric_per_tensor``, ``sqnr_asymmetric_per_tensor``,
            ``sqnr_symmetric_per_channel``, ``sqnr_asymmetric_per_channel`` (dB), ``widest_channel`` (its number),
            ``relative_range``, ``rounded_to_zero`` (share) and ``non_finite``, as ``summarize_weight_ranges`` defines
            them; None where undefined.
        problems: The layers that will break, the worst first: ``layer``, ``channel`` (the widest, or None), ``cause``,
            ``remedy``, ``partner`` (the layer to equalize it with, or None), as ``find_problematic_layers`` gives them.
        output_sqnr: By layer, then by bit width in digits, the SQNR in dB of what the layer gives for the example
            inputs, at most 200; None where undefined. Empty where there are no inputs.
    """

    name: ClassVar[str] = "weight_ranges"

    bitwidth: int
    layers: Mapping[str, Mapping[str, float | None]]
    problems: tuple[Mapping[str, Any], ...] = ()
    output_sqnr: Mapping[str, Mapping[str, float | None]] = dataclasses.field(default_factory=ReadOnlyDict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityStarted(Event):
    """The cells of the table of layers by bit widths are known and will now be filled.

    Attributes:
        layers: The rows: names of the layers whose weights will be quantized, in network order.
        bitwidths: The columns: bits of a quantized weight, ascending.
        total: Number of cells, each of which will be announced once.
        reused: Number of those whose score is known already.
        evaluations: Number of evaluations that the others take.
    """

    name: ClassVar[str] = "sensitivity_started"

    layers: tuple[str, ...]
    bitwidths: tuple[int, ...]
    total: int
    reused: int = 0
    evaluations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityScored(Event):
    """One cell is known: the whole model's score with the weights of one layer quantized to one bit width.

    Attributes:
        layer: Name of the layer.
        bitwidth: Bits of a quantized weight.
        score: Score of the model; None if the evaluation failed or is not finite, then ``error`` says why.
        seconds: Duration of the evaluation.
        completed: Cells announced so far, this one included.
        total: Cells of the table.
        sqnr: Of what the layer gives for the example inputs, in dB, at most 200; None where there are none, or where
            it is undefined.
        reused: Whether the score was not evaluated in this run.
        error: Why there is no score.
        metrics: Other numbers that the callback returned beside the score.
    """

    name: ClassVar[str] = "sensitivity_score"
    durable: ClassVar[bool] = True

    layer: str
    bitwidth: int
    score: float | None
    seconds: float
    completed: int
    total: int
    sqnr: float | None = None
    reused: bool = False
    error: str | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=ReadOnlyDict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisFinished(Event):
    """A run that makes no model has ended well: it analysed quantization, or explored a share of a table.

    Attributes:
        baseline_score: Score of the original model; None where nothing was evaluated.
        notes: Everything that the run warned of, in words.
    """

    name: ClassVar[str] = "analysis_finished"
    durable: ClassVar[bool] = True

    baseline_score: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Event):
    """The run ends without a result.

    Attributes:
        stage: Where: "preflight", "baseline", "weight ranges", "exploration", "probing", "selection", "compression" or
            "evaluation".
        error: Class of the exception; "KeyboardInterrupt" where the user ended the run.
        message: Its text.
        notes: Everything that the run warned of, in words.
    """

    name: ClassVar[str] = "run_failed"
    durable: ClassVar[bool] = True

    stage: str
    error: str
    message: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecorded(Event):
    """Somebody found out later what the result, or what became of it, scores; added to the log of a run that ended.

    Attributes:
        label: What was scored, as "fine-tuned".
        score: Its score, in the unit of the run's.
    """

    name: ClassVar[str] = "score_recorded"
    durable: ClassVar[bool] = True
    in_run: ClassVar[bool] = False

    label: str
    score: float


EVENTS: Mapping[str, type[Event]] = types.MappingProxyType(
    {
        event.name: event
        for event in (
            RunStarted,
            LayerSkipped,
            BaselineScored,
            ExplorationStarted,
            EvalScored,
            ModelProbed,
            RatiosSelected,
            LayerCompressed,
            Progressed,
            RunFinished,
            WeightRangesAnalyzed,
            SensitivityStarted,
            SensitivityScored,
            AnalysisFinished,
            RunFailed,
            ScoreRecorded,
        )
    }
)
"""Every kind of event by name; the hook that hears it is ``"on_" + name``."""


class _Record(NamedTuple):
    """What the code below needs to know of a dataclass: looking it up anew would cost more than writing a line."""

    fields: tuple[str, ...]
    required: frozenset[str]
    types: Mapping[str, Any]
    containers: tuple[str, ...]


_records: dict[type, _Record] = {}


def _record(target: type[Any]) -> _Record:
    found = _records.get(target)
    if found is None:
        fields = dataclasses.fields(target)
        hints = typing.get_type_hints(target)
        optional = {field.name for field in fields if (field.default, field.default_factory) != _NO_DEFAULT}
        found = _records[target] = _Record(
            fields=tuple(field.name for field in fields),
            required=frozenset(field.name for field in fields) - optional,
            types=hints,
            containers=tuple(
                field.name for field in fields if typing.get_origin(hints[field.name]) in (Mapping, tuple)
            ),
        )
    return found


_NO_DEFAULT = (dataclasses.MISSING, dataclasses.MISSING)


def fields_of(record: Event | LayerInfo) -> dict[str, Any]:
    """The fields by name, in the order of their definition."""
    return {field: getattr(record, field) for field in _record(type(record)).fields}


def from_fields(name: str, fields: Mapping[str, Any]) -> Event:
    """The event of these fields, as JSON gives them back.

    Fields that this version does not know are left out, so that logs of a newer minor version can be read.

    Raises:
        ValueError: If there is no such event, or a field is missing or of the wrong type.
    """
    if name not in EVENTS:
        raise ValueError(f"there is no event {name!r}")
    return typing.cast("Event", _built(EVENTS[name], fields))


def _built(target: type[Any], fields: Mapping[str, Any]) -> Any:
    record = _record(target)
    missing = [field for field in record.fields if field in record.required and field not in fields]
    if missing:
        raise ValueError(f"field {missing[0]!r} is missing")
    return target(
        **{field: _checked(fields[field], record.types[field], field) for field in record.fields if field in fields}
    )


def _checked(value: Any, hint: Any, field: str) -> Any:
    """``value`` if it is of the annotated type, with nested records built."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or (value is None and types.NoneType in arguments):
        return value
    if origin is types.UnionType:
        return _checked(value, next(kind for kind in arguments if kind is not types.NoneType), field)
    if origin is Mapping and isinstance(value, dict):
        return {key: _checked(item, arguments[1], f"{field}[{key!r}]") for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_checked(item, arguments[0], field) for item in value)
    if hint is LayerInfo and isinstance(value, dict):
        return _built(LayerInfo, value)
    if type(value) is hint or (hint is float and type(value) is int):
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise ValueError(f"field {field!r} is {str(value)[:60]!r}, not a value of type {expected}")
