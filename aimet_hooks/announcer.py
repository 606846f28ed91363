"""The only way out of the core: stamp an event, log it, add it to the state, hand it to the reporters."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aimet_hooks.events import Event, Progressed, RunFailed, RunFinished
from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimet_hooks.event_log import EventLog
    from aimet_hooks.hooks import Hooks

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
        self._next = 0
        self._notes: list[str] = []

    def announce(self, event: Event) -> None:
        """Stamp, log, apply, call the hooks; when this returns, a durable event is on the disk."""
        logged = not isinstance(event, Progressed)
        seq = self._next if logged else self._next - 1
        stamped = replace(event, run_id=self.run_id, seq=seq, time=self._clock())
        if isinstance(stamped, (RunFinished, RunFailed)):
            stamped = replace(stamped, notes=tuple(self._notes))
        if logged:
            self._next += 1
            if self._log is not None:
                self._log.append(stamped)
        self.state.apply(stamped)
        self._hooks.call(stamped, self.state)

    def note(self, text: str) -> None:
        """Warn the user now; the text is also kept for the last event of the run. A text is said once."""
        if text not in self._notes:
            self._notes.append(text)
            logger.warning("%s", text)
