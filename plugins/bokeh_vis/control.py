"""Who draws a page and whether that goes on: one row of plain values inside the page, seen by every tab and process."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh_vis.parts import Parts

NAME = "control"

BEAT = 2.0
"""Seconds between two signs of life, which tabs expect."""

STILL = ("waiting", "finished", "failed")
"""Phases in which nothing changes by itself."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose page it is.

    Attributes:
        owner: Unique name of the one that draws, "" where nobody does.
        since: When it took the page, seconds since the epoch: the latest claim holds.
        run_name: Name of the run that it shows.
        phase: What that run does.
    """

    owner: str = ""
    since: float = 0.0
    run_name: str = ""
    phase: str = "waiting"


def build() -> ColumnDataSource:
    """The control source of a page that nobody draws.

    Beside the claim it has ``beat`` (grows with every drawing), ``live`` (whether tabs may expect beats: not once the
    run has ended), ``reloads`` (grows when tabs must load the page anew) and ``current`` (row of the layer that is
    being evaluated, or None).
    """
    return ColumnDataSource(name=NAME, data=_row(Claim(), beat=0, live=False, reloads=0, current=None))


class Control:
    """Reads and writes the control source of a page.

    Args:
        parts: The models of the page.
    """

    def __init__(self, parts: Parts) -> None:
        self._source = parts.get(NAME, ColumnDataSource)

    @property
    def claim(self) -> Claim:
        """Whose page it is now."""
        return Claim(*(self._value(field.name) for field in dataclasses.fields(Claim)))

    def beat(self, claim: Claim, *, current: int | None) -> None:
        """Tell every tab that the page was drawn, by whom, and the row of the current layer.

        This is the last step of a drawing: it makes the tabs redraw what they derive from the rest.
        """
        beat, reloads = self._value("beat") + 1, self._value("reloads")
        self._source.data = _row(claim, beat=beat, live=claim.phase not in STILL, reloads=reloads, current=current)

    def on_change(self, hear: Callable[[], None]) -> None:
        """Call ``hear`` whenever anybody wrote to it."""
        self._source.on_change("data", lambda attr, old, new: hear())  # noqa: ARG005 -- Bokeh asks for these names

    def still(self) -> None:
        """Mark a page that nothing will change any more: tabs expect no news of it."""
        self._source.data = _row(self.claim, beat=0, live=False, reloads=0, current=None)

    def reload_tabs(self) -> None:
        """Make every tab load the page anew, for changes that reach no open tab."""
        values = {"beat": self._value("beat"), "live": True, "reloads": self._value("reloads") + 1, "current": None}
        self._source.data = _row(self.claim, **values)

    def _value(self, name: str) -> Any:
        return self._source.data[name][0]


def _row(claim: Claim, **values: Any) -> dict[str, Any]:
    return {name: [value] for name, value in (dataclasses.asdict(claim) | values).items()}
