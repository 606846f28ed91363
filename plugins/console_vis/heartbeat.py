"""A thread that lets a run be heard of while it is silent."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

THREAD_NAME = "console_vis heartbeat"


class Heartbeat:
    """Calls ``beat`` from a thread of its own, from ``start`` until ``stop``; it keeps no process alive.

    Args:
        beat: A method that does what is due and returns the seconds until it wants to be called again. If it raises,
            that is logged and it is not called any more. Its object is not kept alive: a run whose end nobody was told
            falls silent when its reporter is gone, and the thread ends when it would have called it.
    """

    def __init__(self, beat: Callable[[], float]) -> None:
        self._beat = weakref.WeakMethod(beat)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, with a first call at once; does nothing where it has begun."""
        if self._thread is not None:
            return
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End: ``beat`` is not running and will not be called when this returns. May be called again."""
        self._stopping.set()  # first, so that an interrupt from here on leaves no thread that goes on
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        try:
            while (pause := self._call()) is not None and not self._stopping.wait(pause):
                pass
        except Exception as error:  # the stream is closed or cannot be written: the run goes on
            logger.warning("between two events nothing is printed any more (%s: %s)", type(error).__name__, error)

    def _call(self) -> float | None:
        """Seconds until the next call; None if there is nothing left to call."""
        beat = self._beat()
        return None if beat is None else beat()
