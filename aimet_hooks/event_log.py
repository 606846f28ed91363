"""The event log: every event of a run as a line of JSON with a check. What a line is, and how logs are read.

A line is one flat object: ``event``, ``schema``, ``run_id``, ``seq``, ``time``, the event's fields, ``crc``. The
check is the CRC-32 of the line's UTF-8 text up to ``, "crc"``, as eight hexadecimal digits.
"""

from __future__ import annotations

import json
import logging
import math
import numbers
import re
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

from aimet_hooks import bounded_json, events
from aimet_hooks.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aimet_hooks.events import Event

logger = logging.getLogger(__name__)

FILE_NAME = "events.jsonl"
LONGEST_LINE = bounded_json.MAX_BYTES
"""Bytes of a line that is read; no run writes one that long."""
MOST_SAID = 10
"""Lines that cannot be read of which a reader speaks."""

_CRC = re.compile(r', "crc": "([0-9a-f]{8})"\}')
_LONE_SURROGATE = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")


class NewerVersionError(ValueError):
    """A line is whole, but of a newer version of this package."""


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=events.fields_of).encode


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
    return from_fields(fields_of_line(line))


def fields_of_line(line: str) -> dict[str, Any]:
    """What a line holds, whatever version wrote it.

    Raises:
        ValueError: If the line is damaged.
    """
    match = _CRC.fullmatch(line, max(0, len(line) - 20))
    if match is None or match[1] != _check(line[: match.start()]):
        raise ValueError("its check does not fit: the line is torn or was changed")
    fields: dict[str, Any] = bounded_json.decode(line)
    return fields


def from_fields(fields: Mapping[str, Any]) -> Event:
    """The event of what a line holds.

    Raises:
        NewerVersionError: If it is of a newer schema, or of a kind that this version does not know.
        ValueError: If the fields are not those of the event.
    """
    schema, name = fields.get("schema"), fields.get("event")
    if type(schema) is not int or not 1 <= schema <= events.SCHEMA:
        raise NewerVersionError(
            f"its schema is {schema!r}, this version reads up to {events.SCHEMA}: update aimet-hooks"
        )
    if not isinstance(name, str) or name not in events.EVENTS:
        raise NewerVersionError(f"this version does not know the event {name!r}: update aimet-hooks")
    return events.from_fields(name, fields)


def parsed(line: bytes) -> Event:
    """The event of a line as it is in the file, without the line's end.

    Raises:
        ValueError: As ``from_line``; also if the line is too long, or no UTF-8.
    """
    return from_line(decoded(line))


def decoded(line: bytes) -> str:
    """The text of a line as it is in the file.

    Raises:
        ValueError: If it is too long, or no UTF-8.
    """
    if len(line) > LONGEST_LINE:
        raise ValueError(f"it is longer than {LONGEST_LINE >> 20} MiB")
    return line.decode("utf-8", "surrogatepass")


def _check(body: str) -> str:
    return f"{zlib.crc32(encoded(body)):08x}"


def encoded(text: str) -> bytes:
    """The text as a log has it: names may hold halves of characters."""
    return text.encode("utf-8", "surrogatepass")


def read(path: Path) -> Iterator[Event]:
    """The events of a log in their order.

    A torn last line is left out. Any other line that cannot be read is left out with a warning that holds its number;
    of lines of a newer version only the first of a kind is named. No more than a line is held in memory.

    Raises:
        RecordingError: If the file cannot be read, or holds no event at all.
    """
    reader = LineReader(path)
    found = False
    for raw in lines(path):
        event = reader.event_of(raw)
        if event is not None:
            found = True
            yield event
        if found:
            reader.warn()
    if not found:
        why = f"; {reader.reason}" if reader.reason else ""
        raise RecordingError(f"{path} holds no event{why}; give the events.jsonl of a run, or its results directory")


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a log as they are; the last may lack its end. No more than a line is held in memory.

    Raises:
        RecordingError: If the file cannot be read.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise RecordingError(f"cannot read {path}: it is no regular file")
        with path.open("rb") as file:
            for raw, _ in raw_lines(file):
                yield raw
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error


def raw_lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The lines from here on, each with the place where it ends; the last may lack its end.

    Of a line that is too long there is only its beginning, which is still too long.
    """
    place = file.tell()
    while raw := file.readline(LONGEST_LINE + 1):
        place += len(raw)
        rest = raw
        while not rest.endswith(b"\n") and (rest := file.readline(2**20)):
            place += len(rest)
        yield (raw if raw.endswith(b"\n") or not rest else raw + b"\n"), place


class LineReader:
    """Turns the lines of one log into events, and tells what it leaves out; but for a last line that is torn.

    Args:
        path: The log, for messages.

    Attributes:
        reason: Why the latest line was left out, "" before there is one.
    """

    def __init__(self, path: Path) -> None:
        self.reason = ""
        self._path = path
        self._number = 0
        self._left_out = 0
        self._newer: set[str] = set()
        self._untold: list[str] = []

    def event_of(self, raw: bytes) -> Event | None:
        """The event of the next line, None where there is none or it cannot be read."""
        self._number += 1
        line = raw.rstrip(b"\r\n")
        if not line:
            return None
        try:
            return parsed(line)
        except ValueError as error:
            if raw.endswith(b"\n"):
                self._leave_out(error)
            return None

    def warn(self) -> None:
        """Warn of the lines that were left out since the last call, with their numbers."""
        for text in self._untold:
            logger.warning("%s", text)
        self._untold.clear()

    def _leave_out(self, error: ValueError) -> None:
        self.reason = str(error)
        if isinstance(error, NewerVersionError):
            if self.reason in self._newer:
                return
            self._newer.add(self.reason)
        self._left_out += 1
        if self._left_out <= MOST_SAID:
            self._untold.append(f"{self._path}, line {self._number} is left out: {self.reason}")
        elif self._left_out == MOST_SAID + 1:
            self._untold.append(f"{self._path} has more lines that cannot be read; aimet-hooks verify lists them")


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
