"""Runs in processes of their own. They are forked off one that has imported everything, so that one costs little."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimet_hooks import log_lock
from aimet_hooks.event_log import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60.0
"""How long a test waits for what must come."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.faults.small_runs"])


class Attempt:
    """A function in a process, and a session, of its own.

    Args:
        function: Of a module.
        arguments: Of the function; plain data.
        output: Gets what the process prints and logs.
    """

    def __init__(self, function: Callable[..., object], *arguments: Any, output: Path) -> None:
        self._output = output
        self._process = _forks.Process(target=_alone, args=(output, function, arguments))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def said(self) -> str:
        """What it printed and logged so far, after what others did into the same file."""
        return self._output.read_text() if self._output.exists() else ""

    def wait_for(self, condition: Callable[[], object]) -> bool:
        """Wait until something holds; False if the process ended before."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            if self._process.exitcode is not None:
                return False
            assert time.monotonic() < deadline, self.said
            self._process.join(0.002)
        return True

    def wait_until_said(self, text: str) -> bool:
        """Wait until it has said something; False if it ended before."""
        return self.wait_for(lambda: text in self.said)

    def signal(self, number: int) -> None:
        """Send a signal to a process that may have ended."""
        if self._process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def exit_code(self, timeout: float = SECONDS) -> int | None:
        """Wait for its end; None if it goes on. When it has ended, nothing that it started may live."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is not None:
            self._process.close()
            eventually(lambda: not session(self.pid))
        return code

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        self.signal(signal.SIGKILL)
        assert self.exit_code() is not None


def _alone(output: Path, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    logging.basicConfig(stream=sys.stderr, format="%(message)s", force=True)
    function(*arguments)


def session(leader: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session = entry.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state not in "ZX":
                found.append(int(entry.parent.name))
    return found


def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until something holds, which must be soon."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def assert_unlocked(directory: Path) -> None:
    """A log that nobody writes is locked by nobody."""
    log_lock.refuse_in_use(directory / FILE_NAME)
