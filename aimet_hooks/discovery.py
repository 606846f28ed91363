"""Find plugins by entry point, one by one, and choose which of them a run loads."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from aimet_hooks import hooks
from aimet_hooks.errors import UnknownNameError, UsageError
from aimet_hooks.hooks import Passed, Selected
from aimet_hooks.hookspecs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

logger = logging.getLogger(__name__)

PLUGINS_VARIABLE = "AIMET_HOOKS_PLUGINS"
DISABLE_VARIABLE = "AIMET_HOOKS_DISABLE_PLUGIN_AUTOLOAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPlugin:
    """An entry point, not loaded yet.

    Attributes:
        name: Name of the entry point: what ``plugins=`` takes.
        distribution: Name of the installed distribution that brings it.
        version: Version of that distribution.
        entry_point: Where the plugin is.
    """

    name: str
    distribution: str
    version: str
    entry_point: importlib.metadata.EntryPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPlugin:
    """What became of an entry point: a plugin with its hooks, or the reason why it cannot be used."""

    found: FoundPlugin
    plugin: object = None
    hooks: tuple[str, ...] = ()
    error: BaseException | None = None


def find() -> dict[str, FoundPlugin]:
    """The entry points of group ``aimet_hooks``, sorted by name; the second of one name is reported and ignored."""
    found: dict[str, FoundPlugin] = {}
    for distribution in importlib.metadata.distributions():
        for candidate in _plugins_of(distribution):
            first = found.setdefault(candidate.name, candidate)
            if first.distribution != candidate.distribution:
                logger.warning(
                    "plugin %r of %s is hidden by the one of %s",
                    candidate.name,
                    candidate.distribution,
                    first.distribution,
                )
    return dict(sorted(found.items()))


def _plugins_of(distribution: importlib.metadata.Distribution) -> list[FoundPlugin]:
    try:
        return [
            FoundPlugin(
                name=entry_point.name,
                distribution=distribution.metadata["Name"],
                version=distribution.version,
                entry_point=entry_point,
            )
            for entry_point in distribution.entry_points.select(group=PROJECT)
        ]
    except Exception as error:  # broken metadata of one must not lose the plugins of the others
        logger.warning("the entry points of an installed distribution cannot be read: %r", error)
        return []


def load(found: FoundPlugin) -> LoadedPlugin:
    """Import one plugin and check its hooks; what goes wrong is in ``error``: only KeyboardInterrupt is raised."""
    try:
        plugin = found.entry_point.load()
        return LoadedPlugin(found=found, plugin=plugin, hooks=tuple(sorted(hooks.hooks_of(plugin, found.name))))
    except (Exception, SystemExit) as error:
        return LoadedPlugin(found=found, error=error)


def plugin(name: str) -> Any:
    """A plugin of an entry point, for those who use more of it than its hooks.

    Raises:
        UsageError: If it is not installed or cannot be loaded.
    """
    found = find().get(name)
    loaded = None if found is None else load(found)
    if loaded is None or loaded.error is not None:
        why = "is not installed" if loaded is None else f"cannot be loaded: {loaded.error}"
        raise UsageError(f"the plugin {name!r} {why}; install aimet-hooks again")
    return loaded.plugin


def select(plugins: Sequence[str | object] | None) -> list[Selected]:
    """The plugins of a run as (name, plugin), in load order, each object once.

    Args:
        plugins: Names and objects that are loaded, exactly these; None: the names in ``AIMET_HOOKS_PLUGINS``
            (separated by commas), else all that are discovered, or none if ``AIMET_HOOKS_DISABLE_PLUGIN_AUTOLOAD`` is
            set.

    Raises:
        UnknownNameError: If a name is not that of an entry point, or an object has a hook that does not exist.
        UsageError: If an object has no hook, or ``plugins`` is not a sequence.
    """
    if isinstance(plugins, str) or not (plugins is None or isinstance(plugins, Sequence)):
        raise UsageError(f"plugins is {plugins!r}; give a list of names and plugin objects, as plugins=['file']")
    found = find() if plugins is None or any(isinstance(plugin, str) for plugin in plugins) else {}
    selected: dict[int, Selected] = {}
    for plugin in default_names(found) if plugins is None else plugins:
        chosen = _named(plugin, found) if isinstance(plugin, str) else _passed(plugin)
        if chosen is not None:
            selected.setdefault(id(chosen.plugin), chosen)
    return list(selected.values())


def default_names(found: Iterable[str]) -> list[str]:
    """The plugins of a run that names none itself: those in ``AIMET_HOOKS_PLUGINS``, else all that were found."""
    if PLUGINS_VARIABLE in os.environ:
        return [name.strip() for name in os.environ[PLUGINS_VARIABLE].split(",") if name.strip()]
    return [] if os.environ.get(DISABLE_VARIABLE, "") not in ("", "0") else list(found)


def _named(name: str, found: Mapping[str, FoundPlugin]) -> Selected | None:
    if name not in found:
        known = ", ".join(map(repr, found)) or "none"
        raise UnknownNameError(f"plugin {name!r} is not installed; known are {known}")
    loaded = load(found[name])
    if loaded.error is not None:
        logger.error("plugin %r cannot be loaded and is left out", name, exc_info=loaded.error)
        return None
    return Selected(name, loaded.plugin)


def _passed(plugin: object) -> Passed:
    name = plugin.__name__ if isinstance(plugin, (type, ModuleType, FunctionType)) else type(plugin).__name__
    hooks.hooks_of(plugin, name)
    return Passed(name, plugin)
