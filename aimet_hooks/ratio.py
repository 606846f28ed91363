"""Ratios as users write them, exactly, and as messages tell them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from aimet_hooks.errors import UsageError

TOLERANCE = 1e-6
"""A ratio as near as this to a candidate is that candidate: 0.333333 is 1 / 3."""


def exact_ratio(value: Any, what: str) -> Fraction:
    """A ratio as an exact fraction: 0.3 is 3/10.

    Raises:
        UsageError: If it is not a number between 0 and 1, both excluded.
    """
    try:
        written = "no number" if isinstance(value, (bool, str)) else str(value)
        ratio = value if isinstance(value, Fraction) else Fraction(written)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"{what} is {value!r}; give a number between 0 and 1: the share of the cost to keep"
        ) from error
    if not 0 < ratio < 1:
        raise UsageError(
            f"{what} is {value!r}; it must lie between 0 and 1, both excluded: the share of the cost to keep"
        )
    return ratio


def told(ratio: float | Fraction | None) -> str:
    """A ratio in a message; "none" for a layer that is left alone."""
    return "none" if ratio is None else f"{float(ratio):g}"
