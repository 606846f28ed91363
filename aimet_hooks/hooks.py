"""Hand events to reporters, each by itself, so that one that fails cannot touch the run or the others."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

from aimet_hooks import hookspecs
from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimet_hooks.events import Event
    from aimet_hooks.run_settings import RunSettings
    from aimet_hooks.run_state import RunState

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
"""After so many exceptions a reporter is left out for the rest of the run."""


def register(plugin: object, name: str) -> pluggy.PluginManager:
    """A plugin manager of its own for ``plugin``: a caller shared by several stops at the first exception.

    Raises:
        UsageError: If the plugin has no hook, a hook that does not exist, or one with wrong argument names.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name=name)
        manager.check_pending()
    except (pluggy.PluginValidationError, TypeError, ValueError) as error:
        raise UsageError(f"plugin {name!r} is not valid: {_first_line(error)}") from error
    if not manager.get_hookcallers(plugin):
        raise UsageError(
            f"plugin {name!r} ({_described(plugin)}) has no hook: mark create_reporter or an on_* function with "
            "@aimet_hooks.hookimpl"
        )
    return manager


def implemented(plugin: object, name: str) -> tuple[str, ...]:
    """Names of the hooks that ``plugin`` implements, sorted.

    Raises:
        UsageError: As ``register`` does.
    """
    callers = register(plugin, name).get_hookcallers(plugin) or []
    return tuple(sorted(caller.name for caller in callers))


def _described(plugin: object) -> str:
    kind = plugin if inspect.isclass(plugin) else type(plugin)
    return f"{kind.__module__}.{kind.__qualname__}"


def _first_line(error: BaseException) -> str:
    return " ".join(part.strip() for part in str(error).splitlines() if part.strip())


@dataclass(slots=True)
class _Reporter:
    name: str
    manager: pluggy.PluginManager
    failures: int = 0


class Hooks:
    """The reporters of one run, in load order.

    Args:
        plugins: (name, plugin) pairs. A plugin may carry ``create_reporter``, ``on_*`` hooks of its own, or both.
        settings: What ``create_reporter`` is told, by name of the plugin.
    """

    def __init__(self, plugins: Iterable[tuple[str, object]], settings: dict[str, RunSettings]) -> None:
        self._reporters: list[_Reporter] = []
        for name, plugin in plugins:
            self._add(name, plugin, settings[name])

    def _add(self, name: str, plugin: object, settings: RunSettings) -> None:
        manager = register(plugin, name)
        try:
            reporter = manager.hook.create_reporter(settings=settings)
            created = None if reporter is None or reporter is plugin else register(reporter, name)
        except Exception:
            logger.exception("plugin %r: create_reporter failed; the plugin is left out of this run", name)
            return
        hears_itself = any(caller.name.startswith("on_") for caller in manager.get_hookcallers(plugin) or ())
        if hears_itself:
            self._reporters.append(_Reporter(name, manager))
        if created is not None:
            self._reporters.append(_Reporter(name, created))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the plugins that still hear events, in load order."""
        return tuple(dict.fromkeys(reporter.name for reporter in self._reporters))

    def call(self, event: Event, run: RunState) -> None:
        """Call the hook ``"on_" + event.name`` of every reporter. An exception of a reporter is logged and counted."""
        for reporter in tuple(self._reporters):
            try:
                getattr(reporter.manager.hook, f"on_{event.name}")(event=event, run=run)
            except Exception:
                self._count_failure(reporter, event)

    def _count_failure(self, reporter: _Reporter, event: Event) -> None:
        reporter.failures += 1
        left_out = reporter.failures >= MAX_FAILURES
        logger.exception(
            "plugin %r failed in on_%s (failure %d of %d)%s",
            reporter.name,
            event.name,
            reporter.failures,
            MAX_FAILURES,
            "; it is left out for the rest of the run" if left_out else "",
        )
        if left_out:
            self._reporters.remove(reporter)
