"""Small runs as lists of events, for tests of plugins and views that need no model."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aimet_hooks import recordings
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

BEGIN = 1_767_225_600.0
"""Time of the first event: 2026-01-01, UTC."""

CANDIDATES = (0.25, 0.5, 0.75)

STRANGE_NAMES = (
    "",
    " ",
    "a.b[0]/c:d\\e",
    "layer1.0.conv1" * 20,
    "quoted \" and ' and `",
    "comma, semicolon; tab\t line\nend\r",
    "<b>&amp;</b><script>alert(1)</script>",
    "[bold red]markup[/bold red] [/]",
    "\x1b[31mred\x1b[0m \x07\x00",
    "%s %d {0} {name} $HOME",
    "=SUM(A1:A2)",
    "__proto__",
    "NaN",
    "日本語 العربية 👩‍🔬",
    "e\u0301 \u202eright to left\u202c \u2028",
    "half a character \udcff \ud83d",
)
"""Names that a layer may have: torch takes any string without a dot, ONNX any string."""


def finished_run(layers: Sequence[str] = ("conv1", "layer1.0.conv1", "fc"), skipped: str = "depthwise") -> list[Event]:
    """A run that explores a table and compresses two layers; one cell fails, one is reused."""
    return _placed(_story(layers, skipped))


def failed_run() -> list[Event]:
    """A run whose evaluations fail in the middle of the table."""
    told = list(itertools.takewhile(_is_before_selection, _story(("conv1", "fc"), "depthwise")))
    failure = RunFailed(
        stage="exploration",
        error="EvaluationError",
        message="5 evaluations in a row failed, the last for layer 'fc' at ratio 0.5: RuntimeError: out of memory",
        notes=("the input has a symbolic dimension, which counts as 1",),
    )
    return _placed([*told[:-2], failure])


def bare_table() -> list[Event]:
    """A recording of a table and a choice alone, as ``eval_scores.json`` gives it: no layer, no cost, no end."""
    return recordings.from_tables(
        name="eval_scores",
        table={"conv1": {0.25: 0.5, 0.5: 0.75, 0.75: 0.875}, "fc": {0.25: 0.25, 0.5: None, 0.75: 0.875}},
        ratios={"conv1": 0.5, "fc": None},
        baseline=0.9,
    )


def run_of_strange_names() -> list[Event]:
    """A finished run whose layers have the strangest names there are."""
    return finished_run(STRANGE_NAMES, skipped="skipped \ud800 <i>")


def run_with_a_recorded_score() -> list[Event]:
    """A finished run to whose log a score was added later."""
    run = finished_run()
    later = ScoreRecorded(label="fine-tuned <b>", score=0.875)
    return [*run, later.placed(run_id=run[0].run_id, seq=run[-1].seq + 1, time=BEGIN + 90_000)]


def sensitivity_run(layers: Sequence[str] = ("conv1", "layer1.0.conv1", "fc"), skipped: str = "rnn") -> list[Event]:
    """A run that quantizes one layer at a time; one cell fails, and one layer's ranges are undefined."""
    return _placed(_analysis(layers, skipped))


def weight_ranges_run() -> list[Event]:
    """A run that analyses weight ranges and runs nothing."""
    return [
        replace(event, output_sqnr={}) if isinstance(event, WeightRangesAnalyzed) else event
        for event in output_noise_run()
    ]


def output_noise_run() -> list[Event]:
    """A run that measures what layers give for example inputs, and evaluates nothing."""
    told = _analysis(("conv1", "fc"), "rnn")
    evaluated = (BaselineScored, SensitivityStarted, SensitivityScored, AnalysisFinished)
    return _placed([*(event for event in told if not isinstance(event, evaluated)), AnalysisFinished()])


