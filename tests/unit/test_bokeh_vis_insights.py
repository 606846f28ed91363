"""What is said of a table while it fills up."""

from __future__ import annotations

from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    RunStarted,
    SensitivityScored,
    SensitivityStarted,
)
from aimet_hooks.run_state import RunState
from bokeh_vis import insights
from bokeh_vis.insights import Insights


def run_with(
    table: dict[str, dict[float, float]], baseline: float = 0.9, repeated_score: float | None = None
) -> RunState:
    started = RunStarted(
        run_name="r", model_name="m", scheme="spatial_svd", cost_metric="mac", settings={}, layers={}, fingerprint="f"
    )
    ratios = tuple(sorted({ratio for row in table.values() for ratio in row}))
    events: list[Event] = [started, BaselineScored(score=baseline, repeated_score=repeated_score)]
    events.append(ExplorationStarted(layers=tuple(table), candidates=ratios, total=9, reused=0))
    for layer, row in table.items():
        events += [
            EvalScored(
                layer=layer,
                comp_ratio=ratio,
                score=score,
                rank=1,
                achieved_comp_ratio=ratio,
                macs=1,
                weights=1,
                seconds=1,
                completed=1,
                total=9,
            )
            for ratio, score in row.items()
        ]
    run = RunState()
    for event in events:
        run.apply(event)
    return run


def test_nothing_is_said_of_nothing() -> None:
    assert insights.of(RunState()) == Insights()
    assert insights.of(run_with({})) == Insights()


def test_noise_is_the_median_distance_at_the_highest_ratio_that_most_layers_know() -> None:
    table = {
        "a": {0.5: 0.9, 0.9: 0.902},
        "b": {0.5: 0.9, 0.9: 0.895},
        "c": {0.5: 0.9, 0.9: 0.899, 0.95: 0.1},
    }
    found = insights.of(run_with(table))
    assert found.spread_ratio == 0.9
    assert round(found.spread or 0, 6) == 0.2


def test_of_two_layers_no_noise_is_told() -> None:
    assert insights.of(run_with({"a": {0.9: 0.9}, "b": {0.9: 0.8}})).spread is None


def test_free_layers_lose_nothing_at_their_lowest_ratio_and_sacred_ones_much_at_their_highest() -> None:
    table = {
        "free": {0.2: 0.8995, 0.9: 0.9},
        "dear": {0.2: 0.3, 0.9: 0.8},
        "dearest": {0.2: 0.3, 0.9: 0.4},
        "between": {0.2: 0.5, 0.9: 0.89},
    }
    found = insights.of(run_with(table))
    assert found.free == (("free", 0.2),)
    assert found.sacred == (("dearest", 0.9), ("dear", 0.9))
    assert found.known == 4


def run_by_bits(table: dict[str, dict[int, float]]) -> RunState:
    run = run_with({})
    run.apply(SensitivityStarted(layers=tuple(table), bitwidths=(2, 4, 8), total=12))
    for layer, row in table.items():
        for bits, score in row.items():
            run.apply(SensitivityScored(layer=layer, bitwidth=bits, score=score, seconds=1, completed=1, total=12))
    return run


def test_layers_are_free_down_to_the_lowest_bit_width_above_which_all_cost_nothing() -> None:
    table = {
        "to_eight": {2: 0.3, 4: 0.8, 8: 0.9},
        "to_four": {2: 0.3, 4: 0.8995, 8: 0.9},
        "luck_at_two": {2: 0.9, 4: 0.5, 8: 0.9},
        "to_two": {2: 0.9, 4: 0.9, 8: 0.9},
        "never": {2: 0.3, 4: 0.3, 8: 0.8},
    }
    found = insights.of(run_by_bits(table)).free
    assert found == (("to_two", 2), ("to_four", 4), ("to_eight", 8), ("luck_at_two", 8))


def test_layers_are_sacred_at_every_bit_width_that_costs_much_and_told_at_the_highest() -> None:
    table = {
        "at_two": {2: 0.3, 4: 0.9, 8: 0.9},
        "at_four": {2: 0.3, 4: 0.8, 8: 0.9},
        "worse_at_four": {2: 0.89, 4: 0.5, 8: 0.9},
        "sound": {2: 0.89, 4: 0.9, 8: 0.9},
    }
    assert insights.of(run_by_bits(table)).sacred == (("worse_at_four", 4), ("at_four", 4), ("at_two", 2))


def test_what_is_lost_within_the_noise_of_the_original_model_is_free() -> None:
    table = {"a": {0.5: 0.89, 0.9: 0.9}, "b": {0.5: 0.87, 0.9: 0.9}, "c": {0.5: 0.9, 0.9: 0.9}}
    found = insights.of(run_with(table, repeated_score=0.92))
    assert round(found.free_limit, 6) == 2
    assert [layer for layer, _ in found.free] == ["a", "c"]
