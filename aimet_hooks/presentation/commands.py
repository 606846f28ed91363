"""Commands that views hand out, for a shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimet_hooks.run_state import RunState


COSTS_OF_FUNCTION = "COSTS.csv"
"""Stands for a file that the user makes."""


def apply_options(run: RunState) -> str:
    """The options of ``aimet-hooks apply`` with which ratios mean what they meant in the run; a space behind each."""
    started = run.started
    if started is None:
        return ""
    shape, multiplicity = run.settings.get("input_shape"), run.settings.get("multiplicity", 1)
    found = [
        ("--scheme", started.scheme),
        ("--cost-metric", _cost_metric(run)),
        ("--multiplicity", None if multiplicity == 1 else multiplicity),
        *(("--layer-option", option) for option in _multiplicities(run)),
        ("--input-shape", ",".join(map(str, shape)) if isinstance(shape, (list, tuple)) else None),
    ]
    return "".join(f"{option} {shlex.quote(str(value))} " for option, value in found if value)


def _cost_metric(run: RunState) -> str:
    """What the command line takes for the run's costs; a file's name to fill in where a function gave them."""
    if has_costs_of_function(run):
        return COSTS_OF_FUNCTION
    name = run.started.cost_metric if run.started else ""
    return str(run.settings.get("costs")) if name == "own" else name


def has_costs_of_function(run: RunState) -> bool:
    """Whether the costs of the run came from a function, which a command line cannot take."""
    is_own = run.started is not None and run.started.cost_metric == "own"
    return is_own and not str(run.settings.get("costs")).lower().endswith(".csv")


def _multiplicities(run: RunState) -> Iterator[str]:
    """The layer options that say what a ratio means: those with a multiplicity."""
    asked = run.settings.get("layer_options")
    for pattern, options in asked.items() if isinstance(asked, dict) else ():
        if isinstance(options, dict) and "multiplicity" in options:
            yield f"{pattern}:multiplicity={options['multiplicity']}"
