"""The lines of a CSV table that comes from outside, in a bounded amount of memory."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 8 * 1024 * 1024
MAX_FIELDS = 300_000
"""As the costs of all ranks of a model with 150 layers of a thousand each."""


def rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Each line with its number, empty ones left out; halves of characters are tolerated.

    Raises:
        csv.Error: If it is no CSV in UTF-8, or has more fields than any table of a model.
    """
    if content.count(b",") > MAX_FIELDS:
        raise csv.Error(f"it has more than {MAX_FIELDS:,} fields")
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogatepass", newline="")
    reader = csv.reader(text, strict=True)
    try:
        yield from ((reader.line_num, row) for row in reader if row)
    except UnicodeDecodeError as error:
        raise csv.Error(str(error)) from error
