"""A replay against the run itself: plugins, files, the console and the page cannot tell which of them they hear."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aimet_hooks import event_log, replay
from aimet_hooks.events import Event, RunFailed
from aimet_hooks.testing import RecordingPlugin
from tests.integration.page_reading import visible_text, wait_for
from tests.integration.servers import PlainServer
from tests.integration.small_runs import FREELY, Gate, compress
from tests.integration.test_resume import Evaluation
from tests.integration.test_resume import compress as resume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from aimet_hooks.run_state import RunState

TABLES = ("eval_scores.json", "eval_scores.csv", "comp_ratios.json", "stats.json")


class Watching(RecordingPlugin):
    """Keeps beside every event what the state was at it, but for progress, which is not replayed."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []

    def hear(self, event: Event, run: RunState) -> None:
        if event.logged:
            super().hear(event, run)
            self.states.append(repr({name: value for name, value in vars(run).items() if name != "_progress"}))


def test_every_plugin_is_told_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live, again = Watching(), Watching()
    compress(None, plugins=["console", "file", live], console="auto", results_dir=tmp_path / "live")
    log = (tmp_path / "live" / event_log.FILE_NAME).read_bytes()
    printed = capsys.readouterr()
    replay(tmp_path / "live", plugins=["console", "file", again], results_dir=tmp_path / "again")
    printed_again = capsys.readouterr()

    assert again.events == live.events
    assert again.states == live.states
    assert again.phases == live.phases
    assert again.settings[0].run_name == live.settings[0].run_name
    assert printed_again.err == printed.err
    assert printed_again.out == printed.out.replace(str(tmp_path / "live"), str(tmp_path / "again"))
    assert "Chosen ratios" in printed.out
    for name in TABLES:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "live" / name).read_bytes()
    assert {path.name for path in (tmp_path / "again").iterdir()} == set(TABLES)
    assert (tmp_path / "live" / event_log.FILE_NAME).read_bytes() == log


def test_run_that_failed_fails_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "live", Evaluation(stop_after=7), plugins=["console"], console="auto")
    printed = capsys.readouterr()
    again = Watching()
    replay(tmp_path / "live", plugins=["console", again], results_dir=tmp_path / "again")
    assert capsys.readouterr().err == printed.err.replace(str(tmp_path / "live"), str(tmp_path / "again"))
    assert isinstance(again.events[-1], RunFailed)
    assert again.events[-1].error == "KeyboardInterrupt"


def test_resumed_run_is_two_runs_again(tmp_path: Path) -> None:
    live, again = Watching(), Watching()
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "live", Evaluation(stop_after=7), plugins=["file", live])
    resume(tmp_path / "live", plugins=["file", live])
    replay(tmp_path / "live", plugins=["file", again], results_dir=tmp_path / "again", console="off")
    assert again.events == live.events
    assert again.states == live.states
    assert len(again.settings) == 2
    for name in TABLES:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "live" / name).read_bytes()


# -- the page ----------------------------------------------------------------------------------------------------------


def shown(tab: Page) -> tuple[str, dict[str, Any]]:
    """All text of a page, and the data of all that is drawn on it, without what names who drew it."""
    wait_for(tab, "model('header').text.includes('>done<') && scores() === 12 && data('choices').ratio.length === 3")
    found = tab.evaluate(
        """() => Object.fromEntries(
             [...Bokeh.documents[0]._all_models.values()]
               .filter((model) => model.name && model.data && model.type === "ColumnDataSource")
               .map((model) => [model.name, JSON.stringify(Object.fromEntries(Object.entries(model.data)))]))"""
    )
    drawn = {name: json.loads(columns) for name, columns in found.items() if name != "control"}
    assert {"cells", "curves", "choices"} <= set(drawn)
    return visible_text(tab), drawn


def test_the_page_shows_the_same(plain_server: PlainServer, open_tab: Callable[[str], Page], tmp_path: Path) -> None:
    compress(plain_server.url, results_dir=tmp_path / "live")
    with PlainServer() as other:
        replay(tmp_path / "live", plugins=["bokeh"], visualization_url=other.url, results_dir=tmp_path / "again")
        text, drawn = shown(open_tab(plain_server.page))
        text_again, drawn_again = shown(open_tab(other.page))
    assert text_again == text
    assert drawn_again == drawn
    assert (tmp_path / "again" / "report.html").exists()


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The log of a run that was killed while it explored."""
    evaluate = Gate()
    evaluate.let(FREELY)
    compress(None, evaluate, plugins=[], results_dir=tmp_path / "killed")
    path = tmp_path / "killed" / event_log.FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    scored = [number for number, line in enumerate(lines) if b'"event": "eval_score"' in line]
    path.write_bytes(b"".join(lines[: scored[-1]]))
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "aimet_hooks", "replay", *map(str, arguments)]


def test_killed_run_is_replayed_to_where_it_was_killed_and_the_command_ends(
    killed: Path, plain_server: PlainServer, open_tab: Callable[[str], Page], tmp_path: Path
) -> None:
    tab = open_tab(plain_server.page)
    done = subprocess.run(
        command(killed, "--visualization-url", plain_server.url, "--results-dir", tmp_path / "again"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Live page: {plain_server.page}" in done.stderr
    assert "run failed in exploration (RecordingError)" in done.stderr
    assert "its end was not recorded: it was killed, or goes on" in done.stderr
    assert "Traceback" not in done.stderr
    table = json.loads((tmp_path / "again" / "eval_scores.json").read_text())
    assert sum(score is not None for row in table["scores"].values() for score in row.values()) == 11
    wait_for(tab, "scores() === 11 && model('header').text.includes('>failed<')")


def test_panel_of_a_killed_run_gives_the_terminal_back(killed: Path) -> None:
    screen, theirs = pty.openpty()
    with subprocess.Popen(
        command(killed, "--plugin", "console"), stdout=theirs, stderr=theirs, stdin=theirs
    ) as process:
        os.close(theirs)
        output = b""
        while select.select([screen], [], [], 60)[0]:
            try:
                output += os.read(screen, 65536)
            except OSError:  # its last writer has closed it
                break
        assert process.wait(60) == 0
    os.close(screen)
    assert b"\x1b[?25l" in output
    assert output.rindex(b"\x1b[?25h") > output.rindex(b"\x1b[?25l"), "the cursor is hidden"
    assert b"run failed in exploration" in output


STALLS = """
import time
from aimet_hooks import hookimpl

@hookimpl
def on_eval_score():
    print("stalled", flush=True)
    time.sleep(60)

@hookimpl
def on_run_failed(event):
    print(event.error, flush=True)
"""


@pytest.mark.parametrize(
    ("number", "code", "error"), [(signal.SIGINT, 130, "KeyboardInterrupt"), (signal.SIGTERM, 143, "TerminatedError")]
)
def test_signal_ends_the_replay_with_its_code(number: int, code: int, error: str, killed: Path, tmp_path: Path) -> None:
    (tmp_path / "stalls.py").write_text(STALLS)
    info = tmp_path / "stalls-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stalls\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aimet_hooks]\nstalls = stalls\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        command(killed, "--plugin", "stalls"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stalled\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == f"{error}\n"
    assert err.splitlines()[-1] == f"aimet-hooks: {'interrupted' if code == 130 else 'terminated'}"


def test_plugins_that_are_named_are_exactly_these(killed: Path, tmp_path: Path) -> None:
    line = command(killed, "--plugin", "file", "--results-dir", tmp_path / "again")
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert re.fullmatch(r"warning: run '.*': its end was not recorded: it was killed, or goes on\n", done.stderr)
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["eval_scores.csv", "eval_scores.json"]
