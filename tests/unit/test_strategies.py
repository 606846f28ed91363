"""How users configure the choice of ratios: what is taken, what is refused, and what saved tables become."""

from __future__ import annotations

import json
import math
import pickle
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aimet_hooks import GreedySelection, ManualSelection, SpatialSvd, log_writer, recordings
from aimet_hooks.cost import MAC
from aimet_hooks.errors import RecordingError, TargetError, UnknownNameError, UsageError
from aimet_hooks.layers import Layer
from aimet_hooks.score_table import ScoreTable
from aimet_hooks.search_space import SearchSpace
from tests.unit.test_schemes import layer

LAYERS = ["conv1", "conv2", "head"]
SCORES = {"conv1": {0.1: 0.5, 0.3: 0.75}, "conv2": {0.9: 0.875}}


# --- the target and the candidates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0.3, Decimal("0.3"), Fraction(3, 10), np.float64(0.3), np.float32(0.3)])
def test_a_target_is_exactly_what_was_written(target: Any) -> None:
    assert GreedySelection(target_comp_ratio=target).target == Fraction(3, 10)


@pytest.mark.parametrize("target", [0, 1, 0.0, 1.0, -0.1, 1.5, Decimal(2), Fraction(1)])
def test_a_target_outside_0_and_1_is_refused(target: Any) -> None:
    message = r"target_comp_ratio is .*; it must lie between 0 and 1, both excluded: the share of the cost to keep"
    with pytest.raises(UsageError, match=message):
        GreedySelection(target_comp_ratio=target)


@pytest.mark.parametrize("target", [True, "0.5", "1/2", None, math.nan, math.inf, Decimal("NaN"), [0.5], 1j])
def test_a_target_that_is_no_number_is_refused(target: Any) -> None:
    message = r"target_comp_ratio is .*; give a number between 0 and 1: the share of the cost to keep"
    with pytest.raises(UsageError, match=message):
        GreedySelection(target_comp_ratio=target)


def test_candidates_are_exact_fractions() -> None:
    assert GreedySelection().candidates == tuple(Fraction(k, 10) for k in range(1, 10))
    assert GreedySelection(num_comp_ratio_candidates=2).candidates == (Fraction(1, 2),)
    assert len(GreedySelection(num_comp_ratio_candidates=1000).candidates) == 999


@pytest.mark.parametrize("count", [1, 0, -3, 1001, 10.0, True, "10", None])
def test_the_number_of_candidates_has_bounds(count: Any) -> None:
    message = (
        r"num_comp_ratio_candidates is .*; give an integer N from 2 to 1000: the candidates are k/N, k = 1 \.\. N-1"
    )
    with pytest.raises(UsageError, match=message):
        GreedySelection(num_comp_ratio_candidates=count)


# --- saved scores -----------------------------------------------------------------------------------------------------


def known(saved: Any, count: int = 10) -> dict[str, dict[float, float]]:
    strategy = GreedySelection(saved_eval_scores=saved, num_comp_ratio_candidates=count)
    found = strategy.known_scores(LAYERS, "spatial_svd")
    return {layer: {ratio: known.score for ratio, known in row.items()} for layer, row in found.items()}


def test_nothing_saved_is_nothing_known() -> None:
    assert known(None) == known({}) == {}


@pytest.mark.parametrize("key", [float, str, Decimal, lambda ratio: Decimal(str(ratio)), np.float64])
def test_keys_may_be_floats_strings_or_decimals(key: Any) -> None:
    saved = {name: {key(ratio): score for ratio, score in row.items()} for name, row in SCORES.items()}
    assert known(saved) == SCORES


def test_a_product_of_floats_finds_its_candidate() -> None:
    assert known({"conv1": {3 * 0.1: 0.5}}) == {"conv1": {0.3: 0.5}}


@pytest.mark.parametrize("empty", [None, math.nan, math.inf])
def test_cells_without_a_finite_score_are_not_known(empty: float | None) -> None:
    assert known({"conv1": {0.1: empty, 0.2: 0.5}}) == {"conv1": {0.2: 0.5}}


