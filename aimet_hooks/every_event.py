"""The base of reporters that treat all events alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from aimet_hooks.hookspecs import hookimpl

if TYPE_CHECKING:
    from aimet_hooks import events
    from aimet_hooks.run_state import RunState


class EveryEvent(ABC):
    """A reporter that hears every event of a run in one method."""

    @abstractmethod
    def hear(self, event: events.Event, run: RunState) -> None:
        """Take in one event.

        Args:
            event: What happened.
            run: State of the run, this event included; valid during the call.
        """

    @hookimpl
    def on_run_started(self, event: events.RunStarted, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_layer_skipped(self, event: events.LayerSkipped, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_baseline_score(self, event: events.BaselineScored, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_exploration_started(self, event: events.ExplorationStarted, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_eval_score(self, event: events.EvalScored, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_probe_score(self, event: events.ModelProbed, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_ratios_selected(self, event: events.RatiosSelected, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_layer_compressed(self, event: events.LayerCompressed, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_progress(self, event: events.Progressed, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_run_finished(self, event: events.RunFinished, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_weight_ranges(self, event: events.WeightRangesAnalyzed, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_sensitivity_started(self, event: events.SensitivityStarted, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_sensitivity_score(self, event: events.SensitivityScored, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_analysis_finished(self, event: events.AnalysisFinished, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_run_failed(self, event: events.RunFailed, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)

    @hookimpl
    def on_score_recorded(self, event: events.ScoreRecorded, run: RunState) -> None:
        """Hear it."""
        self.hear(event, run)
