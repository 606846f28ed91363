"""The greedy choice on small tables whose answer can be read off."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from aimet_hooks import selection
from aimet_hooks.errors import TargetError
from aimet_hooks.selection import Choice

BASELINE = 0.9


def table(rows: dict[str, dict[float, float]], cost: int = 100, baseline: float = BASELINE) -> dict[str, list[Choice]]:
    """Every layer costs ``cost``, a ratio that share of it."""
    return {
        name: [
            *(Choice(ratio, score, round(ratio * cost)) for ratio, score in row.items()),
            Choice(None, baseline, cost),
        ]
        for name, row in rows.items()
    }


def chosen(rows: dict[str, list[Choice]], target: str, rest: int = 0) -> selection.Selection:
    total = rest + sum(row[-1].cost for row in rows.values())
    return selection.greedy(rows, rest=rest, total=total, target=Fraction(target))


def test_each_layer_takes_the_smallest_ratio_that_reaches_the_common_threshold() -> None:
    rows = table({"tough": {0.2: 0.85, 0.5: 0.88, 0.8: 0.9}, "frail": {0.2: 0.1, 0.5: 0.5, 0.8: 0.85}})
    found = chosen(rows, "0.5")
    assert found.comp_ratios == {"tough": 0.2, "frail": 0.8}
    assert (found.threshold, found.cost) == (0.85, 100)


def test_a_score_equal_to_the_threshold_reaches_it() -> None:
    found = chosen(table({"a": {0.3: 0.7, 0.6: 0.7}, "b": {0.3: 0.7, 0.6: 0.7}}), "0.3")
    assert (found.comp_ratios, found.threshold) == ({"a": 0.3, "b": 0.3}, 0.7)


def test_a_target_that_is_met_exactly_is_met() -> None:
    found = chosen(table({"a": {0.3: 0.7}, "b": {0.3: 0.6}}), "0.65")  # (30 + 100) / 200
    assert found.comp_ratios == {"a": 0.3, "b": None}


def test_a_dip_does_not_hide_a_smaller_ratio() -> None:
    assert chosen(table({"a": {0.2: 0.8, 0.5: 0.1, 0.8: 0.9}}), "0.4").comp_ratios == {"a": 0.2}


def test_a_layer_that_nothing_reaches_is_left_alone() -> None:
    found = chosen(table({"a": {0.1: 0.9}, "b": {0.1: 0.2}}), "0.6")
    assert found.comp_ratios == {"a": 0.1, "b": None}


def test_a_layer_without_scores_is_left_alone() -> None:
    assert chosen(table({"a": {0.1: 0.9}, "b": {}}), "0.6").comp_ratios == {"a": 0.1, "b": None}


def test_layers_outside_the_table_count_in_the_target() -> None:
    rows = table({"a": {0.2: 0.8, 0.6: 0.9}})
    assert chosen(rows, "0.7").comp_ratios == {"a": 0.6}
    assert chosen(rows, "0.7", rest=100).comp_ratios == {"a": 0.2}


def test_of_the_ratios_of_one_rank_the_lowest_is_chosen() -> None:
    rows = {"a": [Choice(0.3, 0.8, 40), Choice(0.4, 0.8, 40), Choice(None, BASELINE, 100)]}
    assert chosen(rows, "0.5").comp_ratios == {"a": 0.3}


def test_saturated_scores_spend_the_budget_on_the_layers_that_are_compressed_most() -> None:
    rows = {
        "a": [Choice(0.1, 0.9, 10), Choice(0.5, 0.9, 50), Choice(None, 0.9, 100)],
        "b": [Choice(0.4, 0.9, 40), Choice(0.8, 0.9, 80), Choice(None, 0.9, 100)],
    }
    assert chosen(rows, "0.45").comp_ratios == {"a": 0.5, "b": 0.4}


def test_the_step_with_the_highest_gain_for_its_cost_is_taken_first() -> None:
    rows = {
        "dear": [Choice(0.1, 0.5, 100), Choice(0.9, 0.8, 900), Choice(None, 0.9, 1000)],
        "cheap": [Choice(0.1, 0.5, 100), Choice(0.2, 0.7, 200), Choice(None, 0.71, 1000)],
    }
    assert chosen(rows, "0.5").comp_ratios == {"dear": 0.1, "cheap": 0.2}  # 0.2 for 100, not 0.3 for 800


def test_a_raise_skips_ratios_below_the_threshold() -> None:
    rows = table({"a": {0.1: 0.8, 0.2: 0.3, 0.4: 0.85}, "b": {0.1: 0.8}})
    assert chosen(rows, "0.3").comp_ratios == {"a": 0.4, "b": 0.1}


def test_a_layer_can_be_raised_until_it_is_left_alone() -> None:
    assert chosen(table({"a": {0.1: 0.9}, "b": {0.1: 0.9}}), "0.55").comp_ratios == {"a": None, "b": 0.1}


def test_a_target_out_of_reach_names_the_lowest_ratio_that_is_not() -> None:
    rows = table({"a": {0.3: 0.9}, "b": {}})
    message = (
        r"target_comp_ratio 0\.5 cannot be reached with the scores of this table: the lowest ratio is 0\.650; "
        "raise the target; cells without a score cannot be chosen"
    )
    with pytest.raises(TargetError, match=message):
        chosen(rows, "0.5")
    assert chosen(rows, "0.65").cost == 130


def test_a_table_without_any_score_reaches_nothing() -> None:
    with pytest.raises(TargetError, match=r"the lowest ratio is 1\.000"):
        chosen(table({"a": {}}), "0.99")


def test_a_lowest_ratio_is_shown_as_a_target_that_can_be_reached() -> None:
    assert [selection.rounded_up(Fraction(n, 10000)) for n in (6500, 6501, 6509, 6510)] == [
        "0.650",
        "0.651",
        "0.651",
        "0.651",
    ]


@pytest.mark.parametrize(
    ("scores", "fitted"),
    [
        ([0.1, 0.5, 0.9], [0.1, 0.5, 0.9]),
        ([0.9, 0.5, 0.1], [0.5, 0.5, 0.5]),
        ([0.1, 0.7, 0.5, 0.9], [0.1, 0.6, 0.6, 0.9]),
        ([1.0, 0.9999], [0.99995, 0.99995]),
        ([0.5], [0.5]),
        ([], []),
        ([0.4, math.nan, 0.2, 0.8], [0.3, math.nan, 0.3, 0.8]),
        ([math.nan, math.nan], [math.nan, math.nan]),
    ],
)
def test_a_monotonic_fit_pools_what_falls(scores: list[float], fitted: list[float]) -> None:
    np.testing.assert_allclose(selection.isotonic(np.array(scores)), fitted)
