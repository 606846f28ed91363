"""Events and their lines, whatever the names and numbers."""

from __future__ import annotations

import copy
import json
import pickle
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks import event_log
from aimet_hooks.events import Event
from tests.properties.event_strategies import any_event


@given(any_event())
def test_line_gives_the_same_event_back(event: Event) -> None:
    again = event_log.from_line(event_log.to_line(event))
    assert again == event
    assert type(again) is type(event)
    assert event_log.to_line(again) == event_log.to_line(event)


@given(any_event())
def test_pickle_and_copy_give_the_same_event_back(event: Event) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(event, protocol)) == event
    assert copy.deepcopy(event) == event


@given(any_event())
def test_line_is_one_flat_object_of_strict_json(event: Event) -> None:
    line = event_log.to_line(event)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    fields = json.loads(line, parse_constant=refuse)
    assert list(fields)[:2] == ["event", "schema"]
    assert list(fields)[-1] == "crc"
    assert not set("\n\r") & set(line)
    body = line[: line.rindex(', "crc"')].encode("utf-8", "surrogatepass")
    assert fields["crc"] == f"{zlib.crc32(body):08x}"


@given(any_event(), st.data())
def test_check_finds_every_change_of_one_byte(event: Event, data: st.DataObject) -> None:
    line = event_log.to_line(event).encode("utf-8", "surrogatepass")
    place = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
    changed = line[:place] + bytes([byte]) + line[place + 1 :]
    with pytest.raises(ValueError):
        event_log.from_line(changed.decode("utf-8", "surrogatepass"))


@given(any_event(), st.data())
def test_beginning_of_a_line_is_never_taken_for_the_line(event: Event, data: st.DataObject) -> None:
    line = event_log.to_line(event)
    with pytest.raises(ValueError, match="its check does not fit"):
        event_log.from_line(line[: data.draw(st.integers(0, len(line) - 1))])


@given(st.text(st.characters(), max_size=60))
def test_text_that_is_no_line_is_refused_with_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        event_log.from_line(text)


@given(
    st.dictionaries(st.sampled_from(["layer", "reason", "seq", "time", "run_id"]), st.none() | st.lists(st.integers()))
)
def test_fields_of_wrong_types_are_refused_with_a_value_error(fields: dict[str, object]) -> None:
    from aimet_hooks.events import from_fields

    with pytest.raises(ValueError, match="field '"):
        from_fields("layer_skipped", fields)