SAMPLE_RUNS: Mapping[str, Callable[[], list[Event]]] = MappingProxyType(
    {
        "a finished run": finished_run,
        "a run with a recorded score": run_with_a_recorded_score,
        "a failed run": failed_run,
        "a bare table": bare_table,
        "a run of strange names": run_of_strange_names,
        "a sensitivity analysis": sensitivity_run,
        "a sensitivity analysis of strange names": lambda: sensitivity_run(STRANGE_NAMES, "skipped \ud800 <i>"),
        "an analysis of weight ranges": weight_ranges_run,
        "an analysis of what layers give": output_noise_run,
    }
)
"""Every sample by what it is."""


def _is_before_selection(event: Event) -> bool:
    return not isinstance(event, (ModelProbed, RatiosSelected))


def _placed(story: Iterable[Event]) -> list[Event]:
    placed: list[Event] = []
    seq = -1
    for number, event in enumerate(story):
        seq += event.logged
        placed.append(event.placed(run_id="20260101-000000-5a3b1e00", seq=seq, time=BEGIN + number / 4))
    return placed


def _story(layers: Sequence[str], skipped: str) -> Iterator[Event]:
    infos = _infos((*layers, skipped))
    yield RunStarted(
        run_name="sample",
        model_name="SampleNet",
        scheme="spatial_svd",
        cost_metric="mac",
        settings={"direction": "maximize", "selection": {"rule": "greedy", "target_comp_ratio": 0.5}},
        layers=infos,
        fingerprint="5a" * 32,
        provenance={"python": "3.11.0", "versions": {"numpy": "2.0.0"}},
    )
    yield LayerSkipped(layer=skipped, reason="depthwise convolution")
    yield from (Progressed(stage="preflight", completed=done + 1, total=len(infos)) for done in range(len(infos)))
    yield BaselineScored(score=0.9, seconds=0.25, metrics={"loss": 0.375}, repeated_score=0.8984375)
    yield from _exploration(layers)
    chosen = dict.fromkeys(layers) | {layers[0]: 0.5, layers[1]: 0.75}
    yield ModelProbed(
        comp_ratios=chosen,
        target_comp_ratio=0.5,
        achieved_comp_ratio=0.4375,
        score=0.8125,
        predicted_score=0.71875,
        seconds=0.25,
    )
    yield RatiosSelected(comp_ratios=chosen, target_comp_ratio=0.5, achieved_comp_ratio=0.4375, threshold=0.75)
    for number, name in enumerate(layers[:2], start=1):
        yield _compressed(name, chosen[name] or 1.0)
        yield Progressed(stage="compression", completed=number, total=2)
    yield RunFinished(
        baseline_score=0.9,
        compressed_score=0.8125,
        mac_ratio=0.4375,
        memory_ratio=0.5,
        notes=("most cells score better than the baseline",),
        metrics={"loss": 0.5},
    )


def _infos(names: Iterable[str]) -> dict[str, LayerInfo]:
    return {
        name: LayerInfo(kind="Conv2d", weight_shape=(64, 32, 3, 3), macs=1_000_000 + number, weights=18_432)
        for number, name in enumerate(names)
    }


def _exploration(layers: Sequence[str]) -> Iterator[Event]:
    total = len(layers) * len(CANDIDATES)
    yield ExplorationStarted(layers=tuple(layers), candidates=CANDIDATES, total=total, reused=1, evaluations=total - 1)
    cells = [(name, ratio) for ratio in (0.5, 0.25, 0.75) for name in layers]
    for completed, (name, ratio) in enumerate(cells, start=1):
        cell = EvalScored(
            layer=name,
            comp_ratio=ratio,
            score=0.625 + ratio / 4,
            rank=round(64 * ratio),
            achieved_comp_ratio=ratio - 0.015625,
            macs=1_000_000 * ratio,
            weights=round(18_432 * ratio),
            seconds=0.25,
            completed=completed,
            total=total,
            metrics={"loss": 0.5},
        )
        yield replace(cell, **_CHANGES.get(completed, {}))


