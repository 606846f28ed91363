"""What an analysis of quantization found, for the summary: layers that will break, and what each costs the score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aimet_hooks.presentation import wording
from aimet_hooks.presentation.sensitivity_ranking import most_sensitive_first, noisiest_first
from aimet_hooks.presentation.text import clean, layer_name
from console_vis.aligned import Entry, aligned
from console_vis.score_colours import ASCII_LABELS, FAILED_STYLE, STYLES, legend
from console_vis.wrapping import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.events import SensitivityScored
    from aimet_hooks.presentation.score_scale import ScoreScale
    from aimet_hooks.run_state import RunState


def problems(run: RunState, width: int | None) -> Iterator[Text]:
    """The layers whose weights will not survive, the worst first, with cause and remedy."""
    found = run.weight_ranges
    if found is None:
        return
    bits = wording.on_bits(run, found.bitwidth)
    if not found.problems:
        yield Text(
            f"All {wording.plural(len(found.layers), 'layer')} keep enough of their weights at {bits}",
            "bold",
        )
        return
    broken = f"{len(found.problems)} of {wording.plural(len(found.layers), 'layer')}"
    yield Text(f"Weights that will not survive {bits}: {broken}, the worst first", "bold")
    headings = ["layer", "effective bits", "per channel", "SQNR dB", "widest channel", "times the median"]
    rows = []
    for problem in found.problems:
        figures = found.layers.get(str(problem["layer"]), {})
        rows.append(
            [
                Entry(layer_name(str(problem["layer"]))),
                Entry(_number(figures.get("effective_bits_per_tensor"))),
                Entry(_number(figures.get("effective_bits_per_channel"))),
                Entry(_number(figures.get("sqnr_symmetric_per_tensor"))),
                Entry("-" if problem.get("channel") is None else clean(str(problem["channel"]))),
                Entry(_number(figures.get("relative_range"))),
            ]
        )
    yield from aligned(headings, rows, width=width)
    for problem in found.problems:
        told = f"{problem.get('cause', '')}. {problem.get('remedy', '')}"
        yield from wrapped(f"{layer_name(str(problem['layer']))}: {wording.message(told)}", width)


def sensitivity(run: RunState, scale: ScoreScale, width: int | None, *, colours: bool) -> Iterator[Text]:
    """The table of layers by bit widths, the most sensitive layer first."""
    if run.sensitivity_started is None:
        return
    known = "not recorded" if scale.baseline is None else scale.text(scale.baseline)
    yield Text(
        "Scores with the weights of one layer quantized, the most sensitive first "
        f"(baseline {known}, {wording.direction(run)})",
        "bold",
    )
    has_sqnr = any(cell.sqnr is not None for row in run.sensitivity.values() for cell in row.values())
    headings = ["layer"]
    for bits in run.bitwidths:
        headings += [f"{bits} bits", "points lost", *(["SQNR dB"] if has_sqnr else [])]
    rows = []
    for layer in most_sensitive_first(run):
        entries = [Entry(layer_name(layer))]
        for bits in run.bitwidths:
            cell = run.sensitivity[layer].get(bits)
            entries += _score(cell, scale)
            entries += [Entry(_number(None if cell is None else cell.sqnr))] if has_sqnr else []
        rows.append(entries)
    yield from aligned(headings, rows, width=width)
    if colours and scale.baseline is not None:
        yield Text("  ").append_text(legend(scale, ASCII_LABELS))


def outputs(run: RunState, width: int | None) -> Iterator[Text]:
    """What layers give with quantized weights, the noisiest first, where no table of scores tells it already."""
    measured = run.output_sqnr
    if not measured or run.sensitivity_started is not None:
        return
    yield Text("SQNR (dB) of what each layer gives for the inputs with its weights quantized, the lowest first", "bold")
    bitwidths = list(dict.fromkeys(bits for row in measured.values() for bits in row))
    rows = [
        [Entry(layer_name(layer)), *(Entry(_number(measured[layer].get(bits))) for bits in bitwidths)]
        for layer in noisiest_first(run)
    ]
    yield from aligned(["layer", *(f"{clean(bits)} bits" for bits in bitwidths)], rows, width=width)


def _score(cell: SensitivityScored | None, scale: ScoreScale) -> list[Entry]:
    """The score of a cell, and the points that it lost."""
    if cell is None:
        return [Entry("-", "dim"), Entry("-", "dim")]
    if cell.score is None:
        return [Entry("failed", FAILED_STYLE), Entry("-", "dim")]
    grade, drop = scale.grade(cell.score), scale.drop(cell.score)
    style = "" if grade is None else STYLES[grade]
    lost = "-" if drop is None else f"{0.0 - round(0.0 - drop, 2):.2f}"
    return [Entry(scale.text(cell.score), style), Entry(lost, style)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
