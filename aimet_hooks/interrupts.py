"""Moments in which a run must not be torn: what was begun is finished first, and then Ctrl-C takes its course."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the block is done; their handlers are called at its end.

    A signal without a handler of Python's, which ends the process or is ignored, is left as it is. On other threads
    than the main one, which never see a signal, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: arrived.append((number, frame)))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for came, frame in arrived:
            handlers[signal.Signals(came)](came, frame)
