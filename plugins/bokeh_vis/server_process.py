"""Bokeh servers as processes of one's own, which end with the process that started them."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO, TYPE_CHECKING

from aimet_hooks.errors import AimetHooksError
from bokeh_vis import leave_with_parent
from bokeh_vis.server_probe import SCRIPT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOST = "127.0.0.1"
USUAL_PORT = 5006
"""The port that everybody expects a Bokeh server at."""

SECONDS = 30.0
"""How long a server may take to start."""

LAST_SECONDS = 3.0
"""How long one may take to end before it is killed."""

PAUSE = 0.05


def start_plain() -> tuple[str, subprocess.Popen[bytes]]:
    """Start ``bokeh serve`` without an application on a free port of this machine and wait until it answers.

    Returns:
        Its address, "http://127.0.0.1:PORT/", and its process, which is ended with this one.

    Raises:
        AimetHooksError: If it does not start; the message has its last words.
    """
    port = _free_port()
    origins = [f"--allow-websocket-origin={host}:{port}" for host in (HOST, "localhost")]
    return _start(["bokeh", "serve", f"--address={HOST}", f"--port={port}", *origins], port)


def start_pages() -> tuple[str, subprocess.Popen[bytes]]:
    """Start ``aimet-hooks serve`` on the usual port, or on a free one where that is taken, and wait until it answers.

    Returns:
        As ``start_plain``.

    Raises:
        AimetHooksError: As ``start_plain``.
    """
    port = _free_port(USUAL_PORT)
    return _start(["aimet_hooks", "serve", f"--host={HOST}", f"--port={port}"], port)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server, and wait until it has ended."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_SECONDS)
    if process.poll() is None:
        process.kill()
        process.wait()


def _start(module: Sequence[str], port: int) -> tuple[str, subprocess.Popen[bytes]]:
    watched, _ = os.pipe()  # the other end is closed by the end of this process and by nothing else
    with tempfile.TemporaryFile() as output:
        try:
            with _without_interrupts():
                process = subprocess.Popen(
                    [sys.executable, "-m", leave_with_parent.__name__, *module],
                    stdin=watched,
                    stdout=output,
                    stderr=output,
                )
        finally:
            os.close(watched)
        atexit.register(end, process)
        try:
            _wait(process, port, output)
        except BaseException:
            end(process)
            raise
    return f"http://{HOST}:{port}/", process


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """What is started here does not hear the Ctrl-C of the terminal: it interrupts an evaluation, not the page."""
    if not hasattr(signal, "pthread_sigmask"):  # where there are no signals of a terminal
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _free_port(preferred: int = 0) -> int:
    for port in (preferred, 0):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)) as probe:
            return int(probe.getsockname()[1])
    raise AimetHooksError(f"there is no free port at {HOST} for a Bokeh server; end some program that listens there")


def _wait(process: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            why = "ended" if process.poll() is not None else f"does not answer after {SECONDS:.0f} s"
            output.seek(0)
            words = output.read().decode("utf-8", "replace").split("\n")
            last = next((line.strip(" .") for line in reversed(words) if line.strip()), "it said nothing")
            raise AimetHooksError(
                f"the Bokeh server on port {port} {why}: {last}; start one by hand to see more: bokeh serve"
            )
        time.sleep(PAUSE)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("HEAD", f"/{SCRIPT}")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
