"""The only way out of the core: give an event its place, log it, add it to the state, hand it to the reporters."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimet_hooks.events import Event
    from aimet_hooks.hooks import Hooks
    from aimet_hooks.log_writer import EventLog

logger = logging.getLogger("aimet_hooks")


class Announcer:
    """Announces the events of one run.

    Args:
        run_id: Unique name of the run.
        hooks: The reporters.
        log: The event log, or None for a run that writes nothing.
        clock: Gives the time of an event, seconds since the epoch.
    """

    def __init__(
        self, run_id: str, hooks: Hooks, log: EventLog | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.run_id = run_id
        self.state = RunState()
        self._hooks = hooks
        self._log = log
        self._clock = clock
        self._last_seq = -1
        self._notes: list[str] = []

    def announce(self, event: Event) -> None:
        """Place, log, apply, call the hooks; when this returns, a durable event is on the disk.

        An interrupt while the disk is waited for costs neither the log nor the state the event, and the run has one
        end: the log has taken it in, and writes it at the latest when it is closed.
        """
        placed = event.placed(run_id=self.run_id, seq=self._last_seq + event.logged, time=self._clock())
        log = self._log if event.logged else None
        if log is not None:
            log.add(placed)
        self._last_seq = placed.seq
        self.state.apply(placed)
        if log is not None:
            log.write()
        self._hooks.call(placed, self.state)

    def note(self, text: str) -> None:
        """Warn the user now; the text is also kept, for the last event of the run. A text is said once."""
        if text not in self._notes:
            self._notes.append(text)
            logger.warning("%s", text)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted so far."""
        return tuple(self._notes)
