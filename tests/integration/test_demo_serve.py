"""``aimet-hooks demo --serve``: a page for the demo without starting anything by hand."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import pytest

from aimet_hooks import recordings
from aimet_hooks.cli import main
from tests.integration.page_reading import data, header, wait_for
from tests.integration.servers import HOST, answers, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

ADDRESS = re.compile(rf"^Live page: (http://{HOST}:(\d+)/\?&bokeh-session-id=compression)\n$")
STAYS = "The live page stays until Ctrl-C.\n"


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a terminal starts it: first of a group of processes."""
    line = [sys.executable, "-m", "aimet_hooks", "demo", "--serve", *options]
    with subprocess.Popen(
        line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def address(process: subprocess.Popen[str]) -> tuple[str, int]:
    """The page and the port that the first line names."""
    assert process.stdout
    found = ADDRESS.match(process.stdout.readline())
    assert found, process.communicate()
    return found[1], int(found[2])


def read_until(stream: IO[str] | None, line: str) -> None:
    assert stream
    seen = []
    while not seen or seen[-1] != line:
        seen.append(stream.readline())
        assert seen[-1], seen


def test_the_address_and_the_tunnel_come_before_the_run_and_the_page_stays_after_it(
    tmp_path: Path, open_tab: Callable[[str], Page]
) -> None:
    with demo(tmp_path, "--results-dir", "out") as process:
        page, port = address(process)
        assert process.stdout
        assert f"ssh -L {port}:{HOST}:{port} " in process.stdout.readline()
        assert not (tmp_path / "out" / "stats.json").exists()
        tab = open_tab(page)
        wait_for(tab, "model('header').text.includes('>done<') && scores() === 72")
        read_until(process.stderr, "The page of this run: out/report.html\n")
        read_until(process.stderr, STAYS)
        later = open_tab(page)
        wait_for(later, "scores() === 72 && data('choices').layer.length === 8")
        assert "digits demo" in header(later)
        assert data(later, "cells")["layer"][0] == "stem"
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Chosen ratios" in output
    assert errors.endswith("The server has ended.\n")
    assert not answers(port)


def test_an_interrupt_during_the_run_ends_run_and_server_and_says_so_on_the_page_first(
    tmp_path: Path, open_tab: Callable[[str], Page]
) -> None:
    with demo(tmp_path, "--results-dir", "out") as process:
        page, port = address(process)
        tab = open_tab(page)
        wait_for(tab, "scores() > 0")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
        if recordings.read(tmp_path / "out")[-1].name == "run_failed":  # else the run was faster than the interrupt
            wait_for(tab, "model('header').text.includes('interrupted')")
    assert process.returncode in (0, 130)
    assert not answers(port)


@pytest.mark.parametrize("moment", ["before the run", "after the run"])
def test_a_terminated_demo_leaves_no_server(tmp_path: Path, moment: str) -> None:
    with demo(tmp_path) as process:
        _, port = address(process)
        if moment == "after the run":
            read_until(process.stderr, STAYS)
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert errors.endswith("aimet-hooks: terminated\n")
    assert not answers(port)


def test_a_terminal_that_is_closed_leaves_no_server(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        _, port = address(process)
        os.killpg(process.pid, signal.SIGHUP)
        process.communicate(timeout=20)
    wait_until(lambda: not answers(port), "the end of the server")


def test_a_run_that_fails_leaves_no_server(tmp_path: Path) -> None:
    with demo(tmp_path, "--target", "0.01") as process:
        _, port = address(process)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "target_comp_ratio" in errors.splitlines()[-1]
    assert not answers(port)


def test_a_server_that_ends_by_itself_ends_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        read_until(process.stderr, STAYS)
        (server,) = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(server), signal.SIGKILL)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == (
        "aimet-hooks: error: the server of the live page has ended by itself (exit code -9); run the demo again\n"
    )


def test_another_port_is_taken_where_the_usual_one_is_not_free(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, 5006))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        with demo(tmp_path) as process:
            _, port = address(process)
            assert port != 5006
            assert answers(port)
            process.terminate()
            process.communicate(timeout=20)


def test_a_server_of_its_own_and_another_exclude_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://{HOST}:{free_port()}/"
    assert main(["demo", "--serve", "--visualization-url", url]) == 2
    assert "excludes --visualization-url; give one of them" in capsys.readouterr().err
