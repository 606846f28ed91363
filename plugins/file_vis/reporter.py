"""Keep the files of a run up to date without costing it anything."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from aimet_hooks import recordings
from aimet_hooks.hookspecs import hookimpl
from file_vis import quantization_tables, tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aimet_hooks.events import WeightRangesAnalyzed
    from aimet_hooks.run_state import RunState

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two writings of the table while it fills up."""

MAX_SHARE = 0.01
"""Share of the run's time that writing the table may take: a large table is written less often."""


class FileReporter:
    """Writes ``eval_scores.json`` and ``.csv`` as the table fills up, then ``comp_ratios.json`` and ``stats.json``.

    Of an analysis of quantization ``weight_ranges.json`` and ``.csv``, and ``sensitivity.json`` and ``.csv`` as that
    table fills up.

    Each file is replaced as a whole, so that a reader never sees half of one. A directory that cannot be written is
    said once.

    Args:
        directory: The results directory.
        clock: Seconds, for the interval between two writings.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._next = 0.0
        self._said = False

    @hookimpl
    def on_exploration_started(self, run: RunState) -> None:
        """Write the empty table."""
        self._write_scores(run)

    @hookimpl
    def on_eval_score(self, run: RunState) -> None:
        """Write the table, at most once an interval."""
        if self._clock() >= self._next:
            self._write_scores(run)

    @hookimpl
    def on_ratios_selected(self, run: RunState) -> None:
        """Write the whole table and the choice."""
        self._write_scores(run)
        self._write(recordings.RATIOS_FILE, tables.ratios_json(run))

    @hookimpl
    def on_run_finished(self, run: RunState) -> None:
        """Write the costs and the scores."""
        self._write("stats.json", tables.stats_json(run))

    @hookimpl
    def on_weight_ranges(self, event: WeightRangesAnalyzed) -> None:
        """Write the ranges."""
        self._write("weight_ranges.json", quantization_tables.ranges_json(event))
        self._write("weight_ranges.csv", quantization_tables.ranges_csv(event))

    @hookimpl
    def on_sensitivity_started(self, run: RunState) -> None:
        """Write the empty table."""
        self._write_scores(run)

    @hookimpl
    def on_sensitivity_score(self, run: RunState) -> None:
        """Write the table, at most once an interval."""
        if self._clock() >= self._next:
            self._write_scores(run)

    @hookimpl
    def on_analysis_finished(self, run: RunState) -> None:
        """Write the whole table, if there is one."""
        self._write_scores(run)

    @hookimpl
    def on_run_failed(self, run: RunState) -> None:
        """Write what the table has."""
        self._write_scores(run)

    def _write_scores(self, run: RunState) -> None:
        begin = self._clock()
        if run.exploration is not None:
            self._write(recordings.SCORES_FILE, tables.scores_json(run))
            self._write("eval_scores.csv", tables.scores_csv(run))
        if run.sensitivity_started is not None or run.output_sqnr:
            self._write("sensitivity.json", quantization_tables.sensitivity_json(run))
            self._write("sensitivity.csv", quantization_tables.sensitivity_csv(run))
        end = self._clock()
        self._next = end + max(INTERVAL, (end - begin) / MAX_SHARE)

    def _write(self, name: str, text: str) -> None:
        path, part = self._directory / name, self._directory / f".{name}.part"
        try:
            part.write_text(text, "utf-8", "surrogatepass")
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            if not self._said:
                logger.error("%s cannot be written (%s); the run goes on without its tables", path, error.strerror)  # noqa: TRY400
            self._said = True
