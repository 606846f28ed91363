"""Write the event log of a run: append-only, on the disk before the run goes on, whole whatever happens to the disk."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from aimet_hooks import event_log, log_lock
from aimet_hooks.errors import ResultsDirError

if TYPE_CHECKING:
    from pathlib import Path

    from aimet_hooks.events import Event

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Shortest time between two attempts to write to a disk that refused."""
_BLOCK = 2**20


class EventLog:
    """The log of one run, open for appending, and its owner's as long as it is open.

    A disk that is full or a directory that cannot be written is reported once and never ends the run: what could not be
    written is kept and tried again, so that the log is whole as soon as the disk takes it. A log that somebody deletes
    or puts another file in the place of is written anew from what was in it.

    Args:
        directory: The results directory; made if it does not exist.
        resume: Whether to go on with a log that is there.

    Attributes:
        path: The log.
        is_new: Whether there was none, or an empty one.
        is_locked: Whether the file system keeps others on this host from writing to it.

    Raises:
        ResultsDirError: If the directory already holds a log, another process writes to it, or it cannot be made or
            written.
    """

    def __init__(self, directory: Path, *, resume: bool = False) -> None:
        self.path = directory / event_log.FILE_NAME
        self._file: int | None = _opened(self.path, resume=resume)
        try:
            self.is_locked = log_lock.take(self._file, self.path)
            self._whole = _without_torn_line(self._file, self.path)
        except BaseException:
            os.close(self._file)
            raise
        self.is_new = not self._whole
        self._pending: list[bytes] = []
        self._torn = False
        self._sync_due = False
        self._failed_at: float | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._heart: threading.Thread | None = None
        _open_logs.add(self)

    def append(self, event: Event) -> None:
        """Write an event; one that is durable and new is on the disk when this returns."""
        self.add(event)
        self.write()

    def add(self, event: Event) -> None:
        """Take in an event, which is written then whatever may interrupt the run."""
        if self._file is None:  # in a process that was forked off, where the lock may never be given back
            return
        line = event_log.encoded(event_log.to_line(event)) + b"\n"
        with self._lock:
            # a score that was known before is in the file that it came from, and goes to the disk with the next new one
            self._sync_due |= event.durable and not getattr(event, "reused", False)
            self._pending.append(line)

    def write(self) -> None:
        """Write what was added; when this returns, it is on the disk if it is durable and new."""
        if self._file is None:
            return
        with self._lock:
            if self._failed_at is None or time.monotonic() - self._failed_at >= RETRY_SECONDS:
                self._write()
        if self._heart is None:  # not before: who else touches the log is watched for until then
            heart = threading.Thread(target=self._beat, name="aimet-hooks event log", daemon=True)
            heart.start()
            self._heart = heart  # one that an interrupt found starting could not be joined, and ends by itself

    def close(self) -> None:
        """Write what is pending and close the file; what the disk still refuses is said.

        A log without any event is removed, so that the directory is free for the next attempt.
        """
        self._closing.set()
        if self._file is None:
            return
        try:
            if self._heart is not None:
                self._heart.join()
            if self._pending:
                self._write()
            else:
                self._look_after()
            if self._pending:
                logger.error("%s lacks the last %d events: the disk did not take them", self.path, len(self._pending))
            elif not self._whole:
                self.path.unlink(missing_ok=True)
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Close the file as it is; in a process that was forked off this leaves the log to the parent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _beat(self) -> None:
        """Show that the owner lives, see what became of the file, and try again what the disk refused."""
        while not self._closing.wait(log_lock.HEARTBEAT_SECONDS):
            with self._lock:
                if self._file is None:
                    return
                with contextlib.suppress(OSError):
                    os.utime(self._file)
                if self._failed_at is None:
                    self._look_after()
                elif time.monotonic() - self._failed_at >= RETRY_SECONDS:
                    self._write()

    def _look_after(self) -> None:
        try:
            self._restore_if_gone()
        except OSError as error:
            self._say_failure(error)

    def _write(self) -> None:
        data = b"".join(self._pending)
        size = len(data)
        try:
            self._restore_if_gone()
            file = self._file
            if file is None:
                return
            if self._torn:
                os.ftruncate(file, self._whole)
            self._torn = True
            _write_all(file, data)
            # nothing is called in this line, so no interrupt can come between: what is written is not written twice
            self._whole, self._pending, self._torn = self._whole + size, [], False
            if self._sync_due:
                os.fsync(file)
        except OSError as error:
            self._say_failure(error)
            return
        self._sync_due = False
        if self._failed_at is not None:
            logger.warning("%s can be written again; no event is missing", self.path)
            self._failed_at = None

    def _restore_if_gone(self) -> None:
        """Write the log anew if its path leads elsewhere; what it holds is there as long as it is open."""
        if self._file is None:
            return
        mine = os.fstat(self._file)
        if mine.st_size < self._whole:
            lost, self._whole = self._whole - mine.st_size, mine.st_size
            logger.error("%s was cut short by another program: its last %d bytes are lost", self.path, lost)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            path, what = self.path, "was deleted"
        else:
            if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                return
            path, what = self.path.with_name(f"events.{os.getpid()}.jsonl"), "was replaced by another file"
        copy = _created(path)
        try:
            log_lock.take(copy, path)
            for offset in range(0, self._whole, _BLOCK):
                _write_all(copy, os.pread(self._file, min(_BLOCK, self._whole - offset), offset))
            os.fsync(copy)
        except BaseException:
            os.close(copy)
            path.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file, self.path = copy, path
        logger.error("the event log %s while the run wrote to it; all of it is now in %s", what, path)

    def _say_failure(self, error: OSError) -> None:
        if self._failed_at is None:
            logger.error(
                "%s cannot be written (%s); the run goes on, its events are kept in memory and written as soon as "
                "that is possible",
                self.path,
                error.strerror,
            )
        self._failed_at = time.monotonic()


