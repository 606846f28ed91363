"""Commands that views hand out, for a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aimet_hooks.run_state import RunState


def apply_options(run: RunState) -> str:
    """The options of ``aimet-hooks apply`` with which ratios mean what they meant in the run; a space behind each."""
    started = run.started
    if started is None:
        return ""
    shape, multiplicity = started.settings.get("input_shape"), started.settings.get("multiplicity", 1)
    found = {
        "--scheme": started.scheme,
        "--cost-metric": started.cost_metric,
        "--multiplicity": None if multiplicity == 1 else multiplicity,
        "--input-shape": ",".join(map(str, shape)) if isinstance(shape, (list, tuple)) else None,
    }
    return "".join(f"{option} {value} " for option, value in found.items() if value)
