"""What one run of the example shows: which modules it calls, on which shapes, and what each costs."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import BaseTorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from aimet_hooks import interrupts
from aimet_hooks.adapters.pytorch.memory import Owners
from aimet_hooks.adapters.pytorch.weights import CALLED_LAYERS, WEIGHT_LAYERS, is_quantized
from aimet_hooks.layers import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(slots=True)
class Usage:
    """What the example showed of one module.

    Attributes:
        calls: How often it was called.
        geometry: Shapes of its last call, where it maps one tensor to one tensor and is of a type with a geometry.
        plain_macs: MACs of those calls.
        operator_macs: MACs of the operators that took its weights.
        position_macs: MACs if every weight works once at every position: all there is to know of fused operators.
    """

    calls: int = 0
    geometry: Geometry | None = None
    plain_macs: int = 0
    operator_macs: int = 0
    position_macs: int = 0

    @property
    def macs(self) -> int:
        """The most exact of the three."""
        return self.plain_macs or self.operator_macs or self.position_macs


@dataclass(frozen=True, slots=True)
class Watched:
    """A module with weights: its name, itself, its weights."""

    name: str
    module: nn.Module
    weights: Mapping[str, torch.Tensor]


def observe(watched: Sequence[Watched], run_example: Callable[[], object]) -> dict[str, Usage]:
    """Run the example; an interrupt waits for its end, as it could tear the stacks on which torch keeps its modes.

    Returns:
        What it showed of each module by name, in the order in which it reached them; what it did not reach comes last.
    """
    traffic = _Traffic(Owners((item.name, weight) for item in watched for weight in item.weights.values()))
    with interrupts.deferred(), contextlib.ExitStack() as stack:
        for item in watched:
            for handle in traffic.listen(item):
                stack.callback(handle.remove)
        stack.enter_context(BaseTorchFunctionMode())  # switches fused attention off, for this thread only
        stack.enter_context(traffic)
        run_example()
    return traffic.usages | {item.name: Usage() for item in watched if item.name not in traffic.usages}


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Attributes the MACs of every operator that takes a weight: to the layer that it runs in, else to the weight's.

    This is how modules without a formula are counted (attention's packed projection, own modules with a matrix).
    """

    def __init__(self, owners: Owners) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.usages: defaultdict[str, Usage] = defaultdict(Usage)
        self._owners = owners
        self._inside: list[str] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to hide this mode from torch's compiler would import the compiler, which takes seconds."""
        return False

    def listen(self, item: Watched) -> Iterator[Any]:
        """Record the calls of a layer; gives the handles of the hooks."""
        if isinstance(item.module, WEIGHT_LAYERS):
            yield item.module.register_forward_pre_hook(lambda *_: self._reach(item.name))
        if not (isinstance(item.module, CALLED_LAYERS) or is_quantized(item.module)):
            return

        def enter(module: nn.Module, args: Any) -> None:
            del module, args
            self._inside.append(item.name)
            self.usages[item.name].calls += 1

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            del module
            self._inside.pop()
            source = args[0] if args else next(iter(kwargs.values()), None)
            _record(self.usages[item.name], item, source, output)

        yield item.module.register_forward_pre_hook(enter)
        yield item.module.register_forward_hook(leave, with_kwargs=True)

    def _reach(self, name: str) -> None:
        self.usages.setdefault(name, Usage())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        owner = next((name for item in _tensors(args) if (name := self._owners.of(item)) is not None), None)
        if owner is None:
            return result
        operator = func._overloadpacket
        if operator in flop_registry:  # counts two operations a MAC
            usage = self.usages[self._inside[-1] if self._inside else owner]
            usage.operator_macs += flop_registry[operator](*args, **kwargs, out_val=result) // 2
        elif operator in _COPIES and isinstance(result, torch.Tensor):
            self._owners.add(owner, result)
        return result


_COPIES = (torch.ops.aten.clone, torch.ops.aten._to_copy)


def _tensors(args: Any) -> Iterator[torch.Tensor]:
    for item in args:
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, (list, tuple)):
            yield from _tensors(item)


def _record(usage: Usage, item: Watched, source: Any, output: Any) -> None:
    """Add what one call shows."""
    weights = sum(weight.numel() for weight in item.weights.values())
    if isinstance(source, nn.utils.rnn.PackedSequence):
        source = source.data
    if not isinstance(source, torch.Tensor):
        return
    if isinstance(item.module, _RECURRENT) or isinstance(output, tuple):
        usage.position_macs += weights * (source.numel() // source.shape[-1])
    elif isinstance(item.module, _TRANSPOSED):
        usage.position_macs += weights * (source.numel() // item.module.in_channels)
    elif isinstance(output, torch.Tensor):
        usage.position_macs += weights * (output.numel() // next(iter(item.weights.values())).shape[0])
        usage.geometry = _geometry(item.module, source, output)
        usage.plain_macs += usage.geometry.macs if usage.geometry else 0


def _geometry(module: nn.Module, source: torch.Tensor, output: torch.Tensor) -> Geometry | None:
    """Shapes of a call, for the types that can be replaced."""
    if isinstance(module, nn.Linear):
        return Geometry(
            in_channels=module.in_features,
            out_channels=module.out_features,
            kernel=(),
            input_size=(),
            output_size=(),
            repeats=prod(output.shape[:-1]),
        )
    if not isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return None
    spatial = len(module.kernel_size)
    return Geometry(
        in_channels=module.in_channels // module.groups,
        out_channels=module.out_channels,
        kernel=tuple(module.kernel_size),
        input_size=tuple(source.shape[-spatial:]),
        output_size=tuple(output.shape[-spatial:]),
        repeats=output.shape[0] if output.dim() == spatial + 2 else 1,
    )