_open_logs: weakref.WeakSet[EventLog] = weakref.WeakSet()


def _leave_logs_to_parent() -> None:
    for log in list(_open_logs):
        log.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_logs_to_parent)


def add(path: Path, event: Event) -> None:
    """Add an event to the log of a run that has ended; when this returns, the disk has it.

    Raises:
        ResultsDirError: If the log cannot be written, or another process writes to it.
    """
    try:
        file = os.open(path, _FLAGS)
        try:
            log_lock.take(file, path)
            _without_torn_line(file, path)
            _write_all(file, event_log.encoded(event_log.to_line(event)) + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise ResultsDirError(f"{path} cannot be written ({error.strerror or error}); nothing was added") from error


def refuse_taken(directory: Path, *, resume: bool = False) -> None:
    """Refuse a directory that already holds a log, or with ``resume`` one whose log is being written.

    Raises:
        ResultsDirError: With the ways out.
    """
    path = directory / event_log.FILE_NAME
    log_lock.refuse_in_use(path)
    if not resume and os.path.lexists(path):
        raise ResultsDirError(
            f"results_dir {str(directory)!r} already holds a run; choose another directory, "
            "or continue that run with resume=True (--resume)"
        )


_FIRST = b'{"event": "'
"""How every log begins."""
_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)


def _opened(path: Path, *, resume: bool) -> int:
    """A descriptor of the log, new or, with ``resume``, the one that is there."""
    directory = path.parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if resume and path.exists():
            return os.open(path, _FLAGS)
        return _created(path)
    except (OSError, ValueError) as error:
        refuse_taken(directory)
        why = "it is a file" if isinstance(error, FileExistsError) else getattr(error, "strerror", error)
        raise ResultsDirError(
            f"results_dir {str(directory)!r} cannot be written ({why}); choose another directory"
        ) from error


def _created(path: Path) -> int:
    """A descriptor of the new file, whose place in its directory is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o644)
    with contextlib.suppress(OSError):  # some file systems cannot do this
        _sync_directory(path.parent)
    return file


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _without_torn_line(file: int, path: Path) -> int:
    """Cut off a last line that its writer did not finish, and give the size of the log.

    Raises:
        ResultsDirError: If the file is no log at all.
    """
    size = end = os.fstat(file).st_size
    head = os.pread(file, len(_FIRST), 0)
    if head != _FIRST[: len(head)]:
        raise ResultsDirError(f"{path} is no event log; choose another directory")
    while end:
        begin = max(0, end - _BLOCK)
        newline = os.pread(file, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    if end == size:
        return size
    torn = os.pread(file, size - end, end) if size - end <= event_log.LONGEST_LINE else b""
    with contextlib.suppress(ValueError):
        event_log.parsed(torn)
        _write_all(file, b"\n")
        return size + 1
    logger.warning("%s: its last line was not finished and is cut off (%d bytes)", path, size - end)
    os.ftruncate(file, end)
    return end
