"""Find the layers of a module, what each costs for an example, and what stands against replacing it."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from aimet_hooks.layers import Geometry, Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPLACEABLE = (nn.Conv1d, nn.Conv2d, nn.Linear, NonDynamicallyQuantizableLinear)
"""Exact types; a subclass may compute something else. The last is a plain Linear inside nn.MultiheadAttention."""

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the tree of modules. A name may hold anything, dots included, so it is never looked up again."""

    name: str
    parent: nn.Module | None
    key: str
    module: nn.Module


def slots(root: nn.Module) -> Iterator[Slot]:
    """Every place of every module below ``root``, itself first, in the order of registration; shared ones repeat."""
    pending = [Slot("", None, "", root)]
    seen_edges: set[tuple[int, int, str]] = set()
    while pending:
        slot = pending.pop()
        yield slot
        for key, child in reversed(slot.module._modules.items()):
            edge = (id(slot.module), id(child), key)
            if child is not None and edge not in seen_edges:
                seen_edges.add(edge)
                pending.append(Slot(f"{slot.name}.{key}" if slot.name else key, slot.module, key, child))


@dataclass(slots=True)
class _Usage:
    """What the example showed of one module."""

    calls: int = 0
    macs: int = 0
    geometry: Geometry | None = None


@dataclass(slots=True)
class Survey:
    """The layers of a module, found by one run of the example."""

    slots: dict[str, Slot] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)


def survey(root: nn.Module, run_example: Callable[[], object], samples: int) -> Survey:
    """Run the example once and describe every layer with weights.

    That is every module of torch that has weights by nature, and every other one with a matrix of its own that takes
    part in a product. Layers come in the order in which the example reaches them, those that it does not reach last.
    """
    owned: dict[int, Slot] = {}
    aliases: dict[int, list[str]] = defaultdict(list)
    for slot in slots(root):
        if _weights(slot.module) or _is_packed(slot.module):
            owned.setdefault(id(slot.module), slot)
            aliases[id(slot.module)].append(slot.name)
    usages, traffic = _observe(list(owned.values()), run_example)
    users = _users_of_weights(owned.values())
    described = {}
    for key, slot in owned.items():
        usage = usages[key]
        if not isinstance(slot.module, _WEIGHT_LAYERS) and not _is_packed(slot.module) and not traffic.macs[slot.name]:
            continue
        reason = _reason_against(slot, aliases[key], users)
        called = reason is not None or usage.calls > 0
        reason = reason or _reason_in_use(usage)
        described[slot.name] = Layer(
            name=slot.name,
            kind=_kind(slot.module),
            weight_shape=_weight_shape(slot.module),
            macs=usage.macs if usage.calls and usage.geometry else traffic.macs[slot.name],
            weights=sum(weight.numel() for weight in _weights(slot.module).values()),
            samples=samples,
            geometry=usage.geometry if reason is None else None,
            reason=reason,
            called=called,
        )
    reached = [name for name in traffic.order if name in described]
    order = dict.fromkeys([*reached, *described])
    return Survey({slot.name: slot for slot in owned.values()}, [described[name] for name in order])


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Attributes the MACs of every operator to the layer whose weight takes part in it.

    This is how modules without a formula of ours are counted (attention's packed projection, recurrent layers, own
    modules with a matrix). torch's own formulas count two operations a MAC.
    """

    def __init__(self, owner_of_storage: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs: dict[str, int] = defaultdict(int)
        self.order: dict[str, None] = {}
        self._owners = owner_of_storage

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        owner = next((name for item in _tensors(args) if (name := self._owners.get(_storage(item)))), None)
        if owner is not None:
            self.order.setdefault(owner)
            if func._overloadpacket in flop_registry:
                self.macs[owner] += flop_registry[func._overloadpacket](*args, **kwargs, out_val=result) // 2
        return result


def _tensors(args: Any) -> Iterator[torch.Tensor]:
    for item in args:
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, (list, tuple)):
            yield from _tensors(item)


def _storage(tensor: torch.Tensor) -> int:
    return 0 if tensor.layout is not torch.strided else tensor.untyped_storage().data_ptr()


def _observe(found: list[Slot], run_example: Callable[[], object]) -> tuple[dict[int, _Usage], _Traffic]:
    usages = {id(slot.module): _Usage() for slot in found}
    owners = {_storage(weight): slot.name for slot in found for weight in _weights(slot.module).values()}
    owners.pop(0, None)
    traffic = _Traffic(owners)
    names = {id(slot.module): slot.name for slot in found}

    def record(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        usage = usages[id(module)]
        usage.calls += 1
        traffic.order.setdefault(names[id(module)])
        source = args[0] if args else next(iter(kwargs.values()), None)
        if isinstance(source, torch.Tensor) and isinstance(output, torch.Tensor):
            usage.geometry = _geometry(module, source, output)
            usage.macs += _macs(module, source, output)

    with contextlib.ExitStack() as stack:
        for slot in found:
            if isinstance(slot.module, _COUNTED):
                stack.enter_context(slot.module.register_forward_hook(record, with_kwargs=True))
        stack.enter_context(_plain_kernels(recurrent=any(isinstance(slot.module, nn.RNNBase) for slot in found)))
        stack.enter_context(traffic)
        run_example()
    return usages, traffic


@contextlib.contextmanager
def _plain_kernels(*, recurrent: bool) -> Iterator[None]:
    """For the time of one example: no fused attention, no fused recurrent kernels, so that their matrix products are seen."""
    attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.backends.mkldnn.flags(enabled=False) if recurrent else contextlib.nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(attention)


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_COUNTED = (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)
_WEIGHT_LAYERS = (
    *_COUNTED,
    nn.Bilinear,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
    nn.Embedding,
    nn.EmbeddingBag,
)


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


def _macs(module: nn.Module, source: torch.Tensor, output: torch.Tensor) -> int:
    """MACs of a call: every weight works at every position of the output (of the input, where transposed)."""
    if isinstance(module, nn.Linear):
        return module.in_features * output.numel()
    kernel = prod(module.kernel_size)  # type: ignore[arg-type]
    if isinstance(module, _TRANSPOSED):
        return int(source.numel() * (module.out_channels // module.groups) * kernel)
    return int(output.numel() * (module.in_channels // module.groups) * kernel)  # type: ignore[operator]


def _weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """The module's own parameters of two or more dimensions; of a parametrized module the weight that it makes."""
    if nn.utils.parametrize.is_parametrized(module):
        with torch.no_grad():
            made = {name: getattr(module, name) for name in module.parametrizations}
        return {name: value for name, value in made.items() if value.dim() >= 2}
    parameters = {name: value for name, value in module._parameters.items() if value is not None and value.dim() >= 2}
    computed = getattr(module, "weight", None) if f"{_WEIGHT}_v" in parameters else None
    return {_WEIGHT: computed} if isinstance(computed, torch.Tensor) else parameters


