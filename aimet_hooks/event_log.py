"""The event log: every event of a run as a line of JSON, append-only, with a check, on the disk before the run goes on.

A line is one flat object: ``event``, ``schema``, ``run_id``, ``seq``, ``time``, the event's fields, ``crc``. The
check is the CRC-32 of the line's text up to ``, "crc"`` as eight hexadecimal digits.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import zlib
from typing import TYPE_CHECKING, Any

from aimet_hooks import events
from aimet_hooks.errors import RecordingError, ResultsDirError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aimet_hooks.events import Event

logger = logging.getLogger(__name__)

FILE_NAME = "events.jsonl"
RETRY_SECONDS = 1.0
"""Shortest time between two attempts to write to a disk that refused."""

_CRC = re.compile(r', "crc": "([0-9a-f]{8})"\}$')


def to_line(event: Event) -> str:
    """The event as a line of the log, without the line's end."""
    fields = {"event": event.name, "schema": events.SCHEMA, **events.to_json(event)}
    body = json.dumps(fields, ensure_ascii=False, allow_nan=False)[:-1]
    return f'{body}, "crc": "{_check(body)}"}}'


def from_line(line: str) -> Event:
    """The event of a line.

    Raises:
        ValueError: If the line is damaged, of a newer schema, or does not hold an event.
    """
    match = _CRC.search(line)
    if match is None or match[1] != _check(line[: match.start()]):
        raise ValueError("its check does not fit: the line is torn or was changed")
    fields = json.loads(line)
    schema = fields.get("schema")
    if not isinstance(schema, int) or schema > events.SCHEMA:
        raise ValueError(f"its schema is {schema!r}, this version reads up to {events.SCHEMA}: update aimet-hooks")
    return events.from_json(str(fields.get("event")), fields)


def _check(body: str) -> str:
    return f"{zlib.crc32(body.encode('utf-8', 'surrogatepass')):08x}"


def read(path: Path) -> Iterator[Event]:
    """The events of a log in their order. A torn last line is left out; a damaged line elsewhere is named and left out.

    Raises:
        RecordingError: If the file cannot be read, or holds no event at all.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    found = 0
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            event = from_line(raw.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                logger.warning("%s, line %d is left out: %s", path, number, error)
            continue
        found += 1
        yield event
    if not found:
        raise RecordingError(f"{path} holds no event; give the events.jsonl of a run, or its results directory")


class EventLog:
    """The log of one run, open for appending.

    A disk that is full or a directory that cannot be written is reported once and never ends the run: what could not be
    written is kept and tried again, so that the log is whole as soon as the disk takes it.

    Args:
        directory: The results directory; made if it does not exist.

    Raises:
        ResultsDirError: If the directory already holds a log, or cannot be made or written.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except FileExistsError as error:
            raise ResultsDirError(_taken(directory)) from error
        except OSError as error:
            raise ResultsDirError(
                f"results_dir {str(directory)!r} cannot be written ({error.strerror}); choose another directory"
            ) from error
        self._whole = 0
        self._pending: list[bytes] = []
        self._failed_at: float | None = None

    def append(self, event: Event) -> None:
        """Write an event; one that is durable and new is on the disk when this returns."""
        self._pending.append(to_line(event).encode("utf-8", "surrogatepass") + b"\n")
        if self._failed_at is None or time.monotonic() - self._failed_at >= RETRY_SECONDS:
            self._write(sync=event.durable and not getattr(event, "reused", False))

    def close(self) -> None:
        """Write what is pending and close the file; what the disk still refuses is said."""
        if self._pending:
            self._write(sync=True)
        if self._pending:
            logger.error("%s lacks the last %d events: the disk did not take them", self.path, len(self._pending))
        os.close(self._file)

    def _write(self, *, sync: bool) -> None:
        data = b"".join(self._pending)
        try:
            if self._failed_at is not None:
                os.ftruncate(self._file, self._whole)
            while data:
                data = data[os.write(self._file, data) :]
            if sync:
                os.fsync(self._file)
        except OSError as error:
            self._say_failure(error)
            return
        self._whole += sum(map(len, self._pending))
        self._pending.clear()
        if self._failed_at is not None:
            logger.warning("%s can be written again; no event is missing", self.path)
            self._failed_at = None

    def _say_failure(self, error: OSError) -> None:
        if self._failed_at is None:
            logger.error(
                "%s cannot be written (%s); the run goes on, its events are kept in memory and written as soon as the disk "
                "takes them",
                self.path,
                error.strerror,
            )
        self._failed_at = time.monotonic()


def _taken(directory: Path) -> str:
    return (
        f"results_dir {str(directory)!r} already holds a run; choose another directory, "
        "or continue that run with resume=True"
    )


def json_safe(value: Any) -> Any:
    """``value`` in JSON types, for settings that users give: what JSON does not know becomes its repr."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(item) for item in value]
    return repr(value)
