"""Where tensors lie in memory, and their bytes."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable


def span(tensor: torch.Tensor) -> tuple[int, int] | None:
    """The addresses from the first to behind the last element; None where there is no plain memory."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout is not torch.strided:
        return None
    if tensor.is_meta or tensor.numel() == 0:
        return None
    start = tensor.data_ptr()
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * tensor.element_size()


class Owners:
    """Tells from a tensor's address whose tensor it is a part of.

    Addresses count and not storages: a file that is loaded in one piece gives all weights one storage.
    """

    def __init__(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        self._spans: list[tuple[int, int, str]] = []
        self._kept: list[torch.Tensor] = []
        for owner, tensor in tensors:
            self.add(owner, tensor)

    def add(self, owner: str, tensor: torch.Tensor) -> None:
        """Remember an owner; the tensor is kept alive, so that its memory is not used again."""
        found = span(tensor)
        if found is not None:
            self._kept.append(tensor)
            entry = (*found, owner)
            self._spans.insert(bisect_right(self._spans, entry), entry)

    def of(self, tensor: torch.Tensor) -> str | None:
        """The owner of the memory at which a tensor begins."""
        found = span(tensor)
        if found is None:
            return None
        at = bisect_right(self._spans, found[0], key=_start) - 1
        return self._spans[at][2] if at >= 0 and found[0] < self._spans[at][1] else None

    def sharing(self) -> dict[str, list[str]]:
        """For each owner all owners, itself included, whose tensors overlap with one another."""
        groups: list[list[str]] = []
        end = 0
        for start, stop, owner in self._spans:
            if start >= end:
                groups.append([])
            groups[-1].append(owner)
            end = max(end, stop)
        found: dict[str, list[str]] = {}
        for group in groups:
            for owner in group:
                found.setdefault(owner, []).extend(group)
        return found


def _start(entry: tuple[int, int, str]) -> int:
    return entry[0]


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes of a tensor's values as a flat uint8 tensor on its device, without a copy where it lies in a row."""
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """The same on the CPU, to be read as bytes."""
    return bits(tensor).cpu().numpy().data
