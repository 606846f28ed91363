"""Numbers as the pages of weight ranges hold them: nothing undefined ever reaches a page as a number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

DIGITS = 4


def rounded(value: float) -> float | None:
    """To four digits; None where it is undefined."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def column(values: Iterable[Any]) -> list[float | None]:
    """A column of a table, likewise."""
    return [rounded(float(value)) for value in values]


def packed(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """A column of many channels: four bytes each, NaN where undefined or too large for that."""
    with np.errstate(over="ignore"):
        found = np.asarray(values, np.float32)
    return np.where(np.isfinite(found), found, np.float32(np.nan))