@pytest.mark.parametrize("score", [np.float32(0.5), Decimal("0.5"), np.array(0.5)])
def test_scores_may_be_any_real_number(score: Any) -> None:
    found = known({"conv1": {0.1: score}})
    assert found == {"conv1": {0.1: 0.5}}
    assert type(found["conv1"][0.1]) is float


def test_a_data_frame_is_a_table() -> None:
    frame = pd.DataFrame.from_dict(SCORES, orient="index")
    assert known(frame) == SCORES


def test_a_data_frame_that_a_csv_was_read_into_is_a_table(tmp_path: Path) -> None:
    frame = pd.DataFrame.from_dict(SCORES, orient="index")
    frame.rename_axis("layer").to_csv(tmp_path / "scores.csv")
    assert known(pd.read_csv(tmp_path / "scores.csv", index_col="layer")) == SCORES
    assert known(tmp_path / "scores.csv") == SCORES


def _json(path: Path) -> Path:
    path = path / "eval_scores.json"
    rows = {name: {str(ratio): score for ratio, score in row.items()} for name, row in SCORES.items()}
    rows["head"] = {"0.1": None}
    path.write_text(json.dumps({"schema": 1, "baseline": 0.9, "scores": rows}))
    return path


def _csv(path: Path) -> Path:
    path = path / "eval_scores.csv"
    path.write_text("layer,0.1,0.3,0.9\nconv1,0.5,0.75,\nconv2,,,0.875\n")
    return path


def _pickle(path: Path) -> Path:
    path = path / "greedy_selection_eval_scores_dict.pkl"
    rows = {name: {Decimal(str(ratio)): score for ratio, score in row.items()} for name, row in SCORES.items()}
    path.write_bytes(pickle.dumps(rows))
    return path


def _log(path: Path) -> Path:
    log = log_writer.EventLog(path / "run")
    for event in recordings.read(_json(path)):
        log.append(event)
    log.close()
    return path / "run" / "events.jsonl"


@pytest.mark.parametrize("write", [_json, _csv, _pickle, _log, lambda path: _log(path).parent])
@pytest.mark.parametrize("kind", [str, Path])
def test_every_recording_is_a_table(write: Any, kind: Any, tmp_path: Path) -> None:
    assert known(kind(write(tmp_path))) == SCORES


def test_a_layer_that_the_model_has_not_is_named_with_the_nearest() -> None:
    message = "saved_eval_scores has layer 'conv3', which the model has not; the nearest are 'conv2', 'conv1'"
    with pytest.raises(UnknownNameError, match=message):
        known({"conv3": {0.1: 0.5}})


@pytest.mark.parametrize("ratio", [0.15, 1.0, 0.0, -0.1, math.inf])
def test_a_ratio_that_is_no_candidate_is_named(ratio: float) -> None:
    message = (
        r"saved_eval_scores has ratio .* for layer 'conv1', which is none of the 9 candidates 0\.1 \.\. 0\.9; "
        "set num_comp_ratio_candidates as it was there"
    )
    with pytest.raises(UsageError, match=message):
        known({"conv1": {ratio: 0.5}})
    assert known({"conv1": {0.15: 0.5}}, count=20) == {"conv1": {0.15: 0.5}}


@pytest.mark.parametrize(
    ("ratio", "score"), [("a", 0.5), (None, 0.5), (math.nan, 0.5), (0.1, "good"), (0.1, True), (0.1, [0.5, 0.6])]
)
def test_a_cell_that_is_no_ratio_and_score_is_named(ratio: Any, score: Any) -> None:
    message = r"saved_eval_scores\['conv1'\] has .*, which is not a ratio and a score"
    with pytest.raises(UsageError, match=message):
        known({"conv1": {ratio: score}})


def test_a_row_that_is_no_mapping_is_named() -> None:
    message = r"saved_eval_scores\['conv1'\] is \[0\.5\]; give a mapping from ratio to score"
    with pytest.raises(UsageError, match=message):
        known({"conv1": [0.5]})


@pytest.mark.parametrize("saved", [5, [SCORES], np.zeros((2, 2))])
def test_anything_else_is_no_table(saved: Any) -> None:
    with pytest.raises(
        UsageError,
        match=r"saved_eval_scores is (an int|a list|an ndarray); give \{layer: \{ratio: score\}\}, a DataFrame, or",
    ):
        known(saved)


