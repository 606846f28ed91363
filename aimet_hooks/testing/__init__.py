"""What authors of plugins and adapters test with: contracts to inherit, a plugin that records, and runs to play.

::

    from aimet_hooks.testing import PluginContract

    class TestMyPlugin(PluginContract):
        def make_plugin(self):
            import my_plugin
            return my_plugin

The contracts are classes of tests for pytest. Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimet_hooks.testing.adapter_contract import AdapterContract
    from aimet_hooks.testing.plugin_contract import PluginContract
    from aimet_hooks.testing.recording import RecordingPlugin
    from aimet_hooks.testing.sample_runs import (
        SAMPLE_RUNS,
        bare_table,
        failed_run,
        finished_run,
        run_of_strange_names,
        sensitivity_run,
        weight_ranges_run,
    )

_HOMES = {
    "AdapterContract": "adapter_contract",
    "PluginContract": "plugin_contract",
    "RecordingPlugin": "recording",
    "SAMPLE_RUNS": "sample_runs",
    "bare_table": "sample_runs",
    "failed_run": "sample_runs",
    "finished_run": "sample_runs",
    "run_of_strange_names": "sample_runs",
    "sensitivity_run": "sample_runs",
    "weight_ranges_run": "sample_runs",
}

__all__ = [
    "SAMPLE_RUNS",
    "AdapterContract",
    "PluginContract",
    "RecordingPlugin",
    "bare_table",
    "failed_run",
    "finished_run",
    "run_of_strange_names",
    "sensitivity_run",
    "weight_ranges_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
