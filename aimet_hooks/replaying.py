"""Hand the events of a recording to any plugin, as the runs themselves did."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aimet_hooks import recordings, reporting
from aimet_hooks.errors import RecordingError, ResultsDirError
from aimet_hooks.events import AnalysisFinished, RunFailed, RunStarted
from aimet_hooks.log_writer import refuse_taken
from aimet_hooks.run_state import RunState

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from aimet_hooks.events import Event
    from aimet_hooks.hooks import Hooks

logger = logging.getLogger("aimet_hooks")

_STAGES = {"exploring": "exploration", "selected": "compression", "compressing": "compression"}
"""What a run was doing, by its phase; before the exploration "preflight"."""


def replay(
    path: str | os.PathLike[str],
    *,
    plugins: Sequence[str | object] | None = None,
    visualization_url: str | None = None,
    results_dir: str | os.PathLike[str] | None = None,
    plugin_options: Mapping[str, Mapping[str, Any]] | None = None,
    console: Literal["auto", "on", "off"] = "auto",
) -> None:
    """Let plugins hear recorded runs as if they went on now, as fast as the plugins take them.

    Every run of the recording has reporters of its own, which hear its events with the times, numbers and run ids that
    were recorded, and see the state of the run at each of them. ``on_progress``, which is not recorded, does not fire.
    A run whose end was not recorded ends with ``on_run_failed``, a table of scores or ratios with
    ``on_analysis_finished``: reporters rely on an end to let go of what they hold. Nothing is written to the recording.

    Args:
        path: A results directory, ``events.jsonl``, or a table, choice or pickle that ``VisualizeCompression`` takes.
        plugins: As for ``compress_model``: None for all that are discovered, or exactly these.
        visualization_url: As for ``compress_model``.
        results_dir: Where plugins write their files: a directory that holds no run. None: they write nothing.
        plugin_options: As for ``compress_model``.
        console: As for ``compress_model``.

    Raises:
        RecordingError: The recording cannot be read.
        ResultsDirError: ``results_dir`` holds a run, or cannot be written.
        UsageError: An argument is not valid.
    """
    told = reporting.check(
        visualization_url=visualization_url,
        results_dir=results_dir,
        run_name=None,
        plugin_options=plugin_options,
        console=console,
    )
    chosen = told.plugins(plugins)
    events = recordings.read_all(path)
    first = next(events)  # what cannot be read is told before anything is made
    if note := told.note_on_page(chosen):
        logger.warning("%s", note)
    following: Event | None = first
    while following is not None:
        of_run = told.of_run(following.run_name if isinstance(following, RunStarted) else following.run_id)
        if of_run.results_dir is not None:
            _make(of_run.results_dir, Path(path).resolve())
        following = _play(following, events, of_run.hooks(chosen))


def _make(directory: Path, recording: Path) -> None:
    refuse_taken(directory)
    if directory.resolve() in (recording, recording.parent):
        raise ResultsDirError(f"results_dir {str(directory)!r} holds the recording; choose another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsDirError(
            f"results_dir {str(directory)!r} cannot be made ({error.strerror}); choose another directory"
        ) from error


def _play(first: Event, rest: Iterator[Event], hooks: Hooks) -> RunStarted | None:
    """Hand out the events of one run; the event that begins the next."""
    run, last, left_out = RunState(), first, 0

    def tell(event: Event) -> None:
        run.apply(event)
        hooks.call(event, run)

    ended: BaseException = RecordingError("its end was not recorded: it was killed, or goes on")
    try:
        for event in itertools.chain([first], rest):
            if isinstance(event, RunStarted) and event is not first:
                return event
            if event.run_id == first.run_id:
                last = event
                tell(event)
            else:
                left_out += 1
    except BaseException as error:
        ended = error
        raise
    finally:
        if left_out:
            logger.warning("run %r: events of other runs are left out (%d)", first.run_id, left_out)
        if not run.is_over:
            tell(_end(run, ended).placed(run_id=last.run_id, seq=last.seq + 1, time=last.time))
        if run.failed is not None and run.failed.error == RecordingError.__name__:
            logger.warning("run %r: %s", first.run_id, ended)
    return None


def _end(run: RunState, error: BaseException) -> Event:
    """The end that a recording lacks."""
    is_bare_table = run.started is not None and not run.started.fingerprint
    if is_bare_table and isinstance(error, RecordingError):
        return AnalysisFinished(baseline_score=run.baseline.score if run.baseline else None)
    return RunFailed(stage=_STAGES.get(run.phase, "preflight"), error=type(error).__name__, message=str(error))
