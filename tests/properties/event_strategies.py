"""Any event that a run may announce, for property tests."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from aimet_hooks.events import EVENTS, Event, LayerInfo, RunStarted

texts = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Lu", "Zl", "Zp"]), max_size=8),  # halves of characters included
    st.sampled_from(["\ud83d\ude00", "\ud83d", "\ude00\ud83d", '", "crc": "00000000"}', "\u2028\x85\r\n"]),
)
finite = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**70), 2**70)
json_values = st.recursive(
    st.none() | st.booleans() | integers | finite | texts,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
"""What a user's settings may hold; lists come back as tuples, as all sequences of an event do."""


def _values(hint: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return json_values
    if origin is types.UnionType:
        return st.one_of(*(_values(argument) for argument in arguments))
    if origin is Mapping:
        return st.dictionaries(texts, _values(arguments[1]), max_size=3)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if hint is LayerInfo:
        return records(LayerInfo)
    return {
        str: texts,
        int: integers,
        float: finite | integers,
        bool: st.booleans(),
        types.NoneType: st.none(),
    }[hint]


def records(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass of ``aimet_hooks.events``."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: _values(hints[field.name]) for field in dataclasses.fields(kind)})


def any_event() -> st.SearchStrategy[Event]:
    """Any event of any kind."""
    return st.one_of(*(records(kind) for kind in EVENTS.values()))


def started() -> st.SearchStrategy[RunStarted]:
    """Any first event."""
    return records(RunStarted)
