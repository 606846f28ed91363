"""Numbers with a unit, as people read them."""

from __future__ import annotations

import math

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
LONGEST_SCORE = 9
"""Characters above which a score is written with an exponent."""


def count(number: float) -> str:
    """Three significant digits and a decimal prefix: 2.33 M, 94.6 k; whole numbers below 1000 as they are."""
    power = 0
    while abs(number) >= 999.5 and power < len(_PREFIXES) - 1:
        number /= 1000
        power += 1
    if power == 0:
        return f"{number:.3g}"
    decimals = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{decimals}f} {_PREFIXES[power]}"


def duration(seconds: float) -> str:
    """Minutes and seconds as 0:07, with hours as 1:02:03, with days as 2 d 03:04:05."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    if days:
        return f"{days} d {hours:02d}:{clock}"
    return f"{hours}:{clock}" if hours else f"{rest // 60}:{rest % 60:02d}"


def short_duration(seconds: float) -> str:
    """What one evaluation takes: 9.5 ms, 0.25 s, 12.3 s; from two minutes on as ``duration``."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    return f"{seconds:.{2 if seconds < 0.995 else 3}g} s" if seconds < 119.5 else duration(seconds)


def rough_duration(seconds: float) -> str:
    """A forecast in words: "less than a second", "about 4 s", "about 12 min", "about 3.5 h"."""
    if seconds < 1:
        return "less than a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h" if seconds < 172800 else f"about {seconds / 86400:.1f} days"


def rate(evaluations_per_second: float) -> str:
    """12.3 evals/s; where one takes longer than a second 4.2 s/eval."""
    if evaluations_per_second >= 1:
        return f"{evaluations_per_second:.{1 if evaluations_per_second < 99.95 else 0}f} evals/s"
    seconds = 1 / evaluations_per_second
    return f"{seconds:.2g} s/eval" if seconds < 10 else f"{seconds:.0f} s/eval"


def ratio(value: float | None) -> str:
    """A compression ratio, "-" where there is none."""
    return "-" if value is None else f"{value:.4g}"


def percent(share: float) -> str:
    """A share in percent, which is 100% or 0% only where it is exactly that: 81%, 99.8%, >99.9%, 0.3%, <0.1%."""
    for decimals, least in ((0, 0.005), (1, 0.0005)):
        if share in (0, 1) or least <= share < 1 - least:
            return f"{share:.{decimals}%}"
    return "<0.1%" if share < 0.5 else ">99.9%"


def share(value: float | None) -> str:
    """A ratio that was reached, to three decimals; "-" where it is not known."""
    return "-" if value is None else f"{value:.3f}"


def decimals_for(resolution: float) -> int:
    """Decimal places that show a difference of ``resolution``."""
    if not resolution > 0:
        return 4
    return min(12, max(0, math.ceil(-math.log10(resolution) - 1e-9)))


def score(value: float, decimals: int) -> str:
    """A score with fixed decimals, or with an exponent where that would be too long or show no digit."""
    text = f"{value:.{decimals}f}"
    if len(text) > LONGEST_SCORE or (value and float(text) == 0):
        return f"{value:.3g}"
    return text
