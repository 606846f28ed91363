"""Go through a large weight in pieces that fit into a core's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.factorization import Array

_WEIGHTS = 32_768


def chunks(rows: Array) -> Iterator[tuple[slice, Array]]:
    """Weights (rows, columns) a few whole rows at a time, each piece with its place; views, nothing is copied."""
    step = max(1, _WEIGHTS // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        place = slice(start, start + step)
        yield place, rows[place]
