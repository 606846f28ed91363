"""The content of the files, made from the state of a run."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.run_state import RunState

SCHEMA = 1


def scores_json(run: RunState) -> str:
    """``{"schema": 1, "baseline": score, "scores": {layer: {ratio: score or null}}}``."""
    columns = run.candidates
    scores = {layer: dict(zip(map(str, columns), values, strict=True)) for layer, values in _rows(run)}
    return to_json({"schema": SCHEMA, "baseline": run.baseline.score if run.baseline else None, "scores": scores})


def scores_csv(run: RunState) -> str:
    """A line a layer: ``layer``, then a column a ratio, empty where there is no score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["layer", *run.candidates])
    writer.writerows([layer, *("" if value is None else value for value in values)] for layer, values in _rows(run))
    return text.getvalue()


def ratios_json(run: RunState) -> str:
    """``{layer: ratio or null}``."""
    return to_json(dict(run.selection.comp_ratios) if run.selection else {})


def stats_json(run: RunState) -> str:
    """Scores and costs of the whole model and of every layer with weights, before and after."""
    finished = run.finished
    whole: dict[str, Any] = {"schema": SCHEMA, "run_id": run.run_id}
    if finished is not None:
        whole |= {
            "baseline_score": finished.baseline_score,
            "compressed_score": finished.compressed_score,
            "mac_ratio": finished.mac_ratio,
            "memory_ratio": finished.memory_ratio,
            "metrics": dict(finished.metrics),
            "notes": list(run.notes),
        }
    return to_json(
        whole | {"layers": {layer: _layer_stats(run, layer) for layer in run.layers}, "skipped": dict(run.skipped)}
    )


def _layer_stats(run: RunState, layer: str) -> dict[str, Any]:
    info, compressed = run.layers[layer], run.compressed.get(layer)
    return {
        "comp_ratio": compressed.comp_ratio if compressed else None,
        "achieved_comp_ratio": compressed.achieved_comp_ratio if compressed else 1.0,
        "rank": compressed.rank if compressed else None,
        "macs_before": info.macs,
        "macs_after": compressed.macs_after if compressed else info.macs,
        "weights_before": info.weights,
        "weights_after": compressed.weights_after if compressed else info.weights,
    }


def _rows(run: RunState) -> Iterator[tuple[str, list[float | None]]]:
    for layer, cells in run.scores.items():
        yield layer, [cells[ratio].score if ratio in cells else None for ratio in run.candidates]


def to_json(content: dict[str, Any]) -> str:
    """The text of a JSON file."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
