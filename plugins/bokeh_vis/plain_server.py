"""A plain ``bokeh serve`` process of one's own."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO

from aimet_hooks.errors import AimetHooksError
from bokeh_vis.server_probe import SCRIPT

HOST = "127.0.0.1"
SECONDS = 30.0
"""How long a server may take to start."""

PAUSE = 0.05


def start() -> tuple[str, subprocess.Popen[bytes]]:
    """Start a Bokeh server without an application on a free port of this machine and wait until it answers.

    Returns:
        Its address, "http://127.0.0.1:PORT/", and its process, which is ended with this one.

    Raises:
        AimetHooksError: If it does not start; the message has its last words.
    """
    port = _free_port()
    with tempfile.TemporaryFile() as output:
        origins = [f"--allow-websocket-origin={host}:{port}" for host in (HOST, "localhost")]
        line = [sys.executable, "-m", "bokeh", "serve", f"--address={HOST}", f"--port={port}", *origins]
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        atexit.register(_end, process)
        try:
            _wait(process, port, output)
        except BaseException:
            _end(process)
            raise
    return f"http://{HOST}:{port}/", process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            why = "ended" if process.poll() is not None else f"does not answer after {SECONDS:.0f} s"
            output.seek(0)
            words = output.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise AimetHooksError(f"the Bokeh server on port {port} {why}: {words[-1]}; start one with: bokeh serve")
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


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
    if process.poll() is None:
        process.kill()
        process.wait()
