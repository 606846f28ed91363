"""Where a run is told of: its event log, the plugins that hear it, and how its failure is announced."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, get_args

from aimet_hooks import discovery, log_lock
from aimet_hooks.announcer import Announcer
from aimet_hooks.earlier_runs import EarlierRuns
from aimet_hooks.errors import UnknownNameError, UsageError, nearest
from aimet_hooks.events import ReadOnlyDict, RunFailed
from aimet_hooks.hooks import Hooks
from aimet_hooks.log_writer import EventLog, refuse_taken
from aimet_hooks.run_settings import ConsoleMode, RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aimet_hooks.events import RunStarted

TIME, RUN_NAME = "{time}", "{run_name}"
"""What may stand in ``results_dir``: when the run began, in local time, and its name."""
LONGEST_PART = 100
"""Characters of a run's name in a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """What one run shows and writes, checked. ``compress_model`` documents each."""

    visualization_url: str | None
    results_dir: Path | None
    run_name: str | None
    plugin_options: Mapping[str, Mapping[str, Any]]
    console: ConsoleMode
    resume: bool

    def of_run(self, model_name: str) -> Self:
        """The same for a run whose model is known: it has a name, which may be part of its directory."""
        name, directory = self.run_name or model_name, self.results_dir
        if directory is not None:
            part = re.sub(r"[^\w.+=@-]+", "_", name).strip(".")[:LONGEST_PART] or "run"  # one part, whatever it holds
            directory = Path(str(directory).replace(RUN_NAME, part))
        return dataclasses.replace(self, run_name=name, results_dir=directory)

    def describe(self) -> dict[str, Any]:
        """What the first event records of it."""
        return {
            "results_dir": None if self.results_dir is None else str(self.results_dir),
            "visualization_url": self.visualization_url,
            "plugin_options": dict(self.plugin_options),
            "resume": self.resume,
        }

    def plugins(self, wanted: Sequence[str | object] | None) -> Sequence[tuple[str, object]]:
        """The plugins of the run; made before the model is read, which may take long.

        Raises:
            ResultsDirError: If the results directory holds a run already, or is in use.
            UnknownNameError: If there is no such plugin, or options are given for one that there is not.
            UsageError: If a plugin is not valid.
        """
        if self.results_dir is not None and RUN_NAME not in str(self.results_dir):
            refuse_taken(self.results_dir, resume=self.resume)
        chosen = discovery.select(wanted)
        known = {name for name, _ in chosen} | (set(discovery.find()) if self.plugin_options else set())
        for name in self.plugin_options:
            if name not in known:
                raise UnknownNameError(f"plugin_options has {name!r}, which is no plugin{nearest(name, sorted(known))}")
        return chosen

    def hooks(self, chosen: Sequence[tuple[str, object]]) -> Hooks:
        """The reporters of the run, made anew; its name is known."""
        settings = {
            name: RunSettings(
                visualization_url=self.visualization_url,
                results_dir=self.results_dir,
                run_name=self.run_name or "",
                console=self.console,
                plugin_options=ReadOnlyDict(self.plugin_options.get(name, {})),
            )
            for name, _ in chosen
        }
        return Hooks(chosen, settings)

    def note_on_page(self, chosen: Sequence[tuple[str, object]]) -> str:
        """Why there will be no live page although one is asked for; "" where all is well."""
        if self.visualization_url is None or "bokeh" in dict(chosen):
            return ""
        return (
            f"visualization_url is {self.visualization_url!r} but the plugin 'bokeh' is not loaded: "
            "there will be no live page; the run goes on without it"
        )


def check(
    *,
    visualization_url: str | None,
    results_dir: Any,
    run_name: str | None,
    plugin_options: Mapping[str, Mapping[str, Any]] | None,
    console: str,
    resume: bool = False,
) -> Reporting:
    """Check the arguments.

    Raises:
        UsageError: With the argument, its value, what is allowed and what to do.
    """
    return Reporting(
        visualization_url=_text(visualization_url, "visualization_url", "http://localhost:5006/"),
        results_dir=_directory(results_dir, resume=resume),
        run_name=_text(run_name, "run_name", "digits at half the MACs"),
        plugin_options=_by_plugin(plugin_options),
        console=one_of(console, ConsoleMode, "console"),
        resume=resume,
    )


def one_of(value: Any, allowed: Any, argument: str) -> Any:
    """``value`` if it is one of the strings of a Literal type.

    Raises:
        UsageError: If it is not; names the argument and what is allowed.
    """
    choices = get_args(allowed)
    if value not in choices:
        raise UsageError(f"{argument} is {value!r}; give one of {', '.join(map(repr, choices))}")
    return value


def _text(value: str | None, argument: str, example: str) -> str | None:
    if value is not None and not (isinstance(value, str) and value):
        raise UsageError(f"{argument} is {value!r}; give a string, as {example!r}")
    return value


def _directory(value: Any, *, resume: Any) -> Path | None:
    if value is not None and not (isinstance(value, (str, os.PathLike)) and str(value)):
        raise UsageError(f"results_dir is {value!r}; give the path of a directory that is new or holds no run")
    if not isinstance(resume, bool):
        raise UsageError(f"resume is {resume!r}; give True or False")
    if resume and (value is None or TIME in str(value)):
        raise UsageError(
            f"resume=True with results_dir {value!r} has nothing to go on with; give the directory of the earlier run"
        )
    return None if value is None else Path(str(value).replace(TIME, time.strftime("%Y%m%d-%H%M%S")))


def _by_plugin(options: Any) -> dict[str, Mapping[str, Any]]:
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(given, Mapping) for given in options.values()):
        raise UsageError(f"plugin_options is {options!r}; give {{name of a plugin: {{option: value}}}}")
    return dict(options)


@contextlib.contextmanager
def opened(
    reporting: Reporting, chosen: Sequence[tuple[str, object]], started: RunStarted
) -> Iterator[tuple[Announcer, EarlierRuns]]:
    """The event log and the reporters of a run, and what is known before it; from here on the run leaves traces.

    Raises:
        ResultsDirError: If the results directory cannot be written, is in use, or holds the scores of another model or
            configuration.
        RecordingError: If its log cannot be read.
    """
    directory = reporting.results_dir
    with contextlib.ExitStack() as stack:
        log, earlier = None, EarlierRuns()
        if directory is not None:
            log = stack.enter_context(contextlib.closing(EventLog(directory, resume=reporting.resume)))
            earlier = EarlierRuns(None if log.is_new else log.path)
            if earlier.interrupted and (earlier.interrupted_elsewhere or not log.is_locked):
                log_lock.refuse_beating(log.path)
            earlier.refuse_other(started)
        announcer = Announcer(new_run_id(), reporting.hooks(chosen), log)
        if note := reporting.note_on_page(chosen):
            announcer.note(note)
        yield announcer, earlier


def new_run_id() -> str:
    """A name that no other run has, which sorts by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


class Staged(Protocol):
    """A run that says what it is doing.

    Attributes:
        announcer: Where its events go.
        stage: What goes on, in a word or two.
    """

    announcer: Announcer
    stage: str


@contextlib.contextmanager
def failure_announced(run: Staged) -> Iterator[None]:
    """Announce what ends a run that has begun; it is raised all the same."""
    try:
        yield
    except BaseException as error:
        state = run.announcer.state
        if state.started is None or state.is_over:
            raise  # a log begins with run_started and has one end
        run.announcer.announce(
            RunFailed(stage=run.stage, error=type(error).__name__, message=str(error), notes=run.announcer.notes)
        )
        raise
