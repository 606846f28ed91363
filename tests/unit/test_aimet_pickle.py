"""AIMET's pickles are read, and nothing else that a pickle can do."""

from __future__ import annotations

import collections
import contextlib
import datetime
import os
import pickle
import struct
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks import aimet_pickle
from aimet_hooks.errors import RecordingError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SCORES = {"conv1": {Decimal("0.1"): 0.25, Decimal("0.9"): 0.75}, "層": {Decimal("0.5"): None}}
RATIOS = [("conv1", Decimal("0.5")), ("fc", None)]


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("content", [SCORES, RATIOS, dict(RATIOS)], ids=["scores", "pairs", "ratios"])
def test_tables_of_every_protocol_are_read(content: object, protocol: int) -> None:
    assert aimet_pickle.loads(pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("code", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_numpy_numbers_of_every_type_and_protocol_are_read_as_plain_numbers(code: str, protocol: int) -> None:
    given = np.dtype(code).type(100)
    read = aimet_pickle.loads(pickle.dumps({"conv": {Decimal("0.5"): given}}, protocol))["conv"][Decimal("0.5")]
    assert read == 100
    assert type(read) is (float if code[0] == "f" else int)


@pytest.mark.parametrize("name", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_numpy_numbers_of_old_and_new_versions_are_read(name: bytes) -> None:
    written = (
        pickle.dumps(np.float32(0.5), 2)
        .replace(b"numpy._core.multiarray", name)
        .replace(b"numpy.core.multiarray", name)
    )
    assert aimet_pickle.loads(written) == 0.5


@pytest.mark.parametrize("order", ["<", ">"])
def test_numpy_numbers_of_either_byte_order_are_read(order: str) -> None:
    stored = np.array([1, 258], dtype=f"{order}i4")
    data = pickle.dumps(np.dtype("i4").type(1), 2)
    assert aimet_pickle.loads(data) == 1
    kind = aimet_pickle._NumberType("i4")
    kind.set_state((3, order, None, None, None, -1, -1, 0))
    assert aimet_pickle._number(kind, stored[1:].tobytes()) == 258


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.decimals(allow_nan=False), inner)
    ),
    max_leaves=20,
)


@given(plain, st.sampled_from(PROTOCOLS))
def test_whatever_is_made_of_admitted_types_is_read_as_it_was(content: object, protocol: int) -> None:
    assert aimet_pickle.loads(pickle.dumps(content, protocol)) == content


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        aimet_pickle.loads(data)


