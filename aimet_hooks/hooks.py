"""Hand events to reporters, each by itself, so that one that fails cannot touch the run or the others."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from aimet_hooks import hookspecs
from aimet_hooks.errors import UnknownNameError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aimet_hooks.events import Event
    from aimet_hooks.run_settings import RunSettings
    from aimet_hooks.run_state import RunState

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
"""After so many exceptions a reporter is left out for the rest of the run."""


class Selected(NamedTuple):
    """A plugin of a run, and the name by which it is reported and gets its options."""

    name: str
    plugin: object


class Passed(Selected):
    """A plugin that the caller passed as an object: a misspelt hook is the caller's error, and raised."""

    __slots__ = ()


def hooks_of(plugin: object, name: str) -> dict[str, pluggy.HookCaller]:
    """The hooks that ``plugin`` implements, by name, ready to be called.

    Each plugin gets a plugin manager of its own: a caller shared by several stops at the first exception.

    Raises:
        UnknownNameError: If it has a hook that does not exist.
        UsageError: If it has no hook, or one that would never be called or never get its arguments.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name=name)
        callers = {caller.name: caller for caller in manager.get_hookcallers(plugin) or ()}
    except Exception as error:
        raise UsageError(f"plugin {name!r} is not valid: {' '.join(str(error).split())}") from error
    _check_marked(plugin, name, callers)
    for hook, caller in callers.items():
        for implementation in caller.get_hookimpls():
            if not caller.has_spec() and not implementation.optionalhook:
                hint = nearest(hook, sorted(hookspecs.hook_names()))
                raise UnknownNameError(f"plugin {name!r} has the hook {hook!r}, which does not exist{hint}")
            _check_called(implementation.function, implementation.argnames, f"plugin {name!r}: {hook}")
    return callers


def _check_marked(plugin: object, name: str, callers: Mapping[str, object]) -> None:
    unmarked = [hook for hook in sorted(hookspecs.hook_names() - set(callers)) if _is_routine(plugin, hook)]
    if unmarked or not callers:
        kind = plugin if inspect.isclass(plugin) else type(plugin)
        what = (
            f"{unmarked[0]} is not marked" if unmarked else "it has no hook; mark create_reporter or an on_* function"
        )
        raise UsageError(f"plugin {name!r} ({kind.__module__}.{kind.__qualname__}): {what} with @aimet_hooks.hookimpl")


def _is_routine(plugin: object, attribute: str) -> bool:
    return inspect.isroutine(inspect.getattr_static(plugin, attribute, None))


def _check_called(function: Any, passed: Iterable[str], where: str) -> None:
    """Refuse implementations that a call would not reach: pluggy passes only positional arguments without default."""
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"{where} is a coroutine function, which nobody awaits; make it a plain function")
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        if parameter.name in ("event", "run", "settings") and parameter.name not in passed:
            raise UsageError(
                f"{where}: argument {parameter.name!r} would never be passed; give it no default and no '*'"
            )
        if parameter.name == "self" and not inspect.ismethod(function):
            raise UsageError(f"{where} belongs to a class; give an instance of it")


class Reporter:
    """An object that hears the events of one run."""

    def __init__(self, name: str, callers: Mapping[str, pluggy.HookCaller]) -> None:
        self.name = name
        self._callers = callers

    def hear(self, event: Event, run: RunState) -> None:
        """Call the hook ``"on_" + event.name``, if there is one; what it raises is raised."""
        caller = self._callers.get(f"on_{event.name}")
        if caller is not None:
            caller(event=event, run=run)


def reporters(plugin: object, name: str, settings: RunSettings) -> Iterator[Reporter]:
    """What ``plugin`` brings for one run: itself, if it has ``on_*`` hooks, then what its ``create_reporter`` makes.

    Raises:
        UsageError: As ``hooks_of``, for the plugin and for what it made.
        Exception: What ``create_reporter`` raises.
    """
    own = hooks_of(plugin, name)
    create = own.pop("create_reporter", None)
    created = create(settings=settings) if create is not None else None
    if own:
        yield Reporter(name, own)
    if created is not None and created is not plugin:
        yield Reporter(name, hooks_of(created, name))


@dataclass(slots=True)
class _Heard:
    reporter: Reporter
    failures: int = 0


class Hooks:
    """The reporters of one run, in load order.

    Args:
        plugins: What to load. A plugin may carry ``create_reporter``, ``on_*`` hooks of its own, or both.
        settings: What ``create_reporter`` is told, by name of the plugin.

    Raises:
        UnknownNameError: If what a plugin of kind ``Passed`` made has a hook that does not exist.
    """

    def __init__(self, plugins: Iterable[tuple[str, object]], settings: Mapping[str, RunSettings]) -> None:
        self._heard: list[_Heard] = []
        for selected in plugins:
            name, plugin = selected
            told = settings[name]
            try:
                self._heard += [_Heard(reporter) for reporter in list(reporters(plugin, name, told))]
            except (Exception, SystemExit) as error:
                if isinstance(error, UnknownNameError) and isinstance(selected, Passed):
                    raise
                logger.exception("plugin %r: create_reporter failed; the plugin is left out of this run", name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the plugins that still hear events, in load order."""
        return tuple(dict.fromkeys(heard.reporter.name for heard in self._heard))

    def call(self, event: Event, run: RunState) -> None:
        """Hand an event to every reporter; an exception of one is logged and counted, the others hear it too."""
        for heard in tuple(self._heard):
            try:
                heard.reporter.hear(event, run)
            except Exception:
                self._count_failure(heard, event)

    def _count_failure(self, heard: _Heard, event: Event) -> None:
        heard.failures += 1
        left_out = heard.failures >= MAX_FAILURES
        logger.exception(
            "plugin %r failed in on_%s (failure %d of %d)%s",
            heard.reporter.name,
            event.name,
            heard.failures,
            MAX_FAILURES,
            "; it is left out for the rest of the run" if left_out else "",
        )
        if left_out:
            self._heard.remove(heard)
