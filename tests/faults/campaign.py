"""Kill a run again and again at moments that a seed gives, resume it until it ends, and look at what must hold."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aimet_hooks import event_log
from aimet_hooks.events import (
    BaselineScored,
    EvalScored,
    Event,
    ExplorationStarted,
    LayerCompressed,
    ModelProbed,
    RatiosSelected,
    RunFinished,
)
from tests.faults.attempts import Attempt, assert_unlocked
from tests.faults.small_runs import DELAY, EVALUATION, NEVER, START, Framework, Moment, killed_at

if TYPE_CHECKING:
    from pathlib import Path

STAGES = (
    "before the log",
    "preflight",
    "baseline",
    "exploration",
    "probing",
    "selection",
    "build",
    "final",
    "after the last event",
)
EVENTS = (
    "run_started",
    "progress",
    "baseline_score",
    "exploration_started",
    "eval_score",
    "probe_score",
    "ratios_selected",
    "layer_compressed",
    "run_finished",
)
MOST_KILLS = 9
Cell = tuple[str, int | None]


@dataclass(frozen=True)
class Kill:
    """What one kill hit.

    Attributes:
        stage: What went on.
        lost: Evaluations of cells that had begun and were not yet written.
    """

    stage: str
    lost: int


@dataclass
class Campaign:
    """What became of the run of one seed.

    Attributes:
        seed: Of the moments.
        framework: Of the model.
        kills: In their order.
        cells: Cells of the table.
        evaluations: Evaluations of cells that were begun, all in all.
    """

    seed: int
    framework: Framework
    kills: list[Kill] = field(default_factory=list)
    cells: int = 0
    evaluations: int = 0

    @property
    def repeated(self) -> int:
        """Evaluations that were lost, and done again."""
        return sum(kill.lost for kill in self.kills)


class Undisturbed:
    """The run that nobody kills, which every other must equal."""

    def __init__(self, framework: Framework, directory: Path) -> None:
        self.framework = framework
        self.directory = directory / "run"
        first = Attempt(
            killed_at, NEVER, framework, directory / "first", directory / "1.txt", output=directory / "output"
        )
        assert first.exit_code() == 0  # the fork server has started
        begin = time.monotonic()
        run = Attempt(killed_at, NEVER, framework, self.directory, directory / "2.txt", output=directory / "output")
        assert run.exit_code() == 0
        self.seconds = time.monotonic() - begin
        events = logged(self.directory)
        self.cells = {event.score: (event.layer, event.rank) for event in events if isinstance(event, EvalScored)}
        self.table = table(events)
        self.files = results(self.directory)
        self._counts = Counter(event.name for event in events)
        self._counts["progress"] = len({layer for layer, _ in self.table})
        self._counts[EVALUATION] = (directory / "2.txt").read_text().count("begins")
        whole = {event.score for event in events if isinstance(event, (BaselineScored, ModelProbed))}
        assert len(self.cells) == len(set(self.table.values())), "two cells have the same score"
        assert not whole & self.cells.keys(), "a whole model has the score of a cell"

    def moments(self, seed: int) -> list[Moment]:
        """When the run of a seed is killed: at any time, in any evaluation, after any kind of event."""
        draw = random.Random(seed)  # noqa: S311
        kinds = [DELAY] * 6 + [EVALUATION] * 4 + [START, *EVENTS]
        moments = []
        for _ in range(draw.randint(4, MOST_KILLS)):
            what = draw.choice(kinds)
            last = self._counts.get(what, 1)
            number = draw.randint(1, last)
            if what == EVALUATION:
                number = draw.choice([1, 2, number, number, last])  # the first two are the baseline
            moments.append(Moment(what, number, seconds=draw.uniform(0, self.seconds)))
        return moments


def logged(directory: Path) -> list[Event]:
    """The events of a log, of which at most the last line may be torn."""
    path = directory / event_log.FILE_NAME
    return [event_log.parsed(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def table(events: list[Event]) -> dict[tuple[str, float], Cell]:
    """The cells of the last run, by layer and ratio."""
    last = events[-1].run_id
    return {
        (event.layer, event.comp_ratio): (event.layer, event.rank)
        for event in events
        if isinstance(event, EvalScored) and event.run_id == last
    }


def results(directory: Path) -> dict[str, object]:
    """The content of all files of a run but its log, without the run's name."""
    found: dict[str, object] = {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name not in (event_log.FILE_NAME, "stats.json")
    }
    return found | {"stats.json": json.loads((directory / "stats.json").read_text()) | {"run_id": ""}}


