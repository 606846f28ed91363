"""What a protobuf message will take in memory, told from its bytes before it is parsed.

An empty message takes two bytes of a file and up to hundreds in memory: 2 MB of them took 1.5 GB.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

ALWAYS_TAKEN = 48_000_000
"""Bytes of memory that any file may take; beyond them, twice its size."""

DEEPEST = 100
"""Messages within messages, beyond which the parser refuses them."""

_VARINT, _SIZED = 0, 2
_FIXED = {1: 8, 5: 4}
"""Bytes of a number, by how it is written."""
_OF_A_TEXT, _OF_A_NUMBER = 32, 16


class _Field(NamedTuple):
    """What a field of known length takes: always, and for each of its bytes; and of what kind its message is."""

    always: int
    each: int
    message: Descriptor | None


def check(content: bytes, kind: Descriptor) -> None:
    """Refuse a message that would take far more memory than its size. What is no message is left to the parser.

    Args:
        content: The message.
        kind: Of what kind it is.

    Raises:
        ValueError: If it is refused.
    """
    left = ALWAYS_TAKEN + 2 * len(content)
    at, end, fields = 0, len(content), _fields(kind)
    outside: list[tuple[int, dict[int, _Field]]] = []
    try:
        while True:
            while at >= end:
                if at > end or not outside:
                    return
                end, fields = outside.pop()
            tag, at = _varint(content, at)
            left -= _OF_A_NUMBER
            if tag & 7 == _SIZED:
                length, at = _varint(content, at)
                field = fields.get(tag >> 3, _TEXT)
                left -= field.always + field.each * length
                if field.message is None:
                    at += length
                elif at + length <= end and len(outside) < DEEPEST:
                    outside.append((end, fields))
                    end, fields = at + length, _fields(field.message)
                else:
                    return
            else:
                at = _behind_number(content, tag & 7, at)
            if left < 0:
                raise ValueError("it would take far more memory than its size")
    except (IndexError, KeyError):
        return


def _behind_number(content: bytes, written: int, at: int) -> int:
    return _varint(content, at)[1] if written == _VARINT else at + _FIXED[written]


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it."""
    value = content[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for shift in range(7, 70, 7):
        at += 1
        part = content[at]
        value |= (part & 0x7F) << shift
        if part < 0x80:
            break
    return value, at + 1


_TEXT = _Field(_OF_A_TEXT, 0, None)


@cache
def _fields(kind: Descriptor) -> dict[int, _Field]:
    return {field.number: _taken_by(field) for field in kind.fields}


def _taken_by(field: FieldDescriptor) -> _Field:
    if field.message_type is not None:
        return _Field(32 + 12 * len(field.message_type.fields), 0, field.message_type)
    is_plain = field.type in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_FLOAT, field.TYPE_DOUBLE)
    return _TEXT if is_plain else _Field(_OF_A_TEXT, 8, None)  # packed integers, a byte each at least
