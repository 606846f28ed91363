"""The runs below a directory, followed as other processes write them."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

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

LONGEST_PAUSE = 10.0
"""Seconds after which every log is looked at again, however long nothing came from it."""

STEP_SECONDS = 0.02
"""How long one step may take: a server answers its viewers in between."""

ENTRIES_AT_ONCE = 200
LINES_AT_ONCE = 50


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
        self._listeners: dict[object, Callable[[Event], object]] = {}
        self._is_read = False
        self._news = 0.0
        self._due = 0.0

    @property
    def key(self) -> str:
        """Its name as a value in an address, quoted: plain letters also where the name is no text."""
        return quote(os.fsencode(self.name), safe="")

    @property
    def has_listeners(self) -> bool:
        """Whether somebody looks at it."""
        return bool(self._listeners)

    @property
    def due(self) -> float:
        """When it should be read again; what somebody looks at always is."""
        return 0.0 if self._listeners else self._due

    def listen(self, hear: Callable[[Event], object]) -> Callable[[], None]:
        """Call ``hear`` with every new event, after ``state`` has it; the result ends that."""
        key = object()
        self._listeners[key] = hear

        def end() -> None:
            if key in self._listeners:
                del self._listeners[key]

        return end

    def read(self, now: float) -> bool:
        """Take in what is new, a limited number of lines; whether there was anything.

        Args:
            now: The time by the clock that ``due`` is measured with.
        """
        events = self._log.new_events(LINES_AT_ONCE)
        if not events and not self._is_read:
            events = _tables(self._path)
        self._is_read = True
        for event in events:
            self.state.apply(event)
            self.version += 1
            for hear in self._listeners.values():
                hear(event)
        self._news = now if events else self._news
        self._due = now if events else now + min(LONGEST_PAUSE, (now - self._news) / 10)
        return bool(events)


class RunDirectory:
    """Finds and follows the runs below a root, a little with every step.

    Args:
        root: The directory; it need not exist yet.
        clock: Seconds, from any moment on.

    Attributes:
        root: As given.
    """

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self._clock = clock
        self._runs: dict[str, FollowedRun] = {}
        self._gone: dict[str, FollowedRun] = {}
        self._seen: set[str] = set()
        self._search: Iterator[Path | None] | None = None
        self._next_search = clock()

    @property
    def runs(self) -> Mapping[str, FollowedRun]:
        """The runs that were found, by name: all that an address can ask for."""
        return self._runs

    def step(self) -> None:
        """Search on and read on for a short while.

        Runs that somebody looks at come first, then those that have waited longest: none is forgotten among many.
        """
        now = self._clock()
        self._search_on(now + STEP_SECONDS / 2)
        followed = itertools.chain(self._runs.values(), self._gone.values())
        due = sorted((run for run in followed if run.due <= now), key=lambda run: run.due)
        while due and self._clock() < now + STEP_SECONDS:
            due = [run for run in due if self._clock() < now + STEP_SECONDS and run.read(now)]

    def _search_on(self, deadline: float) -> None:
        if self._search is None:
            if self._clock() < self._next_search:
                return
            self._search, self._seen = _directories(self.root), set()
        for path in self._search:
            if path is not None:
                self._found(path)
            if self._clock() >= deadline:
                return
        self._forget_others()
        self._search, self._next_search = None, self._clock() + SCAN_PAUSE

    def _found(self, path: Path) -> None:
        name = path.relative_to(self.root).as_posix()
        self._seen.add(name)
        if name not in self._runs:
            run = self._gone.pop(name) if name in self._gone else FollowedRun(name, path)
            self._runs[name] = run

    def _forget_others(self) -> None:
        """Runs that were not found go; one that somebody looks at is followed on, as it may be written anew."""
        for name in self._runs.keys() - self._seen:
            self._gone[name] = self._runs.pop(name)
        self._gone = {name: run for name, run in self._gone.items() if run.has_listeners}


def _directories(root: Path) -> Iterator[Path | None]:
    """The directories from the root on that hold a run, and None now and then, so that a long search can pause.

    Links to directories are not followed, so that there are no loops; what cannot be read is left out.
    """
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        files: dict[str, bool] = {}
        for number, entry in enumerate(_entries(folder), 1):
            if entry.name in _FILES:
                files[entry.name] = _is(entry, directory=False)
            elif not entry.name.startswith(".") and _is(entry, directory=True):
                waiting.append(folder / entry.name)
            if number % ENTRIES_AT_ONCE == 0:
                yield None
        yield folder if files.get(event_log.FILE_NAME, any(files.values())) else None


_FILES = (event_log.FILE_NAME, recordings.SCORES_FILE, recordings.RATIOS_FILE)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return


def _is(entry: os.DirEntry[str], *, directory: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) if directory else entry.is_file()
    except OSError:  # a link to itself, a folder that may be listed and not entered
        return False


def _tables(path: Path) -> list[Event]:
    """A results directory without a log: its tables, if they can be read; else nothing."""
    if os.path.lexists(path / event_log.FILE_NAME):
        return []
    try:
        return recordings.read(path)
    except RecordingError:
        return []
