"""Who writes an event log: one process at a time, on this host or on another that sees the same file system.

The lock is the kernel's and is on the log itself, so it ends with its owner and leaves no file behind. Some file
systems do not pass locks on to other hosts: so the owner also touches the log several times a second, and whoever
would go on with a run that another host began, and did not end, watches for that first.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from aimet_hooks import event_log
from aimet_hooks.errors import RecordingError, ResultsDirError
from aimet_hooks.events import RunStarted

if sys.platform != "win32":  # there the heartbeat alone tells
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

HEARTBEAT_SECONDS = 0.5
"""Time between two touches of a log by its owner."""
PATIENCE_SECONDS = 0.4
"""How long a lock must be held by another: who only looks, or adds a score to a run that is over, has it for less."""
WATCH_SECONDS = 10.0
"""How long a log must not be touched until its owner is taken for dead: file systems tell of touches late."""


def take(file: int, path: Path) -> bool:
    """Lock an open log for as long as the descriptor is open; False where the file system has no locks.

    Raises:
        ResultsDirError: If another process holds the lock; names it.
    """
    if sys.platform == "win32":
        return False
    try:
        if _is_held(file, fcntl.LOCK_EX):
            raise in_use(path)
    except OSError:
        return False
    return True


def _is_held(file: int, kind: int) -> bool:
    """Whether others have the lock of an open log, and not for a moment only; else it is ours, of the kind given."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patience:
                return True
            time.sleep(PATIENCE_SECONDS / 20)
        else:
            return False


def refuse_in_use(path: Path) -> None:
    """Refuse a log that a process of this host writes; one that does not exist, or cannot be read, is not refused.

    Raises:
        ResultsDirError: Names the process.
    """
    if is_in_use(path):
        raise in_use(path)


def is_in_use(path: Path) -> bool:
    """Whether a process of this host writes the log; False where that cannot be known."""
    if sys.platform == "win32":
        return False
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        return _is_held(file.fileno(), fcntl.LOCK_SH)  # shared: others may ask at the same time
    return False


def refuse_beating(path: Path) -> None:
    """Watch a log for a while, and refuse it as soon as somebody touches it.

    Raises:
        ResultsDirError: Names the process.
    """
    first, end = _touched(path), time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        if _touched(path) != first:
            raise in_use(path)
        time.sleep(HEARTBEAT_SECONDS / 2)


def _touched(path: Path) -> int:
    with path.open("rb") as file:  # opened anew each time: then a network file system asks its server
        return os.fstat(file.fileno()).st_mtime_ns


def in_use(path: Path) -> ResultsDirError:
    """The error for a log that another process writes."""
    last = None
    with contextlib.suppress(RecordingError):
        for event in event_log.read(path):
            last = event if isinstance(event, RunStarted) else last
    who = "another process"
    if last is not None and "pid" in last.provenance:
        who = f"process {last.provenance['pid']} on host {last.provenance.get('host')!r} (run {last.run_id})"
    return ResultsDirError(
        f"results_dir {str(path.parent)!r} is in use by {who}; wait for it to end, or choose another directory"
    )
