"""JSON from outside: what Python reads, or a refusal."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks import bounded_json
from tests.properties.event_strategies import finite, texts
from tests.properties.mutations import mutated

values = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 10**299, 10**300 - 1) | finite | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(values, st.booleans())
def test_every_value_comes_back(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert bounded_json.decode(text) == json.loads(text)
    raw = text.encode("utf-8", "surrogatepass")
    assert bounded_json.decode(raw) == json.loads(raw.decode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        bounded_json.decode(content)


@given(values.map(json.dumps).map(str.encode).flatmap(mutated))
def test_a_damaged_text_is_read_as_python_reads_it_or_refused(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        found = bounded_json.decode(content)
        assert found == json.loads(content.decode("utf-8-sig", "surrogatepass"))
