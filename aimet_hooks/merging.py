"""Join what the processes of a job array found out, each in a directory of its own, into one run."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from aimet_hooks import event_log, provenance, reporting
from aimet_hooks.earlier_runs import EarlierRuns
from aimet_hooks.errors import RecordingError, UsageError
from aimet_hooks.events import SAME_BASELINE, AnalysisFinished, ExplorationStarted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from aimet_hooks.announcer import Announcer
    from aimet_hooks.events import EvalScored

    Scored = Mapping[tuple[str, float], EvalScored]


class Merged(NamedTuple):
    """What was joined.

    Attributes:
        cells: Cells of the table that are known.
        missing: Cells that none of the directories has; a run with ``resume`` evaluates them.
        results_dir: Where they are.
    """

    cells: int
    missing: int
    results_dir: Path


def merge_runs(
    paths: Sequence[str | os.PathLike[str]],
    into: str | os.PathLike[str],
    *,
    plugins: Sequence[str | object] | None = None,
    console: Literal["auto", "on", "off"] = "auto",
) -> Merged:
    """Join the scores of several runs of one model and configuration into a new results directory.

    The directory then holds a log of its own, in which every score is one that was known before; ``compress_model``
    with ``resume=True`` and that directory goes on to the choice. A cell that several runs evaluated has the score of
    the first of them that did not fail.

    Args:
        paths: Results directories, or logs.
        into: A new directory, or one that holds no run.
        plugins: As for ``compress_model``.
        console: As for ``compress_model``.

    Raises:
        RecordingError: One of them cannot be read or has no scores, or it is of another model, configuration or
            baseline than the first; names what differs.
        ResultsDirError: ``into`` already holds a run, or cannot be written.
        UsageError: No path is given.
    """
    if not paths:
        raise UsageError("there is nothing to merge; give the results directories of the shards")
    told = reporting.check(
        visualization_url=None, results_dir=into, run_name=None, plugin_options=None, console=console
    )
    chosen = told.plugins(plugins)
    sources = [_read(Path(path)) for path in paths]
    first = sources[0]
    for source in sources[1:]:
        _refuse_other(source, first)
    started = dataclasses.replace(
        first.runs[0],
        settings={**first.runs[0].settings, "shard": None, "resume": False, "results_dir": str(into)},
        provenance={**provenance.collect(), "merged": [run.run_id for source in sources for run in source.runs]},
    )
    told = told.of_run(started.run_name)
    with reporting.opened(told, chosen, started) as (announcer, _):
        announcer.announce(started)
        return _announce(announcer, sources, Path(told.results_dir or into))


def _read(path: Path) -> EarlierRuns:
    log = path / event_log.FILE_NAME if path.is_dir() else path
    source = EarlierRuns(log)
    if not source.scored or not source.baselines:
        what = "an analysis of quantization" if source.quantized else "without scores"
        raise RecordingError(f"{path} is {what}; give results directories of compress_model that have scores")
    return source


def _refuse_other(source: EarlierRuns, first: EarlierRuns) -> None:
    """Make sure that two logs answer the same question.

    Raises:
        RecordingError: Names what differs.
    """
    found = source.difference(first.runs[0])
    if found is None:
        found = source.other_baseline(first.baselines[0])
    if found is not None:
        raise RecordingError(
            f"{source.path} cannot be merged with {first.path}: its scores are of {found.what} {found.there}, those "
            f"are of {found.here}; merge runs of one model and configuration"
        )


def _announce(announcer: Announcer, sources: Sequence[EarlierRuns], into: Path) -> Merged:
    baseline, scored = sources[0].baselines[0], _joined(sources)
    started = _exploration(sources, scored)
    for skipped in sources[0].skipped.values():
        announcer.announce(skipped)
    announcer.announce(baseline)
    announcer.announce(started)
    for number, event in enumerate(scored.values(), start=1):
        announcer.announce(dataclasses.replace(event, reused=True, completed=number, total=len(scored)))
    _note_disagreement(announcer, sources, scored)
    cells = sum(map(len, started.cells.values()))
    announcer.announce(AnalysisFinished(baseline_score=baseline.score, notes=announcer.notes))
    return Merged(len(scored), cells - len(scored), into)


def _joined(sources: Sequence[EarlierRuns]) -> Scored:
    """The cells of all, by layer and ratio: in the order of the layers, the ratios ascending."""
    found: dict[tuple[str, float], EvalScored] = {}
    for source in sources:
        for key, event in source.scored.items():
            if key not in found or (found[key].score is None and event.score is not None):
                found[key] = event
    order = {name: number for number, name in enumerate(sources[0].runs[0].layers)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0][0], len(order)), item[0][1])))


def _exploration(sources: Sequence[EarlierRuns], scored: Scored) -> ExplorationStarted:
    """The table that all of them fill together."""
    begun = [event for source in sources for event in source.explorations]
    names = list(dict.fromkeys(name for event in begun for name in event.layers))
    cells = {name: tuple(sorted({ratio for event in begun for ratio in event.cells.get(name, ())})) for name in names}
    return dataclasses.replace(
        begun[0],
        layers=tuple(names),
        candidates=tuple(sorted({ratio for event in begun for ratio in event.candidates})),
        total=len(scored),
        reused=len(scored),
        evaluations=0,
        cells=cells,
    )


def _note_disagreement(announcer: Announcer, sources: Sequence[EarlierRuns], scored: Scored) -> None:
    """Say where runs that evaluated the same cell do not agree by more than their baselines may differ."""
    differing = 0
    for key, event in scored.items():
        scores = [found.score for source in sources if (found := source.scored.get(key)) and found.score is not None]
        differing += any(not _fits(score, event.score, sources) for score in scores)
    if differing:
        announcer.note(
            f"{differing} of {len(scored)} cells have several scores that differ by more than noise: the runs did not "
            "evaluate alike; the score of the first run is taken"
        )


def _fits(score: float, other: float | None, sources: Sequence[EarlierRuns]) -> bool:
    noise = max(baseline.noise for source in sources for baseline in source.baselines)
    return other is None or math.isclose(score, other, rel_tol=SAME_BASELINE, abs_tol=noise)
