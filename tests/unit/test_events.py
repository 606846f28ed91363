"""What events promise to those that hear them."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Mapping

import pytest

from aimet_hooks import events
from aimet_hooks.events import (
    EVENTS,
    BaselineScored,
    EvalScored,
    Event,
    LayerInfo,
    LayerSkipped,
    Progressed,
    RatiosSelected,
    ReadOnlyDict,
    RunFinished,
    RunStarted,
)
from aimet_hooks.testing import SAMPLE_RUNS, finished_run

DURABLE = {"baseline_score", "eval_score", "probe_score", "ratios_selected", "run_finished", "run_failed"} | {
    "score_recorded",
    "sensitivity_score",
    "analysis_finished",
}


def started(**changes: object) -> RunStarted:
    fields = {
        "run_name": "r",
        "model_name": "m",
        "scheme": "spatial_svd",
        "cost_metric": "mac",
        "settings": {"selection": {"ratios": [1, [2, {"deep": [3]}]]}},
        "layers": {"conv": LayerInfo(kind="Conv2d", weight_shape=(8, 4, 3, 3), macs=288, weights=288)},
        "fingerprint": "f",
    }
    return RunStarted(**(fields | changes))


def every_sample() -> list[Event]:
    return [event for run in SAMPLE_RUNS.values() for event in run()]


def test_samples_hold_every_kind_of_event() -> None:
    assert {type(event) for event in every_sample()} == set(EVENTS.values())


@pytest.mark.parametrize("kind", EVENTS.values())
def test_event_is_a_frozen_slotted_dataclass_with_keywords_only(kind: type[Event]) -> None:
    parameters = kind.__dataclass_params__  # type: ignore[attr-defined]
    assert parameters.frozen
    assert "__slots__" in vars(kind)
    assert all(field.kw_only for field in dataclasses.fields(kind))


@pytest.mark.parametrize("kind", EVENTS.values())
def test_docstring_of_an_event_names_every_field_of_its_own(kind: type[Event]) -> None:
    own = {field.name for field in dataclasses.fields(kind)} - {field.name for field in dataclasses.fields(Event)}
    documented = {line.split(":")[0].strip() for line in (kind.__doc__ or "").split("Attributes:")[1].splitlines()}
    assert own <= documented


@pytest.mark.parametrize("event", finished_run(), ids=lambda event: f"{event.seq}-{event.name}")
def test_event_refuses_every_change(event: Event) -> None:
    for field in dataclasses.fields(event):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, field.name, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(event, field.name)
    with pytest.raises((AttributeError, TypeError)):
        event.new_field = 1  # type: ignore[attr-defined]
    assert not hasattr(event, "__dict__")


@pytest.mark.parametrize("event", every_sample(), ids=lambda event: event.name)
def test_event_can_be_pickled_and_copied(event: Event) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(event, protocol)) == event
    assert copy.deepcopy(event) == event
    assert copy.copy(event) == event


def test_durable_events_are_those_that_a_user_would_lose_work_with() -> None:
    assert {name for name, kind in EVENTS.items() if kind.durable} == DURABLE


def test_events_are_known_by_the_name_of_their_hook() -> None:
    assert all(kind.name == name for name, kind in EVENTS.items())
    with pytest.raises(TypeError):
        EVENTS["new"] = RunStarted  # type: ignore[index]


# -- containers --------------------------------------------------------------------------------------------------------


def test_containers_are_read_only_to_any_depth() -> None:
    event = started()
    selection = event.settings["selection"]
    assert selection == {"ratios": (1, (2, {"deep": (3,)}))}
    for mapping in (event.settings, selection, selection["ratios"][1][1], event.layers):
        with pytest.raises(TypeError, match="read-only"):
            mapping["new"] = 1


@pytest.mark.parametrize(
    "change",
    [
        lambda mapping: mapping.update(b=2),
        lambda mapping: mapping.pop("a"),
        lambda mapping: mapping.popitem(),
        lambda mapping: mapping.clear(),
        lambda mapping: mapping.setdefault("b", 2),
        lambda mapping: mapping.__delitem__("a"),
        lambda mapping: mapping.__setitem__("a", 2),
        lambda mapping: mapping.__ior__({"b": 2}),
    ],
)
def test_read_only_mapping_refuses_every_method_that_changes_it(change: object) -> None:
    mapping = ReadOnlyDict(a=1)
    with pytest.raises(TypeError, match=r"copy it with dict\(\.\.\.\)"):
        change(mapping)
    assert mapping == {"a": 1}


def test_copy_of_a_read_only_mapping_can_be_changed() -> None:
    copied = dict(started().settings)
    copied["new"] = 1
    assert "new" in copied


def test_event_does_not_follow_changes_of_what_it_was_made_from() -> None:
    ratios: dict[str, float | None] = {"conv": 0.5}
    candidates = [0.5]
    selected = RatiosSelected(comp_ratios=ratios, target_comp_ratio=0.5, achieved_comp_ratio=0.5)
    exploring = events.ExplorationStarted(layers=("conv",), candidates=candidates, total=1, reused=0)  # type: ignore[arg-type]
    ratios["conv"] = 0.1
    candidates.append(0.75)
    assert selected.comp_ratios == {"conv": 0.5}
    assert exploring.candidates == (0.5,)


def test_shape_of_a_layer_is_a_tuple_whatever_it_was_made_from() -> None:
    info = LayerInfo(kind="Conv2d", weight_shape=[8, 4], macs=1, weights=32)  # type: ignore[arg-type]
    assert info.weight_shape == (8, 4)


def test_every_container_of_an_event_is_frozen() -> None:
    for event in every_sample():
        for field in dataclasses.fields(event):
            value = getattr(event, field.name)
            assert not isinstance(value, list)
            assert not isinstance(value, Mapping) or isinstance(value, ReadOnlyDict)


# -- places ------------------------------------------------------------------------------------------------------------


def test_placed_event_differs_in_its_place_alone() -> None:
    event = BaselineScored(score=0.5, metrics={"loss": 1.0})
    placed = event.placed(run_id="run", seq=7, time=3.5)
    assert placed == dataclasses.replace(event, run_id="run", seq=7, time=3.5)
    assert (event.run_id, event.seq, event.time) == ("", -1, 0.0)
    assert placed.metrics is event.metrics


# -- the baseline ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "again", "noise", "noisy"),
    [
        (0.9, None, 0.0, False),
        (0.9, 0.9, 0.0, False),
        (0.9, 0.897, 0.003, True),
        (0.897, 0.9, 0.003, True),
        (-1e6, -1e6 - 1e-6, 1e-6, False),
        (0.0, 1e-14, 1e-14, False),
    ],
)
def test_noise_is_the_difference_of_two_scores_of_the_baseline(
    score: float, again: float | None, noise: float, noisy: bool
) -> None:
    event = BaselineScored(score=score, repeated_score=again)
    assert event.noise == pytest.approx(noise, rel=1e-3)
    assert event.is_noisy == noisy


# -- fields ------------------------------------------------------------------------------------------------------------


def as_json(event: Event) -> dict[str, object]:
    return json.loads(json.dumps(events.fields_of(event), default=events.fields_of))


@pytest.mark.parametrize("event", every_sample(), ids=lambda event: event.name)
def test_fields_in_json_give_the_same_event_back(event: Event) -> None:
    assert events.from_fields(event.name, as_json(event)) == event


def test_whole_numbers_stay_whole_numbers() -> None:
    again = events.from_fields("run_started", as_json(started()))
    assert isinstance(again, RunStarted)
    assert type(again.layers["conv"].macs) is int


def test_unknown_fields_are_left_out() -> None:
    event = LayerSkipped(layer="conv", reason="grouped")
    assert events.from_fields("layer_skipped", as_json(event) | {"new_in_1.5": 1}) == event


def test_fields_with_a_default_may_be_missing() -> None:
    fields = as_json(finished_run()[-1])
    assert isinstance(finished_run()[-1], RunFinished)
    del fields["notes"]
    again = events.from_fields("run_finished", fields)
    assert isinstance(again, RunFinished)
    assert again.notes == ()


def test_unknown_event_is_an_error() -> None:
    with pytest.raises(ValueError, match="there is no event 'eval_scored'"):
        events.from_fields("eval_scored", {})


def test_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match="field 'reason' is missing"):
        events.from_fields("layer_skipped", {"layer": "conv"})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("score", "0.5", "field 'score' is '0.5', not a value of type float"),
        ("score", True, "field 'score' is 'True', not a value of type float"),
        ("rank", 1.5, "field 'rank' is '1.5', not a value of type int"),
        ("layer", None, "field 'layer' is 'None', not a value of type str"),
        ("layer", ["conv"], "field 'layer'"),
        ("reused", 1, "field 'reused' is '1', not a value of type bool"),
        ("metrics", [], "field 'metrics'"),
        ("metrics", {"loss": "1"}, r"field \"metrics\['loss'\]\" is '1', not a value of type float"),
        ("comp_ratio", None, "field 'comp_ratio' is 'None', not a value of type float"),
    ],
)
def test_field_of_the_wrong_type_is_named(field: str, value: object, message: str) -> None:
    cell = next(event for event in finished_run() if isinstance(event, EvalScored))
    with pytest.raises(ValueError, match=message):
        events.from_fields("eval_score", as_json(cell) | {field: value})


def test_layer_without_its_costs_is_named() -> None:
    fields = as_json(started())
    fields["layers"] = {"conv": {"kind": "Conv2d", "weight_shape": [1], "macs": 1}}
    with pytest.raises(ValueError, match="field 'weights' is missing"):
        events.from_fields("run_started", fields)
    fields["layers"] = {"conv": 5}
    with pytest.raises(ValueError, match="not a value of type LayerInfo"):
        events.from_fields("run_started", fields)


def test_progress_is_an_event_like_the_others() -> None:
    assert Progressed(stage="preflight", completed=1, total=2).name == "progress"