_CHANGES: Mapping[int, Mapping[str, Any]] = {
    1: {"reused": True, "seconds": 0.0, "metrics": {}},
    2: {"score": None, "error": "RuntimeError: out of memory", "metrics": {}},
}
"""What is special about a cell: known before, failed."""


def _compressed(name: str, ratio: float) -> LayerCompressed:
    return LayerCompressed(
        layer=name,
        comp_ratio=ratio,
        achieved_comp_ratio=ratio - 0.015625,
        rank=round(64 * ratio),
        macs_before=1_000_000,
        macs_after=1_000_000 * ratio,
        weights_before=18_432,
        weights_after=round(18_432 * ratio),
    )


BITWIDTHS = (4, 8)


def _analysis(layers: Sequence[str], skipped: str) -> Iterator[Event]:
    yield RunStarted(
        run_name="sample",
        model_name="SampleNet",
        scheme="quantization",
        cost_metric="memory",
        settings={"direction": "maximize", "bitwidths": BITWIDTHS, "per_channel": False, "symmetric": True},
        layers=_infos((*layers, skipped)),
        fingerprint="5a" * 32,
        provenance={"python": "3.11.0", "versions": {"numpy": "2.0.0"}},
    )
    yield LayerSkipped(layer=skipped, reason="its weights cannot be replaced")
    yield BaselineScored(score=0.9, seconds=0.25, metrics={"loss": 0.375}, repeated_score=0.8984375)
    yield _ranges(layers)
    total = len(layers) * len(BITWIDTHS)
    yield SensitivityStarted(layers=tuple(layers), bitwidths=BITWIDTHS, total=total, evaluations=total)
    cells = [(number, name, bits) for bits in BITWIDTHS for number, name in enumerate(layers)]
    for completed, (number, name, bits) in enumerate(cells, start=1):
        cell = SensitivityScored(
            layer=name,
            bitwidth=bits,
            score=0.9 - 0.125 / bits / (number + 1),
            seconds=0.25,
            completed=completed,
            total=total,
            sqnr=6.0 * bits - number,
            metrics={"loss": 0.5},
        )
        failed: dict[str, Any] = {"score": None, "sqnr": None, "error": "RuntimeError: out of memory", "metrics": {}}
        yield replace(cell, **(failed if completed == total else {}))
    yield AnalysisFinished(baseline_score=0.9, notes=("most cells score better than the baseline",))


def _ranges(layers: Sequence[str]) -> WeightRangesAnalyzed:
    row = {
        "channels": 64,
        "weights": 18_432,
        "effective_bits_per_tensor": 2.75,
        "effective_bits_per_channel": 6.5,
        "sqnr_symmetric_per_tensor": 35.25,
        "sqnr_asymmetric_per_tensor": 35.75,
        "sqnr_symmetric_per_channel": 39.25,
        "sqnr_asymmetric_per_channel": 40.5,
        "widest_channel": 17,
        "relative_range": 40.5,
        "rounded_to_zero": 0.125,
        "non_finite": 0,
    }
    undefined = dict.fromkeys(row) | {"channels": 64, "weights": 18_432, "non_finite": 3}
    problems = (
        {
            "layer": layers[-1],
            "channel": None,
            "cause": "3 of its 18,432 weights are NaN or infinite: it has no scale",
            "remedy": "repair these weights, or leave the layer in float",
            "partner": None,
        },
        {
            "layer": layers[0],
            "channel": 17,
            "cause": "channel 17 is 40.5 times as wide as the median channel; per-tensor quantization to 8 bits leaves "
            "2.6 bits for the others",
            "remedy": f"quantize its weights per channel (6.5 bits), or equalize it with {layers[1]!r}, which reads "
            "its channels",
            "partner": layers[1],
        },
    )
    figures = {name: undefined if name == layers[-1] else row for name in layers}
    noise = {name: {str(bits): 6.0 * bits - number for bits in BITWIDTHS} for number, name in enumerate(layers)}
    return WeightRangesAnalyzed(bitwidth=8, layers=figures, problems=problems, output_sqnr=noise)
