"""After every fault no process, no thread and no lock is left."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aimet_hooks import log_lock
from tests.faults.attempts import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")
"""What processes of the tests themselves are called, which stay for the next."""


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    before = _children()
    yield
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("aimet-hooks")])
    eventually(lambda: _children() <= before)
    for log in tmp_path.rglob("events*.jsonl"):
        log_lock.refuse_in_use(log)


def _children() -> set[int]:
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (directory / "stat").read_text().rpartition(")")[2].split()[1]
            command = (directory / "cmdline").read_text()
            if int(parent) == os.getpid() and not any(own in command for own in _OWN):
                found.add(int(directory.name))
    return found
