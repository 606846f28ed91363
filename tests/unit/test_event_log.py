"""The event log: what is in it, when it is on the disk, and what becomes of it on a bad disk."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import resource
import shutil
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aimet_hooks import event_log, log_writer
from aimet_hooks.errors import RecordingError, ResultsDirError
from aimet_hooks.events import BaselineScored, EvalScored, LayerSkipped, RunFailed, RunStarted
from aimet_hooks.log_writer import EventLog
from aimet_hooks.testing import SAMPLE_RUNS, finished_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.events import Event

RUN = [event for event in finished_run() if event.name != "progress"]


def write(directory: Path, events: list[Event]) -> Path:
    with contextlib.closing(EventLog(directory)) as log:
        for event in events:
            log.append(event)
    return log.path


def change_line(path: Path, number: int, old: bytes, new: bytes) -> None:
    lines = path.read_bytes().split(b"\n")
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new)
    path.write_bytes(b"\n".join(lines))


# -- lines -------------------------------------------------------------------------------------------------------------


def test_line_is_flat_and_begins_and_ends_as_documented() -> None:
    fields = json.loads(event_log.to_line(RUN[0]))
    assert list(fields)[:5] == ["event", "schema", "run_id", "seq", "time"]
    assert list(fields)[-1] == "crc"
    assert (fields["event"], fields["schema"]) == ("run_started", 1)


def test_lines_are_valid_utf_8_for_every_other_program_whatever_the_names(tmp_path: Path) -> None:
    path = write(tmp_path, SAMPLE_RUNS["a run of strange names"]())
    for line in path.read_bytes().decode("utf-8").split("\n")[:-1]:
        json.loads(line)


@pytest.mark.parametrize("run", SAMPLE_RUNS.values(), ids=SAMPLE_RUNS)
def test_log_gives_the_same_events_back(run: object, tmp_path: Path) -> None:
    events = run()
    assert list(event_log.read(write(tmp_path / "run", events))) == events


def test_number_that_is_no_json_is_null_in_the_log_rather_than_the_end_of_the_run() -> None:
    line = event_log.to_line(BaselineScored(score=0.5, metrics={"loss": math.nan, "gain": math.inf}))
    assert json.loads(line)["metrics"] == {"loss": None, "gain": None}
    line = event_log.to_line(BaselineScored(score=np.float32(0.5), metrics={"count": np.int64(3)}))
    assert json.loads(line)["score"] == 0.5
    assert json.loads(line)["metrics"] == {"count": 3}


def test_line_with_nan_is_refused_even_if_its_check_fits() -> None:
    body = event_log.to_line(BaselineScored(score=0.5)).replace('"score": 0.5', '"score": NaN')
    body = body[: body.rindex(', "crc"')]
    with pytest.raises(ValueError, match="it holds NaN, which is no JSON"):
        event_log.from_line(f'{body}, "crc": "{event_log._check(body)}"}}')


def with_check(fields: dict[str, object]) -> str:
    body = json.dumps(fields)[:-1]
    return f'{body}, "crc": "{event_log._check(body)}"}}'


@pytest.mark.parametrize("schema", [2, 0, "1", None, True])
def test_other_schema_says_to_update(schema: object) -> None:
    with pytest.raises(
        event_log.NewerVersionError, match=r"its schema is .*, this version reads up to 1: update aimet-hooks"
    ):
        event_log.from_line(with_check({"event": "layer_skipped", "schema": schema, "layer": "a", "reason": "b"}))


@pytest.mark.parametrize("name", ["layer_quantized", None, 5, ["a"]])
def test_unknown_event_says_to_update(name: object) -> None:
    with pytest.raises(
        event_log.NewerVersionError, match=r"this version does not know the event .*: update aimet-hooks"
    ):
        event_log.from_line(with_check({"event": name, "schema": 1}))


def test_wrong_type_in_a_line_names_the_field() -> None:
    with pytest.raises(ValueError, match="field 'layer' is '5', not a value of type str"):
        event_log.from_line(with_check({"event": "layer_skipped", "schema": 1, "layer": 5, "reason": "b"}))


# -- reading -----------------------------------------------------------------------------------------------------------


def test_torn_last_line_is_left_out_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, RUN)
    whole = path.read_bytes()
    last = len(whole.rstrip(b"\n").split(b"\n")[-1])
    for cut in (1, 2, last // 2, last):
        path.write_bytes(whole[:-cut])
        events = list(event_log.read(path))
        assert events == (RUN if cut == 1 else RUN[:-1])
    assert caplog.messages == []


def test_damaged_line_in_the_middle_is_named_and_everything_else_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, RUN)
    change_line(path, 4, b'"total": 9', b'"total": 8')
    assert list(event_log.read(path)) == RUN[:3] + RUN[4:]
    assert caplog.messages == [f"{path}, line 4 is left out: its check does not fit: the line is torn or was changed"]


@pytest.mark.parametrize("junk", [b"\xff\xfe\x00", b"null", b"[]", b"{}", b"[" * 100_000, b"\x00" * 50])
def test_junk_between_lines_is_named_and_everything_else_is_read(
    junk: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, RUN)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], junk, *lines[2:]]))
    assert list(event_log.read(path)) == RUN
    assert [message.split(" is left out")[0] for message in caplog.messages] == [f"{path}, line 3"]


def test_every_damaged_line_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, RUN)
    change_line(path, 2, b"depthwise", b"wisedepth")
    change_line(path, 5, b"conv1", b"conv2")
    assert list(event_log.read(path)) == [RUN[0], *RUN[2:4], *RUN[5:]]
    assert ["line 2 " in caplog.messages[0], "line 5 " in caplog.messages[1]] == [True, True]


def test_empty_lines_are_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, RUN)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n"))
    assert list(event_log.read(path)) == RUN
    assert caplog.messages == []


def test_events_of_a_newer_version_are_named_once_a_kind_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, RUN)
    newer = [with_check({"event": name, "schema": 1}) for name in ("quantized", "quantized", "pruned")]
    path.write_text("\n".join([*newer, path.read_text()]))
    assert list(event_log.read(path)) == RUN
    assert [message.split(": ", 1)[1] for message in caplog.messages] == [
        "this version does not know the event 'quantized': update aimet-hooks",
        "this version does not know the event 'pruned': update aimet-hooks",
    ]


def test_log_of_a_newer_version_alone_says_to_update(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join([with_check({"event": "run_started", "schema": 2})] * 2) + "\n")
    with pytest.raises(RecordingError, match=r"holds no event; its schema is 2, .* update aimet-hooks"):
        list(event_log.read(path))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"no event\n"])
def test_file_without_an_event_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(content)
    with pytest.raises(RecordingError, match=r"events.jsonl holds no event.*; give the events.jsonl of a run"):
        list(event_log.read(tmp_path / "events.jsonl"))


def test_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read .*: No such file or directory"):
        list(event_log.read(tmp_path / "nowhere.jsonl"))
    with pytest.raises(RecordingError, match=r"cannot read .*: Is a directory"):
        list(event_log.read(tmp_path))


# -- the directory -----------------------------------------------------------------------------------------------------


def test_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    assert write(tmp_path / "runs" / "today", RUN) == tmp_path / "runs" / "today" / "events.jsonl"


def test_directory_with_other_files_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, RUN)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_directory_that_holds_a_log_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    before = write(tmp_path, RUN).read_bytes()
    with pytest.raises(
        ResultsDirError,
        match="already holds a run; choose another directory, or continue that run with resume=True",
    ):
        EventLog(tmp_path)
    assert (tmp_path / "events.jsonl").read_bytes() == before


def test_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsDirError, match=r"cannot be written \(it is a file\); choose another directory"):
        EventLog(tmp_path / "file")
    with pytest.raises(ResultsDirError, match=r"cannot be written \(Not a directory\); choose another"):
        EventLog(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["n" * 300, "null\0byte"])
def test_directory_with_an_impossible_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ResultsDirError, match=r"cannot be written \((File name too long|embedded null byte)\)"):
        EventLog(tmp_path / name)


def test_log_without_any_event_leaves_the_directory_free(tmp_path: Path) -> None:
    EventLog(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
    write(tmp_path, RUN)


# -- on the disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of the file at every fsync of it."""
    sizes: list[int] = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    return sizes


