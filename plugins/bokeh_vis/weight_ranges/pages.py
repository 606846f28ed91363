"""The three pages, from parts that they share: what was found, the layers, their channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bokeh.models import Column, ColumnDataSource, CustomJS
from bokeh.plotting import figure
from bokeh.settings import settings

from bokeh_vis import theme
from bokeh_vis.parts import Parts
from bokeh_vis.weight_ranges import change_table, channel_plots, findings, layer_table, not_compared, strips

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document
    from bokeh.models import InlineStyleSheet, LayoutDOM

    from aimet_hooks.quantization.model_ranges import ModelRanges, RangeChanges

NAME = "aimet_hooks_weight_ranges"
RELOADS = "reloads"
"""Source of a page's number of reloads: tabs load the page anew when it grows."""


def weight_ranges(ranges: ModelRanges) -> Column:
    """Where the weights of every channel lie."""

    def parts(sheet: InlineStyleSheet) -> list[LayoutDOM]:
        table = layer_table.build(ranges, sheet)
        return [
            findings.ranges("Weight ranges", ranges, sheet),
            layer_table.card(table, sheet),
            channel_plots.build_ranges(table, ranges, sheet),
        ]

    return _page("weight ranges", parts)


def relative_ranges(ranges: ModelRanges) -> Column:
    """How uneven the channels of every layer are."""

    def parts(sheet: InlineStyleSheet) -> list[LayoutDOM]:
        table = layer_table.build(ranges, sheet)
        return [
            findings.ranges("Relative weight ranges", ranges, sheet),
            strips.build(table, ranges, sheet),
            layer_table.card(table, sheet),
            channel_plots.build_ranges(table, ranges, sheet),
        ]

    return _page("relative weight ranges", parts)


def changes(changed: RangeChanges) -> Column:
    """What an optimization did to every channel."""

    def parts(sheet: InlineStyleSheet) -> list[LayoutDOM]:
        table = change_table.build(changed, sheet)
        return [
            findings.changes(changed, sheet),
            change_table.card(table, sheet),
            channel_plots.build_changes(table, changed, sheet),
            *not_compared.build(changed.not_compared, sheet),
        ]

    return _page("changes of weight ranges", parts)


def title_of(page: Column) -> str:
    """What the browser's tab is called."""
    return f"{page.tags[0]} · aimet-hooks"


def found(document: Document) -> list[Column]:
    """The pages that a document holds."""
    return [cast("Column", root) for root in document.roots if root.name == NAME]


def reload_tabs(page: Column) -> None:
    """Make every tab load the page anew."""
    source = Parts(page).get(RELOADS, ColumnDataSource)
    source.data = {"count": [source.data["count"][0] + 1]}


def _page(title: str, parts: Callable[[InlineStyleSheet], list[LayoutDOM]]) -> Column:
    """A page whose models have unique ids: one server may hold several."""
    simple = settings.simple_ids()
    settings.simple_ids = False
    try:
        sheet = theme.sheet()
        root = theme.page(*parts(sheet), sheet=sheet)
        root.name, root.tags = NAME, [title]
        reloads = ColumnDataSource(name=RELOADS, data={"count": [0]})
        reloads.js_on_change("data", CustomJS(code=theme.scripts("reload.js")))
        root.js_on_change("name", CustomJS(args={"reloads": reloads}, code=""))  # so it is a part of the page
        outlive = CustomJS(code=theme.scripts("come_back.js", "outlive.js"))
        Parts(root).get(f"{channel_plots.FIGURE}_0", figure).js_on_change("inner_width", outlive)
    finally:
        settings.simple_ids = simple
    theme.keep_private(root)
    return root
