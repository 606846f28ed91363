"""Sentences of a summary, broken where a terminal ends."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator


def wrapped(text: str, width: int | None) -> Iterator[Text]:
    """A line that goes on indented where a terminal ends; one line where ``width`` is None."""
    if width is None:
        yield Text(f"  {text}")
        return
    first, *others = textwrap.wrap(text, max(width - 4, 20), break_long_words=False, break_on_hyphens=False) or [""]
    yield Text(f"  {first}")
    yield from (Text(f"    {line}") for line in others)
