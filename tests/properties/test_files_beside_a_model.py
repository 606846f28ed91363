"""Costs, sample inputs and compression.json: read, or refused with an error of this package."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from aimet_hooks import load_compressed, own_costs
from aimet_hooks.cli import inputs_file
from aimet_hooks.errors import RecordingError, UsageError
from tests.properties.event_strategies import finite, texts
from tests.properties.mutations import mutated

one_directory = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

COSTS = b'layer,rank,cost\nconv,,100\nconv,1,10\nconv,2,20.5\n"a,b",,3\n"a,b",7,1e-3\n'
PLACES = {"rank": st.integers(-1, 3) | st.booleans() | finite | texts, "first_axes": st.lists(st.integers(-1, 3))}


@one_directory
@given(st.binary(max_size=200) | mutated(COSTS))
def test_costs(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "costs.csv").write_bytes(content)
    with contextlib.suppress(UsageError):
        own_costs.cost_model(tmp_path / "costs.csv")


@pytest.fixture(scope="module", params=[np.savez, np.savez_compressed])
def arrays(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("arrays") / "inputs.npz"
    request.param(path, image=np.zeros((1, 3, 4, 4), np.float32), other=np.arange(5))
    return path.read_bytes()


@one_directory
@given(st.data())
def test_sample_inputs(tmp_path: Path, arrays: bytes, data: st.DataObject) -> None:
    (tmp_path / "inputs.npz").write_bytes(data.draw(st.binary(max_size=200) | mutated(arrays)))
    with contextlib.suppress(UsageError):
        found = inputs_file.arrays(tmp_path / "inputs.npz", "--data")
        assert all(isinstance(values, np.ndarray) for values in found.values())


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
entries = st.fixed_dictionaries({}, optional={name: place | anything for name, place in PLACES.items()})
descriptions = st.fixed_dictionaries(
    {"schema": st.just(1) | anything},
    optional={"layers": st.dictionaries(st.sampled_from(["conv", "fc"]) | texts, entries | anything) | anything},
)


@one_directory
@given(
    (descriptions | anything).map(json.dumps).map(str.encode)
    | st.binary(max_size=100)
    | mutated(b'{"schema": 1, "layers": {"conv": {"rank": 2, "first_axes": [0]}, "fc": {"rank": 1, "first_axes": []}}}')
)
def test_descriptions_of_compressed_models(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "compression.json").write_bytes(content)
    torch.save({}, tmp_path / "weights.pt")
    model: Any = Network()
    with contextlib.suppress(RecordingError):
        load_compressed(model, tmp_path, weights=tmp_path / "weights.pt")
    assert (type(model.conv), type(model.fc)) == (nn.Conv2d, nn.Linear)