@dataclass(frozen=True)
class Tried:
    """What one process did.

    Attributes:
        code: How it ended.
        before: Events of the log that it found.
        events: Its own.
        begun: Evaluations that it began.
        scores: Of those that it finished.
    """

    code: int
    before: list[Event]
    events: list[Event]
    begun: int
    scores: list[float]

    @property
    def stage(self) -> str:
        """What it came to."""
        chosen = [event for event in self.events if isinstance(event, RatiosSelected)]
        built = sum(isinstance(event, LayerCompressed) for event in self.events)
        explored = [event for event in self.events if isinstance(event, ExplorationStarted)]
        scored = sum(isinstance(event, EvalScored) for event in self.events)
        if any(isinstance(event, RunFinished) for event in self.events):
            return "after the last event"
        if chosen and built == sum(ratio is not None for ratio in chosen[0].comp_ratios.values()):
            return "final"
        if chosen:
            return "build" if built else "selection"
        if explored and scored == explored[0].total:
            return "probing"
        if any(isinstance(event, BaselineScored) for event in self.events):
            return "exploration"
        if self.begun:
            return "baseline"
        return "preflight" if self.events else "before the log"


def attempt(framework: Framework, moment: Moment, directory: Path) -> Tried:
    """Begin or resume a run, and kill it at a moment; it leaves no process and no lock."""
    run, evaluations = directory / "run", directory / "evaluations.txt"
    before = logged(run)
    process = Attempt(killed_at, moment, framework, run, evaluations, output=directory / "output.txt")
    code = process.exit_code(moment.seconds) if moment.what == DELAY else process.exit_code()
    if code is None:
        process.signal(signal.SIGKILL)
        code = process.exit_code()
    assert code is not None
    assert_unlocked(run)
    assert "Traceback" not in process.said
    text = evaluations.read_text() if evaluations.exists() else ""
    said = [what for pid, what in map(str.split, text.splitlines()) if int(pid) == process.pid]
    scores = [float(what) for what in said if what != "begins"]
    return Tried(code, before, logged(run)[len(before) :], said.count("begins"), scores)


def known(events: list[Event]) -> set[Cell]:
    """The cells whose score is in a log."""
    return {(event.layer, event.rank) for event in events if isinstance(event, EvalScored)}


def fight(undisturbed: Undisturbed, seed: int, directory: Path) -> Campaign:
    """Kill a run at the moments of a seed, resume it each time, and let it end.

    Raises:
        AssertionError: If something does not hold.
    """
    campaign = Campaign(seed, undisturbed.framework, cells=len(undisturbed.cells))
    for moment in [*undisturbed.moments(seed), NEVER]:
        tried = attempt(undisturbed.framework, moment, directory)
        evaluated = [undisturbed.cells[score] for score in tried.scores if score in undisturbed.cells]
        in_flight = tried.begun - len(tried.scores) if tried.stage == "exploration" else 0
        lost = len(set(evaluated) - known(tried.events)) + in_flight
        assert len(set(evaluated)) == len(evaluated), "a cell was evaluated twice in one run"
        assert not set(evaluated) & known(tried.before), "a cell was evaluated whose score was in the log"
        assert lost <= (tried.code != 0), "more than the cell in flight was lost"
        campaign.evaluations += len(evaluated) + in_flight
        if tried.code == 0:
            break
        assert tried.code == -signal.SIGKILL
        campaign.kills.append(Kill(tried.stage, lost))
    events = logged(directory / "run")
    assert isinstance(events[-1], RunFinished)
    assert table(events) == undisturbed.table
    assert known(events) == set(undisturbed.cells.values())
    assert campaign.evaluations == campaign.cells + campaign.repeated
    assert results(directory / "run") == undisturbed.files
    return campaign


def markdown(campaigns: list[Campaign]) -> str:
    """What was hit how often, as a table."""
    kills = [kill for campaign in campaigns for kill in campaign.kills]
    rows = [
        (stage, sum(kill.stage == stage for kill in kills), sum(kill.lost for kill in kills if kill.stage == stage))
        for stage in STAGES
    ]
    rows.append(("all", len(kills), sum(kill.lost for kill in kills)))
    lines = ["| killed | times | cells evaluated again |", "|---|---:|---:|"]
    return "\n".join([*lines, *(f"| {stage} | {times} | {again} |" for stage, times, again in rows)])
