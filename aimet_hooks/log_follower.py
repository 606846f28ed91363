"""Follow the event log of a run that another process writes."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from aimet_hooks.event_log import LineReader, raw_lines

if TYPE_CHECKING:
    from pathlib import Path

    from aimet_hooks.events import Event


class LogFollower:
    """Gives the events of a log as they are written; nothing is read twice.

    A log that was truncated or has come in the place of another is followed from its start: its ``RunStarted`` resets
    a ``RunState`` that is fed with the events.

    Args:
        path: An ``events.jsonl``, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self._offset = 0
        self._inode: int | None = None
        self._reader = LineReader(self._path)

    def new_events(self, limit: int = 1000) -> list[Event]:
        """What was added since the last call, from at most so many lines; [] if there is nothing new, or no log.

        A line that is not complete is left until it is; one that cannot be read is left out with a warning.
        """
        events = [self._reader.event_of(line) for line in self._new_lines(limit)]
        self._reader.warn()
        return [event for event in events if event is not None]

    def _new_lines(self, limit: int) -> list[bytes]:
        """The next complete lines; none while the disk refuses, so that no line is lost."""
        try:
            with self._path.open("rb") as file:
                self._begin_anew_if_other(os.fstat(file.fileno()))
                file.seek(self._offset)
                found = [(line, end) for line, end in islice(raw_lines(file), limit) if line.endswith(b"\n")]
        except FileNotFoundError:  # what comes in its place is another log, even where it gets the same inode
            self._begin()
            return []
        except OSError:
            return []
        self._offset = found[-1][1] if found else self._offset
        return [line for line, _ in found]

    def _begin_anew_if_other(self, status: os.stat_result) -> None:
        if self._inode not in (None, status.st_ino) or status.st_size < self._offset:
            self._begin()
        self._inode = status.st_ino
