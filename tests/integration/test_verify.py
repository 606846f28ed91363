"""``aimet-hooks verify`` on the logs of real runs: what it says, and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aimet_hooks import event_log, events
from aimet_hooks.cli import main
from tests.integration.test_resume import Evaluation, compress
from tests.unit.test_log_verification import changed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a run that was interrupted, and of the one that went on."""
    with pytest.raises(KeyboardInterrupt):
        compress(tmp_path, Evaluation(stop_after=7))
    compress(tmp_path)
    return tmp_path / event_log.FILE_NAME


@pytest.mark.parametrize("given", ["directory", "file"])
def test_whole_log_is_told_run_by_run(given: str, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(log if given == "file" else log.parent)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    count = len(log.read_bytes().splitlines())
    assert lines[0] == f"{log}: 2 runs in {count} lines"
    assert lines[1].startswith("run 2")
    assert ": Sequential, Sequential, spatial_svd, began 2" in lines[1]
    assert lines[1].endswith(" UTC, schema 1")
    assert "of 15 cells known, 0 of them before, 0 failed; run interrupted in exploration" in lines[2]
    assert lines[4].startswith("  15 of 15 cells known, 5 of them before, 0 failed; finished")
    assert lines[5:] == ["The log is whole."]
    assert err == ""


def test_torn_last_line_is_no_damage(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_bytes(log.read_bytes()[:-10])
    assert main(["verify", str(log)]) == 0
    out = capsys.readouterr().out
    assert "the last, was not finished: its event is not counted, and nothing else is lost\n" in out
    assert "0 failed; it did not end\n" in out


def test_damage_is_exit_code_1_with_every_line(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    damaged = range(4, 27, 2)
    for number in damaged:
        lines[number - 1] = lines[number - 1].replace(b'"seq"', b'"sec"')
    log.write_bytes(b"".join(lines))
    assert main(["verify", str(log)]) == 1
    out, err = capsys.readouterr()
    for number in damaged:
        assert f"line {number}: its check does not fit: the line is torn or was changed\n" in out
    findings = sum(line.startswith("line") for line in out.splitlines())
    assert err == f"aimet-hooks: error: {log} is damaged: {findings} findings above\n"


def test_lines_of_a_newer_version_are_exit_code_1_and_no_damage(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    lines[3] = changed(lines[3], schema=events.SCHEMA + 1)
    log.write_bytes(b"".join(lines))
    assert main(["verify", str(log)]) == 1
    out, err = capsys.readouterr()
    assert "line 4: its schema is 2, this version reads up to 1: update aimet-hooks\n" in out
    assert err == f"aimet-hooks: error: {log} is whole, but of a newer version in part: update aimet-hooks to read it\n"


def test_log_with_impossible_values_is_told_all_the_same(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(changed(first, time=10**200, run_name="\x1b[31m" + "n" * 10**6) + b"".join(others))
    assert main(["verify", str(log)]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert len(line) < 1100
    assert "\x1b" not in line
    assert "began at no known time" in line


@pytest.mark.parametrize("content", ["", "something else\n"])
def test_file_that_is_no_log(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text(content)
    assert main(["verify", str(tmp_path / "notes.txt")]) == 1
    assert capsys.readouterr().err == f"aimet-hooks: error: {tmp_path / 'notes.txt'} holds no run\n"


WRITER = """
import sys
from pathlib import Path
from aimet_hooks.log_writer import EventLog
from aimet_hooks.testing import finished_run

log = EventLog(Path(sys.argv[1]))
for event in finished_run()[:4]:
    if event.logged:
        log.append(event)
print("written", flush=True)
sys.stdin.read()
log.close()
"""


def test_run_that_goes_on_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        assert main(["verify", str(tmp_path)]) == 0
        writer.communicate()
    out = capsys.readouterr().out
    assert "A process writes to it at this moment.\n" in out
    assert "  it goes on\n" in out
    assert main(["verify", str(tmp_path)]) == 0
    assert "  it did not end\n" in capsys.readouterr().out
