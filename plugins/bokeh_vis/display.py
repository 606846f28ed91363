"""Show recorded runs on a live page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Self

from aimet_hooks.errors import AimetHooksError
from aimet_hooks.events import LayerCompressed, RatiosSelected, RunFinished, RunStarted
from bokeh_vis import address
from bokeh_vis.view_thread import ViewThread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimet_hooks.events import Event

SECONDS = 10.0
"""How long a display may take."""


class Display:
    """A page that shows recordings until it is closed.

    Args:
        url: "http://host:port/" of a Bokeh server.

    Raises:
        UsageError: If that is no address.
    """

    def __init__(self, url: str) -> None:
        self._address = address.parse(url)
        self._events: list[Event] = []
        self._thread: ViewThread | None = None

    @property
    def page(self) -> str:
        """What a browser opens."""
        return self._address.page

    def show(self, events: Sequence[Event]) -> None:
        """Show a recording; returns when the server has it.

        Args:
            events: A whole recording, which takes the place of what was shown.

        Raises:
            AimetHooksError: If the server does not have it within 10 s; the message says why and what to do.
        """
        if self._thread is None:
            self._thread = ViewThread(self._address, None, goes_on=False)
        for event in events:
            self._thread.hear(event)
        self._events = list(events)
        if not self._thread.show_all(SECONDS):
            why = self._thread.problem or f"{self._address.server} does not confirm the page within {SECONDS:.0f} s"
            self.close()
            raise AimetHooksError(why)

    def show_choice(self, events: Sequence[Event]) -> None:
        """Show the chosen ratios of a recording, beside the scores that are shown already.

        Args:
            events: A whole recording with a choice. One of another run gives its choice only, where something is shown.

        Raises:
            AimetHooksError: As ``show``.
        """
        self.show(with_choice(self._events, events))

    def show_scores(self, events: Sequence[Event]) -> None:
        """Show a recording with a table; a choice of another recording that is shown already stays.

        Args:
            events: A whole recording.

        Raises:
            AimetHooksError: As ``show``.
        """
        has_choice = any(isinstance(event, RatiosSelected) for event in events)
        kept = [] if has_choice else [event for event in self._events if isinstance(event, RatiosSelected)]
        self.show(with_choice(events, kept) if kept else events)

    def close(self) -> None:
        """Let the page go; a plain server drops it when the last tab has left."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def with_choice(shown: Iterable[Event], chosen: Sequence[Event]) -> list[Event]:
    """The events of one recording with the choice of another, or the other alone if it is of the same run."""
    shown = list(shown)
    started = [event for event in chosen if isinstance(event, RunStarted)]
    if not shown or (started and started[0].run_id == shown[0].run_id):
        return list(chosen)
    choice = [event for event in chosen if isinstance(event, RatiosSelected)]
    after = (RatiosSelected, LayerCompressed, RunFinished)  # what belongs to the choice that the run itself made
    before = [event for event in shown if not isinstance(event, after)]
    placed = [event.placed(run_id=shown[0].run_id, seq=len(before), time=shown[-1].time) for event in choice]
    return [*(_recorded(event) for event in before), *placed]


def _recorded(event: Event) -> Event:
    """A beginning that is known to be no run that goes on."""
    return dataclasses.replace(event, fingerprint="") if isinstance(event, RunStarted) else event
