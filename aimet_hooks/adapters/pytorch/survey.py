"""Find the layers of a module, what each costs for an example, and what stands against replacing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimet_hooks.adapters.pytorch.memory import Owners
from aimet_hooks.adapters.pytorch.observation import Usage, Watched, observe
from aimet_hooks.adapters.pytorch.reasons import reason_against, reason_in_use
from aimet_hooks.adapters.pytorch.tree import slots
from aimet_hooks.adapters.pytorch.weights import WEIGHT_LAYERS, is_quantized, kind, matrices, weight_shape
from aimet_hooks.errors import ModelError
from aimet_hooks.layers import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from aimet_hooks.adapters.pytorch.tree import Slot


@dataclass(frozen=True, slots=True)
class Survey:
    """The layers of a module in network order, and the place of each by name."""

    slots: Mapping[str, Slot]
    layers: Sequence[Layer]

    def calls(self, name: str) -> bool:
        """Whether the example reaches this layer as a module that is called."""
        return any(layer.name == name and layer.called for layer in self.layers)


def survey(root: nn.Module, run_example: Callable[[], object], samples: int) -> Survey:
    """Run the example once and describe every layer with weights.

    That is every module of torch that has weights by nature, and every other one with a matrix of its own that takes
    part in a product. Layers come in the order in which the example reaches them, those that it does not reach last.

    Raises:
        ModelError: If two layers have the same name.
    """
    places = _places(root)
    watched = [found for found, _ in places.values()]
    sharing = Owners((item.name, weight) for item in watched for weight in item.weights.values()).sharing()
    layers = []
    for name, usage in observe(watched, run_example).items():
        found, (slot, *others) = places[name]
        if not (usage.operator_macs or isinstance(slot.module, WEIGHT_LAYERS) or is_quantized(slot.module)):
            continue
        reason = reason_against(
            slot,
            aliases=[other.name for other in others],
            sharing=[other for other in sharing.get(name, []) if other != name],
        )
        layers.append(_layer(found, usage, samples, reason))
    return Survey({name: found[0] for name, (_, found) in places.items()}, layers)


def _places(root: nn.Module) -> dict[str, tuple[Watched, list[Slot]]]:
    """Every module with weights, and all its places, by the first of its names."""
    by_module: dict[int, tuple[Watched, list[Slot]]] = {}
    for slot in slots(root):
        if id(slot.module) not in by_module:
            by_module[id(slot.module)] = (Watched(slot.name, slot.module, matrices(slot.module)), [])
        by_module[id(slot.module)][1].append(slot)
    places: dict[str, tuple[Watched, list[Slot]]] = {}
    for found, where in by_module.values():
        if not found.weights:
            continue
        if found.name in places:
            raise ModelError(f"two layers are named {found.name!r}; a module's name should hold no dot")
        places[found.name] = (found, where)
    return places


def _layer(found: Watched, usage: Usage, samples: int, reason: str | None) -> Layer:
    called = reason is not None or usage.calls > 0
    reason = reason or reason_in_use(usage)
    return Layer(
        name=found.name,
        kind=kind(found.module),
        weight_shape=weight_shape(found.weights),
        macs=usage.macs,
        weights=sum(weight.numel() for weight in found.weights.values()),
        samples=samples,
        geometry=usage.geometry if reason is None else None,
        reason=reason,
        called=called,
    )
