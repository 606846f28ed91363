"""What an event log holds and whether it is whole: each line is checked, and its place in its run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimet_hooks import event_log, log_lock
from aimet_hooks.event_log import NewerVersionError
from aimet_hooks.events import (
    EVENTS,
    AnalysisFinished,
    EvalScored,
    Event,
    ExplorationStarted,
    RunFailed,
    RunFinished,
    RunStarted,
    SensitivityScored,
    SensitivityStarted,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run of a log.

    Attributes:
        run_id: Its unique name.
        run_name: The name that views show; "" like the two after it where the event that began the run is lost.
        model_name: Its model.
        scheme: "spatial_svd", "weight_svd", or "quantization" for an analysis.
        began: Time of its first event, seconds since the epoch.
        schemas: Versions of the schema that its lines have.
        total: Cells of its table.
        completed: Those that are known.
        reused: Those of them that were known before the run.
        failed: Those of them that have no score.
        end: The event that ended it; None if it was killed, or goes on.
    """

    run_id: str
    run_name: str
    model_name: str
    scheme: str
    began: float
    schemas: tuple[int, ...]
    total: int
    completed: int
    reused: int
    failed: int
    end: RunFinished | AnalysisFinished | RunFailed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with one line, or with several that follow one another.

    Attributes:
        first: Number of the line, from 1.
        last: Number of the last of them.
        reason: What is wrong, in words.
    """

    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What a log holds.

    Attributes:
        path: The log.
        lines: Number of its lines.
        runs: Its runs, in the order in which they began.
        damage: Lines that cannot be read, and those before which events are missing or which are out of place.
        newer: Lines that are whole but that only a newer version of this package can read.
        torn: Whether its last line was not finished, which a run that is killed may leave behind: no damage.
        in_use: Whether a process of this host was writing to it.
    """

    path: Path
    lines: int
    runs: tuple[RunReport, ...]
    damage: tuple[Finding, ...]
    newer: tuple[Finding, ...]
    torn: bool
    in_use: bool

    @property
    def is_whole(self) -> bool:
        """Whether it holds a run and nothing is damaged."""
        return bool(self.runs) and not self.damage


def verify_log(path: str | os.PathLike[str]) -> LogReport:
    """Check every line of a log, and say what runs it holds.

    What this needs of memory grows with the number of runs and of findings, not with the log.

    Args:
        path: ``events.jsonl``, or the results directory that holds it.

    Raises:
        RecordingError: If the file cannot be read.
    """
    path = Path(path)
    path = path / event_log.FILE_NAME if path.is_dir() else path
    in_use = log_lock.is_in_use(path)
    log = _CheckedLog()
    for raw in event_log.lines(path):
        log.take(raw)
    return LogReport(
        path=path,
        lines=log.number,
        runs=tuple(run.report() for run in log.runs.values()),
        damage=log.damage.all,
        newer=log.newer.all,
        torn=log.torn,
        in_use=in_use,
    )


class _Findings:
    """Findings line by line; the same one on the next line makes the last one longer."""

    def __init__(self) -> None:
        self._found: list[list[Any]] = []

    def add(self, number: int, reason: str) -> None:
        last = self._found[-1] if self._found else None
        if last is not None and last[2] == reason and last[1] >= number - 1:
            last[1] = number
        else:
            self._found.append([number, number, reason])

    @property
    def all(self) -> tuple[Finding, ...]:
        return tuple(Finding(first=first, last=last, reason=reason) for first, last, reason in self._found)


class _CheckedLog:
    """The lines so far."""

    def __init__(self) -> None:
        self.number = 0
        self.runs: dict[str, _CheckedRun] = {}
        self.damage = _Findings()
        self.newer = _Findings()
        self.torn = False
        self._latest: _CheckedRun | None = None

    def take(self, raw: bytes) -> None:
        self.number += 1
        line = raw.rstrip(b"\r\n")
        if not line:
            return
        try:
            fields = event_log.fields_of_line(event_log.decoded(line))
        except (ValueError, RecursionError) as error:
            self.torn = not raw.endswith(b"\n")
            if not self.torn:
                self.damage.add(self.number, str(error))
            return
        name, run_id, seq, schema = (fields.get(key) for key in ("event", "run_id", "seq", "schema"))
        if not (isinstance(name, str) and isinstance(run_id, str) and type(seq) is int and type(schema) is int):
            self.damage.add(self.number, "it does not say which event of which run it is")
            return
        run = self.runs.setdefault(run_id, _CheckedRun(run_id, fields.get("time")))
        run.schemas.add(schema)
        is_new = seq > run.last_seq
        for reason in run.out_of_place(name, seq, self._latest):
            self.damage.add(self.number, reason)
        self._latest = run if _is_in_run(name) else self._latest
        event = self._event(fields)
        if event is not None and is_new:
            run.count(event)

    def _event(self, fields: Mapping[str, Any]) -> Event | None:
        try:
            return event_log.from_fields(fields)
        except NewerVersionError as error:
            self.newer.add(self.number, str(error))
        except (ValueError, RecursionError) as error:
            self.damage.add(self.number, str(error))
        return None


def _is_in_run(name: str) -> bool:
    return name not in EVENTS or EVENTS[name].in_run


class _CheckedRun:
    """What is known of one run so far."""

    def __init__(self, run_id: str, began: object) -> None:
        self.schemas: set[int] = set()
        self.last_seq = -1
        self._run_id = run_id
        self._began = began if isinstance(began, (int, float)) else 0.0
        self._names = ("", "", "")
        self._is_started = self._is_interleaved = False
        self._total = self._completed = self._reused = self._failed = 0
        self._end: RunFinished | AnalysisFinished | RunFailed | None = None

    def out_of_place(self, name: str, seq: int, latest: _CheckedRun | None) -> Iterator[str]:
        """What is wrong with the next event of the run, behind one of the run ``latest``."""
        run, last, self.last_seq = f"run {self._run_id!r}", self.last_seq, max(self.last_seq, seq)
        if seq <= last:
            yield f"{run} has an event of this number, or a later one, already"
        elif seq > last + 1:
            missing = f"event {last + 1} is" if seq == last + 2 else f"events {last + 1} to {seq - 1} are"
            yield f"{missing} missing of {run} before this line"
        if not self._is_started and name != RunStarted.name:
            yield f"{run} has no {RunStarted.name} before this line"
        self._is_started = True  # said once
        if _is_in_run(name):
            if self._end is not None:
                yield f"{run} goes on after its end"
            if latest not in (None, self) and last >= 0 and not self._is_interleaved:
                self._is_interleaved = True
                yield f"{run} goes on among the lines of another: two processes wrote at the same time"

    def count(self, event: Event) -> None:
        """Take in what the event tells."""
        if isinstance(event, RunStarted):
            self._names = (event.run_name, event.model_name, event.scheme)
        elif isinstance(event, (ExplorationStarted, SensitivityStarted)):
            self._total = event.total
        elif isinstance(event, (EvalScored, SensitivityScored)):
            self._completed += 1
            self._reused += event.reused
            self._failed += event.score is None
        elif isinstance(event, (RunFinished, AnalysisFinished, RunFailed)):
            self._end = event

    def report(self) -> RunReport:
        run_name, model_name, scheme = self._names
        return RunReport(
            run_id=self._run_id,
            run_name=run_name,
            model_name=model_name,
            scheme=scheme,
            began=self._began,
            schemas=tuple(sorted(self.schemas)),
            total=self._total,
            completed=self._completed,
            reused=self._reused,
            failed=self._failed,
            end=self._end,
        )
