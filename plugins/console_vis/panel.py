"""The live panel as a picture of a run at one moment: no thread, no clock, no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from aimet_hooks.presentation import quantities, wording
from aimet_hooks.presentation.text import clean, layer_name
from console_vis.names import shorten
from console_vis.panel_table import PanelTable, lay_out
from console_vis.score_colours import FAILED_STYLE, legend

if TYPE_CHECKING:
    from aimet_hooks.events import EvalScored, SensitivityScored
    from console_vis.glyphs import Glyphs
    from console_vis.watched_run import WatchedRun

NARROWEST = 76
WIDEST = 200
BAR_STYLE = "#5fafd7"
MOST_SKIPPED = 6
"""So many skipped layers are listed until the table takes their place."""

LINES_AROUND_LAYERS = 7
"""Progress, two lines of facts, a blank one, the heading, hidden layers, the legend."""


class Panel:
    """Draws a run into a given size.

    Args:
        watched: The run.
        glyphs: What to draw with.
        colours: Whether the terminal shows colours; without them grades are shown by signs.
        now: Seconds since the epoch.
    """

    def __init__(self, watched: WatchedRun, glyphs: Glyphs, *, colours: bool, now: float) -> None:
        self._watched = watched
        self._run = watched.state
        self._glyphs = glyphs
        self._colours = colours
        self._now = now

    def title(self) -> str:
        """What runs."""
        return self._joined(*wording.titles(self._run))

    def elapsed(self) -> str:
        """How long the run has been going on."""
        return quantities.duration(self._now - self._watched.state.begin)

    def width(self, limit: int) -> int:
        """Terminal cells that the panel makes good use of, at most ``limit``."""
        limit = min(limit, WIDEST)
        wanted = lay_out(self._watched, width=limit, height=0).width if self._run.exploration else 0
        return min(limit, max(NARROWEST, wanted))

    def lines(self, width: int, height: int) -> list[Text]:
        """At most ``height`` lines, meant for ``width`` terminal cells."""
        lines = [self._progress(width), self._score_facts(), self._run_facts()]
        room = height - LINES_AROUND_LAYERS
        if self._run.exploration is None:
            lines += [Text(line, "dim") for line in self._skipped()]
        elif room > 0:
            layout = lay_out(self._watched, width=width, height=room)
            table = PanelTable(self._watched, layout, self._glyphs, signs=not self._colours)
            hidden = table.hidden()
            lines += [Text(), *table.lines(), *([Text(hidden, "dim")] if hidden else [])]
            lines += [Text()] if len(lines) + 2 <= height else []
            lines.append(self._legend(width))
        return lines[: max(0, height)]

    def _joined(self, *parts: str) -> str:
        return f" {self._glyphs.dot} ".join(part for part in parts if part)

    def _progress(self, width: int) -> Text:
        """Phase, bar, and how far it is."""
        completed, total = self._steps()
        after = self._pace(completed, total)
        phase = self._phase()
        line = Text(f"{phase}  ", "bold")
        room = width - cell_len(phase) - 2 - cell_len(after) - (2 if after else 0)
        if room >= 4:
            done = room * completed // total if total else 0
            line.append(self._glyphs.done * done, BAR_STYLE)
            line.append(self._glyphs.todo * (room - done), "dim")
            line.append("  ")
        line.append(after)
        return line

    def _steps(self) -> tuple[int, int]:
        run = self._run
        if run.phase == "exploring" or (run.phase == "failed" and run.total):
            return run.completed, run.total
        if run.phase == "finished":
            return 1, 1
        return (run.progress.completed, run.progress.total) if run.progress else (0, 0)

    def _phase(self) -> str:
        run, (completed, total) = self._run, self._steps()
        all_done = completed == total
        match run.phase:
            case "waiting" | "preparing":
                if run.baseline:
                    return "preparing the table"
                return "evaluating the original model" if all_done and total else "trying every layer"
            case "exploring":
                return "choosing ratios" if all_done and run.exploration else "exploring"
            case "selected" | "compressing":
                return "evaluating the compressed model" if all_done and total else "compressing"
            case "failed" if run.failed is not None:
                return wording.end_without_result(run.failed)
            case phase:
                return phase

    def _pace(self, completed: int, total: int) -> str:
        run = self._run
        if run.phase != "exploring" or completed == total:
            return f"{completed}/{total}" if total > 1 else ""
        rate = "" if run.rate is None else quantities.rate(run.rate)
        left = "" if run.eta is None else quantities.duration(run.eta - max(0.0, self._now - run.time)) + " left"
        return "  ".join(part for part in (f"{completed}/{total}", rate, left) if part)

    def _score_facts(self) -> Text:
        """Baseline and latest cell; after the selection what was chosen; at the end what came of it."""
        run, text = self._run, self._watched.scale.text
        ended = "" if run.failed is None else f"ended in {clean(run.failed.stage)}"
        if run.baseline is None:
            return Text(ended)
        baseline = f"baseline {text(run.baseline.score)}"
        if run.finished is not None:
            before, after = text(run.finished.baseline_score), text(run.finished.compressed_score)
            scores = f"score {before} {self._glyphs.arrow} {after}"
            kept = f"{run.finished.mac_ratio:.3f} of the MACs, {run.finished.memory_ratio:.3f} of the weights kept"
            return Text(self._joined(scores, kept))
        if run.selection is not None:
            return Text(self._joined(baseline, *self._choice(), ended))
        return Text(self._joined(baseline, ended or self._latest(run.last_score)))

    def _latest(self, cell: EvalScored | SensitivityScored | None) -> str:
        if cell is None:
            return ""
        name = shorten(layer_name(cell.layer), 30, self._glyphs.ellipsis)
        where = f"latest {name} at {wording.column(cell)}"
        if cell.score is None:
            return f"{where}: failed"
        drop = self._watched.scale.drop(cell.score)
        change = "" if drop is None else f" ({_change(drop)})"
        return f"{where}: {self._watched.scale.text(cell.score)}{change}"

    def _choice(self) -> list[str]:
        selection, lowest = self._run.selection, self._run.lowest_chosen
        if selection is None:
            return []
        reached = selection.achieved_comp_ratio
        kept = "" if reached is None else f"chosen: {reached:.3f} of the {wording.metric(self._run)} kept"
        return [kept, "" if lowest is None else f"worst chosen cell {self._watched.scale.text(lowest)}"]

    def _run_facts(self) -> Text:
        run, watched = self._run, self._watched
        if run.exploration is None:
            return Text(wording.plural(len(run.layers), "layer") if run.layers else "", "dim")
        parts = [wording.plural(len(watched.layers), "layer")]
        if watched.state.coverage is not None:
            parts[0] += f" with {quantities.percent(watched.state.coverage)} of the {wording.metric(run)}"
        parts += [f"{len(run.skipped)} skipped"] if run.skipped else []
        parts += [f"{run.exploration.reused} cells known before"] if run.exploration.reused else []
        parts += [f"noise {watched.scale.noise_points:.2g} points"] if watched.scale.noise else []
        facts = Text(self._joined(*parts), "dim")
        if watched.state.failures:
            facts.append(f" {self._glyphs.dot} ", "dim")
            facts.append(f"{wording.plural(watched.state.failures, 'cell')} failed", FAILED_STYLE)
        return facts

    def _skipped(self) -> list[str]:
        skipped = list(self._run.skipped.items())
        lines = [f"skipped {layer_name(name)}: {wording.message(reason)}" for name, reason in skipped[-MOST_SKIPPED:]]
        more = len(skipped) - len(lines)
        return ([f"skipped {more} more"] if more else []) + lines

    def _legend(self, width: int) -> Text:
        """What the colours stand for, and the mark where there is room."""
        glyphs = self._glyphs
        line = legend(self._watched.scale, glyphs.labels, None if self._colours else glyphs.signs)
        mark = f"  {glyphs.chosen} chosen" if self._run.selection else f"  {glyphs.latest} latest"
        if line.cell_len + cell_len(mark) <= width:
            line.append(mark, "dim")
        return line


def _change(drop: float) -> str:
    if abs(drop) < 0.005:
        return "as the baseline"
    return f"{abs(drop):.2f} points {'lost' if drop > 0 else 'gained'}"
