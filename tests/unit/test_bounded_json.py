"""JSON from outside becomes plain values within a known amount of memory, or one clear clause."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest

from aimet_hooks import bounded_json

DEEPEST = bounded_json.MAX_DEPTH


@pytest.mark.parametrize("convert", [str, str.encode], ids=["str", "bytes"])
@pytest.mark.parametrize(
    "value",
    [
        {"layer": "層\U0001f600", "score": -0.5, "macs": 10**299, "error": None, "metrics": {}, "flags": [True, False]},
        [],
        "text",
        0.1,
        [[{"a": [1]}]] * 200,
    ],
)
def test_plain_values_come_back(value: object, convert: Callable[[str], str | bytes]) -> None:
    assert bounded_json.decode(convert(json.dumps(value))) == value
    assert bounded_json.decode(convert(json.dumps(value, ensure_ascii=False))) == value


def test_halves_of_characters_and_a_byte_order_mark_are_tolerated() -> None:
    assert bounded_json.decode('\ufeff["a\ud800"]'.encode("utf-8", "surrogatepass")) == ["a\ud800"]
    assert bounded_json.decode('["a\ud800"]') == ["a\ud800"]
    assert bounded_json.decode(rb'["a\ud800"]') == ["a\ud800"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ('{"a": 1', "Expecting ',' delimiter: line 1 column 8 (char 7)"),
        ("[NaN]", "it holds NaN, which is no JSON"),
        ("-Infinity", "it holds -Infinity, which is no JSON"),
        ("[1e999]", "it holds 1e999, which is no finite number"),
        ("-1" + 400 * "0" + ".5", "it holds -1" + 58 * "0" + ", which is no finite number"),
        (301 * "7", "it holds an integer of 301 digits"),
        (100_000 * "7", "it holds an integer of 100,000 digits"),
        ('[{"a": {"b": 1, "c": 2, "b": 1}}]', "it has the key 'b' twice"),
        ('{"%s": 1, "%s": 2}' % (2 * (1000 * "k",)), f"it has the key '{60 * 'k'}' twice"),
        (DEEPEST * "[" + "[]" + DEEPEST * "]", f"it is nested more than {DEEPEST} deep"),
        ((DEEPEST + 1) * '{"a":' + "0" + (DEEPEST + 1) * "}", f"it is nested more than {DEEPEST} deep"),
        (100_000 * "[", f"it is nested more than {DEEPEST} deep"),
    ],
)
def test_anything_else_is_refused_in_one_clause(text: str, why: str) -> None:
    for given in (text, text.encode()):
        with pytest.raises(ValueError) as caught:
            bounded_json.decode(given)
        assert str(caught.value) == why


def test_the_deepest_admitted_value_comes_back() -> None:
    bounded_json.decode(DEEPEST * "[" + DEEPEST * "]")
    bounded_json.decode(DEEPEST * '{"a":' + "0" + DEEPEST * "}")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="can't decode byte 0xff"):
        bounded_json.decode(b"\xff")


def many(item: Callable[[int], str]) -> Callable[[int], str]:
    return lambda size: ",".join(map(item, range(25_000 * size)))


ITEMS = {
    "integers": many(lambda _: "1000"),
    "floats": many(lambda _: "1e5"),
    "lists": many(lambda _: "[]"),
    "objects": many(lambda _: '{"":0}'),
    "strings": many(lambda _: '"ab"'),
    "wide strings": many(lambda _: '"\U0001f600"'),
    "escapes": many(lambda _: r'"\ud83d\ude00"'),
    "keys": many(lambda number: f'{{"{number:x}":{number}}}'),
}
FIELDS = many(lambda number: f'"{number:x}":{number}')
TEXTS: dict[str, Callable[[int], str]] = {
    **{kind: lambda size, items=items: f"[{items(size)}]" for kind, items in ITEMS.items()},  # type: ignore[misc]
    "one object": lambda size: f"{{{FIELDS(size)}}}",
    "one string": lambda size: '"' + "a" * 2_500_000 * size + '"',
    "one wide string": lambda size: '"\U0001f600' + "a" * 600_000 * size + '"',
}


def peak_of(text: bytes) -> int | None:
    """The memory that decoding takes at most; None if the text is refused for what it would take."""
    tracemalloc.start()
    try:
        bounded_json.decode(text)
    except ValueError as error:
        refusal: str | None = str(error)
    else:
        refusal = None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if refusal is None:
        return peak
    assert refusal == "it would take more than 60 MB of memory"
    assert peak < 100_000
    return None


@pytest.mark.parametrize("kind", TEXTS)
def test_what_is_decoded_takes_no_more_than_the_limit(kind: str) -> None:
    peaks = [peak_of(TEXTS[kind](size).encode()) for size in (2, 8, 32, 64)]
    admitted = [peak for peak in peaks if peak is not None]
    assert None in peaks
    assert admitted == peaks[: len(admitted)]
    assert bounded_json.MAX_DECODED_BYTES / 24 < admitted[-1] < bounded_json.MAX_DECODED_BYTES
