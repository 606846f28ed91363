"""A run, and what its panel needs beside the state: counted event by event, so that drawing stays cheap."""

from __future__ import annotations

from rich.cells import cell_len

from aimet_hooks.events import BaselineScored, EvalScored, Event, ExplorationStarted, RunStarted
from aimet_hooks.presentation.score_scale import ScoreScale
from aimet_hooks.presentation.text import layer_name
from aimet_hooks.run_state import RunState

UNKNOWN_SCALE = ScoreScale(None, 0.01, higher_is_better=True)


class WatchedRun:
    """A run that is fed events, without a lock of its own.

    Attributes:
        state: The run so far.
        scale: How its scores are graded and written.
        layers: Names of the rows of the table.
        places: Index of each of them.
        widest_name: Terminal cells of the longest name.
        widest_score: Characters of the longest score.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.state = RunState()
        self.scale = UNKNOWN_SCALE
        self.layers: tuple[str, ...] = ()
        self.places: dict[str, int] = {}
        self.widest_name = 0
        self.widest_score = 0

    def apply(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, EvalScored):
            self.state.apply(event)
            self._count(event)
            return
        if isinstance(event, RunStarted):
            self._reset()
        self.state.apply(event)
        if isinstance(event, BaselineScored):
            self.scale = ScoreScale.of(self.state)
            self.widest_score = len(self.scale.short_text(event.score))
        elif isinstance(event, ExplorationStarted):
            self._take_table(event)

    def _count(self, cell: EvalScored) -> None:
        if cell.score is not None:
            self.widest_score = max(self.widest_score, len(self.scale.short_text(cell.score)))

    def _take_table(self, event: ExplorationStarted) -> None:
        self.layers = event.layers
        self.places = {layer: place for place, layer in enumerate(event.layers)}
        self.widest_name = max((cell_len(layer_name(layer)) for layer in event.layers), default=0)

    @property
    def position(self) -> int:
        """Index of the layer of the latest cell."""
        cell = self.state.last_cell
        return self.places.get(cell.layer, 0) if cell else 0
