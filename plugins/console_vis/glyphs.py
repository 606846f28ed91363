"""The signs that the panel is drawn with, for terminals that know Unicode and for those that do not."""

from __future__ import annotations

from dataclasses import dataclass

from aimet_hooks.presentation.score_scale import LABELS
from console_vis import score_colours


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs, each one cell wide but for ``arrow``, ``points`` and the labels."""

    done: str
    todo: str
    latest: str
    chosen: str
    pending: str
    dot: str
    above: str
    below: str
    arrow: str
    ellipsis: str
    signs: str
    labels: tuple[str, ...]


UNICODE = Glyphs(
    done="━",
    todo="─",
    latest="▸",
    chosen="◆",
    pending="·",
    dot="·",
    above="▲",
    below="▼",
    arrow="→",
    ellipsis="…",
    signs=score_colours.SIGNS,
    labels=LABELS,
)

ASCII = Glyphs(
    done="#",
    todo="-",
    latest=">",
    chosen="*",
    pending=".",
    dot="-",
    above="^",
    below="v",
    arrow="->",
    ellipsis="~",
    signs=score_colours.ASCII_SIGNS,
    labels=score_colours.ASCII_LABELS,
)


def glyphs_for(encoding: str) -> Glyphs:
    """The signs that an encoding has."""
    return UNICODE if encoding.lower().startswith("utf") else ASCII
