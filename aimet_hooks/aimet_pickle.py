"""Read the pickles that AIMET wrote, without running anything that is in them.

This is an interpreter of its own for the small part of the pickle language that tables of numbers need. Python's
unpickler, also with a strict ``find_class``, would fill the memory for a few bytes (memo places, lengths of byte
strings) and crash on the hash of a deeply nested tuple.
"""

from __future__ import annotations

import pickletools
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aimet_hooks import regular_file
from aimet_hooks.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024
MAX_OPERATIONS = 400_000
"""A score takes up to ten; each can leave a dict behind, and a place in the memo."""

_ADMITTED = "only numbers, strings, dict, list and tuple are admitted"
_FORMATS = dict(zip(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"), "efdbhiqBHIQ", strict=True))
"""Struct's letter for each type of a numpy number."""


class _RefusedError(ValueError):
    """A pickle holds something else than a table of numbers."""


class _NumberType:
    """In place of numpy.dtype: the type of one number."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code not in _FORMATS:
            raise _RefusedError(f"it holds a numpy scalar of type {_short(code)}, which is no real number")
        self.format = f"={_FORMATS[code]}"

    def set_state(self, state: object) -> None:
        """Take the byte order from what numpy.dtype pickles as its state."""
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|")):
            raise _RefusedError("it holds a numpy scalar of an unknown type")
        self.format = state[1].replace("|", "=") + self.format[1]


def _number(kind: object, data: object) -> float | int:
    if not isinstance(kind, _NumberType) or not isinstance(data, bytes) or len(data) != struct.calcsize(kind.format):
        raise _RefusedError("it holds a numpy scalar that is no number")
    number: float | int = struct.unpack(kind.format, data)[0]
    return number


def _latin1(text: object, encoding: object) -> bytes:
    """How byte strings are written by protocols 0 to 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("it holds an encoded string")
    return text.encode("latin1")


def _decimal(text: object) -> Decimal:
    if not isinstance(text, str):
        raise _RefusedError("it holds a decimal.Decimal that is no number")
    return Decimal(text)


_CALLABLES: dict[tuple[str, str], Callable[..., object]] = {
    ("decimal", "Decimal"): _decimal,
    ("_codecs", "encode"): _latin1,
    ("numpy", "dtype"): _NumberType,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
}


class _Interpreter:
    """Runs a pickle: a stack of values, places in it that were marked, and a memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data), start=1):
            if count > MAX_OPERATIONS:
                raise _RefusedError(f"it has more than {MAX_OPERATIONS:,} operations")
            if opcode.name in _PUSHED:
                self.stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode.name])
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](self, argument)
            elif opcode.name not in _IGNORED:
                raise _RefusedError(f"it uses the operation {opcode.name}; {_ADMITTED}")
        if len(self.stack) != 1:
            raise _RefusedError("it does not end with one value")
        return self.stack[0]

    def popped(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) - count < (self._marks[-1] if self._marks else 0):
            raise _RefusedError("it takes more values than it has")
        taken = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return taken

    def since_mark(self) -> tuple[Any, ...]:
        taken = self.popped(len(self.stack) - self._marks[-1])
        self._marks.pop()
        return taken

    def mark(self) -> None:
        self._marks.append(len(self.stack))

    def memoize(self) -> None:
        self.put(len(self._memo))

    def put(self, place: int) -> None:
        self._memo[place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self._memo[place])

    def list_of(self, items: tuple[Any, ...]) -> None:
        self.stack.append([*items])

    def dict_of(self, items: tuple[Any, ...]) -> None:
        self.stack.append({})
        self.set_items(items)

    def extend(self, items: tuple[Any, ...]) -> None:
        if type(self.stack[-1]) is not list:
            raise _RefusedError("it appends to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: tuple[Any, ...]) -> None:
        if type(self.stack[-1]) is not dict or len(items) % 2:
            raise _RefusedError("it sets items of what is no dict")
        for key in items[::2]:
            if not isinstance(key, (str, int, float, Decimal)):  # the hash of a nested tuple can end the process
                raise _RefusedError(f"it holds a dict with a {type(key).__name__} as key")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def push_callable(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _CALLABLES:
            raise _RefusedError(f"it holds {_short(f'{module}.{name}')}; {_ADMITTED}")
        self.stack.append(_CALLABLES[module, name])

    def reduce(self, called: Any, arguments: object) -> None:
        if called not in _CALLABLES.values() or not isinstance(arguments, tuple):
            raise _RefusedError("it calls what is no function")
        self.stack.append(called(*arguments))

    def build(self, target: object, state: object) -> None:
        if not isinstance(target, _NumberType):
            raise _RefusedError(f"it sets the state of a {type(target).__name__}; {_ADMITTED}")
        target.set_state(state)
        self.stack.append(target)


_NUMBERS = frozenset(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"))
_STRINGS = frozenset(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"))
_BYTES = frozenset(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"))
_PUSHED = _NUMBERS | _STRINGS | _BYTES
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_IGNORED = frozenset(("PROTO", "FRAME", "STOP"))
_OPERATIONS: dict[str, Callable[[_Interpreter, Any], None]] = {
    "MARK": lambda machine, _: machine.mark(),
    "EMPTY_LIST": lambda machine, _: machine.list_of(()),
    "LIST": lambda machine, _: machine.list_of(machine.since_mark()),
    "APPEND": lambda machine, _: machine.extend(machine.popped(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "EMPTY_DICT": lambda machine, _: machine.dict_of(()),
    "DICT": lambda machine, _: machine.dict_of(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.popped(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE1": lambda machine, _: machine.stack.append(machine.popped(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.popped(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.popped(3)),
    "MEMOIZE": lambda machine, _: machine.memoize(),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, place: machine.put(place)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, place: machine.get(place)),
    "GLOBAL": lambda machine, name: machine.push_callable(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.push_callable(*machine.popped(2)),
    "REDUCE": lambda machine, _: machine.reduce(*machine.popped(2)),
    "BUILD": lambda machine, _: machine.build(*machine.popped(2)),
}


def loads(data: bytes) -> Any:
    """The content of a pickle of dict, list, tuple, str, int, float, ``decimal.Decimal`` and numpy numbers.

    Numpy numbers are given back as int and float.

    Raises:
        ValueError: If it holds anything else, or is damaged.
    """
    try:
        return _Interpreter().run(data)
    except _RefusedError:
        raise
    except Exception as error:  # pickletools, struct and Decimal raise what they like
        raise _RefusedError(f"it is no whole pickle ({type(error).__name__}: {error})") from error


def load(path: Path) -> Any:
    """The content of a pickle, as ``loads`` gives it.

    Raises:
        RecordingError: If it cannot be read, is above 4 MiB, or holds anything but numbers, strings and containers.
    """
    try:
        data = regular_file.content(path, MAX_BYTES)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    try:
        return loads(data)
    except ValueError as error:
        raise RecordingError(f"{path} is refused: {error}; convert it to eval_scores.json or .csv") from error


def _short(value: object) -> str:
    return repr(value)[:60] if isinstance(value, str) else f"a {type(value).__name__}"