_WEIGHT = "weight"


def _is_packed(module: nn.Module) -> bool:
    """Whether this is a quantized module, whose weight is a method."""
    return "quantized" in type(module).__module__ and callable(getattr(module, _WEIGHT, None))


def _weight_shape(module: nn.Module) -> tuple[int, ...]:
    weights = _weights(module)
    if not weights:
        return tuple(module.weight().shape)  # type: ignore[operator]
    return tuple((weights[_WEIGHT] if _WEIGHT in weights else next(iter(weights.values()))).shape)


def _kind(module: nn.Module) -> str:
    if nn.utils.parametrize.is_parametrized(module):
        return type(module).__bases__[0].__name__
    return type(module).__name__


def _users_of_weights(found: Any) -> dict[int, list[str]]:
    """Names of the layers by the storage of their weight: views of one tensor count as sharing it."""
    users: dict[int, list[str]] = defaultdict(list)
    for slot in found:
        for weight in slot.module._parameters.values():
            if weight is not None and weight.dim() >= 2:
                users[_storage(weight)].append(slot.name)
    return users


def _reason_against(slot: Slot, aliases: list[str], users: dict[int, list[str]]) -> str | None:
    """Why the module cannot be replaced, from what it is."""
    reason = _reason_of_type(slot.module) or _reason_of_hooks(slot.module)
    if reason is not None:
        return reason
    module, weight = slot.module, slot.module.weight
    if slot.parent is None:
        return "it is the whole model; put it into an nn.Sequential to compress it"
    if len(aliases) > 1:
        return f"the same module is also {aliases[1]!r}"
    sharing = [name for name in users[_storage(weight)] if name != slot.name]  # type: ignore[arg-type]
    if sharing:
        return f"its weight is shared with {sharing[0]!r}"
    groups = getattr(module, "groups", 1)
    if groups != 1:
        depthwise = groups == module.in_channels
        return f"{'depthwise' if depthwise else 'grouped'} convolution (groups={groups})"
    if weight.dtype not in FLOATS:
        return f"its weight is of dtype {weight.dtype}"
    return None


def _reason_of_type(module: nn.Module) -> str | None:
    if nn.utils.parametrize.is_parametrized(module):
        return "its weight is parametrized; torch.nn.utils.parametrize.remove_parametrizations makes it plain"
    if _is_packed(module):
        return f"{type(module).__name__} is a quantized module"
    if type(module) not in REPLACEABLE:
        base = next((kind.__name__ for kind in REPLACEABLE if isinstance(module, kind)), None)
        kind = type(module).__name__
        return f"{kind} is a subclass of {base} and may compute something else" if base else f"{kind} is not supported"
    if "forward" in module.__dict__:
        return "it has a forward of its own"
    if not isinstance(module._parameters.get(_WEIGHT), torch.Tensor):
        return "its weight is computed, not a parameter (weight_norm and the like); make it plain first"
    return None


def _reason_of_hooks(module: nn.Module) -> str | None:
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return "it has hooks, which a replacement would lose; remove them first" if any(hooks) else None


def _reason_in_use(usage: _Usage) -> str | None:
    if usage.calls == 0:
        return "the example input does not reach it"
    if usage.calls > 1:
        return f"it is called {usage.calls} times in one forward pass"
    return None if usage.geometry else "it does not map one tensor to one tensor"
