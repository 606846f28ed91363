"""What if: the scores and costs with which a tab chooses again by itself, and what a viewer does that with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bokeh.models import Column, ColumnDataSource, CustomJS, Row
from bokeh.models.widgets.buttons import Button
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.sliders import Slider

from aimet_hooks.choice_table import ChoiceTable
from aimet_hooks.cost import LARGEST_TOTAL
from aimet_hooks.events import RatiosSelected, RunStarted
from aimet_hooks.presentation import commands, quantities, wording
from aimet_hooks.presentation.score_scale import ScoreScale
from bokeh_vis import theme

if TYPE_CHECKING:
    from bokeh.models import InlineStyleSheet

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

CHOICES, ABOUT = "what_if_choices", "what_if_about"
SLIDER, RESET, COPY, WORDS, CONTROLS = "what_if_slider", "what_if_reset", "what_if_copy", "what_if_words", "what_if"

HOW = '<p class="muted">Move the slider to choose again from the same scores.</p>'

STEP = 0.01


def build(sheet: InlineStyleSheet) -> Column:
    """A slider for the target, which is shown once there is a choice to change."""
    slider = Slider(
        name=SLIDER,
        title="What if this share of the cost is kept",
        start=STEP,
        end=1 - STEP,
        step=STEP,
        value=0.5,
        format="0.00",
        sizing_mode="stretch_width",
        stylesheets=[sheet],
    )
    reset = Button(name=RESET, label="Back to the run's choice", width=180, disabled=True, stylesheets=[sheet])
    copy = Button(name=COPY, label="Copy this choice", width=150, stylesheets=[sheet])
    controls = Row(children=[slider, reset, copy], spacing=12, sizing_mode="stretch_width", stylesheets=[sheet])
    return Column(
        name=CONTROLS, children=[controls, theme.words(WORDS, sheet, HOW)], visible=False, sizing_mode="stretch_width"
    )


def sources() -> tuple[ColumnDataSource, ColumnDataSource]:
    """One row a choice, layer after layer, the last of each to leave it alone; and one row for all that they share."""
    return ColumnDataSource(name=CHOICES, data=_no_choices()), ColumnDataSource(name=ABOUT, data={})


def add_script(
    parts: Parts,
    sources: tuple[ColumnDataSource, ColumnDataSource],
    *,
    choices: ColumnDataSource,
    cells: ColumnDataSource,
    mark: ColumnDataSource,
    tick: CustomJS,
) -> None:
    """Let a tab choose again when the slider is moved, a layer locked, or a button pressed.

    Args:
        parts: The models of the page.
        sources: Made by ``sources``.
        choices: Rows of the table of chosen ratios, which are locked by ticking them.
        cells: The table of scores, where choices are outlined.
        mark: Gets the point of the curve of sizes.
        tick: Redraws what a tab derives from the others.
    """
    flat, about = sources
    slider, words = parts.get(SLIDER, Slider), parts.get(WORDS, Div)
    buttons = {"reset": parts.get(RESET, Button), "copy": parts.get(COPY, Button)}
    models = {"flat": flat, "about": about, "choices": choices, "cells": cells, "mark": mark, "tick": tick}
    choose = CustomJS(
        args=models | buttons | {"slider": slider, "words": words, "how": HOW},
        code=theme.scripts("choices.js", "greedy.js", "knapsack.js", "what_if.js"),
    )
    slider.js_on_change("value", choose)
    choices.selected.js_on_change("indices", choose)
    flat.js_on_change("data", choose)
    for button in buttons.values():
        press = CustomJS(args={"choose": choose, "pressed": button.name}, code="choose.execute(choose, {pressed})")
        button.js_on_click(press)


class WhatIf:
    """Hands the choices of a run to its page.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._choices = parts.get(CHOICES, ColumnDataSource)
        self._about = parts.get(ABOUT, ColumnDataSource)
        self._slider = parts.get(SLIDER, Slider)
        self._controls = parts.get(CONTROLS, Column)
        self._words = parts.get(WORDS, Div)
        self.forget()

    def forget(self) -> None:
        """Draw everything anew with the next ``draw``."""
        self._drawn = False

    def hear(self, event: Event) -> None:
        """Remember that there is something to draw."""
        if isinstance(event, (RunStarted, RatiosSelected)):
            self.forget()

    def draw(self, run: RunState) -> None:
        """Bring it up to date; there is something to choose when the run has chosen from a whole table."""
        if self._drawn:
            return
        self._drawn = True
        table = _table(run)
        self._controls.visible, self._words.text = table is not None, HOW
        if table is None:
            self._choices.data, self._about.data = _no_choices(), {}
            return
        kept = run.selection.achieved_comp_ratio if run.selection else None
        start = min(1 - STEP, max(STEP, math.ceil(_lowest(table) / STEP - 1e-9) * STEP))
        wanted = wording.target(run) or kept or start
        target = round(min(1 - STEP, max(start, wanted)), 2)
        self._slider.update(start=round(start, 2), value=target)
        self._about.data = {name: [value] for name, value in (_about(run, table) | {"target": target}).items()}
        self._choices.data = _choices(run, table)  # last: with them a tab begins


