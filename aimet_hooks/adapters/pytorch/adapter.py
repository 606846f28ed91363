"""A torch module as the core sees it: layers are swapped in place and put back, whatever happens."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import nn

from aimet_hooks import interrupts
from aimet_hooks.adapters.pytorch import arrays
from aimet_hooks.adapters.pytorch import replacement as replacements
from aimet_hooks.adapters.pytorch.build import TorchBuild
from aimet_hooks.adapters.pytorch.example import Example
from aimet_hooks.adapters.pytorch.guard import check_values, claimed, evaluating, set_eval
from aimet_hooks.adapters.pytorch.stored import StoredTensor, stored_tensors
from aimet_hooks.adapters.pytorch.survey import Survey, survey
from aimet_hooks.adapters.pytorch.tree import check_copy, unwrapped
from aimet_hooks.adapters.pytorch.watch import Watch
from aimet_hooks.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aimet_hooks.adapters import ExampleInput
    from aimet_hooks.adapters.pytorch.tree import Slot
    from aimet_hooks.factorization import Array, Replacement
    from aimet_hooks.layers import Layer


class TorchAdapter:
    """A ``torch.nn.Module``, unwrapped from DataParallel, DistributedDataParallel and torch.compile.

    Args:
        model: The user's module.
        example: Shape or values of the input.

    Raises:
        UsageError: If there is no example, or the model is a ScriptModule.
        ModelError: If the model has parameters without values.
    """

    _watch: Watch

    def __init__(self, model: nn.Module, example: ExampleInput) -> None:
        self._root = unwrapped(model)
        check_values(self._root)
        self.trainable = True
        self.model_name = type(self._root).__name__
        self.notes: Sequence[str] = ()
        self._example = Example(self._root, example)
        self._survey: Survey | None = None
        self._guard = contextlib.ExitStack()
        self._training: dict[int, bool] = {}
        self._swapped: Slot | None = None
        self._stored: dict[str, StoredTensor] | None = None
        self._reweighted: StoredTensor | None = None

    def __enter__(self) -> Self:
        """Take hold of the model: eval mode, no compiled shortcuts; given back by ``__exit__``.

        Raises:
            UsageError: If another run works on the model.
            ModelError: If the model cannot be copied.
        """
        try:
            with interrupts.deferred():
                self._guard.enter_context(claimed(self._root))
            check_copy(self._root)
            self._training = {id(module): module.training for module in self._root.modules()}
            self._guard.callback(torch.set_grad_enabled, torch.is_grad_enabled())  # an interrupt may tear a no_grad
            if torch.is_inference_mode_enabled():  # its tensors could never be trained
                self._guard.enter_context(torch.inference_mode(mode=False))
            with interrupts.deferred():
                self._guard.enter_context(evaluating(self._root))
            self._guard.callback(self._put_back)
            self._watch = Watch(self._root)
        except BaseException:
            self._guard.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Give the model back exactly as it was."""
        try:
            with interrupts.deferred():
                self._guard.close()
        finally:
            self._guard.close()  # where an interrupt came before it could be deferred

    def layers(self) -> Sequence[Layer]:
        """Every layer with weights, from one run of the example."""
        return self._surveyed.layers

    @property
    def _surveyed(self) -> Survey:
        if self._survey is None:
            self._survey = survey(self._root, lambda: self.run_example(self._root), self._example.samples)
        return self._survey

    def weight(self, name: str) -> Array:
        """(out, in, *kernel) float64 for a float64 weight, else float32."""
        return replacements.weight_of(self._surveyed.slots[name].module)

    def names_within(self, module: object) -> set[str]:
        """Names of the layers that are this module or lie below it."""
        if not isinstance(module, nn.Module):
            return set()
        inside = {id(child) for child in module.modules()}
        return {name for name, slot in self._surveyed.slots.items() if id(slot.module) in inside}

    @contextlib.contextmanager
    def original(self) -> Iterator[nn.Module]:
        """The user's own module in eval mode, under no_grad."""
        set_eval(self._root)
        with torch.no_grad():
            yield self._root

    @contextlib.contextmanager
    def swapped(self, name: str, replacement: Replacement) -> Iterator[nn.Module]:
        """The user's own module with a layer replaced; where an interrupt tears this, ``__exit__`` puts it back."""
        slot = self._surveyed.slots[name]
        try:
            self._swapped = slot
            slot.put(replacements.sequential(slot.module, replacement))
            with self.original() as model:
                yield model
        finally:
            self._put_back()

    @contextlib.contextmanager
    def reweighted(self, name: str, weight: Array) -> Iterator[nn.Module]:
        """The user's own module with another parameter in one layer; put back as ``swapped`` puts layers back.

        Raises:
            ModelError: If there is no such weight, or it is computed from other parameters.
        """
        found = self._stored_tensor(name)
        if found.fixed is not None:
            raise ModelError(f"{name!r} cannot have another weight: {found.fixed}")
        try:
            self._reweighted = found
            found.module._parameters[found.key] = found.like(weight)
            with self.original() as model:
                yield model
        finally:
            self._put_back()

    def layer_output(self, name: str, weight: Array | None = None) -> Array | None:
        """What the module gives for the example, caught by a hook that is gone afterwards."""
        caught: list[torch.Tensor] = []
        handle = self._stored_tensor(name).module.register_forward_hook(
            lambda _module, _inputs, output: caught.extend(
                tensor.detach().clone() for tensor in arrays.tensors_in(output)[:1]
            )
        )  # cloned, as what comes next may work in place
        with handle, self.original() if weight is None else self.reweighted(name, weight) as model:
            self.run_example(model)
        if not caught:
            return None
        array: Array = torch.cat([output.reshape(-1) for output in caught]).to("cpu", torch.float64).numpy()
        return array

    def _stored_tensor(self, name: str) -> StoredTensor:
        if self._stored is None:
            self._stored = {found.name: found for found in stored_tensors(self._root)}
        if name not in self._stored:
            raise ModelError(f"{name!r} is no layer with float weights of its own")
        return self._stored[name]

    def _put_back(self) -> None:
        with interrupts.deferred():
            if self._reweighted is not None:
                stored = cast("nn.Parameter", self._reweighted.tensor)
                self._reweighted.module._parameters[self._reweighted.key] = stored
                self._reweighted = None
            if self._swapped is not None:
                self._swapped.put(self._swapped.module)
                self._swapped = None

    def run_example(self, native: nn.Module) -> None:
        """Run the example input once; the model's buffers and the random state stay as they are.

        Raises:
            ModelError: If the model goes on without a replacement that is in it.
        """
        set_eval(native)
        try:
            with torch.no_grad(), self._replacement_called():
                self._example.run(native)
        finally:
            if self._example.writes_buffers:
                self._watch.accept_buffers()

    @contextlib.contextmanager
    def _replacement_called(self) -> Iterator[None]:
        """Notice a model that calls a layer by a reference of its own: every score of it would be the original's."""
        slot = self._swapped
        found = None if slot is None or slot.parent is None else slot.parent._modules[slot.key]
        if slot is None or found is None or not self._surveyed.calls(slot.name):
            yield
            return
        called = []

        def forward(*args: Any, **kwargs: Any) -> Any:
            called.append(True)
            return type(found).forward(found, *args, **kwargs)

        vars(found)["forward"] = forward  # no hook, which would switch fused paths off
        yield
        if not called:
            raise ModelError("it calls the layer by a reference of its own, past its place in the tree of modules")

    def begin_build(self) -> TorchBuild:
        """The only copy of the model."""
        return TorchBuild(self._root, self._training)

    def fingerprint(self) -> str:
        """SHA-256 of the structure and of all parameters and buffers."""
        return self._watch.fingerprint()

    def changes(self, *, thorough: bool = False) -> Sequence[str]:
        """What somebody else changed since the last call, by versions and addresses; by content if ``thorough``."""
        return self._watch.changes(thorough=thorough)

    def settings(self) -> Mapping[str, Any]:
        """Device and threads."""
        return {
            "framework": f"torch {torch.__version__}",
            "device": str(self._example.device),
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
