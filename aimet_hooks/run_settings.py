"""What a plugin is told about the run that it is asked to report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ConsoleMode = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The ``settings`` of ``create_reporter``.

    Attributes:
        visualization_url: Address of a Bokeh server ("http://host:port/"), or None.
        results_dir: Directory that exists and can be written, or None if the run writes nothing.
        run_name: Name to show for the run.
        console: "auto": live panel on a terminal, plain lines elsewhere; "on": live panel; "off": nothing.
        plugin_options: This plugin's own options.
    """

    visualization_url: str | None = None
    results_dir: Path | None = None
    run_name: str = ""
    console: ConsoleMode = "auto"
    plugin_options: Mapping[str, Any] = field(default_factory=dict)
