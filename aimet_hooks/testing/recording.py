"""A plugin that remembers all that it hears."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aimet_hooks import events
from aimet_hooks.every_event import EveryEvent
from aimet_hooks.hookspecs import hookimpl

if TYPE_CHECKING:
    from aimet_hooks.run_settings import RunSettings
    from aimet_hooks.run_state import Phase, RunState

EventType = TypeVar("EventType", bound=events.Event)


class RecordingPlugin(EveryEvent):
    """Records every event, and the phase that the run was in when it was heard.

    ::

        recorded = RecordingPlugin()
        compress_model(model, evaluate, plugins=[recorded])
        assert recorded.names[0] == "run_started"

    Attributes:
        settings: What ``create_reporter`` was told, once a run.
        events: All events, in the order of the calls; of several runs one after the other.
        phases: The phase of ``run`` at each of them.
    """

    def __init__(self) -> None:
        self.settings: list[RunSettings] = []
        self.events: list[events.Event] = []
        self.phases: list[Phase] = []

    @property
    def names(self) -> list[str]:
        """The names of the events: "run_started", "eval_score", ..."""
        return [event.name for event in self.events]

    def of_kind(self, kind: type[EventType]) -> list[EventType]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    def hear(self, event: events.Event, run: RunState) -> None:
        """Record it."""
        self.events.append(event)
        self.phases.append(run.phase)

    @hookimpl
    def create_reporter(self, settings: RunSettings) -> None:
        """Record the settings; the plugin hears the run itself."""
        self.settings.append(settings)
