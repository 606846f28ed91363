"""Write the tables of a run into its results directory, for people and programs without a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.hookspecs import hookimpl
from file_vis.reporter import FileReporter

if TYPE_CHECKING:
    from aimet_hooks.run_settings import RunSettings

__all__ = ["FileReporter", "create_reporter"]


@hookimpl
def create_reporter(settings: RunSettings) -> FileReporter | None:
    """A reporter that writes files, or None for a run without a results directory."""
    return None if settings.results_dir is None else FileReporter(settings.results_dir)
