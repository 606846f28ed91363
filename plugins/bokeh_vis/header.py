"""The top of the page: which run, what it does, how long it will take, and what came of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bokeh.models.widgets.markups import Div

from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_grid import ScoreGrid
from aimet_hooks.presentation.score_scale import ScoreScale
from bokeh_vis import insights, markup, progress, theme
from bokeh_vis.insights import Insights
from bokeh_vis.markup import escaped, tile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bokeh.models import Column, InlineStyleSheet

    from aimet_hooks.run_state import RunState
    from bokeh_vis.parts import Parts

NAME = "header"
INSIGHTS_SHARE = 0.02
"""Share of the time that making insights may take."""

MOST_NAMES, MOST_NAMES_ON_HOVER, MOST_NOTES, MOST_ERRORS = 5, 60, 8, 3

QUIET = (
    "Nothing new has come from this run for a long time: either one evaluation takes unusually long, or its process is "
    "gone. What it has found out is safe in its log."
)

SERVER = "http://localhost:5006/"
"""Where a Bokeh server usually is."""


def build(sheet: InlineStyleSheet, server: str = SERVER) -> Column:
    """The header of a page that waits for a run, which is told the address of the page's server."""
    text = _title("Waiting for a run", "waiting", "") + _how_to_start(escaped(server))
    return theme.card(theme.words(NAME, sheet, text), sheet=sheet)


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

    def draw(self, run: RunState, *, now: float, notice: str = "", follows_log: bool = False) -> None:
        """Bring it up to date.

        Args:
            run: The run.
            now: Seconds since the epoch, for ages and forecasts.
            notice: A sentence about the page itself; "": none.
            follows_log: Whether all that is known of the run comes from its log: then its silence may be its end.
        """
        since = progress.quiet_since(run, now) if follows_log else ""
        text = "".join(self._sections(run, now, notice, since))
        if self._div.text != text:
            self._div.text = text

    def _sections(self, run: RunState, now: float, notice: str, quiet_since: str) -> Iterator[str]:
        title, subtitle = _titles(run)
        yield _title(title, f"quiet since {quiet_since}" if quiet_since else progress.state(run), subtitle)
        if notice:
            yield f'<div class="notice">{escaped(notice)}</div>'
        if run.failed is not None:
            yield f'<div class="notice bad">{escaped(wording.failure(run.failed))}</div>'
        if quiet_since:
            yield f'<div class="notice bad">{QUIET}</div>'
        if run.total or run.progress is not None:
            yield progress.line(run, now)
        tiles = "".join([*_outcome(run), *_figures(run)])
        yield f'<div class="tiles">{tiles}</div>' if tiles else ""
        sentences = [*self._sentences(run), *_failures(run)]
        if sentences:
            yield f'<div class="sentences">{"".join(f"<div>{sentence}</div>" for sentence in sentences)}</div>'
        for note in run.notes[:MOST_NOTES]:
            yield f'<div class="notice">{escaped(wording.message(note))}</div>'

    def _sentences(self, run: RunState) -> Iterator[str]:
        found = self._current_insights(run)
        noise = "; ".join(_noise(run, found))
        if noise:
            yield f"<b>Noise:</b> {noise}."
        if found.known:
            column = ScoreGrid.of(run).column
            limit = f"under {found.free_limit:.2g} points lost, down to the {column}"
            yield f"<b>Free</b> ({limit}): {_names(run, found.free)}"
            limit = f"over {insights.SACRED:g} points lost, already at the {column}"
            yield f"<b>Sacred</b> ({limit}): {_names(run, found.sacred)}"

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
        f'<pre>analyze_sensitivity(model, eval_callback, ..., visualization_url="{server}")</pre>'
        f"<pre>aimet-hooks demo --visualization-url {server}</pre>"
        '<p class="muted">The page follows by itself, in every open tab.</p>'
    )


