"""The top of the page: which run, what it does, how long it will take, and what came of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bokeh.models.widgets.markups import Div

from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_scale import ScoreScale
from bokeh_vis import insights, markup
from bokeh_vis.insights import Insights
from bokeh_vis.markup import escaped, tile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bokeh.models import InlineStyleSheet

    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

NAME = "header"
INSIGHTS_SHARE = 0.02
"""Share of the time that making insights may take."""

LONG_SILENCE = 10.0
"""Seconds without an event that are worth a word, unless evaluations take that long anyway."""

MOST_NAMES, MOST_NOTES, MOST_ERRORS = 3, 8, 3

SERVER = "http://localhost:5006/"
"""Where a Bokeh server usually is."""


def build(sheet: InlineStyleSheet, server: str = SERVER) -> Div:
    """The header of a page that waits for a run, which is told the address of the page's server."""
    return Div(
        name=NAME,
        text=_title("Waiting for a run", "waiting", "") + _how_to_start(escaped(server)),
        css_classes=["card"],
        margin=0,
        sizing_mode="stretch_width",
        stylesheets=[sheet],
    )


class Header:
    """Draws the header of a page.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._div = parts.get(NAME, Div)
        self._insights = Insights()
        self._insights_of = ("", 0, "")
        self._insights_due = 0.0

    def draw(self, run: RunState, *, now: float, notice: str = "") -> None:
        """Bring it up to date.

        Args:
            run: The run.
            now: Seconds since the epoch, for ages and forecasts.
            notice: A sentence about the page itself; "": none.
        """
        if run.started is None:
            return  # the page waits, or shows an earlier run for as long as it takes this one to start
        text = "".join(self._sections(run, now, notice))
        if self._div.text != text:
            self._div.text = text

    def _sections(self, run: RunState, now: float, notice: str) -> Iterator[str]:
        yield _title(*_titles(run))
        if notice:
            yield f'<div class="notice">{escaped(notice)}</div>'
        if run.failed is not None:
            yield f'<div class="notice bad">{escaped(wording.failure(run.failed))}</div>'
        if run.exploration is not None or run.progress is not None:
            yield _progress(run, now)
        tiles = "".join([*_outcome(run), *_figures(run)])
        yield f'<div class="tiles">{tiles}</div>' if tiles else ""
        sentences = [*self._sentences(run), *_failures(run)]
        if sentences:
            yield f'<div class="sentences">{"".join(f"<div>{sentence}</div>" for sentence in sentences)}</div>'
        for note in run.notes[:MOST_NOTES]:
            yield f'<div class="notice">{escaped(wording.message(note))}</div>'

    def _sentences(self, run: RunState) -> Iterator[str]:
        found = self._current_insights(run)
        if found.spread is not None:
            yield (
                f"<b>Noise:</b> at ratio {quantities.ratio(found.spread_ratio)} half of the layers lie within "
                f'<span class="number">±{found.spread:.2g}</span> points of the baseline.'
            )
        if found.known:
            yield f"<b>Free</b> (under {insights.FREE:g} points at the lowest known ratio): {_names(found.free)}"
            yield f"<b>Sacred</b> (over {insights.SACRED:g} points at the highest): {_names(found.sacred)}"

    def _current_insights(self, run: RunState) -> Insights:
        """Insights that are made anew as often as that takes little of the time."""
        known, now = (run.run_id, run.completed, run.phase), time.monotonic()
        if known != self._insights_of and (now >= self._insights_due or known[::2] != self._insights_of[::2]):
            self._insights, self._insights_of = insights.of(run), known
            took = time.monotonic() - now
            self._insights_due = now + took / INSIGHTS_SHARE
        return self._insights


def _how_to_start(server: str) -> str:
    return (
        "<p>Start a run with this page's server as <code>visualization_url</code>:</p>"
        f'<pre>compress_model(model, eval_callback, ..., visualization_url="{server}")</pre>'
        f"<pre>aimet-hooks demo --visualization-url {server}</pre>"
        '<p class="muted">The page follows by itself, in every open tab.</p>'
    )


def _title(title: str, state: str, subtitle: str) -> str:
    """The first lines; all is HTML already."""
    look = {"done": "done", "waiting": "", "failed": "failed", "interrupted": "failed", "terminated": "failed"}
    badge = f'<span class="badge {look.get(state, "active")}">{state}</span>' if state else ""
    below = f'<div class="subtitle">{subtitle}</div>' if subtitle else ""
    return f'<div class="title"><h1>{title}</h1>{badge}</div>{below}'


def _titles(run: RunState) -> tuple[str, str, str]:
    """Title, state and subtitle."""
    names = wording.titles(run)
    title = names[0] if names else "a run without a name"
    return escaped(title), state(run), escaped(" · ".join(names[1:]))


def state(run: RunState) -> str:
    """What a run does, in one or a few words."""
    if run.failed is not None:
        return wording.end_without_result(run.failed)
    if run.started is not None and not run.started.fingerprint and run.phase in ("exploring", "selected"):
        return "recorded"  # a bare table or choice: nothing goes on
    if run.phase == "exploring" and run.completed >= run.total:
        return "selecting"
    if run.phase == "preparing" and run.skipped and run.progress is None:
        return "evaluating the baseline"
    names = {"waiting": "waiting", "preparing": "preparing", "exploring": "exploring", "selected": "compressing"}
    return names.get(run.phase, "done" if run.phase == "finished" else run.phase)


def _progress(run: RunState, now: float) -> str:
    """Bar, what is done, how fast, how long it will take, how long nothing came."""
    completed, total = run.completed, run.total
    if run.progress is not None:
        completed, total = run.progress.completed, run.progress.total
    share = 100.0 * completed / total if total else 0.0
    facts = [f"<b>{completed} / {total}</b> {'cells' if run.progress is None else escaped(run.progress.stage)}"]
    if run.phase == "exploring":
        facts += _pace(run, now)
    elapsed = (run.time if run.finished or run.failed else max(now, run.time)) - run.begin
    if run.begin:
        facts.append(f"{quantities.duration(elapsed)} elapsed")
    last = run.last_cell
    if last is not None and run.phase == "exploring":
        seconds = f" in {quantities.short_duration(last.seconds)}" if last.seconds else ""
        facts.append(f"last: {markup.layer(last.layer)} at {quantities.ratio(last.comp_ratio)}{seconds}")
    silence = now - run.time
    usual = max(LONG_SILENCE, 5 / run.rate if run.rate else LONG_SILENCE)
    if not run.finished and not run.failed and silence > usual:
        facts.append(f'<span class="warning">nothing new for {quantities.duration(silence)}</span>')
    shown = "".join(f'<span class="number">{fact}</span>' for fact in facts)
    return f'<div class="progress"><div class="track"><i style="width:{share:.1f}%"></i></div>{shown}</div>'


def _pace(run: RunState, now: float) -> list[str]:
    pace = []
    if run.rate is not None:
        pace.append(quantities.rate(run.rate))
    if run.eta is not None and run.completed < run.total:
        pace.append(f"{quantities.duration(max(0.0, run.eta - max(0.0, now - run.time)))} left")
    return pace


def _outcome(run: RunState) -> Iterator[str]:
    """What came of the run: scores and costs, before and after."""
    finished = run.finished
    if finished is None:
        return
    scale, totals = ScoreScale.of(run), run.totals
    lost = scale.drop(finished.compressed_score)
    change = "" if lost is None else markup.change(lost)
    before, after = scale.text(finished.baseline_score), scale.text(finished.compressed_score)
    yield tile("score", f"{before} → {after}", change)
    kept = {"MACs": finished.mac_ratio, "weights": finished.memory_ratio}
    costs = {"MACs": totals[:2], "weights": totals[2:]} if totals else {}
    for what, ratio in kept.items():
        sizes = " → ".join(quantities.count(size) for size in costs.get(what, ()))
        yield tile(f"{what} kept", quantities.share(ratio), sizes)
    others = run.baseline.metrics if run.baseline else {}
    for name, value in finished.metrics.items():
        yield tile(
            escaped(name), " → ".join(f"{known:.4g}" for known in (others.get(name), value) if known is not None)
        )


def _figures(run: RunState) -> Iterator[str]:
    """What is known from the start."""
    if run.baseline is not None and run.finished is None:
        scale = ScoreScale.of(run)
        yield tile(
            "baseline score",
            scale.text(run.baseline.score),
            f"evaluated in {quantities.short_duration(run.baseline.seconds)}",
        )
    if run.coverage is not None and run.exploration is not None:
        yield tile("the table covers", quantities.percent(run.coverage), f"of the {wording.metric(run)}")
    if run.exploration is not None and run.exploration.lowest_comp_ratio is not None:
        yield tile("lowest reachable ratio", quantities.ratio(round(run.exploration.lowest_comp_ratio, 3)))
    if run.selection is not None and run.selection.achieved_comp_ratio is not None and run.finished is None:
        yield tile("chosen", quantities.share(run.selection.achieved_comp_ratio), f"of the {wording.metric(run)} kept")
    if run.lowest_chosen is not None:
        yield tile("worst chosen cell", ScoreScale.of(run).text(run.lowest_chosen), "one layer compressed")
    if run.skipped:
        yield tile("skipped", wording.plural(len(run.skipped), "layer"))


def _failures(run: RunState) -> Iterator[str]:
    if not run.failures:
        return
    failed = (cell for row in run.scores.values() for cell in row.values() if cell.score is None)
    reasons = dict.fromkeys(wording.message(cell.error or "no reason was recorded") for cell in failed)
    shown = "; ".join(escaped(reason) for reason in list(reasons)[:MOST_ERRORS])
    yield f'<span class="warning"><b>{wording.plural(run.failures, "cell")} failed:</b></span> {shown}'


def _names(layers: tuple[str, ...]) -> str:
    if not layers:
        return "none"
    names = ", ".join(markup.layer(name) for name in layers[:MOST_NAMES])
    more = f", … ({len(layers)} layers)" if len(layers) > MOST_NAMES else ""
    return f"{names}{more}"
