"""Read any recording of a run as events: logs, tables, ratios, results directories, and AIMET's pickles.

Showing, replaying and choosing again are one thing: whatever the file, it becomes the events that a live run would
have announced.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimet_hooks import aimet_pickle, bounded_csv, bounded_json, event_log, regular_file
from aimet_hooks.errors import RecordingError
from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    RatiosSelected,
    RunStarted,
    SensitivityScored,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping

Table = dict[str, dict[float, float | None]]
"""Score, or None, by layer and ratio."""

SCORES_FILE = "eval_scores.json"
RATIOS_FILE = "comp_ratios.json"
TABLE_SCHEMA = 1
"""The version of ``eval_scores.json``."""
MAX_CELLS, MAX_RATIOS = 100_000, 1000
"""Layers times ratios of a table, which views show whole, and ratios of it."""
MAX_EVENTS = MAX_CELLS + 10_000
"""Events of one run that are held at once."""


def read(path: str | os.PathLike[str]) -> list[Event]:
    """The events of a recording, in order; where a log holds several runs, those of the last that has scores.

    Args:
        path: A results directory, ``events.jsonl``, ``eval_scores.json``, ``eval_scores.csv``, ``comp_ratios.json``,
            or a pickle of scores or ratios that AIMET wrote.

    Raises:
        RecordingError: If it is none of these; the message names the file and what is wrong with it.
    """
    latest: list[Event] = []
    scored: list[Event] = []
    for event in read_all(path):
        if isinstance(event, RunStarted):
            latest = []
        told = latest if event.in_run else scored or latest  # what is added later belongs to what was read then
        told.append(event)
        if len(told) > MAX_EVENTS:
            raise RecordingError(f"{path} holds a run of more than {MAX_EVENTS:,} events")
        if isinstance(event, (EvalScored, SensitivityScored, RatiosSelected)):
            scored = latest
    return scored or latest


def read_all(path: str | os.PathLike[str]) -> Iterator[Event]:
    """The events of all runs of a recording, one after the other; of a log no more than a line is held in memory.

    Args:
        path: As for ``read``.

    Raises:
        RecordingError: As ``read``; of a log when it is read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return iter(_read_directory(path))
        if not path.exists():
            raise RecordingError(f"there is no file {str(path)!r}")
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    readers: Mapping[str, Callable[[Path], Iterable[Event]]] = {
        ".jsonl": event_log.read,
        ".json": _read_json,
        ".csv": lambda file: from_tables(table=_read_csv(file), name=file.stem),
        ".pkl": _read_pickle,
        ".pickle": _read_pickle,
    }
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise RecordingError(f"{path} is no recording: give a results directory or a {', '.join(readers)} file")
    return iter(readers[suffix](path))


def read_compression(path: str | os.PathLike[str]) -> list[Event]:
    """As ``read``, of what has ratios.

    Raises:
        RecordingError: As ``read``, and if it is an analysis of quantization.
    """
    events = read(path)
    if any(isinstance(event, RunStarted) and event.scheme == "quantization" for event in events):
        raise RecordingError(
            f"{path} is an analysis of quantization, which has no ratios; give a run of compress_model"
        )
    return events


def scores(path: str | os.PathLike[str]) -> dict[str, dict[float, float]]:
    """The finite scores of a recording, by layer and ratio.

    Raises:
        RecordingError: If the recording cannot be read or has no table of scores.
    """
    table: dict[str, dict[float, float]] = {}
    has_table = False
    for event in read_compression(path):
        has_table = has_table or isinstance(event, (ExplorationStarted, EvalScored))
        if isinstance(event, EvalScored) and event.score is not None:
            table.setdefault(event.layer, {})[event.comp_ratio] = event.score
    if not has_table:
        raise RecordingError(f"{path} has no table of scores")
    return table


def comp_ratios(path: str | os.PathLike[str]) -> dict[str, float | None]:
    """The chosen ratios of a recording, by layer.

    Raises:
        RecordingError: If the recording cannot be read or nothing was chosen in it.
    """
    chosen = [event for event in read_compression(path) if isinstance(event, RatiosSelected)]
    if not chosen:
        raise RecordingError(f"{path} has no chosen ratios")
    return dict(chosen[-1].comp_ratios)


def _read_directory(path: Path) -> Iterable[Event]:
    if (path / event_log.FILE_NAME).exists():
        return event_log.read(path / event_log.FILE_NAME)
    table, ratios, baseline = None, None, None
    if (path / SCORES_FILE).exists():
        table, baseline = _table_of(_load_json(path / SCORES_FILE), path / SCORES_FILE)
    if (path / RATIOS_FILE).exists():
        ratios = _ratios_of(_load_json(path / RATIOS_FILE), path / RATIOS_FILE)
    if table is None and ratios is None:
        raise RecordingError(
            f"{path} holds no run: there is no {event_log.FILE_NAME}, {SCORES_FILE} or {RATIOS_FILE} in it"
        )
    return from_tables(table=table, ratios=ratios, baseline=baseline, name=path.name)


def _read_json(path: Path) -> list[Event]:
    content = _load_json(path)
    of_bits = isinstance(content, dict) and any(name in content for name in ("bitwidth", "bitwidths"))
    _refuse_analysed(of_bits and any(isinstance(content.get(name), dict) for name in ("layers", "scores")), path)
    if isinstance(content, dict) and isinstance(content.get("scores"), dict):
        table, baseline = _table_of(content, path)
        return from_tables(table=table, baseline=baseline, name=path.stem)
    return from_tables(ratios=_ratios_of(content, path), name=path.stem)


def _refuse_analysed(is_analysed: bool, path: Path) -> None:
    """Refuse the files of an analysis of quantization, which tell less than its log."""
    if is_analysed:
        raise RecordingError(
            f"{path} is a table of an analysis of quantization; give its results directory or {event_log.FILE_NAME}"
        )


