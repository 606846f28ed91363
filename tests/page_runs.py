"""Runs of any size as lists of events, for tests, benchmarks and pictures of the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    LayerCompressed,
    LayerInfo,
    LayerSkipped,
    RatiosSelected,
    RunFinished,
    RunStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BEGIN = 1_767_225_600.0
SECONDS = 2.4


def layer_names(number: int) -> list[str]:
    """Names as those of a residual network."""
    return [f"layer{place // 6 + 1}.{place // 2 % 3}.conv{place % 2 + 1}" for place in range(number)]


def candidates(number: int) -> tuple[float, ...]:
    """Evenly spaced ratios."""
    return tuple(k / (number + 1) for k in range(1, number + 1))


def whole_run(
    layers: Sequence[str],
    ratios: int = 9,
    *,
    baseline: float = 0.7612,
    noise: float = 0.0,
    minimize: bool = False,
    run_id: str = "made-up",
) -> list[Event]:
    """A run that explores every cell, in which a few layers are sensitive and a few cost nothing."""
    story = _story(layers, candidates(ratios), baseline, noise, minimize=minimize)
    return [
        event.placed(run_id=run_id, seq=seq, time=BEGIN + max(0, seq - 3) * SECONDS) for seq, event in enumerate(story)
    ]


def _story(
    layers: Sequence[str], ratios: Sequence[float], baseline: float, noise: float, *, minimize: bool
) -> Iterator[Event]:
    infos = {
        name: LayerInfo(kind="Conv2d", weight_shape=(64, 64, 3, 3), macs=_macs(place), weights=36_864)
        for place, name in enumerate(layers)
    }
    skipped = LayerInfo(kind="Conv2d", weight_shape=(64, 1, 3, 3), macs=2e6, weights=576)
    yield RunStarted(
        run_name="resnet of many layers",
        model_name="ResNet",
        scheme="spatial_svd",
        cost_metric="mac",
        settings={
            "direction": "minimize" if minimize else "maximize",
            "selection": {"rule": "greedy", "target_comp_ratio": 0.5},
        },
        layers=infos | {"depthwise": skipped},
        fingerprint="5a" * 32,
    )
    yield LayerSkipped(layer="depthwise", reason="grouped convolution (64 groups)")
    yield BaselineScored(score=baseline, seconds=SECONDS, repeated_score=baseline - noise)
    total = len(layers) * len(ratios)
    lowest = min(ratios, default=1.0)
    yield ExplorationStarted(
        layers=tuple(layers),
        candidates=tuple(ratios),
        total=total,
        reused=0,
        evaluations=total,
        lowest_comp_ratio=lowest,
    )
    cells = [(name, ratio) for ratio in sorted(ratios, key=lambda ratio: abs(ratio - 0.5)) for name in layers]
    places = {name: place for place, name in enumerate(layers)}
    for completed, (name, ratio) in enumerate(cells, start=1):
        place = places[name]
        yield EvalScored(
            layer=name,
            comp_ratio=ratio,
            score=_score(place, ratio, baseline, minimize=minimize),
            rank=max(1, round(64 * ratio)),
            achieved_comp_ratio=ratio * 0.99,
            macs=_macs(place) * ratio * 0.99,
            weights=round(36_864 * ratio),
            seconds=SECONDS,
            completed=completed,
            total=total,
        )
    chosen = {name: ratios[(place * 3) % len(ratios)] if place % 5 else None for place, name in enumerate(layers)}
    yield RatiosSelected(
        comp_ratios=chosen, target_comp_ratio=0.5, achieved_comp_ratio=0.497, threshold=baseline * 0.98
    )
    for name, chosen_ratio in chosen.items():
        if chosen_ratio is not None:
            macs = _macs(places[name])
            yield LayerCompressed(
                layer=name,
                comp_ratio=chosen_ratio,
                achieved_comp_ratio=chosen_ratio * 0.99,
                rank=max(1, round(64 * chosen_ratio)),
                macs_before=macs,
                macs_after=macs * chosen_ratio * 0.99,
                weights_before=36_864,
                weights_after=round(36_864 * chosen_ratio),
            )
    worse = baseline * (1.03 if minimize else 0.97)
    yield RunFinished(baseline_score=baseline, compressed_score=worse, mac_ratio=0.497, memory_ratio=0.523)


def _macs(place: int) -> float:
    return 1e7 * (1 + (place * 7) % 5)


def _score(place: int, ratio: float, baseline: float, *, minimize: bool) -> float:
    sensitivity = 0.002 * 1.9 ** (place * 5 % 11)
    drop = sensitivity * (1 - ratio) ** 2 + 0.0004 * math.sin(place * 12.9 + ratio * 78.2)
    return baseline * (1 + drop) if minimize else max(0.0, baseline * (1 - drop))
