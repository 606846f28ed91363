"""The head of each page: what was found, in a sentence, and the layers that need something done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.presentation import quantities, wording
from bokeh_vis import markup, theme
from bokeh_vis.weight_ranges import change_table
from bokeh_vis.weight_ranges.layer_table import capital

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bokeh.models import Column, InlineStyleSheet

    from aimet_hooks.quantization.model_ranges import ModelRanges, RangeChanges
    from aimet_hooks.quantization.problematic import ProblematicLayer

NAME = "findings"
MOST_NAMED = 5


def ranges(title: str, found: ModelRanges, sheet: InlineStyleSheet) -> Column:
    """Which layers quantization will break."""
    count = len(found.problems)
    sound = "no layer stands out" if len(found.layers) else "there are no layers with weights here"
    verdict = f"{wording.plural(count, 'layer')} would break" if count else sound
    named = _list(found.problems, "")
    return _card(title, (verdict, "failed" if count else "done"), _size(found), named, sheet)


def changes(changed: RangeChanges, sheet: InlineStyleSheet) -> Column:
    """What got better, and what is still to be done."""
    states = [change_table.state(changed, layer) for layer in changed.old.layers.index]
    solved, broken, left = (states.count(kind) for kind in (change_table.SOLVED, change_table.NEW, change_table.STILL))
    words = [f"{wording.plural(solved, 'layer')} repaired"] if solved else []
    words += [f"{wording.plural(broken, 'layer')} made worse"] if broken else []
    words += [f"{wording.plural(left, 'layer')} still to repair"] if left else []
    verdict = ", ".join(words) or ("no layer breaks, before or after" if states else "nothing can be compared")
    look = "failed" if broken or left else "done" if states else ""
    also = f" · {wording.plural(len(changed.not_compared), 'layer')} not compared" if changed.not_compared else ""
    named = _list(changed.new.problems, "Still to be done, or new:")
    size = f"compared: {_size(changed.new)}{also}"
    return _card("Changes of weight ranges", (verdict, look), size, named, sheet)


def _size(found: ModelRanges) -> str:
    weights = quantities.count(float(found.layers["weights"].sum()))
    return (
        f"{wording.plural(len(found.layers), 'layer')} · {len(found.channels):,} output channels · {weights} weights · "
        f"judged for weights of {found.bitwidth} bits with one scale a layer"
    )


def _list(problems: Mapping[str, ProblematicLayer], title: str) -> str:
    if not problems:
        return ""
    shown = [*problems.values()][:MOST_NAMED]
    items = [
        f"<li><b>{markup.layer(problem.layer)}</b>: {markup.escaped(problem.cause)}. "
        f'<span class="muted">{markup.escaped(capital(problem.remedy))}.</span></li>'
        for problem in shown
    ]
    if len(problems) > len(shown):
        items.append(f'<li class="muted">and {len(problems) - len(shown)} more, on top of the table</li>')
    return f'{f"<p>{title}</p>" if title else ""}<ul class="problems">{"".join(items)}</ul>'


def _card(title: str, verdict: tuple[str, str], size: str, more: str, sheet: InlineStyleSheet) -> Column:
    """The card with a verdict, its words and its look."""
    words, look = verdict
    badge = f'<span class="badge {look}">{markup.escaped(words)}</span>'
    text = f'<div class="title"><h1>{title}</h1>{badge}</div><div class="subtitle">{markup.escaped(size)}</div>{more}'
    return theme.card(theme.words(NAME, sheet, text), sheet=sheet)
