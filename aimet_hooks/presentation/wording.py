"""What parts of a run are called, in every view alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimet_hooks.events import EvalScored
from aimet_hooks.presentation import quantities
from aimet_hooks.presentation.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimet_hooks.events import RunFailed, SensitivityScored
    from aimet_hooks.run_state import RunState

_SCHEMES = {"spatial_svd": "spatial SVD", "weight_svd": "weight SVD", "quantization": "quantization of weights"}
_METRICS = {"mac": "MACs", "memory": "weights", "own": "cost"}
_INTERRUPTIONS = {"KeyboardInterrupt": "interrupted", "TerminatedError": "terminated"}
"""What a run was that ended by Ctrl-C or by SIGTERM, for which the command line has an exception of its own."""

LONGEST_MESSAGE = 500


def metric(run: RunState) -> str:
    """What ratios are shares of: "MACs", "weights", or "cost" where that was not recorded."""
    name = run.started.cost_metric if run.started else ""
    return _METRICS.get(name, clean(name) or "cost")


def titles(run: RunState) -> list[str]:
    """Name of the run, model, scheme, metric and target, as far as they are known."""
    started = run.started
    if started is None:
        return []
    names = [clean(started.run_name), clean(started.model_name)]
    parts = [*dict.fromkeys(name for name in names if name)]
    if started.scheme:
        parts.append(_SCHEMES.get(started.scheme, clean(started.scheme)))
    if started.cost_metric:
        parts.append(_aim(run))
    shard = run.settings.get("shard")
    if isinstance(shard, tuple):
        parts.append("shard " + " of ".join(map(str, shard)))
    return parts


def is_analysis(run: RunState) -> bool:
    """Whether the run makes no model, but tells what quantization would do to it."""
    return run.started is not None and run.started.scheme == "quantization"


def on_bits(run: RunState, bitwidth: int) -> str:
    """What weights are judged for, as 8 bits with a scale for every channel."""
    each = " with a scale for every channel" if run.settings.get("per_channel") is True else ""
    return f"{bitwidth} bits{each}"


def target(run: RunState) -> float | None:
    """The share of the cost that is to be kept, of the choice or else of the configuration; None: there is none."""
    asked = run.selection.target_comp_ratio if run.selection else selection(run).get("target_comp_ratio")
    return float(asked) if isinstance(asked, (int, float)) else None


def selection(run: RunState) -> Mapping[str, Any]:
    """How the ratios are chosen, as it was configured."""
    recorded = run.settings.get("selection")
    return recorded if isinstance(recorded, dict) else {}


def _aim(run: RunState) -> str:
    bitwidths = run.settings.get("bitwidths")
    if isinstance(bitwidths, tuple) and bitwidths:
        return f"at {listed(map(str, bitwidths))} bits"
    wanted = target(run)
    if wanted is not None:
        return f"keep {quantities.ratio(wanted)} of the {metric(run)}"
    by_hand = run.selection is not None or selection(run).get("rule") == "manual"
    return f"ratios of {metric(run)}" + (" given by hand" if by_hand else "")


def direction(run: RunState) -> str:
    """Which scores are better."""
    return "lower is better" if run.direction == "minimize" else "higher is better"


def message(text: str) -> str:
    """Somebody else's message on one line of bounded length."""
    line = " ".join(clean(text).split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 3] + "..."


def end_without_result(failed: RunFailed) -> str:
    """How a run ended: "interrupted", "terminated" or "failed"."""
    return _INTERRUPTIONS.get(failed.error, "failed")


def ending(failed: RunFailed) -> str:
    """Where a run ended without a result, and the class of what ended it."""
    return f"run {end_without_result(failed)} in {clean(failed.stage)} ({clean(failed.error)})"


def failure(failed: RunFailed) -> str:
    """Where and why a run ended without a result."""
    text = message(failed.message)
    return ending(failed) + (f": {text}" if text else "")


def column(cell: EvalScored | SensitivityScored) -> str:
    """The column of a cell: its ratio, or its bit width."""
    return quantities.ratio(cell.comp_ratio) if isinstance(cell, EvalScored) else f"{cell.bitwidth} bits"


def cells(number: int, total: int) -> str:
    """How much of the table is known."""
    return f"{number} of {total} cell{'' if total == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, as 2, 4 and 8."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def plural(number: int, what: str) -> str:
    """A number of things, as 1 layer, 2 layers."""
    return f"{number} {what}{'' if number == 1 else 's'}"
