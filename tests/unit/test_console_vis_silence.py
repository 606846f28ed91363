"""Lines that are printed while one evaluation lasts long: without a terminal, without an event."""

from __future__ import annotations

import io
import itertools
import logging
import os
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from aimet_hooks.events import RunFailed
from aimet_hooks.run_state import RunState
from console_vis.heartbeat import THREAD_NAME, Heartbeat
from console_vis.output import Output
from console_vis.plain_lines import PlainLines
from console_vis.reporter import ConsoleReporter
from tests.unit.console_vis_runs import BEGIN, announce, failed, plain_console, recorded, whole_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aimet_hooks.events import Event

SOON = 0.01
"""An interval for tests, in seconds."""


class Log(io.StringIO):
    """A file that tells when a text has been written."""

    def __init__(self) -> None:
        super().__init__()
        self._written = threading.Condition()

    def write(self, text: str) -> int:
        with self._written:
            count = super().write(text)
            self._written.notify_all()
        return count

    def wait_for(self, seen: Callable[[str], object]) -> None:
        with self._written:
            assert self._written.wait_for(lambda: seen(self.getvalue()), timeout=10), self.getvalue()


class Clock:
    """Stands still until it is set, and tells how often it has been read."""

    def __init__(self, now: float) -> None:
        self._changed = threading.Condition()
        self._now = now
        self._reads = 0

    def __call__(self) -> float:
        with self._changed:
            self._reads += 1
            self._changed.notify_all()
            return self._now

    def set(self, now: float) -> None:
        with self._changed:
            self._now = now

    def wait_for_reads(self, number: int) -> None:
        """Return when it has been read so many times more."""
        with self._changed:
            enough = self._reads + number
            assert self._changed.wait_for(lambda: self._reads >= enough, timeout=10), "the clock is not read"


def hear(lines: PlainLines, events: Iterable[Event]) -> None:
    run = RunState()
    for event in events:
        run.apply(event)
        lines.hear(event, run)


of_other_tests: set[threading.Thread] = set()
"""Threads of runs that were dropped half-way: silent, and gone within a minute."""


