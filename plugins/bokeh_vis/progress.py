"""What a run does now: its state in a word, how far it is, how long it will take, how long nothing came."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_grid import ScoreGrid, column_of
from bokeh_vis import markup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.run_state import RunState

LONG, QUIET = 10.0, 60.0
"""Seconds without an event that are worth a word, and that make one doubt whether there is a process."""

LONG_EVALUATIONS, QUIET_EVALUATIONS = 5, 20
"""The same in evaluations at the rate of the run: the longer of the two counts."""

SOON = 600.0
"""Seconds up to which one does not need to know the time of the end."""

A_DAY = 86_400.0


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


def quiet_since(run: RunState, now: float) -> str:
    """Since when a run that did not end is so quiet that its process is perhaps gone; "" where it is not."""
    if _silence(run, now) <= _patience(run, QUIET, QUIET_EVALUATIONS):
        return ""
    form = "%H:%M" if now - run.time < A_DAY else "%Y-%m-%d"
    return time.strftime(form, time.localtime(run.time))


def line(run: RunState, now: float) -> str:
    """The bar and the figures beside it, as HTML."""
    completed, total = run.completed, run.total
    if run.progress is not None:
        completed, total = run.progress.completed, run.progress.total
    share = 100.0 * completed / total if total else 0.0
    facts = [f"<b>{completed} / {total}</b> {'cells' if run.progress is None else markup.escaped(run.progress.stage)}"]
    is_silent = _silence(run, now) > _patience(run, LONG, LONG_EVALUATIONS)
    if run.phase == "exploring":
        facts += _pace(run, now, is_silent=is_silent)
    if run.begin:
        elapsed = (run.time if run.is_over else max(now, run.time)) - run.begin
        facts.append(f"{quantities.duration(elapsed)} elapsed")
    if is_silent:
        facts.append(f'<span class="warning">nothing new for {quantities.duration(_silence(run, now))}</span>')
    shown = "".join(f'<span class="number">{fact}</span>' for fact in facts) + _last_cell(run)
    return f'<div class="progress"><div class="track"><i style="width:{share:.1f}%"></i></div>{shown}</div>'


def _silence(run: RunState, now: float) -> float:
    """Seconds since the last event of a run that goes on."""
    return 0.0 if run.is_over or not run.begin else now - run.time


def _patience(run: RunState, seconds: float, evaluations: int) -> float:
    return max(seconds, evaluations / run.rate) if run.rate else seconds


def _pace(run: RunState, now: float, *, is_silent: bool) -> Iterator[str]:
    if run.rate is not None:
        yield quantities.rate(run.rate)
    if run.eta is not None and run.completed < run.total and not is_silent:
        end = run.time + run.eta
        left = max(0.0, end - now)
        form = "%H:%M" if left < A_DAY / 2 else "%a %H:%M"
        yield f"{quantities.duration(left)} left" + (
            f", until {time.strftime(form, time.localtime(end))}" if left > SOON else ""
        )


def _last_cell(run: RunState) -> str:
    last = run.last_score
    if last is None or run.phase != "exploring":
        return ""
    seconds = f" in {quantities.short_duration(last.seconds)}" if last.seconds else ""
    where = f"{markup.layer(last.layer)} {ScoreGrid.of(run).at(column_of(last))}"
    return f'<span class="number latest">last: {where}{seconds}</span>'
