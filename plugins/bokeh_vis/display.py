"""Show recorded runs on a live page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Self

from aimet_hooks.errors import AimetHooksError
from aimet_hooks.events import ExplorationStarted, LayerCompressed, RatiosSelected, RunFinished, RunStarted
from bokeh_vis import address
from bokeh_vis.view_thread import ViewThread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimet_hooks.events import Event

SECONDS = 9.0
"""How long a display waits for the server, which may take a second more to be given up."""


class Display:
    """A page that shows recordings until it is closed.

    Args:
        url: "http://host:port/" of a Bokeh server.

    Raises:
        UsageError: If that is no address.
    """

    def __init__(self, url: str) -> None:
        self._address = address.parse(url)
        self._scores: Sequence[Event] = ()
        self._choice: Sequence[Event] = ()
        self._thread: ViewThread | None = None

    @property
    def page(self) -> str:
        """What a browser opens."""
        return self._address.page

    def show(self, events: Sequence[Event]) -> None:
        """Show a recording in the place of what was shown; returns when the server has it.

        Args:
            events: A whole recording.

        Raises:
            AimetHooksError: If the server does not have it within 10 s; the message says why and what to do.
        """
        self._draw(events)
        self._scores, self._choice = events, ()

    def show_scores(self, events: Sequence[Event]) -> None:
        """Show a recording with a table of scores, beside a choice that was displayed by itself.

        Args:
            events: A whole recording. It takes the place of an earlier table, and of the choice of the same run.

        Raises:
            AimetHooksError: As ``show``.
        """
        goes_with_its_table = self._scores and _is_same_run(self._scores, self._choice)
        choice = () if goes_with_its_table else self._choice
        self._draw(combined(events, choice))
        self._scores, self._choice = events, choice

    def show_choice(self, events: Sequence[Event]) -> None:
        """Show the chosen ratios of a recording, beside the scores that were displayed before.

        Args:
            events: A whole recording with a choice; all of it is shown where no other scores were displayed.

        Raises:
            AimetHooksError: As ``show``.
        """
        self._draw(combined(self._scores, events))
        self._choice = events

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

    def _draw(self, events: Sequence[Event]) -> None:
        thread = self._open_thread()
        for event in events:
            thread.hear(event)
        if not thread.show_all(SECONDS):
            why = thread.problem or f"{self._address.server} does not confirm the page within 10 s"
            self.close()
            raise AimetHooksError(why)

    def _open_thread(self) -> ViewThread:
        """The thread that draws; a new one where somebody else took the page since: who displays now has it."""
        if self._thread is not None and self._thread.is_given_up:
            self.close()
        if self._thread is None:
            self._thread = ViewThread(self._address, None, goes_on=False)
        return self._thread


def combined(scores: Sequence[Event], choice: Sequence[Event]) -> list[Event]:
    """One recording with the scores of one and the choice of another.

    Args:
        scores: A whole recording, or nothing.
        choice: A whole recording with a choice, or nothing.

    Returns:
        Events that can be applied in their order. ``choice`` as it is where there are no scores, or where both are of
        the same run and it has a table; ``scores`` as it is where there is no choice, or it made the same.
    """
    if not choice or _chosen(scores) == _chosen(choice):
        return list(scores)
    if not scores or (_is_same_run(scores, choice) and any(isinstance(event, ExplorationStarted) for event in choice)):
        return list(choice)
    own = (RatiosSelected, LayerCompressed, RunFinished)  # what belongs to the choice that the run itself made
    kept = [_as_recorded(event) for event in scores if not isinstance(event, own)]
    chosen = [event for event in choice if isinstance(event, RatiosSelected)]
    last = scores[-1]
    return [*kept, *(event.placed(run_id=last.run_id, seq=len(kept), time=last.time) for event in chosen)]


def _chosen(events: Sequence[Event]) -> Mapping[str, float | None] | None:
    chosen = [event.comp_ratios for event in events if isinstance(event, RatiosSelected)]
    return chosen[-1] if chosen else None


def _is_same_run(some: Sequence[Event], others: Sequence[Event]) -> bool:
    return bool(some) and bool(others) and some[0].run_id == others[0].run_id


def _as_recorded(event: Event) -> Event:
    """A beginning that is known to be no run that goes on."""
    return dataclasses.replace(event, fingerprint="") if isinstance(event, RunStarted) else event
