"""Which layers the user leaves out, and what a trial in the model says of the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from aimet_hooks import SpatialSvd, WeightSvd, preflight
from aimet_hooks.adapters import Adapter, ExampleInput, SessionSettings, adapt
from aimet_hooks.cost import MAC
from aimet_hooks.errors import UnknownNameError
from aimet_hooks.search_space import SearchSpace


class Network(nn.Module):
    """Two convolutions below a name, one that somebody reads without calling it, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3))
        self.read = nn.Linear(16, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.body(x).mean((2, 3))
        return self.head(pooled + pooled @ self.read.weight)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Network()


@pytest.fixture
def adapter(network: nn.Module) -> Iterator[Adapter]:
    with adapt(network, ExampleInput(shape=(2, 3, 8, 8)), SessionSettings()) as found:
        found.layers()
        yield found


def ignored(adapter: Adapter, *patterns: object) -> dict[str, str]:
    return preflight.ignored(adapter, [layer.name for layer in adapter.layers()], patterns)


def test_a_layer_is_ignored_by_its_name(adapter: Adapter) -> None:
    assert ignored(adapter, "head") == {"head": "ignored: layers_to_ignore has 'head'"}
    assert ignored(adapter) == {}


def test_a_glob_ignores_all_that_it_matches(adapter: Adapter) -> None:
    assert list(ignored(adapter, "body.*")) == ["body.0", "body.2"]
    assert ignored(adapter, "body.[02]")["body.2"] == "ignored: layers_to_ignore has 'body.[02]'"


def test_a_module_ignores_itself_and_all_below_it(adapter: Adapter, network: Network) -> None:
    assert ignored(adapter, network.head) == {"head": "ignored: layers_to_ignore has a Linear"}
    assert list(ignored(adapter, network.body)) == ["body.0", "body.2"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("haed", "layers_to_ignore has 'haed', which matches no layer; the nearest are 'head'"),
        ("body", r"layers_to_ignore has 'body', which matches no layer; the nearest are 'body\.0', 'body\.2'"),
        ("layer*", r"layers_to_ignore has 'layer\*', which matches no layer; there are"),
        ("HEAD", "matches no layer"),
        (nn.Linear(1, 1), "layers_to_ignore has a Linear, which matches no layer; give layer names, globs, or modules"),
        (3, "layers_to_ignore has an int, which matches no layer"),
    ],
)
def test_what_matches_nothing_is_an_error(adapter: Adapter, pattern: object, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        ignored(adapter, "head", pattern)


def reasons(adapter: Adapter, scheme: SpatialSvd | WeightSvd, left_out: dict[str, str]) -> dict[str, str | None]:
    tried = preflight.try_layers(adapter, SearchSpace(scheme, (), MAC), left_out)
    return {layer.name: reason for layer, reason in tried}


def test_a_layer_that_works_replaced_has_no_reason(adapter: Adapter) -> None:
    found = reasons(adapter, WeightSvd(), {})
    assert {name for name, reason in found.items() if reason is None} == {"body.0", "body.2", "head"}


def test_a_layer_whose_weight_somebody_reads_fails_its_trial_and_says_so(adapter: Adapter) -> None:
    reason = reasons(adapter, WeightSvd(), {})["read"]
    assert reason is not None
    assert (
        "the model fails with a replacement in its place: AttributeError: 'Sequential' object has no attribute"
        in reason
    )


def test_an_ignored_layer_is_not_tried(adapter: Adapter) -> None:
    assert reasons(adapter, WeightSvd(), {"read": "ignored: mine"})["read"] == "ignored: mine"


def test_the_schemes_reason_is_told(adapter: Adapter) -> None:
    head = reasons(adapter, SpatialSvd(), {})["head"]
    assert head is not None
    assert head.startswith("spatial SVD takes convolutions only")


def test_a_weight_that_is_not_finite_is_left_alone(network: Network) -> None:
    with torch.no_grad():
        network.head.weight[0, 0] = float("nan")
    with adapt(network, ExampleInput(shape=(2, 3, 8, 8)), SessionSettings()) as adapter:
        assert reasons(adapter, WeightSvd(), {})["head"] == "its weight holds NaN or infinite values"


def test_a_long_reason_is_cut(network: Network) -> None:
    class Verbose(Network):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not isinstance(self.head, nn.Linear):
                raise TypeError("no\n" * 1000)
            return super().forward(x)

    with adapt(Verbose(), ExampleInput(shape=(2, 3, 8, 8)), SessionSettings()) as adapter:
        reason = reasons(adapter, WeightSvd(), {})["head"]
    assert reason is not None
    assert "TypeError: no no no" in reason
    assert len(reason) < 2 * preflight.MAX_REASON
