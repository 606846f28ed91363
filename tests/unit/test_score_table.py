"""The table of a run: cells, scores, costs, and what the selection gets of it."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from aimet_hooks import SpatialSvd
from aimet_hooks.cost import MAC, MEMORY
from aimet_hooks.errors import UsageError
from aimet_hooks.layers import Layer
from aimet_hooks.score_table import ScoreTable
from aimet_hooks.search_space import SearchSpace
from tests.unit.test_schemes import layer

FOUR = [Fraction(k, 5) for k in range(1, 5)]
WIDE = layer((64, 64), name="wide")
SMALL = layer((4, 4), (1, 1), name="small")
OTHER = layer(name="other", geometry=None, reason="grouped")


def table(*layers: Layer, multiplicity: int = 1) -> ScoreTable:
    rows = [described.name for described in layers if described.reason is None]
    return ScoreTable(layers, rows, SearchSpace(SpatialSvd(multiplicity=multiplicity), FOUR, MAC))


def test_a_frame_has_layers_in_network_order_and_ratios_ascending() -> None:
    frame = table(WIDE, OTHER, SMALL).frame()
    assert list(frame.index) == ["wide", "small"]
    assert list(frame.columns) == [0.2, 0.4, 0.6, 0.8]
    assert (frame.index.name, frame.columns.name) == ("layer", "comp_ratio")
    assert set(frame.dtypes) == {np.dtype(float)}
    assert frame.isna().all(axis=None)


def test_recorded_scores_are_in_the_frame_and_failed_cells_are_empty() -> None:
    scores = table(WIDE)
    scores.record("wide", 0.2, 0.5)
    scores.record("wide", 0.4, None)
    np.testing.assert_array_equal(scores.frame().loc["wide"], [0.5, math.nan, math.nan, math.nan])
    assert scores.scores() == [0.5]


def test_a_manual_run_has_rows_without_columns() -> None:
    frame = ScoreTable([WIDE], ["wide"], SearchSpace(SpatialSvd(), [], MAC)).frame()
    assert frame.shape == (1, 0)
    assert list(frame.index) == ["wide"]


def test_every_ratio_that_saves_something_is_a_cell() -> None:
    assert sum(map(len, table(WIDE, SMALL).cells.values())) == 8
    assert table(WIDE, multiplicity=64).cells == {
        "wide": (0.2, 0.4, 0.6)
    }  # 64, 64, 64, then 96 costs as much as the layer


def test_all_layers_count_in_the_cost_of_the_model() -> None:
    scores = table(WIDE, OTHER)
    assert scores.total_cost == WIDE.macs + OTHER.macs
    assert scores.rest == OTHER.macs
    assert ScoreTable([WIDE], ["wide"], SearchSpace(SpatialSvd(), FOUR, MEMORY)).total_cost == WIDE.weights


def test_the_lowest_ratio_takes_the_cheapest_cell_of_each_row() -> None:
    scores = table(WIDE, OTHER)
    assert scores.lowest_ratio() == Fraction(scores.variants["wide"][0].cost.macs + OTHER.macs, scores.total_cost)


def test_a_row_without_a_cell_keeps_its_cost() -> None:
    assert table(WIDE, multiplicity=128).lowest_ratio() == 1
    assert ScoreTable([], [], SearchSpace(SpatialSvd(), FOUR, MAC)).lowest_ratio() == 1


def test_a_rank_is_found_at_any_ratio() -> None:
    assert table(WIDE).variant("wide", Fraction(1, 3)).rank == 32


def test_a_ratio_that_saves_nothing_is_refused() -> None:
    message = "layer 'wide' at ratio 0.9 would cost no less than it does now; lower the ratio, or leave the layer out"
    with pytest.raises(UsageError, match=message):
        table(WIDE, multiplicity=128).variant("wide", Fraction(9, 10))


def test_the_selection_gets_the_cells_with_a_score_and_the_layer_as_it_is() -> None:
    scores = table(WIDE)
    scores.record("wide", 0.2, 0.5)
    scores.record("wide", 0.6, 0.8)
    found = scores.choices(baseline=0.9, higher_is_better=True, monotonic=False)["wide"]
    assert [(choice.ratio, choice.score) for choice in found] == [(0.2, 0.5), (0.6, 0.8), (None, 0.9)]
    assert [choice.cost for choice in found] == [*(scores.variants["wide"][at].cost.macs for at in (0, 2)), WIDE.macs]


def test_scores_that_should_be_low_are_negated() -> None:
    scores = table(WIDE)
    scores.record("wide", 0.2, 0.5)
    found = scores.choices(baseline=0.1, higher_is_better=False, monotonic=False)["wide"]
    assert [choice.score for choice in found] == [-0.5, -0.1]


def test_a_monotonic_fit_takes_the_place_of_the_scores_whatever_the_direction() -> None:
    scores = table(WIDE)
    for ratio, score in ((0.2, 0.7), (0.4, 0.5), (0.6, 0.9)):
        scores.record("wide", ratio, score)
    found = scores.choices(baseline=1.0, higher_is_better=True, monotonic=True)["wide"]
    assert [choice.score for choice in found] == pytest.approx([0.6, 0.6, 0.9, 1.0])
    found = scores.choices(baseline=0.0, higher_is_better=False, monotonic=True)["wide"]
    assert [choice.score for choice in found] == pytest.approx([-0.7, -0.7, -0.7, 0.0])
    assert list(scores.frame().loc["wide"])[:3] == [0.7, 0.5, 0.9]  # the table keeps what was measured
