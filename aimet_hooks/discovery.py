"""Find plugins by entry point, one by one, and choose which of them a run loads."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks import hooks
from aimet_hooks.errors import UnknownNameError, UsageError, nearest
from aimet_hooks.hookspecs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """The entry points of group ``aimet_hooks`` by name; of two with one name the first counts and the other is reported."""
    found: dict[str, FoundPlugin] = {}
    for distribution in importlib.metadata.distributions():
        for entry_point in distribution.entry_points.select(group=PROJECT):
            candidate = FoundPlugin(
                name=entry_point.name,
                distribution=distribution.metadata["Name"],
                version=distribution.version,
                entry_point=entry_point,
            )
            first = found.setdefault(entry_point.name, candidate)
            if first.distribution != candidate.distribution:
                logger.warning(
                    "plugin %r of %s is hidden by the one of %s",
                    candidate.name,
                    candidate.distribution,
                    first.distribution,
                )
    return dict(sorted(found.items()))


def load(found: FoundPlugin) -> LoadedPlugin:
    """Import one plugin and check its hooks; whatever goes wrong is in ``error``, nothing is raised but KeyboardInterrupt."""
    try:
        plugin = found.entry_point.load()
        return LoadedPlugin(found=found, plugin=plugin, hooks=hooks.implemented(plugin, found.name))
    except (Exception, SystemExit) as error:
        return LoadedPlugin(found=found, error=error)


def select(plugins: Sequence[str | object] | None) -> list[tuple[str, object]]:
    """The plugins of a run as (name, plugin), in load order, each object once.

    Args:
        plugins: Names and objects that are loaded, exactly these; None: the names in ``AIMET_HOOKS_PLUGINS``
            (separated by
            commas), else all that are discovered, or none if ``AIMET_HOOKS_DISABLE_PLUGIN_AUTOLOAD`` is set.

    Raises:
        UnknownNameError: If a name is not that of an entry point.
        UsageError: If an object has no hook or one that does not exist, or ``plugins`` is not a sequence.
    """
    selected: dict[int, tuple[str, object]] = {}
    for name, plugin in _wanted(plugins):
        selected.setdefault(id(plugin), (name, plugin))
    return list(selected.values())


def _wanted(plugins: Sequence[str | object] | None) -> Iterator[tuple[str, object]]:
    found = find() if plugins is None or any(isinstance(plugin, str) for plugin in plugins) else {}
    for plugin in _requested(plugins, found):
        if not isinstance(plugin, str):
            name = _name_of(plugin)
            hooks.register(plugin, name)
            yield name, plugin
            continue
        if plugin not in found:
            raise UnknownNameError(f"plugin {plugin!r} is not installed{nearest(plugin, found)}")
        loaded = load(found[plugin])
        if loaded.error is not None:
            logger.error("plugin %r cannot be loaded and is left out", plugin, exc_info=loaded.error)
            continue
        yield plugin, loaded.plugin


def _requested(plugins: Sequence[str | object] | None, found: dict[str, FoundPlugin]) -> list[str | object]:
    if isinstance(plugins, str) or (plugins is not None and not isinstance(plugins, Sequence)):
        raise UsageError(f"plugins is {plugins!r}; give a list of names and plugin objects, as plugins=['file']")
    if plugins is not None:
        return list(plugins)
    if PLUGINS_VARIABLE in os.environ:
        return [name.strip() for name in os.environ[PLUGINS_VARIABLE].split(",") if name.strip()]
    return [] if os.environ.get(DISABLE_VARIABLE, "") not in ("", "0") else list(found)


def _name_of(plugin: object) -> str:
    return str(getattr(plugin, "__name__", None) or type(plugin).__qualname__)
