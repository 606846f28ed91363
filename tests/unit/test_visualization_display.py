"""How two recordings become one page."""

from __future__ import annotations

from aimet_hooks import recordings, testing
from aimet_hooks.events import Event, RunStarted
from aimet_hooks.run_state import RunState
from bokeh_vis.display import combined

TABLE = {"conv1": {0.25: 0.5, 0.5: 0.75}, "fc": {0.25: 0.25, 0.5: 0.5}}
RATIOS = {"conv1": 0.25, "fc": None}


def state_of(events: list[Event]) -> RunState:
    run = RunState()
    for event in events:
        run.apply(event)
    return run


def choice(name: str = "comp_ratios") -> list[Event]:
    return recordings.from_tables(name=name, ratios=RATIOS)


def test_a_choice_alone_is_shown_as_it_is() -> None:
    assert combined([], choice()) == choice()


def test_scores_alone_are_shown_as_they_are() -> None:
    assert combined(testing.finished_run(), []) == testing.finished_run()


def test_the_choice_of_the_same_run_is_shown_with_all_that_its_recording_has() -> None:
    whole = testing.finished_run()
    assert combined(whole[:8], whole) == whole


def test_a_choice_is_added_to_the_scores_of_another_recording() -> None:
    scores = recordings.from_tables(name="eval_scores", table=TABLE, baseline=0.9)
    run = state_of(combined(scores, choice()))
    assert run.selection is not None
    assert run.selection.comp_ratios == RATIOS
    assert {layer: {ratio: cell.score for ratio, cell in row.items()} for layer, row in run.scores.items()} == TABLE
    assert run.baseline is not None
    assert run.started is not None
    assert run.started.run_name == "eval_scores"


def test_files_of_the_same_name_in_two_directories_are_not_taken_for_one_recording() -> None:
    scores = recordings.from_tables(name="resnet", table=TABLE)
    run = state_of(combined(scores, choice("resnet")))
    assert run.selection is not None
    assert set(run.scores) == set(TABLE)


def test_a_choice_takes_the_place_of_the_one_that_the_run_itself_made_and_of_what_came_of_that() -> None:
    other = recordings.from_tables(name="mine", ratios={"conv1": 0.75, "layer1.0.conv1": None, "fc": 0.25})
    run = state_of(combined(testing.finished_run(), other))
    assert run.selection is not None
    assert run.selection.comp_ratios == {"conv1": 0.75, "layer1.0.conv1": None, "fc": 0.25}
    assert run.finished is None
    assert not run.compressed
    assert run.total == run.completed > 0


def test_what_was_combined_is_in_order_and_no_run_that_goes_on() -> None:
    events = combined(testing.finished_run(), choice())
    logged = [event.seq for event in events if event.logged]
    assert logged == sorted(set(logged))
    assert len({event.run_id for event in events}) == 1
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    assert started.fingerprint == ""
