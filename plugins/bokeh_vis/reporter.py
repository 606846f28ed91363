"""Hear a run and hand it to the thread that draws it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aimet_hooks.events import AnalysisFinished, RunFailed, RunFinished
from aimet_hooks.every_event import EveryEvent
from bokeh_vis.view_thread import ViewThread

if TYPE_CHECKING:
    from pathlib import Path

    from aimet_hooks.events import Event
    from aimet_hooks.run_state import RunState
    from bokeh_vis.address import Address

REPORT = "report.html"


class BokehReporter(EveryEvent):
    """Shows one run. In a forked process, where the thread does not exist, it does nothing.

    Args:
        address: Of the live page, None for none.
        results_dir: Where ``report.html`` goes, None for nowhere.
    """

    def __init__(self, address: Address | None, results_dir: Path | None) -> None:
        self._process = os.getpid()
        self._thread = ViewThread(address, None if results_dir is None else results_dir / REPORT)

    def hear(self, event: Event, run: RunState) -> None:
        """Hand the event on; at the end of the run wait a little for the page to show it."""
        del run  # the thread keeps a state of its own
        if os.getpid() != self._process:
            return
        self._thread.hear(event)
        if isinstance(event, (RunFinished, AnalysisFinished, RunFailed)):
            self._thread.show_all()
