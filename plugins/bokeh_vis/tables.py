"""Columns of the page's tables; whatever they show is escaped by their templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.events import DocumentReady
from bokeh.models import CustomJS
from bokeh.models.widgets.tables import DataTable, HTMLTemplateFormatter, TableColumn

from bokeh_vis import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.document import Document
    from bokeh.models import ColumnDataSource, InlineStyleSheet

TEXT = '<span title="<%- value %>"><%- value %></span>'
NUMBER = '<span class="right"><%- value %></span>'
CELL = (
    '<% const [key, look, text, title = ""] = value.split("|") %>'
    '<div class="cell <%- look %>" title="<%- title %>"><%- text %></div>'
)
HEADER, ROW = 28, 27
"""Pixels."""

MIDDLE, WIDEST = 5_000_000, 9_999_999


def bar(field: str) -> str:
    """A bar as long as a column's percentage, behind a number: so both fit however narrow the column is."""
    return f'<i style="width: <%- Number({field}) %>%"></i>'


def name_template(title: str) -> str:
    """A name, of which the middle is left out where a column is too narrow: names of layers differ at either end.

    Args:
        title: A template of what is shown on hover.
    """
    halves = (
        "<% const letters = [...value], half = letters.length > 20 ? Math.ceil(letters.length / 2) : letters.length %>"
    )
    first, last = ("<%- letters.slice(0, half).join('') %>", "<%- letters.slice(half).join('') %>")
    return (
        f'{halves}<span class="name" title="{title}"><span><bdi>{first}</bdi></span>'
        f'<span class="end"><bdi>{last}</bdi></span></span>'
    )


NAME = name_template("<%- value %>")
SHARE = (
    f'<div class="share" title="<%- value.toFixed(3) %> %">{bar("share_bar")}'
    "<b><%- value > 0 && value < 0.1 ? value.toPrecision(1) : value.toFixed(1) %> %</b></div>"
)


def cell(value: float | None, look: str, text: str, title: str = "") -> str:
    """What a column of cells holds.

    It begins with digits that sort as the values do: where Bokeh sorts anew after a change, it compares texts.

    Args:
        value: In hundredths of a point; None sorts below all.
        look: Classes of the style sheet.
        text: Shown.
        title: Shown on hover.
    """
    key = "" if value is None else f"{min(WIDEST, max(0, MIDDLE + round(value))):07d}"
    return "|".join([key, look, text, *([title.replace("|", "/")] if title else [])])


def table(
    name: str,
    source: ColumnDataSource,
    columns: Sequence[TableColumn],
    sheet: InlineStyleSheet,
    *,
    tick_rows: bool = False,
) -> DataTable:
    """A table of rows that can be sorted and, if wanted, ticked; it is shown once it has rows."""
    return DataTable(
        name=name,
        source=source,
        columns=list(columns),
        selectable="checkbox" if tick_rows else False,
        index_position=None,
        scroll_to_selection=False,
        reorderable=False,
        row_height=ROW,
        height=height(0, 0),
        sizing_mode="stretch_width",
        visible=False,
        stylesheets=[sheet],
    )


def repaint_on_change(document: Document, source: ColumnDataSource, table: DataTable) -> None:
    """Let a tab repaint a table, and fit its columns, when its values have changed; Bokeh does not by itself."""
    repaint = CustomJS(args={"table": table}, code=theme.scripts("fit.js", "repaint.js"))
    document.js_on_event(DocumentReady, repaint)
    source.js_on_change("data", repaint)


def column(field: str, title: str, width: int, template: str = TEXT) -> TableColumn:
    """A column that is formatted by a template."""
    return TableColumn(field=field, title=title, width=width, formatter=HTMLTemplateFormatter(template=template))


def score_column(field: str, width: int) -> TableColumn:
    """A column of cells; it is not shown yet."""
    return TableColumn(
        field=field,
        title="",
        width=width,
        visible=False,
        formatter=HTMLTemplateFormatter(template=CELL),
    )


def height(rows: int, most: int) -> int:
    """Pixels of a table with so many rows, of which ``most`` are seen at a time."""
    return HEADER + ROW * max(2, min(rows, most)) + 16
