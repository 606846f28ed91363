"""What a callback changes in the model is noticed and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from aimet_hooks.adapters.pytorch.watch import Watch


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).eval()


@pytest.fixture
def watched() -> Iterator[tuple[nn.Module, Watch]]:
    model = network()
    watch = Watch(model)
    watch.fingerprint()
    with torch.no_grad():
        yield model, watch


def test_nothing_is_named_where_nothing_happened(watched: tuple[Any, Watch]) -> None:
    model, watch = watched
    model(torch.ones(1, 3, 4, 4))
    assert watch.changes(thorough=False) == watch.changes(thorough=True) == []


def _other_weight(model: Any) -> None:
    model[0].weight = nn.Parameter(model[0].weight + 1)


def _half_and_back(model: Any) -> object:
    kept = [parameter.data for parameter in model.parameters()]  # else their memory may hold the new values
    model.half().float()
    return kept


def _gradients(model: Any) -> None:
    with torch.enable_grad():
        model[3](torch.ones(1, 16)).sum().backward()


CHANGES: dict[str, tuple[Callable[[Any], object], list[str]]] = {
    "in place": (lambda model: model[0].weight.add_(1), ["0.weight"]),
    "assigned": (_other_weight, ["0.weight"]),
    "cast": (_half_and_back, ["0.weight", "0.bias", "3.weight", "3.bias"]),
    "frozen": (lambda model: model[3].bias.requires_grad_(requires_grad=False), ["gradient of 3.bias"]),
    "gradients": (_gradients, ["gradient of 3.weight", "gradient of 3.bias"]),
    "forward hook": (lambda model: model[3].register_forward_hook(lambda *_: None), ["hooks of '3'"]),
    "backward hook": (lambda model: model[3].register_full_backward_hook(lambda *_: None), ["hooks of '3'"]),
    "replaced": (lambda model: model.__setitem__(2, nn.Flatten(1).eval()), ["module '2'"]),
    "removed": (lambda model: model.__delitem__(3), ["module '3'", "3.weight", "3.bias"]),
    "added": (lambda model: model.append(nn.Linear(2, 2).eval()), ["module '4'", "4.weight", "4.bias"]),
    "buffer": (lambda model: model.register_buffer("seen", torch.ones(())), ["seen"]),
    "train mode": (lambda model: model.train(), ["train mode"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_named_once(watched: tuple[Any, Watch], what: str) -> None:
    model, watch = watched
    change, names = CHANGES[what]
    kept = change(model)
    assert sorted(watch.changes(thorough=False)) == sorted(names)
    del kept
    model.eval()  # as before every evaluation
    assert watch.changes(thorough=False) == []
    assert watch.changes(thorough=True) == []


def test_statistics_of_batch_norm_are_named(watched: tuple[Any, Watch]) -> None:
    model, watch = watched
    model[1].train()(torch.ones(2, 4, 3, 3))
    model[1].eval()
    assert watch.changes(thorough=False) == ["1.num_batches_tracked"]  # torch writes the others past their version
    assert watch.changes(thorough=True) == ["1.running_mean", "1.running_var"]


def test_a_write_past_the_version_is_found_by_content(watched: tuple[Any, Watch]) -> None:
    model, watch = watched
    model[0].weight.data.add_(1)
    model[1].running_mean.data[0] = float("nan")
    assert watch.changes(thorough=False) == []
    assert watch.changes(thorough=True) == ["0.weight", "1.running_mean"]
    assert watch.changes(thorough=True) == []


def test_what_was_written_with_the_same_values_is_no_change(watched: tuple[Any, Watch]) -> None:
    model, watch = watched
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    assert watch.changes(thorough=False) == []


def test_without_a_fingerprint_a_write_is_a_change() -> None:
    model = network()
    watch = Watch(model)
    with torch.no_grad():
        model[0].weight.mul_(1)
    assert watch.changes(thorough=True) == ["0.weight"]
    assert watch.changes(thorough=True) == []


def test_buffers_that_were_put_back_are_accepted() -> None:
    model = network()
    watch = Watch(model)
    model[1].running_mean.mul_(1)
    watch.accept_buffers()
    assert watch.changes(thorough=False) == []


def _fingerprint(change: Callable[[Any], object] = lambda _: None) -> str:
    model: Any = network()
    with torch.no_grad():
        change(model)
    return Watch(model).fingerprint()


FINGERPRINTS: dict[str, Callable[[Any], object]] = {
    "weight": lambda model: model[0].weight.view(-1)[0].add_(1e-6),
    "bias": lambda model: model[3].bias.add_(1e-6),
    "buffer": lambda model: model[1].running_mean.add_(1e-6),
    "dtype": lambda model: model.double(),
    "stride": lambda model: model[0].__setattr__("stride", (2, 2)),
    "module": lambda model: model.__setitem__(2, nn.Identity()),
    "name": lambda model: model.add_module("2x", model._modules.pop("2")),
    "sign of zero": lambda model: model[1].running_mean.neg_(),
}


@pytest.mark.parametrize("what", FINGERPRINTS)
def test_the_fingerprint_tells_models_apart(what: str) -> None:
    assert _fingerprint(FINGERPRINTS[what]) != _fingerprint()


def test_the_fingerprint_does_not_depend_on_mode_gradients_or_layout() -> None:
    assert _fingerprint(lambda model: model.train().requires_grad_(False)) == _fingerprint()
    assert _fingerprint(lambda model: model.to(memory_format=torch.channels_last)) == _fingerprint()


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state:UserWarning")
def test_the_fingerprint_reads_every_kind_of_tensor() -> None:
    def fingerprint(value: float) -> str:
        model = nn.Module()
        values = torch.full((2, 2), value)
        model.register_buffer("sparse", values.to_sparse())
        model.register_buffer("rows", values.to_sparse_csr())
        model.register_buffer("complex", values.to(torch.complex64).conj())
        model.register_buffer("flags", values > 1)
        model.register_buffer("nothing", torch.empty(0))
        model.register_buffer("number", torch.tensor(value))
        watch = Watch(model)
        assert watch.changes(thorough=True) == []
        return watch.fingerprint()

    assert fingerprint(1.0) == fingerprint(1.0) != fingerprint(2.0)


def test_tensors_of_inference_mode_have_no_version_and_are_watched_by_content() -> None:
    with torch.inference_mode():
        model: Any = network()
        watch = Watch(model)
        watch.fingerprint()
        model[0].weight.add_(1)
        assert watch.changes(thorough=False) == []
        assert watch.changes(thorough=True) == ["0.weight"]
