"""Events of small runs for the tests of the console, fed through the same hooks as in a real run."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    LayerCompressed,
    LayerInfo,
    LayerSkipped,
    RatiosSelected,
    RunFailed,
    RunFinished,
    RunStarted,
)
from aimet_hooks.hooks import Hooks
from aimet_hooks.run_settings import RunSettings
from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMES = ("stem", "block.conv", "head")
RATIOS = (0.25, 0.5, 0.75)
SCORES = ((0.5, 0.89, 0.9), (0.88, 0.8996, 0.9001), (None, 0.845, 0.899))
BEGIN = 1000.0


def started(names: Sequence[str] = NAMES, **changes: Any) -> RunStarted:
    layers = {
        name: LayerInfo(kind="Conv2d", weight_shape=(8, 8, 3, 3), macs=1_000_000 * (place + 1), weights=40_000)
        for place, name in enumerate([*names, "depthwise"])
    }
    settings = {"direction": "maximize", "selection": {"rule": "greedy", "target_comp_ratio": 0.5}}
    return replace(
        RunStarted(
            run_name="nightly",
            model_name="net.onnx",
            scheme="spatial_svd",
            cost_metric="mac",
            settings=settings,
            layers=layers,
            fingerprint="f",
            time=BEGIN,
        ),
        **changes,
    )


def explored(
    names: Sequence[str] = NAMES, scores: Sequence[Sequence[float | None]] = SCORES, *, seconds: float = 1.0
) -> list[Event]:
    """The exploration, all layers at one ratio before the next ratio; one cell every ``seconds``."""
    cells = [(place, column) for column in range(len(scores[0])) for place in range(len(names))]
    ratios = tuple((column + 1) / (len(scores[0]) + 1) for column in range(len(scores[0])))
    total = len(cells)
    events: list[Event] = [
        ExplorationStarted(
            layers=tuple(names), candidates=ratios, total=total, reused=0, evaluations=total, time=BEGIN + 2
        )
    ]
    for number, (place, column) in enumerate(cells, start=1):
        score = scores[place][column]
        events.append(
            EvalScored(
                layer=names[place],
                comp_ratio=ratios[column],
                score=score,
                rank=4 * (column + 1),
                achieved_comp_ratio=ratios[column] - 0.01,
                macs=240_000.0 * (place + 1) * (column + 1),
                weights=9_600 * (column + 1),
                seconds=seconds,
                completed=number,
                total=total,
                error=None if score is not None else "ValueError: the score is nan",
                time=BEGIN + 2 + number * seconds,
            )
        )
    return events


def whole_run(names: Sequence[str] = NAMES, **changes: Any) -> list[Event]:
    """A run that finished: the first layer left alone, the second at .5, the third at .75."""
    chosen = {names[0]: None, names[1]: 0.5, names[2]: 0.75}
    return [
        started(names, **changes),
        LayerSkipped(layer="depthwise", reason="depthwise convolution (group=8)", time=BEGIN + 1),
        BaselineScored(score=0.9, seconds=0.5, metrics={"loss": 0.25}, time=BEGIN + 2),
        *explored(names),
        RatiosSelected(
            comp_ratios=chosen, target_comp_ratio=0.5, achieved_comp_ratio=0.7, threshold=0.899, time=BEGIN + 12
        ),
        compressed(names[1], 0.5, 2),
        compressed(names[2], 0.75, 3),
        RunFinished(
            baseline_score=0.9,
            compressed_score=0.88,
            mac_ratio=0.682,
            memory_ratio=0.813,
            notes=("the head was left alone; ratios below it are optimistic",),
            metrics={"loss": 0.375},
            time=BEGIN + 20,
        ),
    ]


def compressed(layer: str, ratio: float, place: int) -> LayerCompressed:
    return LayerCompressed(
        layer=layer,
        comp_ratio=ratio,
        achieved_comp_ratio=ratio - 0.01,
        rank=int(16 * ratio),
        macs_before=1_000_000.0 * place,
        macs_after=960_000.0 * place * ratio,
        weights_before=40_000,
        weights_after=int(38_400 * ratio),
        time=BEGIN + 13,
    )


def failed(error: str = "EvaluationError", message: str = "5 evaluations in a row failed") -> RunFailed:
    return RunFailed(stage="exploration", error=error, message=message, time=BEGIN + 30)


def recorded(events: Iterable[Event]) -> RunState:
    run = RunState()
    for event in events:
        run.apply(event)
    return run


def announce(reporter: object, events: Iterable[Event]) -> None:
    """Call the reporter's hooks as a run does; what a hook raises ends the test."""
    hooks, run = Hooks([("console", reporter)], {"console": RunSettings()}), RunState()
    for event in events:
        run.apply(event)
        hooks.call(event, run)


def plain_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def terminal_console(width: int = 80, height: int = 24, **options: Any) -> Console:
    options = {"color_system": "truecolor", "no_color": False, "_environ": {}, **options}
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, **options)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
