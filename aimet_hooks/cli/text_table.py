"""Aligned columns of plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

WIDEST = 200
"""Characters from which on an entry is cut in the middle: all lines are as wide as the longest name of a model."""


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """A table with one line a row; the columns in ``right`` are aligned to the right."""
    lines = [tuple(printable(shortened(text, WIDEST)) for text in line) for line in (header, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if at in right else text.ljust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def shortened(text: str, most: int) -> str:
    """The text; its beginning and its end, if it is longer."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def printable(text: str) -> str:
    """The text without anything that a terminal would act on: names come from model files."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
