"""The event log: every event of a run as a line of JSON, append-only, with a check, on the disk before the run goes on.

A line is one flat object: ``event``, ``schema``, ``run_id``, ``seq``, ``time``, the event's fields, ``crc``. The
check is the CRC-32 of the line's UTF-8 text up to ``, "crc"``, as eight hexadecimal digits.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import numbers
import os
import re
import time
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

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

_CRC = re.compile(r', "crc": "([0-9a-f]{8})"\}')
_LONE_SURROGATE = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")


class NewerVersionError(ValueError):
    """A line is whole, but of a newer version of this package."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no JSON")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=events.fields_of).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def to_line(event: Event) -> str:
    """The event as a line of the log, without the line's end."""
    fields = {"event": event.name, "schema": events.SCHEMA, **events.fields_of(event)}
    try:
        body = _encode(fields)[:-1]
    except (TypeError, ValueError):  # a number that is no JSON: the log says null rather than end the run
        body = _encode(json_safe(fields))[:-1]
    if not body.isascii():
        # names from the file system may hold halves of characters, which are no UTF-8 but can be escaped
        body = _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", body)
    return f'{body}, "crc": "{_check(body)}"}}'


def from_line(line: str) -> Event:
    """The event of a line.

    Raises:
        NewerVersionError: If it is of a newer schema, or of a kind that this version does not know.
        ValueError: If the line is damaged, or its fields are not those of the event.
    """
    match = _CRC.fullmatch(line, max(0, len(line) - 20))
    if match is None or match[1] != _check(line[: match.start()]):
        raise ValueError("its check does not fit: the line is torn or was changed")
    fields = _decode(line)
    schema, name = fields.get("schema"), fields.get("event")
    if type(schema) is not int or not 1 <= schema <= events.SCHEMA:
        raise NewerVersionError(
            f"its schema is {schema!r}, this version reads up to {events.SCHEMA}: update aimet-hooks"
        )
    if not isinstance(name, str) or name not in events.EVENTS:
        raise NewerVersionError(f"this version does not know the event {name!r}: update aimet-hooks")
    return events.from_fields(name, fields)


def _check(body: str) -> str:
    return f"{zlib.crc32(_bytes(body)):08x}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def read(path: Path) -> Iterator[Event]:
    """The events of a log in their order.

    A torn last line is left out. Any other line that cannot be read is left out with a warning that holds its number;
    of lines of a newer version only the first of a kind is named.

    Raises:
        RecordingError: If the file cannot be read, or holds no event at all.
    """
    try:
        *lines, torn = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    reader = LineReader(path)
    found = False
    for raw in lines:
        event = reader.event_of(raw)
        if event is not None:
            found = True
            yield event
    with contextlib.suppress(ValueError, RecursionError):
        yield from_line(torn.decode("utf-8", "surrogatepass"))
        found = True
    if not found:
        why = f"; {reader.reasons.pop()}" if reader.reasons else ""
        raise RecordingError(f"{path} holds no event{why}; give the events.jsonl of a run, or its results directory")


class LineReader:
    """Turns the lines of one log into events, and says what it leaves out.

    Args:
        path: The log, for messages.

    Attributes:
        reasons: Why lines were left out.
    """

    def __init__(self, path: Path) -> None:
        self.reasons: set[str] = set()
        self._path = path
        self._number = 0

    def event_of(self, raw: bytes) -> Event | None:
        """The event of the next line, None where there is none or it cannot be read, which is said with its number."""
        self._number += 1
        if not raw:
            return None
        try:
            return from_line(raw.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            self._say_left_out(error)
            return None

    def _say_left_out(self, error: Exception) -> None:
        if str(error) in self.reasons and isinstance(error, NewerVersionError):
            return
        self.reasons.add(str(error))
        logger.warning("%s, line %d is left out: %s", self._path, self._number, error)


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
        self._file = _created(self.path)
        self._whole = 0
        self._pending: list[bytes] = []
        self._sync_due = False
        self._failed_at: float | None = None

    def append(self, event: Event) -> None:
        """Write an event; one that is durable and new is on the disk when this returns."""
        self._pending.append(_bytes(to_line(event)) + b"\n")
        # a score that was known before is in the file that it came from, and goes to the disk with the next new one
        self._sync_due |= event.durable and not getattr(event, "reused", False)
        if self._failed_at is None or time.monotonic() - self._failed_at >= RETRY_SECONDS:
            self._write()

    def close(self) -> None:
        """Write what is pending and close the file; what the disk still refuses is said.

        A log without any event is removed, so that the directory is free for the next attempt.
        """
        if self._pending:
            self._write()
        if self._pending:
            logger.error("%s lacks the last %d events: the disk did not take them", self.path, len(self._pending))
        elif not self._whole:
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    def _write(self) -> None:
        data = b"".join(self._pending)
        size = len(data)
        try:
            if self._failed_at is not None:
                os.ftruncate(self._file, self._whole)
            while data:
                data = data[os.write(self._file, data) :]
            if self._sync_due:
                os.fsync(self._file)
                if not os.fstat(self._file).st_nlink:
                    raise FileNotFoundError(0, "it was deleted")
        except OSError as error:
            self._say_failure(error)
            return
        self._whole += size
        self._pending.clear()
        self._sync_due = False
        if self._failed_at is not None:
            logger.warning("%s can be written again; no event is missing", self.path)
            self._failed_at = None

    def _say_failure(self, error: OSError) -> None:
        if self._failed_at is None:
            logger.error(
                "%s cannot be written (%s); the run goes on, its events are kept in memory and written as soon as "
                "that is possible",
                self.path,
                error.strerror,
            )
        self._failed_at = time.monotonic()


def add(path: Path, event: Event) -> None:
    """Add an event to the log of a run that has ended; when this returns, the disk has it.

    Raises:
        ResultsDirError: If the log cannot be written.
    """
    try:
        with path.open("r+b") as file:
            is_torn = bool(file.seek(0, os.SEEK_END)) and _last_byte(file) != b"\n"
            file.write((b"\n" if is_torn else b"") + _bytes(to_line(event)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ResultsDirError(f"{path} cannot be written ({error.strerror or error}); nothing was added") from error


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def refuse_taken(directory: Path, *, resumable: bool = True) -> None:
    """Refuse a directory that already holds a log.

    Args:
        directory: Where a run is to write.
        resumable: Whether a run of this kind can be continued.

    Raises:
        ResultsDirError: With all ways out.
    """
    if os.path.lexists(directory / FILE_NAME):
        or_continue = ", or continue that run with resume=True" if resumable else ""
        raise ResultsDirError(
            f"results_dir {str(directory)!r} already holds a run; choose another directory{or_continue}"
        )


def _created(path: Path) -> int:
    """A descriptor of the new file, whose place in its directory is on the disk."""
    directory = path.parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
    except (OSError, ValueError) as error:
        refuse_taken(directory)
        why = "it is a file" if isinstance(error, FileExistsError) else getattr(error, "strerror", error)
        raise ResultsDirError(
            f"results_dir {str(directory)!r} cannot be written ({why}); choose another directory"
        ) from error
    with contextlib.suppress(OSError):  # some file systems cannot do this
        _sync_directory(directory)
    return file


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def json_safe(value: Any) -> Any:
    """``value`` in JSON types: a number that is not finite becomes None, what JSON does not know becomes its repr."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(item) for item in value]
    if isinstance(value, events.LayerInfo):
        return json_safe(events.fields_of(value))
    return repr(value)
