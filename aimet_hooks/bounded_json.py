"""Decode JSON that comes from outside: plain values of a bounded size, or one clear reason why not."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 16 * 1024 * 1024
"""How much of a file, or of a line, is read at most."""
MAX_DEPTH = 100
"""How deep lists and objects may lie in one another."""
MAX_DIGITS = 300
"""Digits of an integer, so that each one is finite as a float, too."""
MAX_DECODED_BYTES = 60_000_000

_BYTES_OF = {"{": 240, "[": 88, ":": 256, ",": 56, '"': 32}
"""What a value takes at most, by the character that makes it: containers, their entries, and half a string."""
_MOST_OF_A_CHARACTER = 256
_SHOWN = 60


def decode(text: bytes | str) -> Any:
    """The value of a JSON text; bytes are UTF-8, in which halves of characters are tolerated.

    Raises:
        ValueError: If it is no JSON, has a key twice, a number that is not finite or too long, lists within lists
            within lists, or would take too much memory.
    """
    if len(text) * _MOST_OF_A_CHARACTER > MAX_DECODED_BYTES:
        _refuse_large(text)
    try:
        value = _decode(text if isinstance(text, str) else text.decode("utf-8-sig", "surrogatepass"))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if _count(text, "[") + _count(text, "{") > MAX_DEPTH:
        _refuse_deep(value)
    return value


def _refuse_large(text: bytes | str) -> None:
    """Refuse a text by what it holds at most, before any of it is decoded."""
    width = 1 if text.isascii() and not _count(text, "\\u") else 4
    most = len(text) * (1 + 2 * width) + sum(_count(text, sign) * size for sign, size in _BYTES_OF.items())
    if most > MAX_DECODED_BYTES:
        raise ValueError(f"it would take more than {MAX_DECODED_BYTES // 1_000_000} MB of memory")


def _count(text: bytes | str, sign: str) -> int:
    return text.count(sign) if isinstance(text, str) else text.count(sign.encode())


def _refuse_deep(value: Any) -> None:
    """Refuse what later would end in a RecursionError, where it is compared, copied or written."""
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        level = _containers(item for found in level for item in (found.values() if isinstance(found, dict) else found))
    if level:
        raise ValueError(_TOO_DEEP)


def _containers(values: Iterable[Any]) -> list[list[Any] | dict[str, Any]]:
    return [value for value in values if isinstance(value, (list, dict))]


_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"it has the key {twice[:_SHOWN]!r} twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it holds an integer of {len(digits):,} digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"it holds {digits[:_SHOWN]}, which is no finite number")
    return number


def _constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
).decode
