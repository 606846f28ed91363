"""The live panel on a terminal: it draws by itself, lets others write, and gives the terminal back."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import console_vis
from aimet_hooks.presentation import quantities
from aimet_hooks.run_settings import RunSettings
from aimet_hooks.run_state import RunState
from console_vis.live_panel import LivePanel
from console_vis.reporter import ConsoleReporter
from console_vis.terminal_lines import LineStream, TerminalLines
from tests.unit.console_vis_runs import (
    BEGIN,
    announce,
    failed,
    plain_console,
    recorded,
    terminal_console,
    whole_run,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    """A stream that says it is a terminal and tells when a text has been written."""

    def __init__(self) -> None:
        super().__init__()
        self._written = threading.Condition()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._written:
            count = super().write(text)
            self._written.notify_all()
        return count

    def wait_for(self, text: str) -> None:
        with self._written:
            assert self._written.wait_for(lambda: text in self.getvalue(), timeout=10), f"{text!r} was never written"


def console_on(terminal: io.StringIO, **options: Any) -> Console:
    console = terminal_console(100, 30, **options)
    console.file = terminal
    return console


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@contextmanager
def standard_error(terminal: Terminal) -> Iterator[None]:
    """Standard error is this terminal, and is still when the block has put back what it replaced."""
    with contextlib.redirect_stderr(terminal):
        yield
        assert sys.stderr is terminal


@contextmanager
def panel_on(terminal: Terminal) -> Iterator[LivePanel]:
    """A panel that shows a run of which four cells are known."""
    with standard_error(terminal):
        panel = LivePanel(console_on(terminal, color_system=None), clock=lambda: BEGIN + 6)
        for event in whole_run()[:8]:
            panel.hear(event, recorded([]))
        try:
            yield panel
        finally:
            panel.stop(keep=False)


def test_the_panel_appears_and_follows_the_run_by_itself(terminal: Terminal) -> None:
    with panel_on(terminal) as panel:
        terminal.wait_for("4/9")
        for event in whole_run()[8:14]:
            panel.hear(event, recorded([]))
        terminal.wait_for("◆.900")


def test_the_cursor_is_hidden_while_the_panel_is_drawn_and_shown_again(terminal: Terminal) -> None:
    with panel_on(terminal) as panel:
        assert terminal.getvalue().count(HIDE_CURSOR) == 1
        assert SHOW_CURSOR not in terminal.getvalue()
        panel.stop(keep=True)
        assert terminal.getvalue().endswith(SHOW_CURSOR)


def test_a_panel_that_is_kept_ends_with_its_last_picture(terminal: Terminal) -> None:
    with panel_on(terminal) as panel:
        panel.stop(keep=True)
        last = terminal.getvalue().rpartition("╭")[2].split("\n")
        assert last[0] == "─ nightly · net.onnx · spatial SVD · keep 0.5 of the MACs ────────────────────╮"
        assert last[7] == "│ block.conv   .880▅    ·     ·     20.0%                                      │"
        assert last[-2] == "╰" + "─" * 71 + " 0:06 ─╯"


def test_a_panel_that_is_not_kept_is_wiped_off(terminal: Terminal) -> None:
    with panel_on(terminal) as panel:
        panel.stop(keep=False)
        ending = terminal.getvalue().rpartition(SHOW_CURSOR)[2]
        assert ending.count("\x1b[2K") == 12


def test_stopping_twice_or_before_the_start_does_nothing(terminal: Terminal) -> None:
    with panel_on(terminal) as panel:
        panel.stop(keep=True)
        before = terminal.getvalue()
        panel.stop(keep=True)
        LivePanel(console_on(terminal)).stop(keep=True)
        assert terminal.getvalue() == before


def test_no_thread_and_no_stand_in_is_left_behind(terminal: Terminal) -> None:
    with panel_on(terminal) as panel:
        assert isinstance(sys.stderr, LineStream)
        panel.stop(keep=True)
        assert sys.stderr is terminal
        assert "console_vis" not in [thread.name for thread in threading.enumerate()]


def test_log_records_and_prints_appear_whole_above_the_panel(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with panel_on(terminal) as panel:
        log = logging.getLogger("somebody.else")
        monkeypatch.setattr(log, "handlers", [logging.StreamHandler()])
        log.warning("[bold]a record[/nothing]")
        print("a print", file=sys.stderr)
        panel.stop(keep=True)
    for line in ("[bold]a record[/nothing]\n", "a print\n"):
        assert terminal.getvalue().count(line) == 1
        assert "╭" in terminal.getvalue().partition(line)[2]


def test_handlers_that_hold_the_terminal_itself_are_led_above_the_panel(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, handler = logging.getLogger("somebody.else"), logging.StreamHandler(terminal)
    monkeypatch.setattr(log, "handlers", [handler])
    lines = TerminalLines(console_on(terminal))
    with standard_error(terminal):
        lines.start()
        assert isinstance(handler.stream, LineStream)
        log.warning("a record")
        lines.stop()
    assert handler.stream is terminal
    assert terminal.getvalue() == "a record\n"


def test_streams_that_are_no_terminal_are_left_alone(terminal: Terminal) -> None:
    stdout = sys.stdout
    lines = TerminalLines(console_on(terminal))
    lines.start()
    assert sys.stdout is stdout
    lines.stop()


def test_a_stream_that_somebody_else_has_replaced_stays_replaced(
    terminal: Terminal,
) -> None:
    lines, other = TerminalLines(console_on(terminal)), io.StringIO()
    with standard_error(terminal):
        lines.start()
        with contextlib.redirect_stderr(other):
            lines.stop()
            assert sys.stderr is other
        assert isinstance(sys.stderr, LineStream)
        sys.stderr.write("directly\n")
        sys.stderr = terminal
    assert terminal.getvalue() == "directly\n"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["half ", "a line\n"], "half a line\n"),
        (["one\ntwo\nthr"], "one\ntwo\n"),
        (["\r 10%", "\r 50%", "\r100%\n"], "100%\n"),
        (["windows\r\n"], "windows\n"),
        (["[bold]literal[/x]\n"], "[bold]literal[/x]\n"),
        (["\x1b[31mred\x1b[0m\n"], "red\n"),
        (["x" * 300 + "\n"], "x" * 300 + "\n"),
    ],
)
def test_lines_are_printed_when_they_are_complete_and_taken_literally(parts: list[str], expected: str) -> None:
    console = terminal_console(80, color_system=None)
    stream = LineStream(console, io.StringIO())
    for part in parts:
        assert stream.write(part) == len(part)
        stream.flush()
    assert written(console) == expected


def test_what_waits_for_its_end_is_written_when_the_panel_goes() -> None:
    console, target = terminal_console(80, color_system=None), io.StringIO()
    stream = LineStream(console, target)
    stream.write("no end")
    stream.close_lines()
    stream.write(", then directly\n")
    assert (written(console), target.getvalue()) == ("", "no end, then directly\n")


def test_a_forked_process_writes_to_the_stream_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    console, target = terminal_console(80, color_system=None), io.StringIO()
    stream = LineStream(console, target)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    stream.write("from a worker\n")
    assert (written(console), target.getvalue()) == ("", "from a worker\n")


def test_a_stand_in_behaves_like_the_stream(terminal: Terminal) -> None:
    stream = LineStream(console_on(terminal), terminal)
    assert stream.isatty()
    assert stream.writable()
    assert stream.encoding == terminal.encoding
    with pytest.raises(io.UnsupportedOperation, match="fileno"):
        stream.fileno()


class Lost(Terminal):
    """A terminal that goes away."""

    gone = False

    def write(self, text: str) -> int:
        if self.gone:
            raise OSError(5, "Input/output error")
        return super().write(text)


def test_a_terminal_that_goes_away_ends_the_panel_not_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost = Lost()
    events = iter(whole_run())
    with standard_error(lost):
        panel = LivePanel(console_on(lost))
        panel.hear(next(events), recorded([]))
        lost.gone = True
        panel.hear(next(events), recorded([]))
        for thread in threading.enumerate():
            if thread.name == "console_vis":
                thread.join(10)
        for event in events:
            panel.hear(event, recorded([]))
        panel.stop(keep=True)
    assert "the live panel cannot be drawn any more (OSError: [Errno 5] Input/output error)" in caplog.text


def test_a_finished_run_wipes_the_panel_where_its_result_goes_to_a_terminal(terminal: Terminal) -> None:
    stdout = terminal_console(100)
    with standard_error(terminal):
        announce(ConsoleReporter(stdout=stdout, stderr=console_on(terminal)), whole_run())
    assert terminal.getvalue().endswith("\x1b[2K")
    assert "Result" in written(stdout)
    assert "\x1b[" in written(stdout)


def test_a_finished_run_keeps_the_panel_where_its_result_goes_to_a_file(terminal: Terminal) -> None:
    stdout = plain_console()
    with standard_error(terminal):
        announce(ConsoleReporter(stdout=stdout, stderr=console_on(terminal)), whole_run())
    assert terminal.getvalue().endswith(SHOW_CURSOR)
    assert "finished" in terminal.getvalue().rpartition("╭")[2]
    assert "\x1b" not in written(stdout)


def test_an_interrupted_run_gives_the_terminal_back_and_says_what_is_safe(terminal: Terminal) -> None:
    reporter = ConsoleReporter(stdout=plain_console(), stderr=console_on(terminal), results_dir=Path("runs/7"))
    with standard_error(terminal):
        announce(reporter, [*whole_run()[:8], failed("KeyboardInterrupt", "")])
    ending = terminal.getvalue().rpartition(SHOW_CURSOR)[2]
    assert "run interrupted in exploration (KeyboardInterrupt); 4 of 9 cells are safe in runs/7/events.jsonl" in ending


def test_hostile_names_bring_no_escape_sequence_onto_the_terminal(terminal: Terminal) -> None:
    hostile = ("\x1b[2Jbad\x1b]0;t\x07", "\u202e[red]x", "c")
    with standard_error(terminal):
        reporter = ConsoleReporter(stdout=plain_console(), stderr=console_on(terminal, color_system=None))
        announce(reporter, whole_run(hostile))
    assert "\x1b[2J" not in terminal.getvalue()
    assert "\x1b]0" not in terminal.getvalue()
    assert "\u202e" not in terminal.getvalue()


def test_off_makes_no_reporter() -> None:
    assert console_vis.create_reporter(RunSettings(console="off")) is None


@pytest.mark.parametrize(("kind", "draws"), [("xterm-256color", True), ("dumb", False), ("unknown", False)])
def test_auto_draws_a_panel_on_a_terminal_that_can_be_drawn_on(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, kind: str, draws: bool
) -> None:
    monkeypatch.setenv("TERM", kind)
    with standard_error(terminal):
        assert draws_a_panel(console_vis.create_reporter(RunSettings())) == draws


def test_a_second_run_at_the_same_time_prints_lines_above_the_panel_of_the_first(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with panel_on(terminal):
        reporter = console_vis.create_reporter(RunSettings())
        assert not draws_a_panel(reporter)
        announce(reporter, whole_run(run_name="second")[:2])
        assert "[0:00] second - net.onnx" in terminal.getvalue()


def test_auto_prints_lines_into_a_file_whatever_the_environment_says_of_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    reporter = console_vis.create_reporter(RunSettings())
    assert not draws_a_panel(reporter)
    announce(reporter, whole_run())
    output = capsys.readouterr()
    assert "\x1b" not in output.out + output.err
    assert output.out.startswith("nightly - net.onnx")
    assert output.err.startswith("[0:00] nightly - net.onnx")


def test_on_draws_a_panel_into_a_file_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    announce(console_vis.create_reporter(RunSettings(console="on")), whole_run())
    output = capsys.readouterr()
    assert HIDE_CURSOR in output.err
    assert "\x1b" not in output.out


def test_without_standard_streams_nothing_is_printed_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    announce(console_vis.create_reporter(RunSettings()), whole_run())


def draws_a_panel(reporter: object) -> bool:
    assert isinstance(reporter, ConsoleReporter)
    return isinstance(reporter._progress, LivePanel)


def test_run_of_last_year_is_as_old_as_its_events_when_it_is_replayed(terminal: Terminal) -> None:
    now = BEGIN + 365 * 86400.0
    panel = LivePanel(console_on(terminal), clock=lambda: now)
    run = RunState()
    heard = whole_run()[:8]
    try:
        for event in heard:
            run.apply(event)
            panel.hear(event, run)
        now += 5
        subtitle = panel.picture().subtitle  # type: ignore[union-attr]
    finally:
        panel.stop(keep=False)
    assert str(subtitle) == quantities.duration(heard[-1].time - BEGIN + 5)
