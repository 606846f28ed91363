"""Write a line for every event to ``heard.csv`` in the results directory: its number, name and the phase of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks import hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from aimet_hooks.events import Event
    from aimet_hooks.run_settings import RunSettings
    from aimet_hooks.run_state import RunState


@hookimpl
def create_reporter(settings: RunSettings) -> SampleReporter | None:
    """A reporter for runs with a results directory."""
    return None if settings.results_dir is None else SampleReporter(settings.results_dir / "heard.csv")


class SampleReporter:
    """Hears one run."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)

    def _write(self, event: Event, run: RunState) -> None:
        self._file.write(f"{event.seq},{event.name},{run.phase}\n")

    @hookimpl
    def on_run_started(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)

    @hookimpl
    def on_layer_skipped(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)

    @hookimpl
    def on_baseline_score(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)

    @hookimpl
    def on_exploration_started(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)

    @hookimpl
    def on_eval_score(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)

    @hookimpl
    def on_ratios_selected(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)

    @hookimpl
    def on_layer_compressed(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)

    @hookimpl
    def on_progress(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)

    @hookimpl
    def on_run_finished(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)
        self._file.close()

    @hookimpl
    def on_run_failed(self, event: Event, run: RunState) -> None:
        """Write it."""
        self._write(event, run)
        self._file.close()