def heartbeats() -> list[threading.Thread]:
    """The threads that this test has started and that have not ended."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME and thread not in of_other_tests]


@pytest.fixture(autouse=True)
def _own_threads() -> None:
    of_other_tests.clear()
    of_other_tests.update(heartbeats())


@contextmanager
def exploring(log: Log, clock: Callable[[], float], cells: int, *, interval: float = SOON) -> Iterator[PlainLines]:
    """A run with so many known cells out of nine, the next one being evaluated."""
    lines = PlainLines(Output(Console(file=log, force_terminal=False)), clock, interval=interval)
    hear(lines, whole_run()[: 4 + cells])
    try:
        yield lines
    finally:
        lines.stop(keep=True)
        assert not heartbeats()


def test_a_long_evaluation_is_said_to_go_on_again_and_again() -> None:
    log, clock = Log(), Clock(BEGIN + 5)
    with exploring(log, clock, 3):
        clock.set(BEGIN + 65)
        log.wait_for(lambda text: text.endswith("\n[1:05] still evaluating: 3 of 9 cells, the latest 1:00 ago\n"))
        clock.set(BEGIN + 300)
        log.wait_for(lambda text: text.endswith("\n[5:00] still evaluating: 3 of 9 cells, the latest 4:55 ago\n"))
    assert log.getvalue().count("still") == 2


def test_before_the_first_cell_there_is_no_latest_one() -> None:
    log, clock = Log(), Clock(BEGIN + 2)
    with exploring(log, clock, 0):
        clock.set(BEGIN + 62)
        log.wait_for(lambda text: text.endswith("\n[1:02] still evaluating: 0 of 9 cells\n"))


def test_when_all_cells_are_known_it_is_the_choice_that_goes_on() -> None:
    log, clock = Log(), Clock(BEGIN + 11)
    with exploring(log, clock, 9):
        clock.set(BEGIN + 90)
        log.wait_for(lambda text: text.endswith("\n[1:30] still choosing ratios: 9 of 9 cells, the latest 1:19 ago\n"))


def test_nothing_is_added_while_lines_are_printed_often_enough() -> None:
    log, clock = Log(), Clock(BEGIN + 5)
    with exploring(log, clock, 3):
        clock.wait_for_reads(5)
        assert "still" not in log.getvalue()
        clock.set(BEGIN + 6)
        log.wait_for(lambda text: "still" in text)
        clock.wait_for_reads(5)
        assert log.getvalue().count("still") == 1


def test_a_clock_that_is_set_back_delays_the_next_line_by_one_interval_only() -> None:
    log, clock = Log(), Clock(BEGIN + 5000)
    with exploring(log, clock, 3):
        clock.set(BEGIN + 100)
        clock.wait_for_reads(2)
        assert "still" not in log.getvalue()
        clock.set(BEGIN + 101)
        log.wait_for(lambda text: "[1:41] still evaluating: 3 of 9 cells" in text)


@pytest.mark.parametrize("last", [failed(), failed("KeyboardInterrupt", ""), whole_run()[-1]])
def test_from_the_end_on_nothing_is_told(last: Event) -> None:
    log, clock = Log(), Clock(BEGIN + 11)
    with exploring(log, clock, 9) as lines:
        clock.set(BEGIN + 300)
        log.wait_for(lambda text: "still" in text)
        assert [thread.daemon for thread in heartbeats()] == [True]
        before = log.getvalue()
        lines.hear(last, recorded([*whole_run()[:13], last]))
        assert not heartbeats()
        assert "still" not in log.getvalue().removeprefix(before)


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        (1, "[5:00] still evaluating the original model\n"),
        (14, "[5:00] still compressing and evaluating the model\n"),
    ],
)
def test_a_long_baseline_or_result_is_said_to_go_on(heard: int, told: str) -> None:
    log, clock = Log(), Clock(BEGIN)
    lines = PlainLines(Output(Console(file=log, force_terminal=False)), clock, interval=SOON)
    hear(lines, whole_run()[:heard])
    clock.set(BEGIN + 300)
    log.wait_for(lambda text: text.endswith(told))
    lines.stop(keep=True)
    assert not heartbeats()


def test_events_and_the_thread_never_write_into_one_line() -> None:
    log, ticks = Log(), itertools.count(int(BEGIN))
    with exploring(log, lambda: next(ticks), 0, interval=0.0001) as lines:
        run = recorded(whole_run()[:4])
        for event in whole_run()[4:13] * 50:
            run.apply(event)
            lines.hear(event, run)
        log.wait_for(lambda text: "still" in text)
    assert all(line.startswith("[") and line.count("] ") == 1 for line in log.getvalue().splitlines())


def test_a_file_that_was_closed_ends_the_thread_not_the_run(caplog: pytest.LogCaptureFixture) -> None:
    log, clock = Log(), Clock(BEGIN + 5)
    with caplog.at_level(logging.WARNING, "console_vis"), exploring(log, clock, 3):
        threads = heartbeats()
        log.close()
        clock.set(BEGIN + 300)
        for thread in threads:
            thread.join(10)
    assert "between two events nothing is printed any more (ValueError: I/O operation on closed file)" in caplog.text


def test_the_reporter_ends_the_thread_with_the_run() -> None:
    reporter = ConsoleReporter(stdout=plain_console(), stderr=plain_console(), clock=Clock(BEGIN))
    announce(reporter, whole_run()[:8])
    assert len(heartbeats()) == 1
    announce(reporter, [*whole_run()[:8], failed()])
    assert not heartbeats()


def test_a_run_that_is_dropped_half_way_falls_silent() -> None:
    lines = PlainLines(Output(plain_console()), Clock(BEGIN), interval=SOON)
    hear(lines, whole_run()[:7])
    (thread,) = heartbeats()
    del lines
    thread.join(10)
    assert not heartbeats()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_prints_nothing_and_waits_for_nothing() -> None:
    log, clock = Log(), Clock(BEGIN + 5)
    with exploring(log, clock, 3) as lines:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork where there are threads
            child = os.fork()
        if child == 0:
            code = 1
            try:
                code = told_in_a_fork(lines, log)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        clock.set(BEGIN + 300)
        log.wait_for(lambda text: "[5:00] still evaluating" in text)


def told_in_a_fork(lines: PlainLines, log: Log) -> int:
    """0 if a copy of a run stays silent and has no thread."""
    text = log.getvalue()
    lines._lock.acquire(blocking=False)  # as the thread may have, at the moment of the fork
    lines.hear(RunFailed(stage="exploration", error="SystemExit", message=""), RunState())
    lines.stop(keep=True)
    return 0 if log.getvalue() == text and not heartbeats() else 2


def test_a_process_ends_though_its_run_never_does() -> None:
    code = (
        "from tests.unit.console_vis_runs import announce, whole_run\n"
        "from console_vis.reporter import ConsoleReporter\n"
        "announce(ConsoleReporter(), whole_run()[:8])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert ended.stderr.splitlines()[-1] == "[0:05] failed head at 0.25: ValueError: the score is nan"


def test_a_heartbeat_starts_and_stops_as_often_as_it_is_told_to() -> None:
    beaten = threading.Event()

    class Heart:
        def beat(self) -> float:
            beaten.set()
            return 60.0

    heart = Heart()
    heartbeat = Heartbeat(heart.beat)
    heartbeat.stop()
    for _ in range(2):
        beaten.clear()
        heartbeat.start()
        heartbeat.start()
        assert beaten.wait(10)
        assert len(heartbeats()) == 1
        heartbeat.stop()
        heartbeat.stop()
        assert not heartbeats()