@given(st.data(), st.sampled_from(PROTOCOLS))
def test_changed_pickles_are_read_or_refused(data: st.DataObject, protocol: int) -> None:
    content = bytearray(pickle.dumps([SCORES, RATIOS, np.float32(0.5)], protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        aimet_pickle.loads(bytes(content))


# -- what is refused ---------------------------------------------------------------------------------------------------


class Runs:
    """Its pickle calls a function."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.call


class Plain:
    pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Runs(os.system, "touch was-run"), r"posix\.system"),
        (Runs(eval, "open('was-run', 'w')"), r"builtin.*\.eval"),
        (Runs(getattr, "text", "upper"), r"getattr"),
        (Plain(), r"Plain|copy_?reg"),
        (datetime.date(2026, 1, 1), r"datetime\.date"),
        (collections.OrderedDict(a=1), r"collections\.OrderedDict"),
        (np.array([0.5]), r"numpy.*_reconstruct|numpy.*\."),
        (np.bool_(True), r"type 'b1', which is no real number"),
        (np.complex64(1), r"type 'c8', which is no real number"),
        (np.longdouble(1), r"which is no real number"),
        (np.str_("x"), r"which is no real number"),
        (np.datetime64("2026-01-01"), r"which is no real number"),
        ({"a": {1 + 2j: 3}}, r"builtin.*\.complex"),
        ({1, 2}, r"set|EMPTY_SET"),
        (frozenset([1]), r"frozenset|FROZENSET"),
        (bytearray(b"x"), r"bytearray|BYTEARRAY8"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_everything_else_is_refused_by_name_and_nothing_is_run(
    content: object, reason: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written = pickle.dumps({"conv": content} if not isinstance(content, dict) else content, protocol, fix_imports=False)
    with pytest.raises(ValueError, match=reason):
        aimet_pickle.loads(written)
    assert list(tmp_path.iterdir()) == []


def unicode(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


SCALAR = b"cnumpy.core.multiarray\nscalar\n"
OBJECT_SCALAR = (
    # numpy's own scalar would unpickle the data of an object: a pickle in a pickle
    SCALAR + b"(cnumpy\ndtype\n(X\x02\x00\x00\x00O8I00\nI01\ntRC\x10" + b"cposix\nsystem\n." + b"tR."
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\x04" + unicode("os") + unicode("system") + b"\x93.", r"'os\.system'"),
        (b"\x80\x04" + unicode("decimal") + unicode("Decimal.from_float") + b"\x93.", r"Decimal\.from_float'"),
        (b"\x80\x04" + unicode("decimal") + unicode("__loader__") + b"\x93.", r"'decimal\.__loader__'"),
        (b"\x80\x04K\x01K\x02\x93.", r"it holds '1\.2'"),
        (b"\x80\x04" + unicode("numpy") + b"]\x93.", "it holds"),
        (b"(iposix\nsystem\n.", "operation INST"),
        (b"(cos\nsystem\no.", "it holds 'os.system'"),
        (b"(K\x01o.", "operation OBJ"),
        (b"Pid\n.", "operation PERSID"),
        (b"K\x01Q.", "operation BINPERSID"),
        (b"\x82\x01.", "operation EXT1"),
        (b"\x83\x01\x00.", "operation EXT2"),
        (b"\x84\x01\x00\x00\x00.", "operation EXT4"),
        (b"cdecimal\nDecimal\n)\x81.", "operation NEWOBJ"),
        (b"cdecimal\nDecimal\n)}\x92.", "operation NEWOBJ_EX"),
        (b"}}b.", "it sets the state of a dict"),
        (b"cdecimal\nDecimal\n}b.", "it sets the state of a function"),
        (b"\x97.", "operation NEXT_BUFFER"),
        (b"K\x010.", "operation POP"),
        (b"K\x012.", "operation DUP"),
        (b"S'python 2'\n.", "operation STRING"),
        (b"}(K\x01u.", "it sets items of what is no dict"),
        (b"](K\x01K\x02u.", "it sets items of what is no dict"),
        (b"}K\x01a.", "it appends to what is no list"),
        (b"}]K\x01s.", "it holds a dict with a list as key"),
        (b"}(tK\x01s.", "it holds a dict with a tuple as key"),
        (b"}NK\x01s.", "it holds a dict with a NoneType as key"),
        (b"K\x01)R.", "it calls what is no function"),
        (b"cdecimal\nDecimal\nK\x01R.", "it calls what is no function"),
        (b"cdecimal\nDecimal\nK\x01\x85R.", r"a decimal\.Decimal that is no number"),
        (b"cdecimal\nDecimal\nX\x01\x00\x00\x00x\x85R.", "InvalidOperation"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00hex\x86R.", "it holds an encoded string"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8tR}b.", "a numpy scalar of an unknown type"),
        (SCALAR + b"(cnumpy\ndtype\n(X\x02\x00\x00\x00f8tRC\x01xtR.", "numpy scalar that is no number"),
        (SCALAR + b"K\x01K\x02\x86R.", "numpy scalar that is no number"),
        (OBJECT_SCALAR, "a numpy scalar of type 'O8', which is no real number"),
        (b"", "no whole pickle .*exhausted before seeing STOP"),
        (b".", "it does not end with one value"),
        (b"K\x01K\x02.", "it does not end with one value"),
        (b"a.", "it takes more values than it has"),
        (b"((K\x01\x86.", "it takes more values than it has"),
        (b"t.", "it is no whole pickle"),
        (b"h\x05.", "it is no whole pickle"),
        (b"I" + b"9" * 5000 + b"\n.", "it is no whole pickle .*4300"),
        (b"Fnumber\n.", "it is no whole pickle"),
        (b"\xff", "it is no whole pickle"),
    ],
)  # fmt: skip
def test_every_trick_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        aimet_pickle.loads(data)


@pytest.mark.parametrize(
    "bomb",
    [
        b"K\x01r\xff\xff\xff\x7f.",  # LONG_BINPUT: a memo of two thousand million places
        b"K\x01p2147483647\n.",  # PUT, the same in text
        b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",  # FRAME
        b"\x8d" + struct.pack("<Q", 2**40) + b"x.",  # BINUNICODE8
        b"\x8e" + struct.pack("<Q", 2**40) + b"x.",  # BINBYTES8
        b"\x96" + struct.pack("<Q", 2**40) + b"x.",  # BYTEARRAY8
        b"X\xff\xff\xff\xffx.",  # BINUNICODE
        b"B\xff\xff\xff\x7fx.",  # BINBYTES
        b"\x8b\xff\xff\xff\x7fx.",  # LONG4
    ],
    ids=["LONG_BINPUT", "PUT", "FRAME", "BINUNICODE8", "BINBYTES8", "BYTEARRAY8", "BINUNICODE", "BINBYTES", "LONG4"],
)
def test_lengths_far_beyond_the_data_do_not_fill_the_memory(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        aimet_pickle.loads(bomb)
    except ValueError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "content",
    [b"](" + b"}" * 399_996 + b"e.", b"](" + b"}\x94" * 199_998 + b"e.", b"V\\U0001F600" + b"a" * 4_194_291 + b"\n."],
    ids=["dicts", "dicts in the memo", "wide text"],
)
def test_what_is_admitted_takes_little_memory(content: bytes) -> None:
    assert len(content) <= aimet_pickle.MAX_BYTES
    tracemalloc.start()
    try:
        aimet_pickle.loads(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000


def test_pickle_of_more_operations_than_a_table_needs_is_refused() -> None:
    with pytest.raises(ValueError, match="it has more than 400,000 operations"):
        aimet_pickle.loads(b"](" + b"}" * 400_000 + b"e.")


def test_huge_numbers_are_read() -> None:
    assert aimet_pickle.loads(pickle.dumps(1 << 1_000_000)) == 1 << 1_000_000


def test_deep_nesting_is_read_or_refused_but_never_ends_the_process(tmp_path: Path) -> None:
    depth = 200_000
    assert isinstance(aimet_pickle.loads(b")" + b"\x85" * depth + b"."), tuple)
    assert isinstance(aimet_pickle.loads(b"]" * depth + b"a" * (depth - 1) + b"."), list)
    with pytest.raises(ValueError, match="with a tuple as key"):  # its hash would overflow the stack
        aimet_pickle.loads(b"})" + b"\x85" * depth + b"K\x01s.")


def test_container_that_holds_itself_is_read() -> None:
    content = aimet_pickle.loads(b"]q\x00h\x00a.")
    assert content[0] is content


# -- files -------------------------------------------------------------------------------------------------------------


def test_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "scores.pkl").write_bytes(pickle.dumps(SCORES))
    assert aimet_pickle.load(tmp_path / "scores.pkl") == SCORES


def test_refused_file_is_named_with_the_reason_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "scores.pkl"
    path.write_bytes(pickle.dumps(Runs(os.system, "true")))
    with pytest.raises(
        RecordingError,
        match=r"scores\.pkl is refused: it holds 'posix\.system'; only numbers, strings, dict, list and tuple are "
        r"admitted; convert it to eval_scores\.json or \.csv",
    ):
        aimet_pickle.load(path)


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read .*: No such file or directory"):
        aimet_pickle.load(tmp_path / "nowhere.pkl")
    with pytest.raises(RecordingError, match=r"cannot read .*: Is a directory"):
        aimet_pickle.load(tmp_path)


def test_file_that_is_far_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.pkl"
    path.touch()
    os.truncate(path, aimet_pickle.MAX_BYTES + 1)
    with pytest.raises(RecordingError, match="it is larger than 4 MiB"):
        aimet_pickle.load(path)
