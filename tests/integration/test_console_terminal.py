"""The console on the digits network: in a real terminal (tmux), and into pipes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


RUN = """\
import logging, sys, time, warnings
import numpy, onnxruntime
from importlib.resources import files
from aimet_hooks import compress_model

logging.basicConfig(level=logging.WARNING, format="record: %(message)s")
pause, talks = float(sys.argv[1]), "talk" in sys.argv
demo = files("aimet_hooks") / "demo"
data = numpy.load(str(demo / "digits_test.npz"))
images, labels = (data["images"] / 16).astype("float32"), data["labels"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
evaluations = 0

def accuracy(session):
    global evaluations
    evaluations += 1
    time.sleep(pause)
    if talks and evaluations in (5, 15):
        logging.getLogger("evaluation").warning("[bold]number %d[/nothing]", evaluations)
        print("printed", evaluations)
    if talks and evaluations == 10:
        warnings.warn("careful")
    return float((session.run(None, {"image": images})[0].argmax(1) == labels).mean())

compress_model(
    str(demo / "digits.onnx"), accuracy, input_shape=(1, 1, 8, 8), layers_to_ignore=["head"],
    plugins=["console"], session_options=options, run_name="in the terminal",
)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "run.py"
    path.write_text(RUN)
    return path


class Pane:
    """One terminal of a private tmux server."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._socket, "-f", "/dev/null", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    def type(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "test", *keys)

    def screen(self, *options: str) -> str:
        return self.tmux("capture-pane", "-p", "-t", "test", *options)

    def cursor_is_shown(self) -> bool:
        return self.tmux("display-message", "-p", "-t", "test", "#{cursor_flag}").strip() == "1"

    def wait_for(self, seen: Callable[[str], object], *options: str) -> str:
        """The screen as soon as ``seen`` accepts it."""
        deadline = time.monotonic() + 60
        while not seen(screen := self.screen(*options)):
            assert time.monotonic() < deadline, f"the terminal never showed it, but\n{screen}"
            time.sleep(0.02)
        return screen


@contextmanager
def terminal(width: int, height: int, tmp_path: Path) -> Iterator[Pane]:
    pane = Pane(f"aimet-hooks-{os.getpid()}-{tmp_path.name}")
    shell = "env PS1='ready> ' HISTFILE= OMP_NUM_THREADS=1 NO_COLOR= bash --norc --noprofile"
    pane.tmux("new-session", "-d", "-s", "test", "-x", str(width), "-y", str(height), shell)
    try:
        pane.wait_for(lambda screen: "ready>" in screen)
        yield pane
    finally:
        pane.tmux("kill-server")


def cells(screen: str) -> int:
    """Cells that the panel counts, 0 while it is being drawn."""
    found = re.search(r"exploring .* (\d+)/72 ", re.sub(r"\x1b\[[\d;]*m", "", screen))
    return int(found[1]) if found and screen.count("╭") == screen.count("╰") == 1 else 0


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_panel_fills_up_and_gives_way_to_the_summary(script: Path, tmp_path: Path, width: int, height: int) -> None:
    with terminal(width, height, tmp_path) as pane:
        pane.type(f"clear; {sys.executable} {script} 0.03", "Enter")
        early = pane.wait_for(lambda screen: 5 <= cells(screen) < 40)
        late = pane.wait_for(lambda screen: 40 <= cells(screen) < 72, "-e")
        end = pane.wait_for(lambda screen: screen.rstrip().endswith("ready>"), "-S", "-")
        assert pane.cursor_is_shown()
    assert early.startswith("╭─ in the terminal · digits.onnx · spatial SVD · keep 0.5 of the MACs ─")
    assert early.count("╭") == early.count("╰") == 1
    assert "baseline 0.99" in early
    assert "▸" in early
    assert "evals/s" in early
    assert re.search(r"block2\.shortcut\s+·", early)
    assert "\x1b[48;5;25m" in late or "48;5;25" in late
    assert "╭" not in end
    assert "points lost, up to" in end
    for heading in ("Scores with one layer compressed", "Skipped (3)", "Chosen ratios: ", "Result"):
        assert end.count(heading) == 1


def test_what_the_evaluation_writes_stands_above_the_panel(script: Path, tmp_path: Path) -> None:
    with terminal(160, 45, tmp_path) as pane:  # wide enough for the path of the script, wherever it lies
        pane.type(f"clear; {sys.executable} {script} 0.03 talk", "Enter")
        screen = pane.wait_for(lambda screen: cells(screen) > 20)
        pane.wait_for(lambda screen: screen.rstrip().endswith("ready>"))
    above, _, panel = screen.partition("╭")
    lines = [line.rstrip() for line in above.splitlines()]
    assert lines[:3] == ["record: [bold]number 5[/nothing]", "printed 5", f"{script}:23: UserWarning: careful"]
    assert lines[-2:] == ["record: [bold]number 15[/nothing]", "printed 15"]
    assert "╭" not in panel
    assert panel.count("╰") == 1


def test_ctrl_c_leaves_a_usable_terminal_with_the_table_on_it(script: Path, tmp_path: Path) -> None:
    with terminal(100, 45, tmp_path) as pane:
        pane.type(f"clear; {sys.executable} {script} 0.03", "Enter")
        pane.wait_for(lambda screen: cells(screen) > 5)
        pane.type("C-c")
        screen = pane.wait_for(lambda screen: screen.rstrip().endswith("ready>"), "-S", "-")
        assert pane.cursor_is_shown()
        pane.type("clear; echo still $((6 * 7))", "Enter")
        pane.wait_for(lambda screen: "still 42" in screen)
    assert screen.count("╭") == screen.count("╰") == 1
    assert "run interrupted in exploration (KeyboardInterrupt)" in screen
    assert "│ interrupted  " in screen
    assert screen.index("ended in exploration") < screen.index("╰") < screen.index("run interrupted")


def test_pipes_get_plain_lines_and_a_plain_summary(script: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "FORCE_COLOR": "1", "COLUMNS": "40"}
    run = subprocess.run(
        [sys.executable, str(script), "0"], capture_output=True, check=True, env=environment, timeout=60
    )
    progress, result = run.stderr.decode(), run.stdout.decode()
    assert all(character == "\n" or character.isprintable() for character in progress + result)
    assert progress.startswith("[0:00] in the terminal - digits.onnx - spatial SVD - keep 0.5 of the MACs\n")
    assert "exploring 8 layers at 9 ratios: 72 cells, " in progress
    assert re.search(r"^\[0:0\d\] finished in 0:0\d$", progress, re.MULTILINE)
    rows = result.partition("\n\nSkipped")[0].splitlines()[4:]
    assert all(re.fullmatch(r"  \S+ +(?:\d\.\d{4}[ *] *){9}", line + " ") for line in rows[:8])
    assert "  MACs     2.33 M  ->  1.16 M  0.49" in result
