"""The torch adapter against the behaviour that every adapter must have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from aimet_hooks.adapters import ExampleInput
from aimet_hooks.adapters.pytorch import TorchAdapter
from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.testing.adapter_contract import AdapterContract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.adapters.stored_weights import StoredLayer
    from aimet_hooks.factorization import Array

SHAPE = (2, 3, 9, 9)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 5)  # registered first, reached last
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.Tanh())
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.body = nn.Conv2d(6, 8, (3, 1), padding="same", bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.body(self.depthwise(self.stem(x))))
        return self.fc(x.mean(dim=(2, 3)))


class TestTorchAdapter(AdapterContract):
    layer_names = ("stem.0", "depthwise", "body", "fc")

    def make_model(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return Network()

    def make_adapter(self) -> Adapter:
        return TorchAdapter(self.make_model(), ExampleInput(shape=SHAPE))

    def stored(self) -> Sequence[StoredLayer]:
        return stored_weights(self.make_model()).layers

    def make_adapter_of_other_weights(self) -> Adapter:
        model = self.make_model()
        with torch.no_grad():
            model.get_parameter("body.weight")[0, 0, 0, 0] += 1e-3
        return TorchAdapter(model, ExampleInput(shape=SHAPE))

    def outputs(self, native: Any) -> Array:
        return native(torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))).numpy()


class TestTorchAdapterOfDoubles(TestTorchAdapter):
    tolerance = 1e-13

    def make_model(self) -> nn.Module:
        return super().make_model().double()

    def outputs(self, native: Any) -> Array:
        x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))
        return np.asarray(native(x.double()).numpy())
