"""The colour and the sign of each grade of a score in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aimet_hooks.presentation.score_scale import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.presentation.score_scale import ScoreScale

ASCII_LABELS = ("0", *LABELS[1:])

STYLES = (
    "#ffffff on #005faf",
    "#000000 on #5fafd7",
    "#000000 on #afd7ff",
    "#000000 on #ffffd7",
    "#000000 on #ffd787",
    "#000000 on #ffaf5f",
    "#ffffff on #d75f00",
    "#ffffff on #870000",
)
"""From blue over white to red, as RdYlBu (Brewer 2003): safe for colour blindness of every kind. Every colour is one of
the 256 of xterm, so it is the same on terminals that have no others."""

SIGNS = "▁▂▃▄▅▆▇█"
ASCII_SIGNS = "_.:-=+*#"
FAILED_STYLE = "bold #ff5f5f"


def legend(scale: ScoreScale, labels: Sequence[str], signs: str | None = None) -> Text:
    """What the colours stand for; with ``signs`` what those stand for, for where there are no colours."""
    line = Text()
    line.append("points lost, up to ", "dim")
    for grade, label in scale.legend(labels):
        if signs is None:
            line.append(f" {label} ", STYLES[grade])
        else:
            line.append(f"{signs[grade]}{label} ")
    line.append(f"  1 point = {scale.point:.3g}", "dim")
    return line
