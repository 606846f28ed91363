"""What came of a run, whole: the same lines for a run that has just ended and for one that was recorded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.text import Text

from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.score_scale import ScoreScale
from aimet_hooks.presentation.text import clean, layer_name
from console_vis import quantization
from console_vis.aligned import Entry, aligned
from console_vis.score_colours import ASCII_LABELS, FAILED_STYLE, STYLES, legend
from console_vis.wrapping import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aimet_hooks.events import EvalScored, SensitivityScored
    from aimet_hooks.run_state import RunState

MOST_ERRORS = 10
"""So many different errors of failed cells are listed."""

CHOSEN_MARK = "*"


def summarize(
    run: RunState, *, width: int | None = None, colours: bool = False, results_dir: str | None = None
) -> Iterator[Text]:
    """The result of a run as lines: scores, choice, costs, what was skipped and noted, where the files are.

    Args:
        run: The run, however far it came.
        width: Cells of a terminal line, None where lines may be of any length.
        colours: Whether they will be seen, so that they are explained.
        results_dir: Where the run's files are; where the run recorded them if not given.
    """
    yield Text(" - ".join(wording.titles(run)) or "nothing is recorded of this run", "bold")
    scale = ScoreScale.of(run)
    sections = (
        _scores(run, scale, width, colours=colours),
        quantization.problems(run, width),
        quantization.sensitivity(run, scale, width, colours=colours),
        quantization.outputs(run, width),
        _failed_cells(run, width),
        _skipped(run, width),
        _choice(run, width),
        _notes(run, width),
        _outcome(run, scale),
        _files(run, results_dir),
    )
    for section in sections:
        for number, line in enumerate(section):
            if number == 0:
                yield Text()
            yield line


def _heading(text: str) -> Text:
    return Text(text, "bold")


def _scores(run: RunState, scale: ScoreScale, width: int | None, *, colours: bool) -> Iterator[Text]:
    if run.exploration is None:
        return
    known = "not recorded" if scale.baseline is None else scale.text(scale.baseline)
    better = f", {wording.direction(run)}" if "direction" in run.settings else ""
    yield _heading(
        f"Scores with one layer compressed, by ratio of {wording.metric(run)} kept (baseline {known}{better})"
    )
    chosen: Mapping[str, float | None] = run.selection.comp_ratios if run.selection else {}
    rows = [
        [
            Entry(layer_name(layer) + " "),
            *(_score(row.get(ratio), scale, chosen=chosen.get(layer) == ratio) for ratio in run.candidates),
        ]
        for layer, row in run.scores.items()
    ]
    headings = ["layer", *(f" {quantities.ratio(ratio)} " for ratio in run.candidates)]
    yield from aligned(headings, rows, width=width, gap="")
    is_partial = any(len(row) < len(run.candidates) for row in run.scores.values())
    explained = [*(["- not evaluated"] if is_partial else []), *([f"{CHOSEN_MARK} chosen"] if run.selection else [])]
    if explained:
        yield Text(f"  {', '.join(explained)}", "dim")
    if colours and scale.baseline is not None:
        yield Text("  ").append_text(legend(scale, ASCII_LABELS))


def _score(cell: EvalScored | None, scale: ScoreScale, *, chosen: bool) -> Entry:
    mark = CHOSEN_MARK if chosen else " "
    if cell is None:
        return Entry(f" -{mark}", "dim")
    if cell.score is None:
        return Entry(f" failed{mark}", FAILED_STYLE)
    grade = scale.grade(cell.score)
    style = "" if grade is None else STYLES[grade]
    return Entry(f" {scale.text(cell.score)}{mark}", f"bold {style}" if chosen else style)


def _failed_cells(run: RunState, width: int | None) -> Iterator[Text]:
    rows: list[Mapping[Any, EvalScored | SensitivityScored]] = [*run.scores.values(), *run.sensitivity.values()]
    failed = [cell for row in rows for cell in row.values() if cell.score is None]
    if not failed:
        return
    yield _heading(f"Failed cells ({len(failed)})")
    errors = Counter(wording.message(cell.error or "no reason was recorded") for cell in failed)
    for error, number in errors.most_common(MOST_ERRORS):
        yield from wrapped(f"{wording.plural(number, 'cell')}: {error}", width)
    if len(errors) > MOST_ERRORS:
        yield Text(f"  and {wording.plural(len(errors) - MOST_ERRORS, 'error')} more")


def _skipped(run: RunState, width: int | None) -> Iterator[Text]:
    if not run.skipped:
        return
    yield _heading(f"Skipped ({len(run.skipped)})")
    for layer, reason in run.skipped.items():
        yield from wrapped(f"{layer_name(layer)}: {wording.message(reason)}", width)


def _choice(run: RunState, width: int | None) -> Iterator[Text]:
    if run.selection is None:
        return
    reached = run.selection.achieved_comp_ratio
    what = "" if reached is None else f": {quantities.share(reached)} of the {wording.metric(run)} kept"
    target = run.selection.target_comp_ratio
    yield _heading(f"Chosen ratios{what}" + ("" if target is None else f", target {quantities.ratio(target)}"))
    headings = ["layer", "ratio", "achieved", "rank", "MACs", "weights"]
    rows = [_chosen(run, layer, ratio) for layer, ratio in run.selection.comp_ratios.items()]
    told = [place for place in range(len(headings)) if place < 2 or any(row[place] != "-" for row in rows)]
    entries = [[Entry(row[place]) for place in told] for row in rows]
    yield from aligned([headings[place] for place in told], entries, width=width)
    if None in run.selection.comp_ratios.values():
        yield Text("  - left alone", "dim")


def _chosen(run: RunState, layer: str, ratio: float | None) -> list[str]:
    """Layer, ratio, achieved ratio, rank, MACs and weights; "-" for what is not known."""
    before = run.layers.get(layer)
    macs, weights = (None, None) if before is None else (before.macs, before.weights)
    name = layer_name(layer)
    if ratio is None:
        return [name, "-", "-", "-", _before_after(macs, None), _before_after(weights, None)]
    done, cell = run.compressed.get(layer), run.scores.get(layer, {}).get(ratio)
    achieved, rank, macs_after, weights_after = None, None, None, None
    if done is not None:
        achieved, rank, macs_after, weights_after = (
            done.achieved_comp_ratio,
            done.rank,
            done.macs_after,
            done.weights_after,
        )
    elif cell is not None:
        achieved, rank, macs_after, weights_after = cell.achieved_comp_ratio, cell.rank, cell.macs, cell.weights
    return [
        name,
        quantities.ratio(ratio),
        quantities.share(achieved),
        "-" if rank is None else str(rank),
        _before_after(macs, macs_after),
        _before_after(weights, weights_after),
    ]


def _before_after(before: float | None, after: float | None) -> str:
    numbers = [quantities.count(number) for number in (before, after) if number is not None]
    return " -> ".join(numbers) or "-"


def _notes(run: RunState, width: int | None) -> Iterator[Text]:
    if not run.notes:
        return
    yield _heading("Notes")
    for note in run.notes:
        yield from wrapped(" ".join(clean(note).split()), width)


def _outcome(run: RunState, scale: ScoreScale) -> Iterator[Text]:
    if run.failed is not None:
        yield Text(wording.failure(run.failed) + _so_far(run), FAILED_STYLE)
    elif run.finished is not None:
        yield _heading("Result")
        yield from _result_lines(run, scale)
    elif run.analyzed is not None:
        return
    elif run.layers:  # of a bare table or choice the model is not known, and nothing was run
        yield _heading("not finished" + _so_far(run, after=":"))


def _so_far(run: RunState, *, after: str = ";") -> str:
    return f"{after} {wording.cells(run.completed, run.total)} are known" if run.total else ""


def _result_lines(run: RunState, scale: ScoreScale) -> Iterator[Text]:
    finished = run.finished
    if finished is None:
        return
    change = finished.compressed_score - finished.baseline_score
    rows = [
        ("score", scale.text(finished.baseline_score), scale.text(finished.compressed_score), _signed(change, scale)),
        *_totals(run),
        *_own_cost(run),
        *_metrics({} if run.baseline is None else run.baseline.metrics, finished.metrics),
    ]
    entries = [[Entry(text) for text in (name, before, "->", after, what)] for name, before, after, what in rows]
    yield from aligned(None, entries, width=None)


def _signed(change: float, scale: ScoreScale) -> str:
    text = scale.text(change)
    return text if text.startswith("-") else f"+{text}"


def _totals(run: RunState) -> Iterator[tuple[str, str, str, str]]:
    """MACs and weights of all layers with weights, before and after."""
    finished, totals = run.finished, run.totals
    if finished is None:
        return
    if totals is None:
        yield ("MACs kept", "1", quantities.share(finished.mac_ratio), "")
        yield ("weights kept", "1", quantities.share(finished.memory_ratio), "")
        return
    yield (
        "MACs",
        quantities.count(totals.macs_before),
        quantities.count(totals.macs_after),
        f"{finished.mac_ratio:.3f} kept",
    )
    yield (
        "weights",
        quantities.count(totals.weights_before),
        quantities.count(totals.weights_after),
        f"{finished.memory_ratio:.3f} kept",
    )


def _own_cost(run: RunState) -> Iterator[tuple[str, str, str, str]]:
    """The user's own cost of all layers, before and after."""
    reached = run.selection.achieved_comp_ratio if run.selection else None
    if run.started and run.started.cost_metric == "own" and reached is not None:
        before, after = quantities.count(run.total_cost), quantities.count(reached * run.total_cost)
        yield ("cost", before, after, f"{reached:.3f} kept")


def _metrics(before: Mapping[str, float], after: Mapping[str, float]) -> Iterable[tuple[str, str, str, str]]:
    """The other numbers that the callback returned for both models."""
    for name in dict.fromkeys([*before, *after]):
        values = ["-" if value is None else f"{value:.6g}" for value in (before.get(name), after.get(name))]
        yield (clean(name), values[0], values[1], "")


def _files(run: RunState, results_dir: str | None) -> Iterator[Text]:
    directory = results_dir or run.settings.get("results_dir")
    if directory and run.is_over:
        yield Text(f"Files: {clean(str(directory))}")
