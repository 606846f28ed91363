"""Read any recording of a run as events: logs, tables, ratios, results directories, and AIMET's pickles.

Showing, replaying and choosing again are one thing: whatever the file, it becomes the events that a live run would
have announced.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from aimet_hooks import aimet_pickle, event_log
from aimet_hooks.errors import RecordingError
from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    RatiosSelected,
    RunStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Table = dict[str, dict[float, float | None]]
"""Score, or None, by layer and ratio."""

SCORES_FILE = "eval_scores.json"
RATIOS_FILE = "comp_ratios.json"


def read(path: Path) -> list[Event]:
    """The events of a recording, in order.

    Args:
        path: A results directory, ``events.jsonl``, ``eval_scores.json``, ``eval_scores.csv``, ``comp_ratios.json``,
            or a pickle of scores or ratios that AIMET wrote.

    Raises:
        RecordingError: If it is none of these; the message names the file and what is wrong with it.
    """
    if path.is_dir():
        return _read_directory(path)
    if not path.exists():
        raise RecordingError(f"there is no file {str(path)!r}")
    readers: Mapping[str, Callable[[Path], list[Event]]] = {
        ".jsonl": lambda file: list(event_log.read(file)),
        ".json": _read_json,
        ".csv": lambda file: _events(table=_read_csv(file), name=file.stem),
        ".pkl": _read_pickle,
        ".pickle": _read_pickle,
    }
    if path.suffix not in readers:
        raise RecordingError(f"{path} is no recording: give a results directory or a {', '.join(readers)} file")
    return readers[path.suffix](path)


def scores(path: Path) -> dict[str, dict[float, float]]:
    """The finite scores of a recording, by layer and ratio.

    Raises:
        RecordingError: If the recording cannot be read or has no table of scores.
    """
    table: dict[str, dict[float, float]] = {}
    has_table = False
    for event in read(path):
        has_table = has_table or isinstance(event, ExplorationStarted)
        if isinstance(event, EvalScored) and event.score is not None:
            table.setdefault(event.layer, {})[event.comp_ratio] = event.score
    if not has_table:
        raise RecordingError(f"{path} has no table of scores")
    return table


def comp_ratios(path: Path) -> dict[str, float | None]:
    """The chosen ratios of a recording, by layer.

    Raises:
        RecordingError: If the recording cannot be read or nothing was chosen in it.
    """
    chosen = [event for event in read(path) if isinstance(event, RatiosSelected)]
    if not chosen:
        raise RecordingError(f"{path} has no chosen ratios")
    return dict(chosen[-1].comp_ratios)


def _read_directory(path: Path) -> list[Event]:
    if (path / event_log.FILE_NAME).exists():
        return list(event_log.read(path / event_log.FILE_NAME))
    table, ratios, baseline = None, None, None
    if (path / SCORES_FILE).exists():
        table, baseline = _table_of(_load_json(path / SCORES_FILE), path / SCORES_FILE)
    if (path / RATIOS_FILE).exists():
        ratios = _ratios_of(_load_json(path / RATIOS_FILE), path / RATIOS_FILE)
    if table is None and ratios is None:
        raise RecordingError(
            f"{path} holds no run: there is no {event_log.FILE_NAME}, {SCORES_FILE} or {RATIOS_FILE} in it"
        )
    return _events(table=table, ratios=ratios, baseline=baseline, name=path.name)


def _read_json(path: Path) -> list[Event]:
    content = _load_json(path)
    if isinstance(content, dict) and "scores" in content:
        table, baseline = _table_of(content, path)
        return _events(table=table, baseline=baseline, name=path.stem)
    return _events(ratios=_ratios_of(content, path), name=path.stem)


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path} is not JSON: {error}") from error


def _table_of(content: Any, path: Path) -> tuple[Table, float | None]:
    rows = content.get("scores") if isinstance(content, dict) else None
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise RecordingError(f'{path} has no table: "scores" must be {{layer: {{ratio: score or null}}}}')
    table = {
        layer: {_ratio(ratio, path, layer): _number(score, path, layer) for ratio, score in row.items()}
        for layer, row in rows.items()
    }
    return table, _number(content.get("baseline"), path, "baseline")


def _ratios_of(content: Any, path: Path) -> dict[str, float | None]:
    if not isinstance(content, dict) or not content:
        raise RecordingError(
            f'{path} holds neither scores nor ratios: expected {{"scores": ...}} or {{layer: ratio or null}}'
        )
    return {layer: None if ratio is None else _ratio(ratio, path, layer) for layer, ratio in content.items()}


def _ratio(value: Any, path: Path, where: str) -> float:
    try:
        ratio = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        ratio = math.nan
    if not 0 < ratio <= 1:
        raise RecordingError(f"{path}: {str(value)[:40]!r} at layer {where!r} is no compression ratio between 0 and 1")
    return ratio


def _number(value: Any, path: Path, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordingError(f"{path}: {str(value)[:40]!r} at {where!r} is no score") from error
    return number if math.isfinite(number) else None


def _read_csv(path: Path) -> Table:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    except (csv.Error, ValueError) as error:
        raise RecordingError(f"{path} is not CSV: {error}") from error
    if not rows or len(rows[0]) < 2 or rows[0][0] != "layer":
        raise RecordingError(f"{path} is no table of scores: its first line must be 'layer' and one column a ratio")
    ratios = [_ratio(title, path, "the first line") for title in rows[0][1:]]
    table: Table = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise RecordingError(f"{path}, line {number} has {len(row)} columns, the first line has {len(rows[0])}")
        table[row[0]] = {ratio: _number(cell, path, row[0]) for ratio, cell in zip(ratios, row[1:], strict=True)}
    return table


def _read_pickle(path: Path) -> list[Event]:
    content = aimet_pickle.load(path)
    if isinstance(content, dict) and content and all(isinstance(row, dict) for row in content.values()):
        return _events(table=_table_of({"scores": content}, path)[0], name=path.stem)
    if isinstance(content, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in content
    ):
        content = {str(layer): ratio for layer, ratio in content}
    return _events(ratios=_ratios_of(content, path), name=path.stem)


def _events(
    *,
    name: str,
    table: Table | None = None,
    ratios: dict[str, float | None] | None = None,
    baseline: float | None = None,
) -> list[Event]:
    """The events of a run of which only a table or a choice is known."""
    return list(_numbered(_synthesized(name, table, ratios, baseline), name))


def _synthesized(
    name: str, table: Table | None, ratios: dict[str, float | None] | None, baseline: float | None
) -> Iterator[Event]:
    yield RunStarted(
        run_name=name,
        model_name="",
        scheme="",
        cost_metric="",
        settings={},
        layers={},
        fingerprint="",
    )
    if baseline is not None:
        yield BaselineScored(score=baseline)
    if table is not None:
        yield from _cells(table)
    if ratios is not None:
        yield RatiosSelected(comp_ratios=ratios, target_comp_ratio=None, achieved_comp_ratio=None)


def _cells(table: Table) -> Iterator[Event]:
    known = [
        (layer, ratio, score)
        for layer, row in table.items()
        for ratio, score in sorted(row.items())
        if score is not None
    ]
    candidates = tuple(sorted({ratio for row in table.values() for ratio in row}))
    yield ExplorationStarted(layers=tuple(table), candidates=candidates, total=len(known), reused=len(known))
    for number, (layer, ratio, score) in enumerate(known, start=1):
        yield EvalScored(
            layer=layer,
            comp_ratio=ratio,
            score=score,
            rank=None,
            achieved_comp_ratio=None,
            macs=None,
            weights=None,
            seconds=0.0,
            completed=number,
            total=len(known),
            reused=True,
        )


def _numbered(events: Iterator[Event], name: str) -> Iterator[Event]:
    for number, event in enumerate(events):
        yield dataclasses.replace(event, run_id=name, seq=number)
