"""A torch module as the core sees it: layers are swapped in place and put back, whatever happens."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import threading
import zlib
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin

from aimet_hooks.adapters.pytorch import replacement as replacements
from aimet_hooks.adapters.pytorch.example import Example
from aimet_hooks.adapters.pytorch.survey import FLOATS, Slot, slots, survey
from aimet_hooks.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aimet_hooks.adapters import ExampleInput
    from aimet_hooks.factorization import Array, Replacement
    from aimet_hooks.layers import Layer

_models_in_use: set[int] = set()
_models_in_use_lock = threading.Lock()


class TorchAdapter:
    """A ``torch.nn.Module``, unwrapped from DataParallel, DistributedDataParallel and torch.compile.

    Args:
        model: The user's module.
        example: Shape or values of the input.

    Raises:
        UsageError: If there is no example, or another run works on the model.
        ModelError: If the model cannot be copied or has parameters without values.
    """

    def __init__(self, model: nn.Module, example: ExampleInput) -> None:
        self._root = _unwrapped(model)
        self.model_name = type(self._root).__name__
        self.notes: Sequence[str] = ()
        _check_module(self._root)
        self._example = Example(self._root, example)
        self._slots: dict[str, Slot] = {}
        self._layers: Sequence[Layer] | None = None
        self._guard = contextlib.ExitStack()
        self._training: list[bool] = []
        self._swapped: Slot | None = None
        self._seen: dict[str, object] = {}
        self._checksums: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Take hold of the model: eval mode, no compiled shortcuts; given back by ``__exit__``."""
        self._guard.enter_context(_claimed(self._root))
        self._training = [module.training for module in self._root.modules()]
        self._guard.enter_context(_evaluating(self._root))
        self._guard.callback(self._put_back)
        self._seen = _observed(self._root)
        return self

    def __exit__(self, *exception: object) -> None:
        """Give the model back exactly as it was."""
        self._guard.close()

    def layers(self) -> Sequence[Layer]:
        """Every layer with weights, from one run of the example."""
        if self._layers is None:
            found = survey(self._root, lambda: self.run_example(self._root), self._example.samples)
            self._slots, self._layers = found.slots, found.layers
        return self._layers

    def weight(self, name: str) -> Array:
        """(out, in, *kernel) float64 for a float64 weight, else float32."""
        return _array(self._slots[name].module)

    def names_within(self, module: object) -> set[str]:
        """Names of the layers that are this module or lie below it."""
        if not isinstance(module, nn.Module):
            return set()
        inside = {id(child) for child in module.modules()}
        return {name for name, slot in self._slots.items() if id(slot.module) in inside}

    @contextlib.contextmanager
    def original(self) -> Iterator[nn.Module]:
        """The user's own module in eval mode, under no_grad."""
        _set_eval(self._root)
        with torch.no_grad():
            yield self._root

    @contextlib.contextmanager
    def swapped(self, name: str, replacement: Replacement) -> Iterator[nn.Module]:
        """The user's own module with one layer replaced; ``__exit__`` puts it back even where an interrupt tears this."""
        slot = self._slots[name]
        try:
            self._swapped = slot
            _put(slot, replacements.sequential(slot.module, replacement))
            with self.original() as model:
                yield model
        finally:
            self._put_back()

    def _put_back(self) -> None:
        if self._swapped is not None:
            _put(self._swapped, self._swapped.module)
            self._swapped = None

    def run_example(self, native: nn.Module) -> None:
        """Run the example input once; the model's buffers and the random state stay as they are."""
        _set_eval(native)
        with torch.no_grad():
            self._example.run(native)

    def begin_build(self) -> TorchBuild:
        """The only copy of the model."""
        return TorchBuild(self._root, self._training)

    def fingerprint(self) -> str:
        """SHA-256 of the names, shapes, dtypes and values of all parameters and buffers and of the modules' types."""
        digest = hashlib.sha256()
        for slot in slots(self._root):
            digest.update(f"{slot.name}:{type(slot.module).__qualname__};".encode())
        self._checksums = {}
        for name, tensor in _state(self._root):
            data = _bytes(tensor)
            digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
            digest.update(data)
            self._checksums[name] = zlib.crc32(data)
        return digest.hexdigest()

    def changes(self, *, thorough: bool = False) -> Sequence[str]:
        """What somebody else changed since the last call, by versions and addresses; by content if ``thorough``."""
        before, self._seen = self._seen, _observed(self._root)
        changed = [name for name, seen in self._seen.items() if before.get(name) != seen]
        changed += [f"{name} (removed)" for name in before if name not in self._seen]
        if thorough:
            now = {name: zlib.crc32(_bytes(tensor)) for name, tensor in _state(self._root)}
            changed += [name for name, sum_ in self._checksums.items() if now.get(name, sum_) != sum_]
        return list(dict.fromkeys(changed))

    def settings(self) -> Mapping[str, Any]:
        """Device, dtype and threads."""
        first = next((tensor for _, tensor in _state(self._root)), None)
        return {
            "framework": f"torch {torch.__version__}",
            "device": str(first.device) if first is not None else "cpu",
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }


