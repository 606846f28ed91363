"""All that is known of a model's weight ranges, and of two models' side by side: plain tables to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.quantization.layer_summary import summary_of
from aimet_hooks.quantization.problematic import ProblematicLayer, problems_of
from aimet_hooks.quantization.weight_ranges import channels_of, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from aimet_hooks.adapters.stored_weights import StoredLayer, StoredWeights

ARGUMENT = "selected_layers"


@dataclass(frozen=True, slots=True)
class ModelRanges:
    """The ranges of one model's layers.

    Attributes:
        bitwidth: Bits of a quantized weight.
        layers: What ``summarize_weight_ranges`` gives, in the model's order.
        channels: What ``analyze_weight_ranges`` gives for the same layers, each on its one scale.
        problems: What ``find_problematic_layers`` lists of these layers, by name, the worst first.
    """

    bitwidth: int
    layers: pd.DataFrame
    channels: pd.DataFrame
    problems: Mapping[str, ProblematicLayer]


@dataclass(frozen=True, slots=True)
class RangeChanges:
    """The ranges of two models.

    Attributes:
        old: Of the layers that both have, with weights of the same shape, and of these only.
        new: Of the same layers in the same order.
        not_compared: Every other layer, by name, with the reason: a clause that follows its name.
    """

    old: ModelRanges
    new: ModelRanges
    not_compared: Mapping[str, str]


def ranges_of(model: Any, selected: Iterable[str] | None, bitwidth: int) -> ModelRanges:
    """The ranges of these layers of a model; None for all.

    Raises:
        UsageError: If ``model`` is no model, or ``bitwidth`` is out of range.
        UnknownNameError: If a name or pattern matches nothing.
        MissingExtraError: If the model's framework is not installed.
        ModelError: If the model cannot be read.
    """
    stored = stored_weights(model)
    return _ranges(stored, select(stored.layers, selected, ARGUMENT), bitwidth)


def changes_of(old_model: Any, new_model: Any, selected: Iterable[str] | None, bitwidth: int) -> RangeChanges:
    """The ranges of two models, layer by layer as far as they can be compared.

    Args:
        old_model: As for ``ranges_of``.
        new_model: The same after it was changed; it may have other layers.
        selected: Names or patterns of layers that at least one of both has; None for all.
        bitwidth: Bits of a quantized weight.

    Raises:
        UsageError: As ``ranges_of``, like all others.
        UnknownNameError: If a name or pattern matches nothing.
        MissingExtraError: If a framework is not installed.
        ModelError: If a model cannot be read.
    """
    old, new = stored_weights(old_model), stored_weights(new_model)
    before, after = ({layer.name: layer for layer in stored.layers} for stored in (old, new))
    chosen = [layer.name for layer in select([*(after | before).values()], selected, ARGUMENT)]
    order = [name for name in [*before, *after] if name in chosen]
    reasons = {name: _obstacle(name, before, after) for name in dict.fromkeys(order)}
    both = [name for name, reason in reasons.items() if reason is None]
    return RangeChanges(
        _ranges(old, [before[name] for name in both], bitwidth),
        _ranges(new, [after[name] for name in both], bitwidth),
        {name: reason for name, reason in reasons.items() if reason},
    )


def _ranges(stored: StoredWeights, layers: Sequence[StoredLayer], bitwidth: int) -> ModelRanges:
    summary = summary_of(layers, bitwidth)
    problems = {problem.layer: problem for problem in problems_of(stored, summary)}
    return ModelRanges(bitwidth, summary, channels_of(layers, bitwidth, per_channel=False), problems)


def _obstacle(name: str, before: Mapping[str, StoredLayer], after: Mapping[str, StoredLayer]) -> str | None:
    """Why a layer cannot be compared channel by channel; None: it can, "": another layer's reason tells of it."""
    old, new = before.get(name), after.get(name)
    if old is None:
        replaces = any(parent in before and parent not in after for parent in _parents(name))
        return "" if replaces else f"is new: the old model has no layer of this name, {_shape(after[name])}"
    if new is None:
        parts = [_shape(layer) for part, layer in after.items() if part not in before and name in _parents(part)]
        became = f"was replaced: {_shape(old)} became {' and '.join(parts)}"
        return became if parts else f"is gone: the new model has no layer of this name, {_shape(old)}"
    return None if old.read().shape == new.read().shape else f"has another shape: {_shape(old)} became {_shape(new)}"


def _parents(name: str) -> set[str]:
    """The names that a layer's name goes on from, after a dot (torch) or a slash (ONNX)."""
    return {name[:place] for place, character in enumerate(name) if character in "./"}


def _shape(layer: StoredLayer) -> str:
    return f"{layer.kind} {layer.read().shape}"
