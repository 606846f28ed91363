"""``aimet-hooks verify PATH``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aimet_hooks.cli.text_table import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aimet_hooks.log_verification import Finding, LogReport, RunReport

LONGEST = 1000
"""Characters from which on a line is cut in the middle: a log may hold names of any length."""


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def verify(path: Path) -> None:
    """Say what a log holds and whether it is whole.

    PATH is a results directory or events.jsonl. The exit code is 0 if all of it is whole and can be read, a last line
    that was not finished apart.
    """
    from aimet_hooks.errors import RecordingError
    from aimet_hooks.log_verification import verify_log
    from aimet_hooks.presentation import wording

    report = verify_log(path)
    for line in _told(report):
        click.echo(printable(shortened(line, LONGEST)))
    if not report.runs:
        raise RecordingError(f"{report.path} holds no run")
    if report.damage:
        raise RecordingError(f"{report.path} is damaged: {wording.plural(len(report.damage), 'finding')} above")
    if report.newer:
        raise RecordingError(f"{report.path} is whole, but of a newer version in part: update aimet-hooks to read it")
    click.echo("The log is whole.")


def _told(report: LogReport) -> Iterator[str]:
    from aimet_hooks.presentation import wording

    yield f"{report.path}: {wording.plural(len(report.runs), 'run')} in {wording.plural(report.lines, 'line')}"
    if report.in_use:
        yield "A process writes to it at this moment."
    for run in report.runs:
        goes_on = report.in_use and run is report.runs[-1]
        yield from _run(run, goes_on=goes_on)
    yield from _findings(report.damage)
    yield from _findings(report.newer)
    if report.torn:
        yield f"line {report.lines}, the last, was not finished: its event is not counted, and nothing else is lost"


def _run(run: RunReport, *, goes_on: bool) -> Iterator[str]:
    from aimet_hooks.presentation import wording

    schemas = " and ".join(map(str, run.schemas))
    told = [run.run_name, run.model_name, run.scheme, f"began {_utc(run.began)}", f"schema {schemas}"]
    yield f"run {run.run_id}: {', '.join(part for part in told if part)}"
    known = f"{wording.cells(run.completed, run.total)} known, {run.reused} of them before, {run.failed} failed; "
    yield f"  {known if run.total else ''}{'it goes on' if goes_on and run.end is None else _end(run)}"


def _end(run: RunReport) -> str:
    from aimet_hooks.events import AnalysisFinished, RunFailed
    from aimet_hooks.presentation import wording

    if run.end is None:
        return "it did not end"
    if isinstance(run.end, RunFailed):
        return wording.failure(run.end)
    return "finished without making a model" if isinstance(run.end, AnalysisFinished) else "finished"


def _findings(findings: Iterable[Finding]) -> Iterator[str]:
    for found in findings:
        lines = f"line {found.first}" if found.first == found.last else f"lines {found.first} to {found.last}"
        yield f"{lines}: {found.reason}"


def _utc(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):  # a log may hold any number
        return "at no known time"
