"""The runs below a directory, followed as other processes write them."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

from aimet_hooks import event_log, recordings
from aimet_hooks.errors import RecordingError
from aimet_hooks.log_follower import LogFollower
from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from aimet_hooks.events import Event

SCAN_PAUSE = 3.0
"""Seconds between two searches for new runs."""

DIRECTORIES_AT_ONCE = 50
LINES_AT_ONCE = 200
STEP_SECONDS = 0.02
"""How long one step may take: a server answers its viewers in between."""


class FollowedRun:
    """One run below the directory; its events are read once, whoever looks at it.

    Args:
        name: Its directory relative to the root, with slashes; "." for the root itself.
        path: That directory.

    Attributes:
        name: As given.
        state: The run so far.
        version: Grows with every event.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.state = RunState()
        self.version = 0
        self._path = path
        self._log = LogFollower(path / event_log.FILE_NAME)
        self._listeners: dict[int, Callable[[Event], None]] = {}
        self._is_read = False

    @property
    def has_listeners(self) -> bool:
        """Whether somebody looks at it."""
        return bool(self._listeners)

    def listen(self, hear: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``hear`` with every new event, after ``state`` has it; the result ends that."""
        key = id(hear)
        self._listeners[key] = hear
        return lambda: self._listeners.pop(key, None) and None

    def read(self) -> bool:
        """Take in what is new, a limited number of lines; whether there was anything."""
        events = self._log.new_events(LINES_AT_ONCE)
        if not events and not self._is_read and not (self._path / event_log.FILE_NAME).exists():
            events = _tables(self._path)
        self._is_read = True
        for event in events:
            self.state.apply(event)
            for hear in self._listeners.values():
                hear(event)
        self.version += len(events)
        return bool(events)


class RunDirectory:
    """Finds and follows the runs below a root, a little with every step.

    Args:
        root: The directory; it need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._runs: dict[str, FollowedRun] = {}
        self._seen: set[str] = set()
        self._walk: Iterator[Path] | None = None
        self._next_scan = 0.0

    @property
    def runs(self) -> Mapping[str, FollowedRun]:
        """The runs that were found, by name: all that an address can ask for."""
        return self._runs

    def step(self) -> None:
        """Search on and read on for a short while."""
        deadline = time.monotonic() + STEP_SECONDS
        self._scan()
        pending = sorted(self._runs.values(), key=lambda run: not run.has_listeners)
        while pending and time.monotonic() < deadline:
            pending = [run for run in pending if time.monotonic() < deadline and run.read()]

    def _scan(self) -> None:
        if self._walk is None:
            if time.monotonic() < self._next_scan:
                return
            self._walk, self._seen = _directories(self.root), set()
        found = list(itertools.islice(self._walk, DIRECTORIES_AT_ONCE))
        for path in found:
            if any((path / name).is_file() for name in (event_log.FILE_NAME, recordings.SCORES_FILE)):
                self._add(path)
        if len(found) < DIRECTORIES_AT_ONCE:
            for name in set(self._runs) - self._seen:
                del self._runs[name]
            self._walk, self._next_scan = None, time.monotonic() + SCAN_PAUSE

    def _add(self, path: Path) -> None:
        name = path.relative_to(self.root).as_posix()
        self._seen.add(name)
        if name not in self._runs:
            self._runs[name] = FollowedRun(name, path)


def _directories(root: Path) -> Iterator[Path]:
    """The root and all directories below it; links are not followed, what cannot be read is left out."""
    for folder, names, _ in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield root / folder


def _tables(path: Path) -> list[Event]:
    """A results directory without a log: its tables, if they can be read."""
    try:
        return recordings.read(path)
    except RecordingError:
        return []