def test_a_file_without_scores_is_said(tmp_path: Path) -> None:
    (tmp_path / "ratios.json").write_text('{"conv1": 0.5}')
    with pytest.raises(RecordingError, match=r"ratios\.json has no table of scores"):
        known(tmp_path / "ratios.json")
    with pytest.raises(RecordingError, match=r"there is no file '.*missing\.json'"):
        known(tmp_path / "missing.json")


# --- choosing ---------------------------------------------------------------------------------------------------------

WIDE = layer((64, 64), name="wide")
NARROW = layer((32, 64), name="narrow")
OTHER = layer(name="other", geometry=None, reason="grouped")


def table(selection: GreedySelection | ManualSelection, *layers: Layer, multiplicity: int = 1) -> ScoreTable:
    rows = [described.name for described in layers if described.reason is None]
    return ScoreTable(layers, rows, SearchSpace(SpatialSvd(multiplicity=multiplicity), selection.candidates, MAC))


def test_an_unreachable_target_names_the_lowest_ratio_and_how_many_layers_count() -> None:
    greedy = GreedySelection(target_comp_ratio=0.1)
    scores = table(greedy, WIDE, OTHER)
    message = (
        r"target_comp_ratio 0\.1 cannot be reached: the lowest ratio of the model is 0\.195 \(layers in the table: 1, "
        r"skipped: 1\); raise the target or ignore fewer layers"
    )
    with pytest.raises(TargetError, match=message):
        greedy.check(scores, {"other": "grouped"})
    GreedySelection(target_comp_ratio=0.195).check(scores, {"other": "grouped"})


def test_minimizing_is_maximizing_the_negated_scores() -> None:
    greedy = GreedySelection(target_comp_ratio=0.6)
    decisions = []
    for sign in (1, -1):
        scores = table(greedy, WIDE, NARROW, OTHER)
        for name in ("wide", "narrow"):
            for ratio, score in zip(scores.ratios, np.random.default_rng(1).random(9), strict=True):
                scores.record(name, ratio, sign * float(score))
        decisions.append(greedy.choose(scores, baseline=sign * 1.0, higher_is_better=sign > 0))
    high, low = decisions
    assert high.comp_ratios == low.comp_ratios
    assert high.threshold is not None
    assert low.threshold == -high.threshold


def test_a_decision_has_a_ratio_for_every_row_and_a_rank_for_every_ratio() -> None:
    greedy = GreedySelection(target_comp_ratio=0.6)
    scores = table(greedy, WIDE, NARROW)
    for ratio in scores.ratios:
        scores.record("wide", ratio, ratio)
    decision = greedy.choose(scores, baseline=1.0, higher_is_better=True)
    assert list(decision.comp_ratios) == ["wide", "narrow"]
    assert decision.comp_ratios["narrow"] is None
    assert list(decision.variants) == ["wide"]
    assert decision.comp_ratios["wide"] in decision.variants["wide"].ratios
    assert decision.target == 0.6


def test_a_cell_without_a_score_is_never_chosen() -> None:
    greedy = GreedySelection(target_comp_ratio=0.5)
    scores = table(greedy, WIDE)
    for ratio in scores.ratios:
        scores.record("wide", ratio, None if ratio in (0.3, 0.5) else 0.5)
    assert greedy.choose(scores, baseline=0.5, higher_is_better=True).comp_ratios == {"wide": 0.4}


def test_cells_that_failed_can_put_the_target_out_of_reach() -> None:
    greedy = GreedySelection(target_comp_ratio=0.2)
    scores = table(greedy, WIDE)
    for ratio in scores.ratios[4:]:
        scores.record("wide", ratio, 0.5)
    with pytest.raises(
        TargetError, match=r"with the scores of this table: the lowest ratio is 0\.500; raise the target"
    ):
        greedy.choose(scores, baseline=0.5, higher_is_better=True)