def test_durable_event_is_on_the_disk_when_append_returns_the_others_are_written(
    tmp_path: Path, synced: list[int]
) -> None:
    with contextlib.closing(EventLog(tmp_path)) as log:
        synced.clear()  # the directory's own
        for event in RUN:
            calls = len(synced)
            log.append(event)
            size = log.path.stat().st_size
            assert log.path.read_bytes().endswith(event_log.to_line(event).encode() + b"\n")
            new = event.durable and not getattr(event, "reused", False)
            assert synced[calls:] == ([size] if new else []), event.name


def test_place_of_the_file_in_its_directory_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        directories.append(os.path.samestat(os.fstat(descriptor), tmp_path.stat()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    EventLog(tmp_path).close()
    assert directories == [True]


# -- a bad disk --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def full_disk(log: EventLog) -> Iterator[None]:
    """A disk that takes no byte more in any file than the log has now: the kernel refuses the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventLog]:
    monkeypatch.setattr(log_writer, "RETRY_SECONDS", 0.0)
    log = EventLog(tmp_path)
    yield log
    with contextlib.suppress(OSError):
        log.close()


def test_full_disk_is_said_once_and_the_log_is_whole_again_as_soon_as_there_is_space(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.append(RUN[0])
    with full_disk(log):
        for event in RUN[1:8]:
            log.append(event)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "cannot be written (File too large); the run goes on, its events are kept in memory" in caplog.text
    log.append(RUN[8])
    assert list(event_log.read(log.path)) == RUN[:9]
    assert caplog.messages[1:] == [f"{log.path} can be written again; no event is missing"]
    for event in RUN[9:]:
        log.append(event)
    assert list(event_log.read(log.path)) == RUN


def test_disk_that_is_full_again_is_said_again(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    for event in RUN[:4]:
        with full_disk(log):
            log.append(event)
        log.append(event)
    assert len(caplog.messages) == 8


def test_what_was_durable_while_the_disk_was_full_is_synced_when_it_takes_it(log: EventLog, synced: list[int]) -> None:
    with full_disk(log):
        log.append(BaselineScored(score=0.5))
        synced.clear()
    log.append(LayerSkipped(layer="conv", reason="grouped"))
    assert synced == [log.path.stat().st_size]


def test_end_of_a_run_writes_what_the_disk_did_not_take_before(log: EventLog) -> None:
    with full_disk(log):
        for event in RUN:
            log.append(event)
    log.close()
    assert list(event_log.read(log.path)) == RUN


def test_events_that_the_disk_never_takes_are_counted_at_the_end(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.append(RUN[0])
    with full_disk(log):
        for event in RUN[1:]:
            log.append(event)
        log.close()
    assert caplog.messages[-1] == f"{log.path} lacks the last {len(RUN) - 1} events: the disk did not take them"
    assert list(event_log.read(log.path)) == RUN[:1]


def test_bad_disk_is_tried_again_only_after_a_while(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "RETRY_SECONDS", 3600.0)
    with full_disk(log):
        log.append(RUN[0])
    log.append(RUN[1])
    assert log.path.read_bytes() == b""
    monkeypatch.setattr(log_writer, "RETRY_SECONDS", 0.0)
    log.append(RUN[2])
    assert list(event_log.read(log.path)) == RUN[:3]


def test_line_that_was_written_in_part_is_taken_back_before_it_is_written_again(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(RUN[0])
    write_all = os.write
    calls = iter(range(10))

    def torn(descriptor: int, data: bytes) -> int:
        if next(calls):
            raise OSError(28, "No space left on device")
        return write_all(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", torn)
    log.append(RUN[1])
    assert list(event_log.read(log.path)) == RUN[:1]
    monkeypatch.setattr(os, "write", write_all)
    log.append(RUN[2])
    assert list(event_log.read(log.path)) == RUN[:3]


def others(caplog: pytest.LogCaptureFixture, count: int) -> None:
    """Wait until so many messages are there."""
    deadline = time.monotonic() + 10
    while len(caplog.messages) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(caplog.messages) == count


@pytest.mark.parametrize("with_directory", [False, True])
def test_log_that_somebody_deletes_is_written_anew_within_a_second_and_that_is_said_once(
    *, with_directory: bool, log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    for event in RUN[:3]:
        log.append(event)
    begin = time.monotonic()
    if with_directory:
        shutil.rmtree(log.path.parent)
    else:
        log.path.unlink()
    others(caplog, 1)
    assert time.monotonic() - begin < 2  # a second, and another for a busy machine
    assert list(event_log.read(log.path)) == RUN[:3]
    for event in RUN[3:]:
        log.append(event)
    assert list(event_log.read(log.path)) == RUN
    assert caplog.messages == [f"the event log was deleted while the run wrote to it; all of it is now in {log.path}"]
    with pytest.raises(ResultsDirError, match="is in use by another process"):
        EventLog(log.path.parent, resume=True)


def test_log_that_another_file_replaces_goes_on_beside_it(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    log.append(RUN[0])
    there = log.path
    other = there.with_name("other")
    other.write_text("hello")
    other.replace(there)
    log.append(RUN[1])
    assert there.read_text() == "hello"
    assert log.path != there
    assert list(event_log.read(log.path)) == RUN[:2]
    assert caplog.messages == [
        f"the event log was replaced by another file while the run wrote to it; all of it is now in {log.path}"
    ]


def test_log_that_is_cut_short_is_said_and_goes_on(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    log.append(RUN[0])
    size = log.path.stat().st_size
    log.append(RUN[1])
    lost = log.path.stat().st_size - size
    os.truncate(log.path, size)
    log.append(RUN[2])
    assert list(event_log.read(log.path)) == [RUN[0], RUN[2]]
    assert caplog.messages == [f"{log.path} was cut short by another program: its last {lost} bytes are lost"]


def test_log_that_is_deleted_at_the_very_end_is_there_all_the_same(log: EventLog) -> None:
    for event in RUN:
        log.append(event)
    log.path.unlink()
    log.close()
    assert list(event_log.read(log.path)) == RUN


@pytest.mark.parametrize("place", ["write", "fsync"])
def test_event_whose_writing_is_interrupted_is_in_the_log_once(
    place: str, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(os, place)

    def interrupted(*arguments: Any) -> None:
        monkeypatch.undo()
        real(*arguments)
        raise KeyboardInterrupt

    log.append(RUN[0])
    monkeypatch.setattr(os, place, interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.append(BaselineScored(score=0.5))
    log.append(RUN[1])
    assert list(event_log.read(log.path)) == [RUN[0], BaselineScored(score=0.5), RUN[1]]


# -- going on with a log -----------------------------------------------------------------------------------------------


def test_resumed_log_is_added_to(tmp_path: Path) -> None:
    write(tmp_path, RUN)
    with contextlib.closing(EventLog(tmp_path, resume=True)) as log:
        assert not log.is_new
        for event in RUN:
            log.append(event)
    assert list(event_log.read(log.path)) == [*RUN, *RUN]


@pytest.mark.parametrize("made", [False, True])
def test_absent_or_empty_directory_is_resumed_from_nothing(*, made: bool, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    if made:
        directory.mkdir()
    with contextlib.closing(EventLog(directory, resume=True)) as log:
        assert log.is_new
        log.append(RUN[0])
    assert list(event_log.read(log.path)) == RUN[:1]


def test_torn_last_line_is_cut_off_when_the_run_goes_on_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, RUN[:3])
    path = tmp_path / event_log.FILE_NAME
    path.write_bytes(path.read_bytes()[:-10])
    with contextlib.closing(EventLog(tmp_path, resume=True)) as log:
        log.append(RUN[2])
    assert list(event_log.read(path)) == RUN[:3]
    assert "its last line was not finished and is cut off" in caplog.text


def test_last_line_that_lacks_only_its_end_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, RUN[:3])
    path = tmp_path / event_log.FILE_NAME
    path.write_bytes(path.read_bytes()[:-1])
    with contextlib.closing(EventLog(tmp_path, resume=True)) as log:
        log.append(RUN[3])
    assert list(event_log.read(path)) == RUN[:4]
    assert not caplog.messages


def test_file_that_is_no_log_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / event_log.FILE_NAME).write_text("my notes")
    with pytest.raises(ResultsDirError, match="is no event log; choose another directory"):
        EventLog(tmp_path, resume=True)
    assert (tmp_path / event_log.FILE_NAME).read_text() == "my notes"


def test_second_owner_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    with contextlib.closing(EventLog(tmp_path)) as log:
        log.append(RUN[0])
        with pytest.raises(ResultsDirError, match=r"is in use by another process; wait for it to end, or choose"):
            EventLog(tmp_path, resume=True)
        with pytest.raises(ResultsDirError, match="is in use"):
            log_writer.refuse_taken(tmp_path)
    EventLog(tmp_path, resume=True).close()


def test_process_that_was_forked_off_neither_keeps_the_log_nor_writes_to_it(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(RUN[0])
    reader, writer = os.pipe()
    done, does = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(writer)
            log.append(RUN[1])
            log.close()
            os.write(does, b".")
            os.read(reader, 1)  # until the parent closes its end, whatever becomes of it
        finally:
            os._exit(0)
    assert os.read(done, 1)
    log.close()
    EventLog(tmp_path, resume=True).close()  # while the child lives
    for end in (writer, reader, done, does):
        os.close(end)
    os.waitpid(child, 0)
    assert list(event_log.read(log.path)) == RUN[:1]


# -- settings ----------------------------------------------------------------------------------------------------------


class Unknown:
    def __repr__(self) -> str:
        return "Unknown()"


def test_settings_become_json_types() -> None:
    given = {
        "a": (1, 2.5, None, True, "x"),
        5: {"nan": math.nan, "inf": -math.inf},
        "set": {7},
        "object": Unknown(),
        "numpy": [np.float32(0.5), np.int8(3)],
        "numbers": [Fraction(1, 4), Decimal("0.1")],
    }
    expected = {
        "a": [1, 2.5, None, True, "x"],
        "5": {"nan": None, "inf": None},
        "set": [7],
        "object": "Unknown()",
        "numpy": [0.5, 3],
        "numbers": [0.25, "Decimal('0.1')"],
    }
    safe = event_log.json_safe(given)
    assert safe == expected
    assert json.loads(json.dumps(safe, allow_nan=False)) == expected


def test_last_event_of_a_failed_run_is_durable() -> None:
    assert RunFailed.durable
    assert EvalScored.durable
    assert not RunStarted.durable
