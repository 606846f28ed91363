"""What the weights of a module are, whatever kind of module it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from collections.abc import Mapping

Plain: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Linear

REPLACEABLE = (nn.Conv1d, nn.Conv2d, nn.Linear, NonDynamicallyQuantizableLinear)
"""Exact types; a subclass may compute something else. The last is a plain Linear inside nn.MultiheadAttention."""

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

CALLED_LAYERS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
    nn.Bilinear,
    nn.RNNBase,
    nn.RNNCellBase,
)
"""Layers that multiply by their own weights alone, when they are called."""

WEIGHT_LAYERS = (*CALLED_LAYERS, nn.MultiheadAttention, nn.Embedding, nn.EmbeddingBag)
"""Layers with weights by nature, whether the example reaches them or not."""

_WEIGHT = "weight"


def plain(module: nn.Module) -> Plain:
    """The module, as one of the types that can be replaced.

    Raises:
        TypeError: If it is of another type.
    """
    if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
        raise TypeError(f"a {type(module).__name__} cannot be replaced")
    return module


def matrices(module: nn.Module) -> Mapping[str, torch.Tensor]:
    """The module's own weights of two or more dimensions.

    Of parametrized and quantized modules what is made of their parameters.
    """
    if is_quantized(module):
        return _unpacked(module)
    if parametrize.is_parametrized(module):
        with torch.no_grad():
            made = {name: getattr(module, name) for name in _parametrizations(module)}
        return {name: value for name, value in made.items() if value.dim() >= 2}
    own = {name: value for name, value in module._parameters.items() if value is not None and value.dim() >= 2}
    if own.keys() & {"weight_v", "weight_orig"}:  # weight_norm, spectral_norm and pruning of the older kind
        computed = vars(module).get(_WEIGHT)
        if isinstance(computed, torch.Tensor):
            return {_WEIGHT: computed}
    return own


def is_quantized(module: nn.Module) -> bool:
    """Whether it is one of torch's quantized modules, whose weights are packed and got at by a method only."""
    home = type(module).__module__
    if not (home.startswith("torch.") and "quantized" in home):
        return False
    return any(callable(getattr(module, method, None)) for method in (_WEIGHT, "get_weight"))


def _unpacked(module: nn.Module) -> dict[str, torch.Tensor]:
    method = getattr(module, _WEIGHT if callable(getattr(module, _WEIGHT, None)) else "get_weight")
    found = method() if callable(method) else {}
    named = found if isinstance(found, dict) else {_WEIGHT: found}
    return {name: value for name, value in named.items() if isinstance(value, torch.Tensor) and value.dim() >= 2}


def _parametrizations(module: nn.Module) -> list[str]:
    found = module.parametrizations
    return list(found) if isinstance(found, nn.ModuleDict) else []


def is_parameter(module: nn.Module) -> bool:
    """Whether the module has a weight that is a parameter, neither computed nor packed."""
    return isinstance(module._parameters.get(_WEIGHT), torch.Tensor)


def weight_shape(weights: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    """Shape of the weight; of the first where there are several."""
    return tuple(weights.get(_WEIGHT, next(iter(weights.values()))).shape)


def kind(module: nn.Module) -> str:
    """The name of its type; of the original type where it is parametrized."""
    original = type(module).__bases__[0] if parametrize.is_parametrized(module) else type(module)
    return original.__name__
