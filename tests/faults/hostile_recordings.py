"""Files of scores, ratios and costs that nobody should read: name of the file, and its content."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zlib
from pathlib import Path

MIB = 1 << 20
WIDE = "\U0001f600".encode()

FILES: dict[str, bytes] = {
    # JSON
    "empty.json": b"",
    "cut.json": b'{"scores": {"a"',
    "binary.json": bytes(range(256)) * 100,
    "utf16.json": '{"a": 0.5}'.encode("utf-16"),
    "nan.json": b'{"a": NaN}',
    "infinite.json": b'{"a": 1e999}',
    "twice.json": b'{"a": 0.5, "a": 0.6}',
    "digits.json": b'{"a": ' + b"9" * MIB + b"}",
    "brackets.json": b"[" * MIB,
    "nested.json": b'{"a":' * 200 + b"1" + b"}" * 200,
    "objects.json": b"[" + b"{}," * 5_000_000 + b"1]",
    "objects_within_limits.json": b"[" + b"{}," * 180_000 + b"1]",
    "wide_text.json": b'"' + WIDE + b"a" * 15 * MIB + b'"',
    "long_line.json": b'{"a": "' + b"x" * 100 * MIB + b'"}',
    "text.json": b'"scores"',
    "list.json": b"[[[1]]]",
    "scores_list.json": b'{"scores": [1, 2]}',
    "score_object.json": b'{"scores": {"a": {"0.5": {"b": [1]}}}}',
    "score_text.json": b'{"scores": {"a": {"0.5": "1e5x"}}}',
    "ratio_huge.json": b'{"a": 1' + b"0" * 290 + b"}",
    "many_ratios.json": json.dumps({"scores": {"a": {str(at / 70_001): 1 for at in range(1, 70_000)}}}).encode(),
    "layer_name.json": json.dumps({"\x1b[31m\u202e\ud800</script>\n" * 5_000: 7}).encode(),
    # CSV
    "empty.csv": b"",
    "long_line.csv": b"layer,0.5\n" + b"a" * 100 * MIB,
    "wide_text.csv": b"layer,0.5\n" + WIDE + b"a" * 7 * MIB,
    "commas.csv": b"layer" + b",0.5" * 2_000_000,
    "open_quote.csv": b'layer,0.5\n"' + b"a\n" * 3 * MIB,
    "rows.csv": b"layer,0.5\n" + b"".join(b"%d,1\n" % number for number in range(101_000)),
    "carriage_returns.csv": b"\r" * 5 * MIB,
    "twice.csv": b"layer,0.5\na,1\na,2\n",
    "columns.csv": b"layer,0.5\n,,,\n",
    # pickles
    "runs_code.pkl": b'cos\nsystem\n(S"touch was_run"\ntR.',
    "runs_code_4.pkl": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\rtouch was_run\x85R.",
    "memo.pkl": b"Nr\xff\xff\xff\x7f.",
    "long.pkl": b"\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    "bytes.pkl": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
    "frame.pkl": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b".",
    "dicts.pkl": b"}" * 3 * MIB + b".",
    "dicts_in_memo.pkl": b"}\x94" * 3 * (MIB // 2) + b".",
    "large.pkl": b"}" * 15 * MIB,
    "wide_text.pkl": b"V\\U0001F600" + b"a" * 4_194_280 + b"\n.",
    "cut.pkl": pickle.dumps({"a": {0.5: 1}})[:-5],
    "array.pkl": b"\x80\x04\x8c\x16numpy._core.multiarray\x8c\x0c_reconstruct\x93.",
}


def line(body: bytes) -> bytes:
    """A line of an event log whose check is right, as whoever can write a log can make it."""
    return body + b', "crc": "%08x"}\n' % zlib.crc32(body)


RUN = b'{"event": "run_started", "schema": 1, "run_id": "a", "seq": 0, "time": 1.0, '
SCORE = b'{"event": "baseline_score", "schema": 1, "run_id": "a", "seq": 0, "time": 1.0, '
FILES |= {
    "empty.jsonl": b"",
    "text.jsonl": b"my notes\n" * 100,
    "binary.jsonl": bytes(range(256)) * 100,
    "damaged.jsonl": line(SCORE + b'"score": 0.5').replace(b"0.5", b"0.6") * 50_000,
    "newer.jsonl": line(SCORE.replace(b'"schema": 1', b'"schema": 2') + b'"score": 0.5') * 10,
    "unknown.jsonl": line(b'{"event": "' + b"x" * MIB + b'", "schema": 1'),
    "long_line.jsonl": SCORE + b'"score": "' + b"x" * 100 * MIB + b'"}\n',
    "long_torn_line.jsonl": SCORE + b'"score": "' + b"x" * 30 * MIB,
    "wrong_types.jsonl": line(SCORE + b'"score": [1]') + line(b'{"event": ["a"], "schema": 1'),
    "missing.jsonl": line(SCORE[:-2]),
    "nested.jsonl": line(RUN + b'"settings": ' + b'{"a":' * 200 + b"1" + b"}" * 200),
    "brackets.jsonl": line(RUN + b'"settings": ' + b"[" * MIB),
    "objects.jsonl": line(RUN + b'"settings": [' + b"{}," * 5_000_000 + b"1]"),
    "digits.jsonl": line(SCORE + b'"score": ' + b"9" * MIB),
    "infinite.jsonl": line(SCORE + b'"score": 1e999'),
    "twice.jsonl": line(SCORE + b'"score": 0.5, "score": 0.6'),
    "layers.jsonl": line(RUN + b'"layers": {"\\u001b[31m": {"kind": 1}}'),
    "many.jsonl": line(SCORE + b'"score": 0.5') * 120_000,
}


def laughs() -> bytes:
    """Ten lists of ten lists of ten lists ..., 10 ** 30 numbers when they are written out."""
    shared: object = 1
    for _ in range(30):
        shared = [shared] * 10
    return pickle.dumps({"a": {0.5: shared}})


FILES["laughs.pkl"] = laughs()

ENDLESS = [f"{kind}.{suffix}" for kind in ("device", "pipe", "sparse") for suffix in ("json", "jsonl", "csv", "pkl")]
"""What never ends, or is far larger than the disk."""

COSTS: dict[str, bytes] = {
    "empty.csv": b"",
    "cut.csv": b'layer,rank,cost\n"conv,1',
    "binary.csv": bytes(range(256)) * 100,
    "long_line.csv": b"layer,rank,cost\n" + b"a" * 100 * MIB,
    "rows.csv": b"layer,rank,cost\n" + b"".join(b"%x,,1.234567\n" % number for number in range(149_000)),
    "fractions.csv": b"layer,rank,cost\n" + b"".join(b"a,%d,1e-300\n" % rank for rank in range(1, 149_000)),
    "many_fields.csv": b"layer,rank,cost\n" + b"a,,1\n" * 200_000,
    "digits.csv": b"layer,rank,cost\na," + b"9" * 100_000 + b",1\n",
    "infinite.csv": b"layer,rank,cost\na,,1e999\n",
    "name.csv": b"layer,rank,cost\n" + b"\x1b[31m\xe2\x80\xae" * 10_000 + b",1,1\n",
}


def write_endless(folder: Path, name: str) -> None:
    path = folder / name
    if name.startswith("device"):
        path.symlink_to("/dev/zero")
    elif name.startswith("pipe"):
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 1 << 30)