def test_the_highest_rank_of_a_row_is_what_is_prepared() -> None:
    greedy = GreedySelection()
    scores = table(greedy, WIDE)
    assert greedy.highest_ranks(scores) == {"wide": scores.variants["wide"][-1].rank}


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_ratios_by_hand_are_exact() -> None:
    manual = ManualSelection({"a": 0.3, "b": Decimal("0.25"), "c": Fraction(1, 3), "d": None})
    assert manual.ratios == {"a": Fraction(3, 10), "b": Fraction(1, 4), "c": Fraction(1, 3), "d": None}
    assert manual.candidates == ()
    assert manual.describe() == {"rule": "manual", "comp_ratios": {"a": 0.3, "b": 0.25, "c": 1 / 3, "d": None}}


def test_what_happens_to_the_mapping_or_the_file_afterwards_changes_nothing(tmp_path: Path) -> None:
    given: dict[str, float | None] = {"a": 0.3}
    (tmp_path / "ratios.json").write_text(json.dumps(given))
    by_mapping, by_file = ManualSelection(given), ManualSelection(tmp_path / "ratios.json")
    given["a"] = 0.9
    (tmp_path / "ratios.json").unlink()
    assert by_mapping.ratios == by_file.ratios == {"a": Fraction(3, 10)}


def test_ratios_are_read_from_a_log_or_a_pickle_of_aimets(tmp_path: Path) -> None:
    (tmp_path / "comp.pkl").write_bytes(pickle.dumps([("a", Decimal("0.3")), ("b", None)]))
    assert ManualSelection(tmp_path / "comp.pkl").ratios == {"a": Fraction(3, 10), "b": None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"ManualSelection has no ratio; give at least one, as ManualSelection\(\{'conv1': 0\.5\}\)"),
        ({"a": None}, "ManualSelection has no ratio"),
        ({"a": 1.0}, r"the ratio of layer 'a' is 1\.0; it must lie between 0 and 1, both excluded"),
        ({"a": "half"}, "the ratio of layer 'a' is 'half'; give a number between 0 and 1"),
        ({"a": True}, "the ratio of layer 'a' is True; give a number"),
        (
            [("a", 0.5)],
            r"ManualSelection has \[\('a', 0\.5\)\]; give \{layer: ratio\} or the path of a comp_ratios\.json",
        ),
    ],
)
def test_a_wrong_manual_selection_is_named(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ManualSelection(given)


def test_a_file_without_ratios_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="has no chosen ratios"):
        ManualSelection(_csv(tmp_path))


def test_a_layer_by_hand_must_exist() -> None:
    message = "ManualSelection names layer 'conv', which does not exist; the nearest are 'conv2', 'conv1'"
    with pytest.raises(UnknownNameError, match=message):
        ManualSelection({"conv": 0.5}).known_scores(LAYERS, "")
    assert ManualSelection({"conv1": 0.5, "head": None}).known_scores(LAYERS, "") == {}


def test_a_layer_by_hand_must_be_compressible() -> None:
    manual = ManualSelection({"other": 0.5})
    message = "layer 'other' cannot be compressed: grouped; take it out of the ManualSelection"
    with pytest.raises(UsageError, match=message):
        manual.check(table(manual, WIDE, OTHER), {"other": "grouped"})
    leaves_it = ManualSelection({"wide": 0.5, "other": None})
    leaves_it.check(table(leaves_it, WIDE, OTHER), {"other": "grouped"})


def test_a_ratio_by_hand_must_save_something() -> None:
    manual = ManualSelection({"wide": 0.9})
    with pytest.raises(UsageError, match=r"layer 'wide' at ratio 0\.9 would cost no less than it does now"):
        manual.check(table(manual, WIDE, multiplicity=128), {})


def test_ratios_by_hand_are_chosen_as_they_are() -> None:
    manual = ManualSelection({"narrow": 1 / 3})
    scores = table(manual, WIDE, NARROW, OTHER)
    decision = manual.choose(scores, baseline=0.5, higher_is_better=True)
    assert decision.comp_ratios == {"wide": None, "narrow": 1 / 3}
    assert (decision.target, decision.threshold) == (None, None)
    assert manual.highest_ranks(scores) == {"narrow": decision.variants["narrow"].rank}
