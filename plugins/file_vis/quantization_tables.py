"""The content of the files of an analysis of quantization. What is undefined is null, or an empty field."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from file_vis.tables import SCHEMA, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimet_hooks.events import SensitivityScored, WeightRangesAnalyzed
    from aimet_hooks.run_state import RunState


def ranges_json(event: WeightRangesAnalyzed) -> str:
    """``{"schema": 1, "bitwidth": bits, "layers": {layer: {figure: value}}, "problems": [...]}``, the worst first."""
    layers = {layer: dict(figures) for layer, figures in event.layers.items()}
    problems = [dict(problem) for problem in event.problems]
    return to_json({"schema": SCHEMA, "bitwidth": event.bitwidth, "layers": layers, "problems": problems})


def ranges_csv(event: WeightRangesAnalyzed) -> str:
    """A line a layer: ``layer``, ``bitwidth``, its figures, then ``cause`` and ``remedy`` if it will break."""
    columns = list(dict.fromkeys(name for figures in event.layers.values() for name in figures))
    problems = {problem["layer"]: problem for problem in event.problems}
    rows: list[list[Any]] = []
    for layer, figures in event.layers.items():
        told = problems.get(layer, {})
        values = [figures.get(name) for name in columns]
        rows.append([layer, event.bitwidth, *values, told.get("cause"), told.get("remedy")])
    return _csv(["layer", "bitwidth", *columns, "cause", "remedy"], rows)


def sensitivity_json(run: RunState) -> str:
    """``{"schema": 1, "baseline": score, "bitwidths": [bits], "scores": {layer: {bits: score}}, "sqnr": the same}``."""
    layers, bitwidths = _layers(run), _bitwidths(run)
    scores = {layer: {str(bits): _score(run, layer, bits) for bits in bitwidths} for layer in layers}
    sqnr = {layer: {str(bits): _sqnr(run, layer, bits) for bits in bitwidths} for layer in layers}
    return to_json(
        {
            "schema": SCHEMA,
            "baseline": run.baseline.score if run.baseline else None,
            "bitwidths": bitwidths,
            "scores": scores,
            "sqnr": sqnr,
        }
    )


def sensitivity_csv(run: RunState) -> str:
    """A line a cell: ``layer``, ``bitwidth``, ``score``, ``sqnr`` of the layer's output in dB."""
    rows = (
        [layer, bits, _score(run, layer, bits), _sqnr(run, layer, bits)]
        for layer in _layers(run)
        for bits in _bitwidths(run)
    )
    return _csv(["layer", "bitwidth", "score", "sqnr"], rows)


def _layers(run: RunState) -> list[str]:
    """The rows: of the table of scores, or where nothing is scored of what layers give."""
    return list(run.sensitivity or run.output_sqnr)


def _bitwidths(run: RunState) -> list[int]:
    return list(run.bitwidths) or sorted({int(bits) for row in run.output_sqnr.values() for bits in row})


def _cell(run: RunState, layer: str, bits: int) -> SensitivityScored | None:
    return run.sensitivity.get(layer, {}).get(bits)


def _score(run: RunState, layer: str, bits: int) -> float | None:
    cell = _cell(run, layer, bits)
    return None if cell is None else cell.score


def _sqnr(run: RunState, layer: str, bits: int) -> float | None:
    cell = _cell(run, layer, bits)
    return run.output_sqnr.get(layer, {}).get(str(bits)) if cell is None else cell.sqnr


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The text of a CSV file; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
