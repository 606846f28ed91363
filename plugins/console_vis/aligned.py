"""A table of text in aligned columns, complete at any width."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from console_vis.names import pad, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NARROWEST_FIRST = 16
"""Cells below which the first column is not cut before the others are put into blocks below one another."""

WIDEST_FIRST = 1_000
"""Cells that the first column has at most: longer names stand whole, and do not make the other lines longer."""


class Entry(NamedTuple):
    """One entry of a table: its text and how it looks on a terminal."""

    text: str
    style: str = ""


def aligned(
    headings: Sequence[str] | None,
    rows: Sequence[Sequence[Entry]],
    *,
    width: int | None,
    indent: str = "  ",
    gap: str = "  ",
) -> Iterator[Text]:
    """The lines of a table: the first column aligned left, all others right.

    Args:
        headings: One a column, or None.
        rows: One entry a column each.
        width: Cells of a terminal line. Where the table is wider, first the entries of the first column are cut in
            the middle, then columns are put into blocks below one another. None: as wide as it is.
        indent: What every line begins with.
        gap: What separates columns.
    """
    lines = rows if headings is None else [[Entry(heading, "bold") for heading in headings], *rows]
    widths = [max(cell_len(entry.text) for entry in column) for column in zip(*lines, strict=True)]
    widths[0] = min(widths[0], WIDEST_FIRST)
    blocks = [list(range(1, len(widths)))]
    if width is not None:
        room = width - cell_len(indent)
        others = sum(widths[1:]) + len(gap) * (len(widths) - 1)
        widths[0] = max(min(widths[0], NARROWEST_FIRST), min(widths[0], room - others))
        blocks = _blocks(widths, room - widths[0], len(gap))
    for number, block in enumerate(blocks):
        if number:
            yield Text()
        for line in lines:
            first = line[0] if width is None else Entry(shorten(line[0].text, widths[0]), line[0].style)
            yield _line(indent, [first, *line[1:]], widths, block, gap)


def _blocks(widths: Sequence[int], room: int, gap: int) -> list[list[int]]:
    """Columns but the first, in groups that fit into ``room`` cells; a group has at least one."""
    blocks: list[list[int]] = [[]]
    used = 0
    for place, width in enumerate(widths[1:], start=1):
        needed = gap + width
        if blocks[-1] and used + needed > room:
            blocks.append([])
            used = 0
        blocks[-1].append(place)
        used += needed
    return blocks


def _line(indent: str, row: Sequence[Entry], widths: Sequence[int], block: Sequence[int], gap: str) -> Text:
    line = Text(indent)
    line.append(pad(row[0].text, widths[0]), row[0].style)
    for place in block:
        text, style = row[place]
        line.append(gap)
        line.append(pad(text, widths[place], right=True), style)
    line.rstrip()
    return line
