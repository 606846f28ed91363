from aimet_hooks import hooks
from aimet_hooks.events import EVENTS, Event
from aimet_hooks.every_event import EveryEvent
from aimet_hooks.hooks import Hooks, Selected
from aimet_hooks.run_settings import RunSettings
from aimet_hooks.run_state import RunState
from aimet_hooks.testing.sample_runs import finished_run


class Listener(EveryEvent):
    def __init__(self) -> None:
        self.heard: list[Event] = []

    def hear(self, event: Event, run: RunState) -> None:
        assert run.time == event.time
        self.heard.append(event)


def test_there_is_a_method_for_every_event_and_no_other() -> None:
    assert set(hooks.hooks_of(Listener(), "listener")) == {f"on_{name}" for name in EVENTS}


def test_every_event_is_heard_once_in_its_order() -> None:
    listener, state = Listener(), RunState()
    called = Hooks([Selected("listener", listener)], {"listener": RunSettings()})
    for event in finished_run():
        state.apply(event)
        called.call(event, state)
    assert listener.heard == finished_run()
