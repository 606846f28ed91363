"""Write the weights of a compressed torch model, and rebuild it from them. Nothing here is ever a pickle of ours."""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from aimet_hooks import bounded_json, regular_file
from aimet_hooks.adapters.pytorch import replacement
from aimet_hooks.adapters.pytorch.tree import slots, unwrapped
from aimet_hooks.adapters.pytorch.weights import REPLACEABLE, is_parameter, plain
from aimet_hooks.errors import RecordingError, ResultsDirError, UsageError, kind_of, nearest
from aimet_hooks.factorization import Split

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aimet_hooks.adapters.pytorch.tree import Slot

WEIGHTS_FILE = "weights.safetensors"
DESCRIPTION_FILE = "compression.json"
SCHEMA = 1


def save(model: nn.Module, splits: Mapping[str, Split], directory: Path) -> None:
    """Write how layers were split, all parameters and persistent buffers; tensors that are shared are written once.

    Raises:
        ResultsDirError: If the model's state holds what is no tensor.
        OSError: If a file cannot be written.
    """
    strange = [name for name, value in model.state_dict().items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise ResultsDirError(
            f"the model cannot be saved as safetensors: {strange[0]!r} of its state is no tensor; "
            "keep it with torch.save(result.model.state_dict(), file)"
        )
    temporary = directory / f"{WEIGHTS_FILE}.part"
    try:
        safetensors.torch.save_model(model, str(temporary))
        temporary.replace(directory / WEIGHTS_FILE)
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from error  # a full disk, which safetensors does not call that
    finally:
        temporary.unlink(missing_ok=True)
    layers = {name: {"rank": split.rank, "first_axes": list(split.first_axes)} for name, split in splits.items()}
    text = json.dumps({"schema": SCHEMA, "layers": layers}, indent=1)
    (directory / DESCRIPTION_FILE).write_text(text + "\n", "utf-8")


def load(model: nn.Module, directory: Path, weights: Path | None) -> nn.Module:
    """Replace the layers that ``compression.json`` names by modules of the right shapes, and load the weights.

    A model that does not fit is left as it was, but for weights that were loaded before that showed.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"fresh_model is {kind_of(model)}; give a torch.nn.Module of the original class")
    root = unwrapped(model)
    if any(parameter.is_meta for parameter in root.parameters()):
        raise UsageError("fresh_model is on the meta device; give it memory with fresh_model.to_empty(device='cpu')")
    description = directory / DESCRIPTION_FILE
    by_name = {slot.name: slot for slot in slots(root)}
    replaced = []
    for name, split in _splits(description).items():
        slot = by_name.get(name)
        if slot is None:
            raise RecordingError(f"{description} has layer {name!r}, which the model has not{nearest(name, by_name)}")
        replaced.append((slot, _empty(slot, split, description)))
    try:
        for slot, module in replaced:
            slot.put(module)
        _load_strictly(root, weights or directory / WEIGHTS_FILE)
    except BaseException:
        for slot, _ in replaced:
            slot.put(slot.module)
        raise
    return model


def _splits(path: Path) -> dict[str, Split]:
    try:
        content = bounded_json.decode(regular_file.content(path, bounded_json.MAX_BYTES))
        schema, layers = content["schema"], content["layers"]
        splits = {name: Split(entry["rank"], tuple(entry["first_axes"])) for name, entry in layers.items()}
    except OSError as error:
        raise RecordingError(
            f"cannot read {path}: {error.strerror}; give the directory that result.save wrote"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordingError(f"{path} does not describe a compression: {error!r}") from error
    if schema != SCHEMA:
        raise RecordingError(f"{path} is of schema {schema!r:.60}, this version of aimet-hooks reads {SCHEMA}")
    return splits


def _empty(slot: Slot, split: Split, path: Path) -> nn.Sequential:
    """The two modules that stand for a layer, their weights not set."""
    module = slot.module
    if slot.parent is None or type(module) not in REPLACEABLE or not is_parameter(module):
        raise RecordingError(
            f"{path}: layer {slot.name!r} is a {type(module).__name__} in this model, which was not compressed"
        )
    layer = plain(module)
    out_channels, in_channels, *kernel = layer.weight.shape
    axes = (split.first_axes, tuple(axis for axis in range(len(kernel)) if axis not in split.first_axes))
    kernels = [tuple(size if axis in own else 1 for axis, size in enumerate(kernel)) for own in axes]
    full = min(in_channels * prod(kernels[0]), out_channels * prod(kernels[1]))
    if not (_is_of(split.rank, range(1, full + 1)) and all(_is_of(axis, range(len(kernel))) for axis in axes[0])):
        raise RecordingError(
            f"{path}: layer {slot.name!r} of shape {tuple(layer.weight.shape)} cannot have rank {split.rank!r:.60} "
            f"on axes {list(split.first_axes)!r:.60}"
        )
    shapes = ((split.rank, in_channels, *kernels[0]), (out_channels, split.rank, *kernels[1]))
    return replacement.in_a_row(
        layer, [(layer.weight.detach().new_empty(shape), own) for shape, own in zip(shapes, axes, strict=True)]
    )


def _is_of(value: object, possible: range) -> bool:
    return type(value) is int and value in possible


def _load_strictly(model: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise RecordingError(f"there is no file {str(path)!r}; give the directory that result.save wrote")
    try:
        if path.suffix == ".safetensors":
            missing, unexpected = safetensors.torch.load_model(model, str(path), strict=False)
        else:
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
            missing, unexpected = model.load_state_dict(state, strict=False)
    except Exception as error:
        raise _does_not_fit(path, model, " ".join(str(error).split())) from error
    known = model.state_dict()
    unexpected = [name for name in unexpected if name not in known]  # torch takes no name with a dot for a known one
    if missing or unexpected:
        raise _does_not_fit(path, model, f"missing are {sorted(missing)}, unexpected are {sorted(unexpected)}")


def _does_not_fit(path: Path, model: nn.Module, why: str) -> RecordingError:
    return RecordingError(f"{path} does not fit the compressed {type(model).__name__}: {why[:500]}")
