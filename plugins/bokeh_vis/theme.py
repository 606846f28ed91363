"""The look of a page: colours, cards, and the style sheets and scripts that lie beside this file."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from bokeh.models import Column, GlobalInlineStyleSheet, InlineStyleSheet
from bokeh.models.widgets.markups import Div

if TYPE_CHECKING:
    from bokeh.models import LayoutDOM

TEXT = "#808794"
"""A grey that reads on light and on dark, for what is drawn on a canvas and knows nothing of variables."""

LINE = "#80879455"

CURVES = (
    "#3b8bd9",
    "#e8743b",
    "#2ba88a",
    "#c678b4",
    "#d9a514",
    "#7d6bd6",
    "#e2566a",
    "#4fb3d8",
    "#8ea03c",
    "#b0764a",
    "#9aa2ae",
    "#19786a",
)
"""Colours of curves, the first eight far apart for colour blindness of every kind."""


def sheet() -> InlineStyleSheet:
    """The style sheet that every part of a page gets; one model a page."""
    return InlineStyleSheet(css=_text("styles.css"))


def variables() -> GlobalInlineStyleSheet:
    """Colours and fonts, light and dark; once a page."""
    return GlobalInlineStyleSheet(css=_text("variables.css"))


def card(*children: LayoutDOM, sheet: InlineStyleSheet, look: str = "") -> Column:
    """Parts of a page that belong together, on one ground.

    Args:
        children: From top to bottom.
        sheet: Of the page.
        look: "wide" or "wider", for cards side by side.
    """
    return Column(
        children=list(children),
        css_classes=["card", look] if look else ["card"],
        spacing=8,
        sizing_mode="stretch_width",
        stylesheets=[sheet],
    )


def stack(*cards: LayoutDOM, sheet: InlineStyleSheet, look: str = "") -> Column:
    """Cards one below the other that stand beside another card; look: "wider" where they get more of the width."""
    return Column(
        children=list(cards),
        css_classes=["stack", look] if look else ["stack"],
        spacing=14,
        sizing_mode="stretch_width",
        stylesheets=[sheet],
    )


def words(name: str, sheet: InlineStyleSheet, text: str = "") -> Div:
    """A place for words, which are HTML, and never TeX: names of layers are nobody's formulas."""
    return Div(name=name, text=text, disable_math=True, stylesheets=[sheet], sizing_mode="stretch_width")


def page(*parts: LayoutDOM, sheet: InlineStyleSheet) -> Column:
    """The cards of a page, from top to bottom."""
    return Column(
        children=list(parts),
        spacing=14,
        margin=(16, 20, 16, 20),
        sizing_mode="stretch_width",
        stylesheets=[variables(), sheet],
    )


def keep_private(root: LayoutDOM) -> None:
    """Let no tab change what others see: what is ticked, sorted and zoomed is each viewer's own business."""
    for model in root.references():
        model.syncable = False


def scripts(*names: str) -> str:
    """The texts of scripts by the names of their files; later ones use the functions of earlier ones."""
    return "\n".join(_text(f"scripts/{name}") for name in names)


@cache
def _text(path: str) -> str:
    return resources.files("bokeh_vis").joinpath(path).read_text("utf-8")
