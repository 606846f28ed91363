"""Which layers a torch module has, and what stands against replacing each."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune

from aimet_hooks import ModelError, SpatialSvd, WeightSvd, plan
from aimet_hooks.adapters import ExampleInput
from aimet_hooks.adapters.pytorch import TorchAdapter
from aimet_hooks.layers import Layer

IMAGE = (1, 4, 8, 8)


def layers_of(model: nn.Module, shape: tuple[int, ...] | None = IMAGE, values: Any = None) -> dict[str, Layer]:
    with TorchAdapter(model, ExampleInput(shape=shape if values is None else None, values=values)) as adapter:
        return {layer.name: layer for layer in adapter.layers()}


def reasons_of(model: nn.Module, **options: Any) -> dict[str, str | None]:
    """As ``compress_model`` would skip them, the trial replacement included."""
    options.setdefault("compress_scheme", WeightSvd())
    if "example_inputs" not in options:
        options.setdefault("input_shape", IMAGE)
    return {layer.name: layer.reason for layer in plan(model, **options).layers}


class Calls(nn.Module):
    """A plain convolution beside the module under test, whose forward calls what ``how`` says."""

    def __init__(self, how: Any = None, **children: nn.Module) -> None:
        super().__init__()
        self.plain = nn.Conv2d(4, 4, 3, padding=1)
        for name, child in children.items():
            self.add_module(name, child)
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.plain(x)
        return self.how(self, x) if self.how else self.child(x)


class OwnForward(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 2


class Renamed(nn.Linear):
    pass


def test_convolutions_and_linear_layers_can_be_replaced() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Flatten(2), nn.Conv1d(6, 6, 3), nn.Linear(34, 7))
    found = layers_of(model)
    assert {name: (layer.kind, layer.reason) for name, layer in found.items()} == {
        "0": ("Conv2d", None),
        "2": ("Conv1d", None),
        "3": ("Linear", None),
    }


def test_layers_come_in_the_order_of_the_network_not_of_registration() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.never = nn.Linear(2, 2)
            self.last = nn.Linear(8, 3)
            self.first = nn.Linear(4, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x))

    assert list(layers_of(Backwards(), (2, 4))) == ["first", "last", "never"]


def test_names_may_hold_dots() -> None:
    model = nn.Sequential(nn.Sequential())
    model[0]._modules["odd.name"] = nn.Conv2d(4, 4, 3)
    with TorchAdapter(model, ExampleInput(shape=IMAGE)) as adapter:
        assert [layer.name for layer in adapter.layers()] == ["0.odd.name"]
        with adapter.swapped("0.odd.name", WeightSvd().trial(adapter.layers()[0])) as native:
            assert isinstance(native[0]._modules["odd.name"], nn.Sequential)
        assert isinstance(model[0]._modules["odd.name"], nn.Conv2d)


def test_two_layers_of_one_name_are_an_error() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1)))
    model._modules["0.0"] = nn.Conv2d(4, 4, 1)
    with pytest.raises(ModelError, match=r"two layers are named '0.0'"):
        layers_of(model)


def test_a_cycle_of_modules_ends() -> None:
    model = Calls(child=nn.Conv2d(4, 4, 1))
    model.child.register_module("back", model)
    assert list(layers_of(model)) == ["plain", "child"]


# -- skipped, with the reason --

NOT_SUPPORTED: dict[str, tuple[Any, str]] = {
    "subclass with a forward of its own": (OwnForward(4, 4, 3), "OwnForward is a subclass of Conv2d and may compute"),
    "subclass without a forward": (Renamed(8, 8), "Renamed is a subclass of Linear and may compute something else"),
    "grouped": (nn.Conv2d(4, 8, 3, groups=2), r"grouped convolution \(groups=2\)"),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), r"depthwise convolution \(groups=4\)"),
    "transposed": (nn.ConvTranspose2d(4, 4, 2), "ConvTranspose2d is not supported"),
    "weight_norm": (parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), "its weight is parametrized; .*remove_param"),
    "spectral_norm": (parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)), "its weight is parametrized"),
    "orthogonal": (parametrizations.orthogonal(nn.Linear(8, 8)), "its weight is parametrized"),
    "pruned": (prune.l1_unstructured(nn.Conv2d(4, 4, 3), "weight", 0.5), "its weight is computed, not a parameter"),
    "complex": (nn.Conv2d(4, 4, 3, dtype=torch.complex64), "its weight is of dtype torch.complex64"),
    "bilinear": (nn.Bilinear(8, 8, 3), "Bilinear is not supported"),
}


@pytest.mark.parametrize("case", NOT_SUPPORTED)
def test_a_module_that_cannot_be_replaced_is_skipped_with_its_reason(case: str) -> None:
    child, reason = NOT_SUPPORTED[case]
    how = {
        "complex": lambda self, x: self.child(x.to(torch.complex64)).real,
        "bilinear": lambda self, x: self.child(x, x),
    }.get(case)
    found = layers_of(Calls(how, child=child))
    assert found["plain"].reason is None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found["child"].reason)
    assert found["child"].geometry is None
    assert found["child"].macs > 0


def test_weight_norm_of_the_older_kind_is_skipped_and_does_not_stop_the_copy() -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        child = nn.utils.weight_norm(nn.Conv2d(4, 6, 3))
    model = Calls(child=child)
    found = layers_of(model)
    assert found["child"].reason == (
        "its weight is computed, not a parameter (weight_norm and the like); make it plain first"
    )
    assert (found["child"].weight_shape, found["child"].weights) == ((6, 4, 3, 3), 6 * 4 * 9)
    assert found["child"].macs == 6 * 4 * 9 * 36
    model(torch.randn(IMAGE)).sum().backward()  # the weight is now no leaf: copy.deepcopy refuses it
    with TorchAdapter(model, ExampleInput(shape=IMAGE)) as adapter, adapter.begin_build().evaluated() as native:
        assert torch.equal(native(torch.ones(IMAGE)), model.eval()(torch.ones(IMAGE)))


def test_spectral_norm_of_the_older_kind_is_skipped() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        child = nn.utils.spectral_norm(nn.Conv2d(4, 6, 3))
    before = {name: value.clone() for name, value in child.state_dict().items()}
    assert "is computed, not a parameter" in str(layers_of(Calls(child=child))["child"].reason)
    assert all(torch.equal(value, before[name]) for name, value in child.state_dict().items())


def test_an_instance_with_a_forward_of_its_own_is_skipped() -> None:
    child = nn.Conv2d(4, 4, 3)
    child.forward = lambda x: F.relu(nn.Conv2d.forward(child, x))  # type: ignore[method-assign]
    assert layers_of(Calls(child=child))["child"].reason == "it has a forward of its own"


@pytest.mark.parametrize(
    "register",
    [
        lambda module: module.register_forward_hook(lambda *_: None),
        lambda module: module.register_forward_pre_hook(lambda *_: None),
        lambda module: module.register_full_backward_hook(lambda *_: None),
        lambda module: module.register_full_backward_pre_hook(lambda *_: None),
    ],
)
def test_a_layer_with_hooks_is_skipped(register: Any) -> None:
    child = nn.Conv2d(4, 4, 3)
    register(child)
    reason = layers_of(Calls(child=child))["child"].reason
    assert reason == "it has hooks, which a replacement would lose; remove them first"


def test_a_module_called_twice_is_skipped_and_counted_twice() -> None:
    model = Calls(lambda self, x: self.child(self.child(x)), child=nn.Conv2d(4, 4, 3, padding=1))
    child = layers_of(model)["child"]
    assert child.reason == "it is called 2 times in one forward pass"
    assert child.macs == 2 * 4 * 4 * 9 * 64


def test_a_module_that_is_not_called_is_skipped() -> None:
    model = Calls(lambda self, x: x, child=nn.Conv2d(4, 4, 3))
    child = layers_of(model)["child"]
    assert (child.reason, child.macs) == ("the example input does not reach it", 0)
    assert reasons_of(model)["child"] == "the example input does not reach it"


def test_the_same_module_in_two_places_is_skipped() -> None:
    child = nn.Conv2d(4, 4, 3)
    assert layers_of(Calls(child=child, twin=child))["child"].reason == "the same module is also 'twin'"


def test_a_layer_in_a_block_that_has_two_names_is_replaced_under_both() -> None:
    block = nn.Sequential(nn.Conv2d(4, 4, 3))
    model = Calls(child=block, twin=block)
    with TorchAdapter(model, ExampleInput(shape=IMAGE)) as adapter:
        assert [layer.reason for layer in adapter.layers()] == [None, None]
        with adapter.swapped("child.0", WeightSvd().trial(adapter.layers()[1])) as native:
            assert isinstance(native.twin[0], nn.Sequential)


def test_a_shared_weight_is_skipped_in_both_modules() -> None:
    first, second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    second.weight = first.weight
    found = layers_of(Calls(lambda self, x: self.b(self.a(x)), a=first, b=second))
    assert found["a"].reason == "its weight is shared with 'b'"
    assert found["b"].reason == "its weight is shared with 'a'"


def test_a_weight_that_is_a_view_of_another_is_shared() -> None:
    first, second = nn.Linear(8, 8), nn.Linear(8, 4)
    second.weight = nn.Parameter(first.weight.detach().T[2:6])
    found = layers_of(Calls(lambda self, x: self.b(self.a(x)), a=first, b=second))
    assert found["a"].reason == "its weight is shared with 'b'"
    assert found["b"].reason == "its weight is shared with 'a'"


def test_weights_that_lie_in_one_storage_without_overlap_are_not_shared() -> None:
    first, second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    storage = torch.randn(128)
    first.weight, second.weight = nn.Parameter(storage[:64].view(8, 8)), nn.Parameter(storage[64:].view(8, 8))
    found = layers_of(Calls(lambda self, x: self.b(self.a(x)), a=first, b=second))
    assert [(layer.reason, layer.macs) for layer in found.values()][1:] == [(None, 4 * 8 * 64)] * 2


def test_an_output_layer_tied_to_the_embedding_is_skipped_and_counted_once() -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, 20, bias=False)
            self.body = nn.Linear(8, 8)
            self.embedding = nn.Embedding(20, 8)
            self.embedding.weight = self.head.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(self.embedding(x)))

    found = layers_of(Language(), values=torch.zeros(1, 5, dtype=torch.long))
    assert found["head"].reason == "its weight is shared with 'embedding'"
    assert found["embedding"].reason == "Embedding is not supported"
    assert [(name, layer.macs) for name, layer in found.items()] == [("embedding", 0), ("body", 320), ("head", 800)]


def test_recurrent_layers_attention_and_volumes_are_listed_as_not_supported() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 8)
            self.bag = nn.EmbeddingBag(10, 8)
            self.lstm = nn.LSTM(8, 6, bidirectional=True, batch_first=True)
            self.gru = nn.GRU(12, 8, batch_first=True)
            self.cell = nn.GRUCell(8, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.volume = nn.Conv3d(1, 2, (1, 2, 2))
            self.head = nn.Linear(8, 4)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            x = self.embedding(tokens) + self.bag(tokens)[:, None]
            x = self.gru(self.lstm(x)[0])[0]
            x = self.attention(x, x, x)[0]
            self.volume(x[:, None, None])
            return self.head(self.cell(x[:, 0]))

    found = layers_of(Mixed(), values=torch.zeros(2, 5, dtype=torch.long))
    assert {name: layer.reason for name, layer in found.items() if layer.reason} == {
        "embedding": "Embedding is not supported",
        "bag": "EmbeddingBag is not supported",
        "lstm": "LSTM is not supported",
        "gru": "GRU is not supported",
        "attention": "MultiheadAttention is not supported",
        "attention.out_proj": "the example input does not reach it",  # as a module; the trial tells more
        "volume": "Conv3d is not supported",
        "cell": "GRUCell is not supported",
    }
    assert found["lstm"].macs == 2 * 5 * sum(
        p.numel() for p in nn.LSTM(8, 6, bidirectional=True).parameters() if p.dim() > 1
    )


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_dynamically_quantized_layers_are_skipped_and_counted() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 8)
            self.conv = nn.Conv1d(4, 4, 1)
            self.fc = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.conv(self.lstm(x)[0]))

    model = torch.ao.quantization.quantize_dynamic(Mixed(), {nn.Linear, nn.LSTM}, dtype=torch.qint8)
    found = layers_of(model, (5, 4, 8))
    assert {name: (layer.kind, layer.reason) for name, layer in found.items()} == {
        "lstm": ("LSTM", "LSTM is a quantized module"),
        "conv": ("Conv1d", None),
        "fc": ("Linear", "Linear is a quantized module"),
    }
    assert (found["fc"].weight_shape, found["fc"].weights, found["fc"].macs) == ((3, 8), 24, 5 * 4 * 24)
    assert (found["lstm"].weights, found["lstm"].macs) == (2 * 4 * 64, 5 * 4 * 2 * 4 * 64)


def test_a_matrix_of_a_module_of_ones_own_is_counted() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(8, 5))
            self.position = nn.Parameter(torch.randn(8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + self.position) @ self.matrix

    found = layers_of(Calls(child=Own()))
    assert (found["child"].reason, found["child"].macs) == ("Own is not supported", 4 * 8 * 8 * 5)


def test_the_whole_model_being_a_layer_is_a_reason() -> None:
    assert (
        layers_of(nn.Conv2d(4, 4, 3))[""].reason == "it is the whole model; put it into an nn.Sequential to compress it"
    )


def test_sparse_weights_and_parameters_of_ones_own_type_are_skipped() -> None:
    class Marked(nn.Parameter):
        pass

    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sparse, self.marked = nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
            self.sparse.weight = nn.Parameter(self.sparse.weight.detach().to_sparse())
            self.marked.weight = Marked(self.marked.weight.detach())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.marked(torch.sparse.mm(self.sparse.weight, x))

    found = layers_of(Sparse(), (8, 8))
    assert found["sparse"].reason == "its weight is sparse (torch.sparse_coo)"
    assert found["marked"].reason == "its weight is a Marked, no plain parameter"


# -- what only a trial replacement tells --


def test_the_projection_of_attention_is_skipped_with_the_text_of_the_exception() -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.TransformerEncoderLayer(16, 2, 32, batch_first=True))
    reasons = reasons_of(model, input_shape=(2, 5, 16))
    failed = "the model fails with a replacement in its place: AttributeError: 'Sequential' object has no attribute"
    assert reasons["0"] is None
    for name in ("1.self_attn.out_proj", "1.linear1", "1.linear2"):
        assert str(reasons[name]).startswith(failed)
    assert reasons["1.self_attn"] == "MultiheadAttention is not supported"


def test_a_weight_that_is_read_past_its_module_is_skipped() -> None:
    model = Calls(lambda self, x: F.conv2d(self.child(x), self.child.weight), child=nn.Conv2d(4, 4, 3, padding=1))
    assert "'Sequential' object has no attribute 'weight'" in str(reasons_of(model)["child"])


def test_a_layer_that_is_called_by_a_reference_of_ones_own_is_skipped() -> None:
    model = Calls(lambda self, x: self.kept[0](x), child=nn.Conv2d(4, 4, 3))
    model.kept = [model.child]  # a plain list: a replacement in the tree would never be called
    assert reasons_of(model) == {
        "plain": None,
        "child": "the model fails with a replacement in its place: ModelError: "
        "it calls the layer by a reference of its own, past its place in the tree of modules",
    }


def test_a_layer_that_is_called_by_keyword_is_replaced() -> None:
    model = Calls(lambda self, x: self.child(input=x), child=nn.Conv2d(4, 4, 3))
    assert reasons_of(model) == {"plain": None, "child": None}


def test_a_module_with_a_method_of_the_name_of_a_quantized_one_s_is_not_asked() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(8, 8))

        def get_weight(self, scale: float) -> torch.Tensor:
            return self.matrix * scale

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.matrix + self.get_weight(2.0)

    assert reasons_of(Calls(child=Scaled()))["child"] == "Scaled is not supported"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_skipped(value: float) -> None:
    model = Calls(child=nn.Conv2d(4, 4, 3))
    with torch.no_grad():
        model.child.weight[0, 0, 0, 0] = value
    assert reasons_of(model)["child"] == "its weight holds NaN or infinite values"


def test_a_layer_whose_rank_1_saves_nothing_is_skipped() -> None:
    model = Calls(child=nn.Conv2d(4, 1, (3, 1)))
    reason = reasons_of(model, compress_scheme=SpatialSvd())["child"]
    assert reason == "its rank 1 costs 624 MACs, not less than the layer's own 576"


def test_linear_layers_are_for_weight_svd() -> None:
    model = Calls(child=nn.Linear(8, 8))
    assert reasons_of(model, compress_scheme=SpatialSvd()) == {
        "plain": None,
        "child": "spatial SVD takes convolutions only; use compress_scheme=WeightSvd() for linear layers",
    }
    assert reasons_of(model)["child"] is None