class TorchBuild:
    """The copy that becomes the result."""

    def __init__(self, root: nn.Module, training: Sequence[bool]) -> None:
        self.model = copy.deepcopy(root)
        for parameter in self.model.parameters():
            parameter.grad = None
        for module, flag in zip(self.model.modules(), training, strict=True):
            module.training = flag
        self._slots = {slot.name: slot for slot in slots(self.model)}

    def weight(self, name: str) -> Array:
        """The present weight of a layer of the copy."""
        return _array(self._slots[name].module)

    def replace(self, name: str, replacement: Replacement) -> None:
        """Replace a layer of the copy for good."""
        slot = self._slots[name]
        _put(slot, replacements.sequential(slot.module, replacement))

    def train(self, trainer: Callable[[Any, str], object], name: str) -> None:
        """Call the trainer on the copy in train mode with gradients."""
        with _evaluating(self.model), torch.enable_grad():
            self.model.train()
            trainer(self.model, name)

    @contextlib.contextmanager
    def evaluated(self) -> Iterator[nn.Module]:
        """The copy in eval mode, under no_grad."""
        with _evaluating(self.model), torch.no_grad():
            yield self.model


def _unwrapped(model: nn.Module) -> nn.Module:
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def _check_module(root: nn.Module) -> None:
    if isinstance(root, torch.jit.ScriptModule):
        raise UsageError("model is a torch.jit.ScriptModule, whose layers cannot be replaced; give the nn.Module")
    for name, tensor in _state(root):
        if isinstance(tensor, UninitializedTensorMixin):
            raise ModelError(f"parameter {name!r} is not initialized; run the model once before compressing it")
        if tensor.is_meta:
            raise ModelError(f"parameter {name!r} is on the meta device and has no values; load the weights first")
    try:  # everything but the tensors, so that a model that cannot be copied is refused before the exploration
        copy.deepcopy(root, {id(tensor): tensor for _, tensor in _state(root)})
    except Exception as error:
        raise ModelError(
            f"{type(root).__name__} cannot be copied by copy.deepcopy, which the result needs: {error}"
        ) from error


@contextlib.contextmanager
def _claimed(root: nn.Module) -> Iterator[None]:
    with _models_in_use_lock:
        if id(root) in _models_in_use:
            raise UsageError(
                f"this {type(root).__name__} is being compressed by another run in this process; wait for it, or give a copy"
            )
        _models_in_use.add(id(root))
    try:
        yield
    finally:
        with _models_in_use_lock:
            _models_in_use.discard(id(root))


@contextlib.contextmanager
def _evaluating(root: nn.Module) -> Iterator[None]:
    """Eval mode and eager calls inside; each module's own flags again afterwards."""
    flags = [(module, module.training, module._compiled_call_impl) for module in root.modules()]
    try:
        for module, *_ in flags:
            module.training = False
            module._compiled_call_impl = None
        yield
    finally:
        for module, training, compiled in flags:
            module.training = training
            module._compiled_call_impl = compiled


def _set_eval(root: nn.Module) -> None:
    for module in root.modules():
        module.training = False


def _put(slot: Slot, module: nn.Module) -> None:
    if slot.parent is None:
        raise ModelError("the model itself cannot be replaced")
    slot.parent._modules[slot.key] = module


def _state(root: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from root.named_parameters()
    yield from root.named_buffers()


def _observed(root: nn.Module) -> dict[str, object]:
    """What changes when somebody writes: version and address of each tensor, identity and hooks of each module."""
    seen: dict[str, object] = {
        name: (tensor.data_ptr(), tensor.dtype, None if tensor.is_inference() else tensor._version)
        for name, tensor in _state(root)
    }
    for name, module in root.named_modules():
        hooks = (*module._forward_hooks, *module._forward_pre_hooks)
        seen[f"module {name!r}"] = (id(module), hooks)
    return seen


def _bytes(tensor: torch.Tensor) -> bytes:
    if tensor.is_quantized or tensor.layout is not torch.strided:
        return repr(tensor).encode()
    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _array(module: nn.Module) -> Array:
    weight = module.weight
    if not isinstance(weight, torch.Tensor) or weight.dtype not in FLOATS:
        raise TypeError(f"{type(module).__name__} has no floating weight")
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    array: Array = np.asarray(weight.detach().to("cpu", dtype).numpy())
    return array
