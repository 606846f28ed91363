"""What a log holds, and every way in which it may not be whole."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aimet_hooks import event_log, events, verify_log
from aimet_hooks.errors import RecordingError
from aimet_hooks.events import AnalysisFinished, EvalScored, Event, RunFailed, RunFinished
from aimet_hooks.log_verification import Finding, LogReport
from aimet_hooks.log_writer import EventLog
from aimet_hooks.testing import failed_run, finished_run, sensitivity_run, weight_ranges_run
from aimet_hooks.testing.sample_runs import run_of_strange_names, run_with_a_recorded_score

if TYPE_CHECKING:
    from collections.abc import Iterable

CHECK = "its check does not fit: the line is torn or was changed"


def logged(run: Iterable[Event], run_id: str = "one") -> list[bytes]:
    return [
        event_log.encoded(event_log.to_line(replace(event, run_id=run_id))) + b"\n" for event in run if event.logged
    ]


def report_of(directory: Path, *runs: Iterable[bytes]) -> LogReport:
    path = directory / event_log.FILE_NAME
    path.write_bytes(b"".join(line for run in runs for line in run))
    return verify_log(directory)


def changed(line: bytes, **fields: Any) -> bytes:
    """The line with other fields, and the check that fits them."""
    content = {**json.loads(line), **fields}
    del content["crc"]
    body = json.dumps(content)[:-1]
    return f'{body}, "crc": "{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def cell(lines: list[bytes]) -> bytes:
    """The first line of a score."""
    return next(line for line in lines if b'"event": "eval_score"' in line)


def said(report: LogReport) -> list[tuple[int, int, str]]:
    return [(found.first, found.last, found.reason) for found in report.damage]


def test_whole_log_of_one_run(tmp_path: Path) -> None:
    lines = logged(finished_run())
    report = report_of(tmp_path, lines)
    assert (report.is_whole, report.damage, report.newer, report.torn, report.in_use) == (True, (), (), False, False)
    assert (report.path, report.lines) == (tmp_path / event_log.FILE_NAME, len(lines))
    (run,) = report.runs
    assert (run.run_id, run.model_name, run.scheme, run.schemas) == ("one", "SampleNet", "spatial_svd", (1,))
    assert run.began == finished_run()[0].time
    assert (run.completed, run.total) == (9, 9)
    assert (run.reused, run.failed) == (1, 1)
    assert isinstance(run.end, RunFinished)


def test_every_way_to_end(tmp_path: Path) -> None:
    analyses = [sensitivity_run(), weight_ranges_run()]
    runs = [finished_run(), failed_run(), *analyses, finished_run()[:-4], run_of_strange_names()]
    report = report_of(tmp_path, *(logged(run, str(number)) for number, run in enumerate(runs)))
    assert report.is_whole
    ends = [type(run.end) for run in report.runs]
    assert ends == [RunFinished, RunFailed, AnalysisFinished, AnalysisFinished, type(None), RunFinished]
    assert [run.completed for run in report.runs][2:4] == [6, 0]


def test_score_that_is_recorded_later_belongs_to_its_run(tmp_path: Path) -> None:
    run = logged(run_with_a_recorded_score(), "one")
    assert report_of(tmp_path, run).is_whole
    assert report_of(tmp_path, run[:-1], logged(failed_run(), "two"), run[-1:]).is_whole


def test_every_line_that_cannot_be_read_is_named_with_its_reason(tmp_path: Path) -> None:
    lines = logged(run_of_strange_names())
    assert len(lines) > 40
    bad = [b"torn\n" if number % 2 else b"\xff\n" for number in range(40)]
    mixed = [part for pair in zip(lines[:40], bad, strict=True) for part in pair]
    damage = said(report_of(tmp_path, mixed, lines[40:]))
    assert [first for first, _, _ in damage] == list(range(2, 81, 2))
    assert damage[1] == (4, 4, CHECK)
    assert "can't decode byte 0xff" in damage[0][2]


def test_lines_that_follow_one_another_with_one_reason_are_one_finding(tmp_path: Path) -> None:
    lines = logged(finished_run())
    assert said(report_of(tmp_path, lines[:5], [b"torn\n"] * 30, lines[5:])) == [(6, 35, CHECK)]


def test_changed_line_is_damage_and_its_event_is_missing(tmp_path: Path) -> None:
    lines = logged(finished_run())
    lines[6] = lines[6].replace(b"0.", b"1.", 1)
    assert said(report_of(tmp_path, lines)) == [
        (7, 7, CHECK),
        (8, 8, "event 6 is missing of run 'one' before this line"),
    ]


def test_lines_that_are_missing(tmp_path: Path) -> None:
    lines = logged(finished_run())
    assert said(report_of(tmp_path, lines[:3], lines[6:])) == [
        (4, 4, "events 3 to 5 are missing of run 'one' before this line")
    ]
    assert report_of(tmp_path, lines[:6]).is_whole, "a run that was killed"


def test_run_whose_beginning_is_missing(tmp_path: Path) -> None:
    lines = logged(finished_run())
    report = report_of(tmp_path, lines[1:])
    assert said(report) == [
        (1, 1, "event 0 is missing of run 'one' before this line"),
        (1, 1, "run 'one' has no run_started before this line"),
    ]
    assert (report.runs[0].run_name, report.runs[0].completed) == ("", 9)


def test_events_before_the_beginning_of_their_run(tmp_path: Path) -> None:
    lines = logged(finished_run())
    damage = said(report_of(tmp_path, lines[1:2], lines[:1], lines[2:]))
    assert damage[1:] == [
        (1, 1, "run 'one' has no run_started before this line"),
        (2, 2, "run 'one' has an event of this number, or a later one, already"),
    ]


def test_lines_that_come_again_are_counted_once(tmp_path: Path) -> None:
    lines = logged(finished_run()[:-1])
    report = report_of(tmp_path, lines, lines)
    again = "run 'one' has an event of this number, or a later one, already"
    assert said(report) == [(len(lines) + 1, 2 * len(lines), again)]
    assert report.runs[0].completed == 9


def test_events_after_the_end(tmp_path: Path) -> None:
    lines = logged(finished_run())
    extra = changed(cell(lines), seq=len(lines))
    assert said(report_of(tmp_path, lines, [extra])) == [
        (len(lines) + 1, len(lines) + 1, "run 'one' goes on after its end")
    ]


def test_two_runs_interleaved_are_said_once_for_each(tmp_path: Path) -> None:
    one, two = logged(finished_run(), "one"), logged(finished_run(), "two")
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    among = "goes on among the lines of another: two processes wrote at the same time"
    report = report_of(tmp_path, mixed)
    assert said(report) == [(3, 3, f"run 'one' {among}"), (4, 4, f"run 'two' {among}")]
    assert [run.completed for run in report.runs] == [9, 9]


@pytest.mark.parametrize("kept", [1, 50, -2])
def test_torn_last_line_is_told_and_no_damage(kept: int, tmp_path: Path) -> None:
    lines = logged(finished_run())
    report = report_of(tmp_path, lines[:-1], [lines[-1][:kept]])
    assert (report.is_whole, report.torn, report.lines) == (True, True, len(lines))
    assert report.runs[0].end is None


def test_last_line_that_lacks_only_its_end_is_whole(tmp_path: Path) -> None:
    lines = logged(finished_run())
    report = report_of(tmp_path, lines[:-1], [lines[-1][:-1]])
    assert (report.is_whole, report.torn) == (True, False)
    assert isinstance(report.runs[0].end, RunFinished)


def test_lines_of_a_newer_version_are_whole_and_leave_no_gap(tmp_path: Path) -> None:
    lines = logged(finished_run())
    lines[4] = changed(lines[4], schema=events.SCHEMA + 1)
    lines[5] = changed(lines[5], event="layer_pruned")
    report = report_of(tmp_path, lines)
    assert report.is_whole
    assert [(found.first, found.last) for found in report.newer] == [(5, 5), (6, 6)]
    assert report.newer[0].reason == "its schema is 2, this version reads up to 1: update aimet-hooks"
    assert report.runs[0].schemas == (1, 2)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"score": "high"}, "field 'score' is 'high', not a value of type float"),
        ({"seq": None}, "it does not say which event of which run it is"),
        ({"run_id": 5}, "it does not say which event of which run it is"),
        ({"schema": True}, "it does not say which event of which run it is"),
    ],
)
def test_fields_that_are_wrong_are_damage(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    lines = logged(finished_run())
    lines[-1] = changed(cell(lines), **{"seq": len(lines) - 1, **fields})
    assert Finding(first=len(lines), last=len(lines), reason=reason) in report_of(tmp_path, lines).damage


def test_impossible_times_are_kept(tmp_path: Path) -> None:
    lines = [changed(line, time=10**200) for line in logged(finished_run())]
    assert report_of(tmp_path, lines).runs[0].began == 10**200


@pytest.mark.parametrize("content", [b"", b"\n\n", b"no event\n", b"no end"])
def test_file_without_an_event_is_not_whole(content: bytes, tmp_path: Path) -> None:
    report = report_of(tmp_path, [content])
    assert (report.runs, report.is_whole) == ((), False)


def test_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        verify_log(tmp_path)


def test_log_that_is_being_written_is_told_and_left_to_its_owner(tmp_path: Path) -> None:
    with contextlib.closing(EventLog(tmp_path)) as log:
        log.append(finished_run()[0])
        assert verify_log(log.path).in_use
        for event in finished_run()[1:]:
            if event.logged:
                log.append(event)
    report = verify_log(tmp_path)
    assert (report.in_use, report.is_whole) == (False, True)


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    def peak(cells: int) -> int:
        run = finished_run()
        scored = next(event for event in run if isinstance(event, EvalScored))
        report_of(tmp_path, logged([run[0], *(replace(scored, seq=1 + number) for number in range(cells))]))
        tracemalloc.start()
        try:
            assert verify_log(tmp_path).runs[0].completed == cells
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(8000) < peak(200) + 50_000
