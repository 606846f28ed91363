"""Where a run is told of: its event log, the plugins that hear it, and how its failure is announced."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

from aimet_hooks import discovery
from aimet_hooks.announcer import Announcer
from aimet_hooks.errors import UnknownNameError, UsageError, nearest
from aimet_hooks.event_log import EventLog, refuse_taken
from aimet_hooks.events import ReadOnlyDict, RunFailed
from aimet_hooks.hooks import Hooks
from aimet_hooks.run_settings import ConsoleMode, RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """What one run shows and writes, checked. ``compress_model`` documents each.

    Attributes:
        resumable: Whether a run of this kind can be continued in its ``results_dir``.
    """

    visualization_url: str | None
    results_dir: Path | None
    run_name: str | None
    plugin_options: Mapping[str, Mapping[str, Any]]
    console: ConsoleMode
    resumable: bool = True

    def describe(self) -> dict[str, Any]:
        """What the first event records of it."""
        return {
            "results_dir": None if self.results_dir is None else str(self.results_dir),
            "visualization_url": self.visualization_url,
            "plugin_options": dict(self.plugin_options),
        }

    def plugins(self, wanted: Sequence[str | object] | None) -> Sequence[tuple[str, object]]:
        """The plugins of the run; made before the model is read, which may take long.

        Raises:
            ResultsDirError: If the results directory holds a run already.
            UnknownNameError: If there is no such plugin, or options are given for one that there is not.
            UsageError: If a plugin is not valid.
        """
        if self.results_dir is not None:
            refuse_taken(self.results_dir, resumable=self.resumable)
        chosen = discovery.select(wanted)
        known = {name for name, _ in chosen} | (set(discovery.find()) if self.plugin_options else set())
        for name in self.plugin_options:
            if name not in known:
                raise UnknownNameError(f"plugin_options has {name!r}, which is no plugin{nearest(name, sorted(known))}")
        return chosen


def check(
    *,
    visualization_url: str | None,
    results_dir: Any,
    run_name: str | None,
    plugin_options: Mapping[str, Mapping[str, Any]] | None,
    console: str,
    resumable: bool = True,
) -> Reporting:
    """Check the arguments.

    Raises:
        UsageError: With the argument, its value, what is allowed and what to do.
    """
    return Reporting(
        visualization_url=_text(visualization_url, "visualization_url", "http://localhost:5006/"),
        results_dir=_directory(results_dir),
        run_name=_text(run_name, "run_name", "digits at half the MACs"),
        plugin_options=_by_plugin(plugin_options),
        console=one_of(console, ConsoleMode, "console"),
        resumable=resumable,
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


def _directory(value: Any) -> Path | None:
    if value is not None and not (isinstance(value, (str, os.PathLike)) and str(value)):
        raise UsageError(f"results_dir is {value!r}; give the path of a directory that is new or holds no run")
    return None if value is None else Path(value)


def _by_plugin(options: Any) -> dict[str, Mapping[str, Any]]:
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(given, Mapping) for given in options.values()):
        raise UsageError(f"plugin_options is {options!r}; give {{name of a plugin: {{option: value}}}}")
    return dict(options)


@contextlib.contextmanager
def opened(reporting: Reporting, chosen: Sequence[tuple[str, object]], run_name: str) -> Iterator[Announcer]:
    """The event log and the reporters of a run; from here on the run leaves traces.

    Raises:
        ResultsDirError: If the results directory cannot be written.
    """
    with contextlib.ExitStack() as stack:
        log = (
            None
            if reporting.results_dir is None
            else stack.enter_context(contextlib.closing(EventLog(reporting.results_dir)))
        )
        settings = {
            name: RunSettings(
                visualization_url=reporting.visualization_url,
                results_dir=reporting.results_dir,
                run_name=run_name,
                console=reporting.console,
                plugin_options=ReadOnlyDict(reporting.plugin_options.get(name, {})),
            )
            for name, _ in chosen
        }
        run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        announcer = Announcer(run_id, Hooks(chosen, settings), log)
        if reporting.visualization_url is not None and "bokeh" not in dict(chosen):
            announcer.note(
                f"visualization_url is {reporting.visualization_url!r} but the plugin 'bokeh' is not loaded: "
                "there will be no live page; the run goes on without it"
            )
        yield announcer


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
