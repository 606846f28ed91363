"""The table of scores in the live panel: as many layers and ratios as there is room for, around the latest cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from aimet_hooks.presentation import quantities
from aimet_hooks.presentation.text import layer_name
from console_vis.names import pad, shorten
from console_vis.score_colours import FAILED_STYLE, STYLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.events import EvalScored
    from console_vis.glyphs import Glyphs
    from console_vis.watched_run import WatchedRun

NARROWEST_NAME = 12
WIDEST_NAME = 48
COMPACT = 2
"""Cells of a column that shows no number: a mark and a sign for the grade."""

FAILED, FAILED_COMPACT = "fail", "x"
SHARE_HEADING = "    share"


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How a table is fitted into the room that there is.

    Attributes:
        rows: Index of the first layer that is shown, and of the one after the last.
        columns: The same for the ratios.
        name: Terminal cells of the column of names.
        column: Terminal cells of a ratio: a mark, the score, a sign or blank; ``COMPACT`` where scores do not fit.
        shares: Whether each layer's share of the model's cost is shown.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    name: int
    column: int
    shares: bool

    @property
    def width(self) -> int:
        """Terminal cells of a line."""
        first, end = self.columns
        return self.name + (end - first) * self.column + (len(SHARE_HEADING) if self.shares else 0)


def lay_out(watched: WatchedRun, *, width: int, height: int) -> TableLayout:
    """Fit the table of a run into ``width`` terminal cells, and ``height`` lines for its layers."""
    ratios = watched.state.candidates
    name = min(max(watched.widest_name + 1, NARROWEST_NAME), WIDEST_NAME)
    column = 2 + max([len(FAILED), watched.widest_score, *(len(_label(ratio)) for ratio in ratios)])
    if min(name, NARROWEST_NAME) + len(ratios) * column > width:
        column = COMPACT
    latest = watched.state.last_cell.comp_ratio if watched.state.last_cell else None
    room = max(1, (width - NARROWEST_NAME) // column)
    columns = window(len(ratios), room, ratios.index(latest) if latest in ratios else 0)
    scores = (columns[1] - columns[0]) * column
    name = max(2, min(name, width - scores))
    shares = watched.state.total_cost > 0 and name + scores + len(SHARE_HEADING) <= width
    return TableLayout(window(len(watched.layers), height, watched.position), columns, name, column, shares)


def window(total: int, room: int, position: int) -> tuple[int, int]:
    """The range of ``room`` out of ``total`` places with ``position`` in its middle, moved inside at the ends."""
    room = min(total, max(0, room))
    first = min(max(0, position - room // 2), total - room)
    return first, first + room


class PanelTable:
    """Draws the table of a run as lines of text.

    Args:
        watched: The run.
        layout: What is shown, and how wide.
        glyphs: What to draw with.
        signs: Whether grades are also shown by signs, for where there are no colours.
    """

    def __init__(self, watched: WatchedRun, layout: TableLayout, glyphs: Glyphs, *, signs: bool) -> None:
        self._watched = watched
        self._run = watched.state
        self._layout = layout
        self._glyphs = glyphs
        self._signs = signs
        self._ratios = self._run.candidates[slice(*layout.columns)]

    def lines(self) -> Iterator[Text]:
        """The heading, then one line a layer."""
        yield self._heading()
        for layer in self._watched.layers[slice(*self._layout.rows)]:
            yield self._row(layer)

    def hidden(self) -> str:
        """How many layers and ratios are not shown, "" if none."""
        (first, end), ratios = self._layout.rows, len(self._run.candidates) - len(self._ratios)
        below = len(self._watched.layers) - end
        parts = [f"{self._glyphs.above} {first} more above"] if first else []
        parts += [f"{self._glyphs.below} {below} more below"] if below else []
        parts += [f"{ratios} more ratios"] if ratios else []
        return "   ".join(parts)

    def _heading(self) -> Text:
        width = self._layout.column
        if width == COMPACT:
            labels = self._ticks()
        else:
            labels = "".join(f"{_label(ratio):>{width - 1}} " for ratio in self._ratios)
        share = SHARE_HEADING if self._layout.shares else ""
        return Text(pad(shorten("layer", self._layout.name), self._layout.name) + labels + share, "dim")

    def _ticks(self) -> str:
        """Labels over narrow columns, as many as fit, each beginning over the sign of its column."""
        line, width = "", len(self._ratios) * COMPACT
        for place, ratio in enumerate(self._ratios):
            start, label = place * COMPACT + 1, _label(ratio)
            if (not line or start > len(line)) and start + len(label) <= width:
                line = line.ljust(start) + label
        return line.ljust(width)

    def _row(self, layer: str) -> Text:
        latest = self._run.last_cell if self._run.phase == "exploring" else None
        name = shorten(layer_name(layer), self._layout.name - 1, self._glyphs.ellipsis)
        is_latest = latest is not None and latest.layer == layer
        line = Text(no_wrap=True)
        line.append(pad(name, self._layout.name), "bold" if is_latest else "")
        scores = self._run.scores[layer]
        cells = self._run.ratios_of(layer)
        for ratio in self._ratios:
            if ratio in cells:
                line.append(*self._cell(scores.get(ratio), self._mark(layer, ratio)))
            else:  # it would save nothing, so it will never be evaluated
                line.append(" " * self._layout.column)
        if self._layout.shares:
            line.append(f"{self._run.cost(layer) / self._watched.state.total_cost:>{len(SHARE_HEADING)}.1%}", "dim")
        return line

    def _mark(self, layer: str, ratio: float) -> str:
        run = self._run
        if run.selection is not None:
            return self._glyphs.chosen if run.selection.comp_ratios.get(layer) == ratio else " "
        cell = run.last_cell
        return self._glyphs.latest if cell and cell.layer == layer and cell.comp_ratio == ratio else " "

    def _cell(self, cell: EvalScored | None, mark: str) -> tuple[str, str]:
        """Text and style of one cell, ``column`` terminal cells wide."""
        compact, width = self._layout.column == COMPACT, self._layout.column - 2
        if cell is None:
            return (f" {self._glyphs.pending}" if compact else f"{self._glyphs.pending:>{width + 1}} "), "dim"
        if cell.score is None:
            return mark + (FAILED_COMPACT if compact else f"{FAILED:>{width}} "), FAILED_STYLE
        grade = self._watched.scale.grade(cell.score)
        sign = self._glyphs.signs[grade] if self._signs and grade is not None else " "
        text = f"{self._watched.scale.short_text(cell.score):>{width}}"
        return mark + (sign if compact else text + sign), self._style(grade, marked=mark != " ")

    def _style(self, grade: int | None, *, marked: bool) -> str:
        """The colours of a grade; after the selection only those of the chosen cells."""
        if self._run.selection is not None and not marked:
            return "dim"
        style = "" if grade is None else STYLES[grade]
        return f"bold {style}" if marked else style


def _label(ratio: float) -> str:
    text = quantities.ratio(ratio)
    return text[1:] if text.startswith("0.") else text
