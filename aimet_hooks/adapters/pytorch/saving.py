"""Write the weights of a compressed torch model, and rebuild it from them. Nothing here is ever a pickle of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import nn

from aimet_hooks.adapters.pytorch import replacement
from aimet_hooks.adapters.pytorch.survey import REPLACEABLE, Slot, slots
from aimet_hooks.errors import RecordingError, UsageError, nearest

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS_FILE = "weights.safetensors"


def save_weights(model: nn.Module, directory: Path) -> None:
    """Write all parameters and persistent buffers; tensors that are shared are written once."""
    temporary = directory / f"{WEIGHTS_FILE}.part"
    safetensors.torch.save_model(model, str(temporary))
    temporary.replace(directory / WEIGHTS_FILE)


def load(model: nn.Module, directory: Path, weights: Path | None) -> nn.Module:
    """Replace the layers that ``compression.json`` names by modules of the right shapes, and load the weights."""
    if not isinstance(model, nn.Module):
        raise UsageError(f"fresh_model is a {type(model).__name__}; give a torch.nn.Module of the original class")
    description = directory / "compression.json"
    by_name = {slot.name: slot for slot in slots(model)}
    for name, shape in _shapes(description).items():
        slot = by_name.get(name)
        if slot is None or slot.parent is None:
            raise RecordingError(f"{description} has layer {name!r}, which the model has not{nearest(name, by_name)}")
        slot.parent._modules[slot.key] = _empty(slot, shape, description)
    _load_strictly(model, weights or directory / WEIGHTS_FILE)
    return model


def _shapes(path: Path) -> dict[str, tuple[int, tuple[int, ...]]]:
    try:
        content = json.loads(path.read_text("utf-8"))
        layers = content["layers"]
        return {str(name): (int(entry["rank"]), tuple(map(int, entry["first_axes"]))) for name, entry in layers.items()}
    except OSError as error:
        raise RecordingError(
            f"cannot read {path}: {error.strerror}; give the directory that result.save wrote"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordingError(f"{path} does not describe a compression: {error!r}") from error


def _empty(slot: Slot, shape: tuple[int, tuple[int, ...]], path: Path) -> nn.Sequential:
    module, (rank, first_axes) = slot.module, shape
    weight = getattr(module, "weight", None)
    if type(module) not in REPLACEABLE or not isinstance(weight, torch.Tensor):
        raise RecordingError(
            f"{path}: layer {slot.name!r} is a {type(module).__name__} in this model, which was not compressed"
        )
    spatial = range(weight.dim() - 2)
    if not 1 <= rank <= weight.numel() or not set(first_axes) <= set(spatial):
        raise RecordingError(f"{path}: layer {slot.name!r} cannot have rank {rank} on axes {list(first_axes)}")
    others = tuple(axis for axis in spatial if axis not in first_axes)
    modules = []
    for ends, axes in (((rank, weight.shape[1]), first_axes), ((weight.shape[0], rank), others)):
        kernel = tuple(weight.shape[axis + 2] if axis in axes else 1 for axis in spatial)
        part = replacement.skeleton(module, (*ends, *kernel), axes)
        values = torch.empty((*ends, *kernel), dtype=weight.dtype, device=weight.device)
        part.weight = nn.Parameter(values, requires_grad=weight.requires_grad)
        modules.append(part)
    modules[1].bias = module.bias
    return nn.Sequential(*modules).train(module.training)


def _load_strictly(model: nn.Module, path: Path) -> None:
    if not path.exists():
        raise RecordingError(f"there is no file {str(path)!r}; give the directory that result.save wrote")
    try:
        if path.suffix == ".safetensors":
            safetensors.torch.load_model(model, str(path), strict=True)
        else:
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
            model.load_state_dict(state, strict=True)
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        raise RecordingError(f"{path} does not fit the compressed {type(model).__name__}: {text}") from error