def _title(title: str, state: str, subtitle: str) -> str:
    """The first lines; all is HTML already."""
    looks = {"done": "done", "waiting": "", "failed": "failed", "interrupted": "failed", "terminated": "failed"}
    look = "failed" if state.startswith("quiet") else looks.get(state, "active")
    badge = f'<span class="badge {look}">{state}</span>' if state else ""
    below = f'<div class="subtitle">{subtitle}</div>' if subtitle else ""
    return f'<div class="title"><h1>{title}</h1>{badge}</div>{below}'


def _titles(run: RunState) -> tuple[str, str]:
    """Title and subtitle."""
    names = wording.titles(run)
    title = names[0] if names else "a run without a name"
    return escaped(title), escaped(" · ".join(names[1:]))


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
    reached = run.selection.achieved_comp_ratio if run.selection else None
    if run.started and run.started.cost_metric == "own" and reached is not None:
        sizes = " → ".join(quantities.count(size) for size in (run.total_cost, reached * run.total_cost))
        yield tile("cost kept", quantities.share(reached), sizes, title="in your own costs")
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
    if run.coverage is not None:
        skipped = f"; {wording.plural(len(run.skipped), 'layer')} skipped" if run.skipped else ""
        of_what = f"of the {escaped(wording.metric(run))}{skipped}"
        yield tile("the table covers", quantities.percent(run.coverage), of_what)
    if run.exploration is not None and run.exploration.lowest_comp_ratio is not None:
        lowest = quantities.ratio(round(run.exploration.lowest_comp_ratio, 3))
        yield tile("lowest reachable ratio", lowest, title="of the model, with every layer at its lowest ratio")
    if run.selection is not None and run.selection.achieved_comp_ratio is not None and run.finished is None:
        of_what = f"of the {escaped(wording.metric(run))} kept"
        yield tile("chosen", quantities.share(run.selection.achieved_comp_ratio), of_what)
    if run.lowest_chosen is not None:
        lowest = ScoreScale.of(run).text(run.lowest_chosen)
        yield tile("worst chosen cell", lowest, "one layer compressed", title="What all layers lose adds up")


def _failures(run: RunState) -> Iterator[str]:
    if not run.failures:
        return
    failed = (cell for row in ScoreGrid.of(run).rows.values() for cell in row.values() if cell.score is None)
    reasons = dict.fromkeys(wording.message(cell.error or "no reason was recorded") for cell in failed)
    shown = "; ".join(escaped(reason) for reason in list(reasons)[:MOST_ERRORS])
    yield f'<span class="warning"><b>{wording.plural(run.failures, "cell")} failed:</b></span> {shown}'


def _noise(run: RunState, found: Insights) -> Iterator[str]:
    """What is known of the noise: from the original model alone, and from the layers that are hardly compressed."""
    scale = ScoreScale.of(run)
    if run.baseline is not None and run.baseline.repeated_score is not None and scale.noise:
        scores = f"{scale.text(run.baseline.score)}, and {scale.text(run.baseline.repeated_score)} when evaluated again"
        yield f"the original model scores {scores} ({scale.noise_points:.2g} points)"
    if found.spread is not None and found.spread_ratio is not None:
        of_layers = f"half of {wording.plural(found.spread_layers, 'layer')}"
        how_far = f"within ±{found.spread:.2g} points of the baseline" if found.spread else "exactly at the baseline"
        yield f"{ScoreGrid.of(run).at(found.spread_ratio)} {of_layers} score {how_far}"


def _names(run: RunState, cells: Sequence[tuple[str, float]]) -> str:
    """Layers, each with a column of the table; the first of them, and more on hover."""
    if not cells:
        return "none"
    title = ScoreGrid.of(run).title
    names = [f"{markup.layer(layer)} at {title(column)}" for layer, column in cells[:MOST_NAMES_ON_HOVER]]
    rest = f" and {len(cells) - MOST_NAMES} more" if len(cells) > MOST_NAMES else ""
    return f'<span title="{", ".join(names)}">{", ".join(names[:MOST_NAMES])}{rest}</span>'
