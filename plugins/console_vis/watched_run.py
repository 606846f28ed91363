"""A run, and what its panel needs beside the state: counted event by event, so that drawing stays cheap."""

from __future__ import annotations

from rich.cells import cell_len

from aimet_hooks.events import BaselineScored, EvalScored, Event, ExplorationStarted, RunStarted
from aimet_hooks.run_state import RunState
from console_vis.names import layer_name
from console_vis.score_colours import ScoreScale

UNKNOWN_SCALE = ScoreScale(None, 0.01, higher_is_better=True)


class WatchedRun:
    """A run that is fed events, without a lock of its own.

    Attributes:
        state: The run so far.
        scale: How its scores are graded and written.
        begin: Time of its first event.
        failures: Cells that failed.
        layers: Names of the rows of the table.
        places: Index of each of them.
        widest_name: Terminal cells of the longest name.
        widest_score: Characters of the longest score.
        coverage: Share of the model's cost that can be compressed, None where costs are not known.
        total_cost: Cost of the whole model, 0 where it is not known.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.state = RunState()
        self.scale = UNKNOWN_SCALE
        self.begin = 0.0
        self.failures = 0
        self.layers: tuple[str, ...] = ()
        self.places: dict[str, int] = {}
        self.widest_name = 0
        self.widest_score = 0
        self.coverage: float | None = None
        self.total_cost = 0.0

    def apply(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, EvalScored):
            self.state.apply(event)
            self._count(event)
            return
        if isinstance(event, RunStarted):
            self._reset()
            self.begin = event.time
        self.state.apply(event)
        if isinstance(event, BaselineScored):
            self.scale = ScoreScale.of(self.state)
            self.widest_score = len(self.scale.short_text(event.score))
        elif isinstance(event, ExplorationStarted):
            self._take_table(event)

    def _count(self, cell: EvalScored) -> None:
        if cell.score is None:
            self.failures += 1
        else:
            self.widest_score = max(self.widest_score, len(self.scale.short_text(cell.score)))

    def _take_table(self, event: ExplorationStarted) -> None:
        self.layers = event.layers
        self.places = {layer: place for place, layer in enumerate(event.layers)}
        self.widest_name = max((cell_len(layer_name(layer)) for layer in event.layers), default=0)
        self.coverage = self.state.coverage
        self.total_cost = sum(self.state.cost(layer) for layer in self.state.layers)

    @property
    def position(self) -> int:
        """Index of the layer of the latest cell."""
        cell = self.state.last_cell
        return self.places.get(cell.layer, 0) if cell else 0