def _table(run: RunState) -> ChoiceTable | None:
    """What can be chosen, None where nothing can."""
    if run.selection is None or list(run.selection.comp_ratios) != list(run.scores):
        return None
    table = ChoiceTable.of(run, monotonic=wording.selection(run).get("use_monotonic_fit") is True)
    if table is None or not 0 < table.total < LARGEST_TOTAL or _lowest(table) > 1 - 2 * STEP:
        return None
    return table


def _lowest(table: ChoiceTable) -> float:
    """Share of the cost that the smallest model keeps, all layers at their cheapest."""
    return (table.rest + sum(min(choice.cost for choice in row) for row in table.rows.values())) / table.total


def _no_choices() -> dict[str, Any]:
    return {name: [] for name in ("layer", "candidate", "score", "cost", "macs", "weights", "rank")}


def _choices(run: RunState, table: ChoiceTable) -> dict[str, Any]:
    """One entry a choice in every column; lists, as everywhere on a page."""
    places = {ratio: place for place, ratio in enumerate(run.candidates)}
    data = _no_choices()
    for number, (layer, row) in enumerate(table.rows.items()):
        info = run.layers[layer]
        for choice in row:
            cell = None if choice.ratio is None else run.scores[layer][choice.ratio]
            data["layer"].append(number)
            data["candidate"].append(len(places) if choice.ratio is None else places[choice.ratio])
            data["score"].append(choice.score)
            data["cost"].append(choice.cost)
            data["macs"].append(info.macs if cell is None else cell.macs)
            data["weights"].append(info.weights if cell is None else cell.weights)
            data["rank"].append(0 if cell is None else cell.rank or 0)
    return data


def _about(run: RunState, table: ChoiceTable) -> dict[str, Any]:
    """What all choices share, in JSON types."""
    scale, names, totals = ScoreScale.of(run), list(table.rows), run.totals
    order = {name: place for place, name in enumerate(sorted(names))}
    chosen = run.selection.comp_ratios if run.selection else {}
    asked = wording.selection(run)
    results_dir = run.settings.get("results_dir")
    return {
        "rule": "knapsack" if asked.get("rule") == "knapsack" else "greedy",
        "rest": table.rest,
        "total": table.total,
        "ratios": [*run.candidates, 1.0],
        "names": names,
        "order": [order[name] for name in names],
        "ties": [run.ties.get(name, "") for name in names],
        "chosen": [1.0 if chosen[name] is None else chosen[name] for name in names],
        "metric": wording.metric(run),
        "sign": 1.0 if scale.higher_is_better else -1.0,
        "baseline": scale.baseline or 0.0,
        "point": scale.point,
        "decimals": quantities.decimals_for(scale.point / 100),
        "macs": totals.macs_before if totals else 0.0,
        "weights": totals.weights_before if totals else 0,
        "apply_options": commands.apply_options(run),
        "results_dir": str(results_dir) if results_dir else "RESULTS_DIR",
    }
