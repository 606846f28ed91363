"""Notice what somebody else changes in a module while a run works on it."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING

import torch

from aimet_hooks.adapters.pytorch.memory import bytes_of
from aimet_hooks.adapters.pytorch.reasons import hooks_of
from aimet_hooks.adapters.pytorch.tree import slots
from aimet_hooks.adapters.pytorch.weights import is_quantized, matrices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import nn

    _Place = tuple[str, str | None]
    """Name of a module, and the key of a tensor of its own or None for itself."""


class Watch:
    """Knows a module as it was, and what is different now.

    After every evaluation versions and addresses tell which tensors were written; only those are read.

    Args:
        root: The module in eval mode.
    """

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._seen = _observed(root)
        self._checksums: dict[str, int] = {}

    def fingerprint(self) -> str:
        """SHA-256 of the modules' names, types and settings, and of all parameters and buffers."""
        digest = hashlib.sha256()
        for slot in slots(self._root):
            kind = type(slot.module)
            settings = slot.module.extra_repr() if kind.__module__.startswith("torch.nn.") else ""
            digest.update(f"{slot.name}:{kind.__qualname__}({settings});".encode())
        for name, tensor in _state(self._root):
            content = bytes_of(tensor)
            digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
            digest.update(content)
            self._checksums[name] = zlib.crc32(content)
        return digest.hexdigest()

    def accept_buffers(self) -> None:
        """Take the buffers for unchanged: they were written, and put back."""
        now = _observed(self._root)
        for name, module in self._root.named_modules():
            self._seen |= {(name, key): now[name, key] for key in module._buffers}

    def changes(self, *, thorough: bool) -> Sequence[str]:
        """Names of what changed since the last call; ``thorough`` reads all, which finds writes to ``.data``."""
        before, self._seen = self._seen, _observed(self._root)
        places = before | self._seen if before != self._seen else ()
        unequal = [place for place in places if before.get(place) != self._seen.get(place)]
        self._seen.pop(_TRAIN_MODE, None)  # every evaluation starts in eval mode again
        changed = {text: None for place in unequal for text in _described(place, before, self._seen)}
        if changed or thorough:
            for name, tensor in _state(self._root):
                if name in self._checksums and (thorough or name in changed):
                    changed.pop(name, None)  # written, but what counts is the content
                    if self._rewritten(name, tensor):
                        changed[name] = None
        return list(changed)

    def _rewritten(self, name: str, tensor: torch.Tensor) -> bool:
        """Whether a tensor has another content than at the last look."""
        before, self._checksums[name] = self._checksums[name], zlib.crc32(bytes_of(tensor))
        return before != self._checksums[name]


_TRAIN_MODE = ("", "train mode")


def _observed(root: nn.Module) -> dict[_Place, object]:
    """A mark for every tensor; for every module its identity and hooks."""
    seen: dict[_Place, object] = {}
    for name, module in root.named_modules():
        seen[name, None] = (id(module), hooks_of(module))
        if module.training:
            seen[_TRAIN_MODE] = True
        for tensors in (module._parameters, module._buffers):
            for key, tensor in tensors.items():
                seen[name, key] = None if tensor is None else _mark(tensor)
    return seen


def _mark(tensor: torch.Tensor) -> tuple[object, ...]:
    """What changes when a tensor is written or stands for another one; then, what when it comes to gradients."""
    version = None if tensor.is_inference() else tensor._version
    has_grad = tensor.is_leaf and tensor.grad is not None  # of others the question alone is a warning
    address = tensor.data_ptr() if tensor.layout is torch.strided else id(tensor)
    return address, tensor.dtype, version, tensor.requires_grad, has_grad


def _described(place: _Place, before: Mapping[_Place, object], now: Mapping[_Place, object]) -> list[str]:
    """What is said of a place where the two differ."""
    (module, key), old, new = place, before.get(place), now.get(place)
    if key is None:
        same = isinstance(old, tuple) and isinstance(new, tuple) and old[0] == new[0]
        where = repr(module) if module else "the model"
        return [f"hooks of {where}" if same else f"module {where}"]
    name = f"{module}.{key}" if module else key
    if isinstance(old, tuple) and isinstance(new, tuple) and old[:3] == new[:3]:
        return [f"gradient of {name}"]
    return [name]


def _state(root: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from root.named_parameters(remove_duplicate=False)
    yield from root.named_buffers(remove_duplicate=False)
    for name, module in root.named_modules():
        if is_quantized(module):
            yield from ((f"{name}.{key}", weight) for key, weight in matrices(module).items())