def _load_json(path: Path) -> Any:
    try:
        return bounded_json.decode(regular_file.content(path, bounded_json.MAX_BYTES))
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordingError(f"{path} is not JSON: {error}") from error


def _table_of(content: Any, path: Path) -> tuple[Table, float | None]:
    rows = content.get("scores") if isinstance(content, dict) else None
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise RecordingError(f'{path} has no table: "scores" must be {{layer: {{ratio: score or null}}}}')
    # a small pickle can hold one long row a million times
    _check_size(len(rows), max(map(len, rows.values()), default=0), path)
    schema = content.get("schema", TABLE_SCHEMA)
    if schema != TABLE_SCHEMA:
        raise RecordingError(
            f"{path} is of schema {_shown(schema)}, this version reads {TABLE_SCHEMA}: update aimet-hooks"
        )
    table = {}
    for layer, row in rows.items():
        ratios = _unique((_ratio(ratio, path, layer) for ratio in row), path, layer)
        values = [_number(score, path, layer) for score in row.values()]
        table[_layer(layer, path)] = dict(zip(ratios, values, strict=True))
    _check_size(len(table), len({ratio for row in table.values() for ratio in row}), path)
    return table, _number(content.get("baseline"), path, "baseline")


def _ratios_of(content: Any, path: Path) -> dict[str, float | None]:
    if not isinstance(content, dict) or not content:
        raise RecordingError(
            f'{path} holds neither scores nor ratios: expected {{"scores": ...}} or {{layer: ratio or null}}'
        )
    return {
        _layer(layer, path): None if ratio is None else _ratio(ratio, path, layer) for layer, ratio in content.items()
    }


def _layer(name: Any, path: Path) -> str:
    if not isinstance(name, str):
        raise RecordingError(f"{path}: {_shown(name)} is no name of a layer")
    return name


def _ratio(value: Any, path: Path, where: object) -> float:
    ratio = _float(value)
    if ratio is None or not 0 < ratio <= 1:
        raise RecordingError(f"{path}: {_shown(value)} at {_shown(where)} is no compression ratio between 0 and 1")
    return ratio


def _unique(ratios: Iterable[float], path: Path, where: object) -> list[float]:
    """The ratios, each of which must be there once: of two scores of one cell nobody knows which is right."""
    seen: dict[float, None] = {}
    for ratio in ratios:
        if ratio in seen:
            raise RecordingError(f"{path}: ratio {ratio} is there twice at {_shown(where)}")
        seen[ratio] = None
    return list(seen)


def _number(value: Any, path: Path, where: object) -> float | None:
    if value is None or value == "":
        return None
    number = _float(value)
    if number is None:
        raise RecordingError(f"{path}: {_shown(value)} at {_shown(where)} is no score")
    return number if math.isfinite(number) else None


def _float(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _shown(value: object) -> str:
    """The beginning of a value for a message, whatever it is."""
    if isinstance(value, (list, tuple, dict)):  # a small pickle can repeat one list in a list in a list ...
        return f"a {type(value).__name__}"
    try:
        return repr(str(value)[:60])
    except ValueError:  # an integer of thousands of digits
        return f"a very large {type(value).__name__}"


def _read_csv(path: Path) -> Table:
    try:
        return _table_in(bounded_csv.rows(regular_file.content(path, bounded_csv.MAX_BYTES)), path)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    except csv.Error as error:
        raise RecordingError(f"{path} is not CSV: {error}") from error


def _table_in(lines: Iterator[tuple[int, list[str]]], path: Path) -> Table:
    _, titles = next(lines, (0, []))
    _refuse_analysed(titles[:2] == ["layer", "bitwidth"], path)
    if titles[:1] != ["layer"] or len(titles) < 2:
        raise RecordingError(f"{path} is no table of scores: its first line must be 'layer' and one column a ratio")
    ratios = _unique((_ratio(title, path, "the first line") for title in titles[1:]), path, "the first line")
    table: Table = {}
    for number, (layer, *cells) in lines:
        if len(cells) != len(ratios):
            raise RecordingError(
                f"{path}, line {number} has {len(cells) + 1} columns, the first line has {len(titles)}"
            )
        if layer in table:
            raise RecordingError(f"{path}, line {number}: layer {_shown(layer)} is there twice")
        table[layer] = {ratio: _number(cell, path, layer) for ratio, cell in zip(ratios, cells, strict=True)}
        _check_size(len(table), len(ratios), path)
    return table


def _check_size(layers: int, ratios: int, path: Path) -> None:
    if ratios > MAX_RATIOS:
        raise RecordingError(f"{path} holds more than {MAX_RATIOS:,} ratios")
    if layers * ratios > MAX_CELLS:
        raise RecordingError(f"{path} holds more than {MAX_CELLS:,} scores")


def _read_pickle(path: Path) -> list[Event]:
    content = aimet_pickle.load(path)
    if isinstance(content, dict) and content and all(isinstance(row, dict) for row in content.values()):
        return from_tables(table=_table_of({"scores": content}, path)[0], name=path.stem)
    if isinstance(content, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in content
    ):
        content = {_layer(layer, path): ratio for layer, ratio in content}
    return from_tables(ratios=_ratios_of(content, path), name=path.stem)


def from_tables(
    *,
    name: str,
    table: Table | None = None,
    ratios: dict[str, float | None] | None = None,
    baseline: float | None = None,
) -> list[Event]:
    """The events of a run of which only a table or a choice is known."""
    return [
        event.placed(run_id=name, seq=seq, time=0.0)
        for seq, event in enumerate(_synthesized(name, table, ratios, baseline))
    ]


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
