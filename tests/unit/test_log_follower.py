import logging
import subprocess
import sys
from pathlib import Path

import pytest

from aimet_hooks import event_log
from aimet_hooks.events import Event
from aimet_hooks.log_follower import LogFollower
from aimet_hooks.run_state import RunState
from aimet_hooks.testing.sample_runs import failed_run, finished_run


def logged(events: list[Event]) -> list[Event]:
    return [event for event in events if event.logged]


def content(events: list[Event]) -> bytes:
    return b"".join(event_log.to_line(event).encode() + b"\n" for event in logged(events))


def test_a_log_that_does_not_exist_yet_has_no_events(tmp_path: Path) -> None:
    follower = LogFollower(tmp_path / "events.jsonl")
    assert follower.new_events() == []
    (tmp_path / "events.jsonl").write_bytes(content(finished_run()))
    assert follower.new_events() == logged(finished_run())


def test_a_line_is_read_when_it_is_complete_wherever_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = content(finished_run()[:2])
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        follower = LogFollower(path)
        first = follower.new_events()
        path.write_bytes(whole)
        assert first + follower.new_events() == logged(finished_run()[:2])


def test_each_event_is_given_once_however_its_bytes_arrive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    expected = logged(finished_run()[:2])
    follower, found = LogFollower(path), []
    with path.open("wb", buffering=0) as file:
        for byte in content(expected):
            file.write(bytes([byte]))
            found += follower.new_events()
    assert found == expected
    assert caplog.records == []


def test_a_call_reads_at_most_so_many_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content(finished_run()))
    follower = LogFollower(path)
    expected = logged(finished_run())
    found: list[Event] = []
    while new := follower.new_events(3):
        assert len(new) <= 3
        found += new
    assert found == expected


def test_a_damaged_line_is_left_out_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    lines = content(finished_run()).splitlines(keepends=True)
    lines[3] = b"damaged\n"
    path.write_bytes(b"".join(lines))
    follower = LogFollower(path)
    with caplog.at_level(logging.WARNING):
        found = follower.new_events() + follower.new_events()
    expected = logged(finished_run())
    assert found == expected[:3] + expected[4:]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}, line 4 is left out: its check does not fit: the line is torn or was changed"
    ]


def test_a_log_that_was_replaced_is_followed_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content(failed_run()))
    follower = LogFollower(path)
    assert follower.new_events() == logged(failed_run())
    other = tmp_path / "other"
    other.write_bytes(content(finished_run()))
    other.replace(path)  # larger than the first
    assert follower.new_events() == logged(finished_run())


def test_a_log_that_was_removed_is_followed_from_its_start_when_there_is_one_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content(failed_run()))
    follower = LogFollower(path)
    assert follower.new_events() == logged(failed_run())
    path.unlink()
    assert follower.new_events() == []
    path.write_bytes(content(finished_run()))  # larger than the first, and some file systems give it the same inode
    assert follower.new_events() == logged(finished_run())


def test_a_log_in_the_place_of_another_resets_the_state_of_the_run(tmp_path: Path) -> None:
    path, other, state = tmp_path / "events.jsonl", tmp_path / "other", RunState()
    path.write_bytes(content(failed_run()))
    follower = LogFollower(path)
    for event in follower.new_events():
        state.apply(event)
    assert state.phase == "failed"
    other.write_bytes(content(finished_run()[:1]))
    other.replace(path)
    for event in follower.new_events():
        state.apply(event)
    assert (state.phase, state.notes) == ("preparing", ())


def test_a_log_that_was_truncated_is_followed_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content(finished_run()))
    follower = LogFollower(path)
    follower.new_events()
    path.write_bytes(content(finished_run()[:1]))
    assert follower.new_events() == finished_run()[:1]


WRITER = """
import sys
from pathlib import Path
from aimet_hooks.log_writer import EventLog
from aimet_hooks.testing.sample_runs import finished_run

log = EventLog(Path(sys.argv[1]))
for event in finished_run():
    if event.logged:
        input()
        log.append(event)
        print("written", flush=True)
log.close()
"""


def test_a_log_is_followed_while_another_process_writes_it(tmp_path: Path) -> None:
    follower = LogFollower(tmp_path / "events.jsonl")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin
        assert writer.stdout
        for event in logged(finished_run()):
            assert follower.new_events() == []
            writer.stdin.write("\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            assert follower.new_events() == [event]
        writer.stdin.close()
        assert writer.wait() == 0
