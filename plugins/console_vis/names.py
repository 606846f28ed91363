"""Text as wide as the terminal has room for."""

from __future__ import annotations

from rich.cells import cell_len, chop_cells


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """``text`` in at most ``width`` terminal cells: where it is longer, its middle is left out."""
    if cell_len(text) <= width:
        return text
    if width <= cell_len(ellipsis):
        return ellipsis[: max(0, width)]
    room = width - cell_len(ellipsis)
    return _start(text, room - room // 2) + ellipsis + _start(text[::-1], room // 2)[::-1]


def pad(text: str, width: int, *, right: bool = False) -> str:
    """``text`` filled with blanks to ``width`` terminal cells, at the left if it is aligned ``right``."""
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def _start(text: str, width: int) -> str:
    return chop_cells(text, width)[0] if width > 0 else ""
