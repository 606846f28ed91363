"""Follow the event log of a run that another process writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aimet_hooks.event_log import LineReader

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from aimet_hooks.events import Event


class LogFollower:
    """Gives the events of a log as they are written; nothing is read twice.

    A log that was replaced or truncated is followed from its start: its ``RunStarted`` resets a ``RunState`` that is
    fed with the events.

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
        """What was added since the last call, at most so many lines; [] if there is nothing new, or no log.

        A line that is not complete is left until it is; one that cannot be read is left out with a warning.
        """
        try:
            with self._path.open("rb") as file:
                return self._read(file, limit)
        except OSError:
            return []

    def _read(self, file: BinaryIO, limit: int) -> list[Event]:
        status = os.fstat(file.fileno())
        if self._inode not in (None, status.st_ino) or status.st_size < self._offset:
            self._begin()
        self._inode = status.st_ino
        file.seek(self._offset)
        events: list[Event] = []
        for _ in range(limit):
            line = file.readline()
            if not line.endswith(b"\n"):
                break
            self._offset += len(line)
            event = self._reader.event_of(line[:-1])
            if event is not None:
                events.append(event)
        return events
