"""Server processes for tests, which can be killed, frozen and started again on the same port."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait for a condition; fail with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("HEAD", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


class ServerProcess:
    """A process that listens on a port."""

    def __init__(self, line: list[str], port: int, environment: Mapping[str, str] | None = None) -> None:
        self.port = port
        self._line = line
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 -- closed at the end of the with block

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    @property
    def page(self) -> str:
        """The address of the contract."""
        return f"{self.url}?&bokeh-session-id=compression"

    @property
    def output(self) -> str:
        self._output.seek(0)
        return self._output.read().decode()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._line, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output, env=self._environment
        )
        try:
            wait_until(lambda: answers(self.port) or self._process.poll() is not None, f"the start of {self._line}")
            assert self._process.poll() is None, self.output
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 20) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._output.close()


class PlainServer(ServerProcess):
    """A ``bokeh serve`` process as the contract has it."""

    def __init__(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        port = free_port()
        line = [sys.executable, "-m", "bokeh", "serve", f"--allow-websocket-origin={HOST}:{port}", f"--port={port}"]
        super().__init__([*line, *options], port, environment)


class PageServer(ServerProcess):
    """An ``aimet-hooks serve`` process."""

    def __init__(self, *arguments: str) -> None:
        port = free_port()
        super().__init__([sys.executable, "-m", "aimet_hooks", "serve", "--port", str(port), *arguments], port)
