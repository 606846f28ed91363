"""Whatever a file holds: events, or one clear error."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimet_hooks import event_log, recordings
from aimet_hooks.errors import RecordingError
from aimet_hooks.testing import finished_run
from tests.properties.mutations import mutated

SUFFIXES = (".jsonl", ".json", ".csv", ".pkl")
one_directory = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

layers = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=10)
ratios = st.integers(1, 999).map(lambda number: number / 1000)
scores = st.none() | st.floats(allow_nan=False, allow_infinity=False)
tables = st.lists(ratios, min_size=1, max_size=4, unique=True).flatmap(
    lambda columns: st.dictionaries(
        layers, st.fixed_dictionaries(dict.fromkeys(columns, scores)), min_size=1, max_size=4
    )
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["scores", "layer", "0.5"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["scores", "a", "0.5"]), inner),
)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def read_or_refuse(path: Path) -> None:
    with contextlib.suppress(RecordingError):
        recordings.read(path)


@one_directory
@given(st.binary(max_size=300), st.sampled_from(SUFFIXES))
def test_arbitrary_bytes_are_read_or_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    read_or_refuse(path)


@one_directory
@given(st.text(st.characters(), max_size=100), st.sampled_from(SUFFIXES))
def test_arbitrary_text_is_read_or_refused(tmp_path: Path, content: str, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    read_or_refuse(path)


@one_directory
@given(json_values)
def test_arbitrary_json_is_read_or_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    read_or_refuse(path)
    path.write_text(json.dumps({"schema": 1, "scores": content}))
    read_or_refuse(path)


@one_directory
@given(json_values, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_arbitrary_pickles_of_plain_values_are_read_or_refused(tmp_path: Path, content: object, protocol: int) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    read_or_refuse(path)


@one_directory
@given(st.data())
def test_damaged_logs_are_read_or_refused_and_never_lie(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "events.jsonl"
    content = bytearray(b"".join(event_log.to_line(event).encode() + b"\n" for event in finished_run()))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(RecordingError):
        told = finished_run()
        assert all(event in told for event in recordings.read(path))


WHOLE = {
    ".json": json.dumps({"schema": 1, "baseline": 0.9, "scores": {"conv1": {"0.25": 0.5, "0.75": None}}}).encode(),
    ".csv": b'layer,0.25,0.75\nconv1,0.5,\n"a,""b",0.625,1\n',
    ".pkl": pickle.dumps({"conv1": {Decimal("0.25"): np.float64(0.5), Decimal("0.75"): None}}),
    ".pickle": pickle.dumps([("conv1", Decimal("0.5")), ("fc", None)], 2),
}


@one_directory
@given(st.sampled_from(sorted(WHOLE)).flatmap(lambda suffix: st.tuples(st.just(suffix), mutated(WHOLE[suffix]))))
def test_damaged_files_are_read_or_refused(tmp_path: Path, given: tuple[str, bytes]) -> None:
    suffix, content = given
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    read_or_refuse(path)


@one_directory
@given(tables)
def test_table_is_the_same_whatever_its_format(tmp_path: Path, table: dict[str, dict[float, float | None]]) -> None:
    columns = list(next(iter(table.values())))
    text = io.StringIO()
    rows = [[layer, *(row[column] for column in columns)] for layer, row in table.items()]
    csv.writer(text).writerows([["layer", *columns], *rows])
    (tmp_path / "x.csv").write_text(text.getvalue(), "utf-8", newline="")
    (tmp_path / "x.json").write_text(json.dumps({"scores": table}))
    decimals = {layer: {Decimal(str(ratio)): score for ratio, score in row.items()} for layer, row in table.items()}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(decimals))
    known = {layer: {ratio: score for ratio, score in row.items() if score is not None} for layer, row in table.items()}
    expected = {layer: row for layer, row in known.items() if row}
    for name in ("x.csv", "x.json", "x.pkl"):
        assert recordings.scores(tmp_path / name) == expected
