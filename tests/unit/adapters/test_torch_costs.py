"""MACs and weights of torch models, original and compressed, against torch's own counter (two operations a MAC)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aimet_hooks import ManualSelection, SpatialSvd, WeightSvd, compress_model, plan
from aimet_hooks.adapters import ExampleInput
from aimet_hooks.adapters.pytorch import TorchAdapter


class Block(nn.Module):
    def __init__(self, m: int, n: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(m, n, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n)
        self.conv2 = nn.Conv2d(n, n, 3, padding=1)
        self.shortcut = nn.Conv2d(m, n, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv2(F.relu(self.norm(self.conv1(x)))) + self.shortcut(x))


def residual() -> nn.Module:
    """As ResNet: strides, uneven sizes, a large stem, a depthwise and a dilated convolution, kinds of padding."""
    return nn.Sequential(
        nn.Conv2d(3, 16, (7, 5), stride=(2, 1), padding=(3, 1)),
        Block(16, 24, 2),
        nn.Conv2d(24, 24, 3, padding="same", groups=24),
        nn.Conv2d(24, 16, 3, padding=2, dilation=2, padding_mode="reflect"),
        Block(16, 32, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def speech() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(8, 24, 9, stride=3, padding=4, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv1d(24, 24, 5, dilation=2, padding="same"),
        nn.Conv1d(24, 12, 1, stride=2),
    )


def mixer() -> nn.Module:
    """Linear layers with leading dimensions."""
    return nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.Linear(32, 12), nn.LayerNorm(12), nn.Linear(12, 40))


def volumes() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 6, (1, 3, 3), padding=(0, 1, 1)),
        nn.Flatten(2, 3),
        nn.ConvTranspose2d(6, 8, 4, stride=2, padding=1, groups=2),
        nn.Conv2d(8, 8, 3),
    )


MODELS = {
    "residual, batch 1": (residual, (1, 3, 41, 32)),
    "residual, batch 3": (residual, (3, 3, 41, 32)),
    "speech": (speech, (2, 8, 50)),
    "mixer": (mixer, (4, 3, 7, 12)),
    "volumes": (volumes, (2, 2, 4, 6, 5)),
}


def counted(model: nn.Module, *args: torch.Tensor) -> int:
    """MACs by torch's counter, which counts what the operators do."""
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*args)
    return counter.get_total_flops() // 2


def matrices(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)


@pytest.mark.parametrize("name", MODELS)
def test_the_original_costs_what_torch_counts(name: str) -> None:
    make, shape = MODELS[name]
    model = make()
    layers = plan(model, input_shape=shape).layers
    assert sum(layer.macs for layer in layers) == counted(model, torch.randn(shape)) / shape[0]
    assert sum(layer.weights for layer in layers) == matrices(model)
    assert sum(layer.mac_share for layer in layers) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        (name, scheme)
        for name in MODELS
        for scheme in (SpatialSvd(), SpatialSvd(multiplicity=4), WeightSvd())
        if name != "mixer" or isinstance(scheme, WeightSvd)
    ],
)
def test_the_compressed_model_costs_what_torch_counts(name: str, scheme: Any) -> None:
    make, shape = MODELS[name]
    model = make()
    rows = [layer.name for layer in plan(model, input_shape=shape, compress_scheme=scheme).layers if layer.cells]
    ratios = {row: 0.3 + 0.4 * at / len(rows) for at, row in enumerate(rows)}
    result = compress_model(
        model,
        lambda _: 1.0,
        input_shape=shape,
        compress_scheme=scheme,
        selection=ManualSelection(ratios),
        plugins=[],
    )
    before, after = counted(model, torch.randn(shape)), counted(result.model, torch.randn(shape))
    assert sum(layer.macs_before for layer in result.stats.layers.values()) == before / shape[0]
    assert sum(layer.macs_after for layer in result.stats.layers.values()) == after / shape[0]
    assert sum(layer.weights_after for layer in result.stats.layers.values()) == matrices(result.model)
    assert result.stats.mac_ratio == after / before
    assert result.stats.memory_ratio == matrices(result.model) / matrices(model)
    for row, ratio in ratios.items():
        chosen = result.stats.layers[row]
        assert chosen.achieved_comp_ratio <= ratio or chosen.rank == 1 or scheme.multiplicity > 1


def test_attention_counts_its_projections_and_not_the_products_of_activations() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.self_attention = nn.MultiheadAttention(16, 4, batch_first=True)
            self.cross_attention = nn.MultiheadAttention(16, 2, kdim=12, vdim=12, batch_first=True)
            self.fc = nn.Linear(16, 8)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            x = self.self_attention(x, x, x)[0]
            return self.fc(self.cross_attention(x, y, y)[0])

    example = (torch.randn(2, 5, 16), torch.randn(2, 9, 12))
    layers = {layer.name: layer for layer in plan(Attention(), example_inputs=example).layers}
    assert {name: layer.macs for name, layer in layers.items()} == {
        "self_attention": 5 * 3 * 16 * 16,
        "self_attention.out_proj": 5 * 16 * 16,
        "cross_attention": 5 * 16 * 16 + 2 * 9 * 12 * 16,
        "cross_attention.out_proj": 5 * 16 * 16,
        "fc": 5 * 16 * 8,
    }
    assert layers["self_attention"].weights == 3 * 16 * 16


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_layer_is_counted_without_its_fused_path(norm_first: bool) -> None:
    model = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=norm_first)
    layers = plan(model, input_shape=(3, 5, 16), compress_scheme=WeightSvd()).layers
    assert sum(layer.macs for layer in layers) == 5 * (4 * 16 * 16 + 2 * 16 * 32) == 5 * matrices(model)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}, {"proj_size": 3}])
def test_recurrent_layers_use_every_weight_once_a_step(options: dict[str, Any]) -> None:
    model = nn.Sequential(nn.LSTM(8, 6, **options))
    (layer,) = plan(model, example_inputs=torch.randn(5, 4, 8)).layers
    assert layer.macs == 5 * 4 * matrices(model) / 5  # time comes first, and is taken for the batch


def test_packed_sequences_count_the_steps_that_there_are() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(8, 6, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, [5, 2], batch_first=True)
            return self.gru(packed)[1]

    model = Packed()
    (layer,) = plan(model, input_shape=(2, 5, 8)).layers
    assert layer.macs == 7 * matrices(model) / 2


def test_weights_are_followed_through_a_cast() -> None:
    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 4)
            self.matrix = nn.Parameter(torch.randn(8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return self.fc(x @ self.matrix)

    layers = {layer.name: layer.macs for layer in plan(Cast(), input_shape=(2, 8), compress_scheme=WeightSvd()).layers}
    assert layers == {"": 64, "fc": 32}


def test_macs_that_the_batch_does_not_divide_are_a_fraction() -> None:
    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.mean(dim=0))

    (layer,) = plan(Once(), input_shape=(3, 8)).layers
    assert layer.macs == 40 / 3


def test_an_empty_geometry_is_none_for_layers_that_are_skipped() -> None:
    with TorchAdapter(residual(), ExampleInput(shape=(1, 3, 41, 32))) as adapter:
        (depthwise,) = [layer for layer in adapter.layers() if layer.reason]
    assert (depthwise.geometry, depthwise.weight_shape) == (None, (24, 1, 3, 3))
