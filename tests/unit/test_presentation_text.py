"""Text from outside, made safe to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks.presentation.text import clean, layer_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer1.0.conv", "layer1.0.conv"),
        ("größe.層", "größe.層"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bcreset", "reset"),
        ("unfinished \x1b]0;title", "unfinished 0;title"),
        ("a\tb\r\nc", "a b  c"),
        ("nul\x00bell\x07del\x7f", "nulbelldel"),
        ("\u202eabc\u2069\u200b", "abc"),
        ("lone \ud800 surrogate", "lone  surrogate"),
    ],
)
def test_what_steers_a_terminal_is_taken_out_of_names(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(st.characters(), max_size=60))
def test_a_cleaned_text_is_printable_whatever_it_was(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)


def test_a_name_that_shows_nothing_is_shown_as_quotes() -> None:
    assert layer_name("") == layer_name("\x1b[0m ") == "''"
