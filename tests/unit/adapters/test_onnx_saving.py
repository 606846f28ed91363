"""ONNX models in files: one, or with their weights beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from aimet_hooks.adapters.onnx_graph import saving
from tests.unit.adapters.onnx_networks import array, full_rank_error, network, node, run

if TYPE_CHECKING:
    from pathlib import Path

X = array(2, 4, 8, 8)


def a_model() -> onnx.ModelProto:
    nodes = [node("Conv", "x w b", "a", "conv"), node("MatMul", "a v", "y", "matmul")]
    return network(nodes, {"w": array(64, 4, 3, 3), "b": array(64), "v": array(6, 50)})


def test_a_model_is_one_file(tmp_path: Path) -> None:
    saving.save(a_model(), tmp_path / "model.onnx")
    assert [item.name for item in tmp_path.iterdir()] == ["model.onnx"]
    assert onnx.load(tmp_path / "model.onnx") == a_model()


def test_above_the_limit_the_weights_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "LARGEST_FILE", 5000)
    model = a_model()
    path = tmp_path / "model.onnx"
    for _ in range(2):  # the second replaces the first
        saving.save(model, path)
        assert sorted(item.name for item in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
        assert path.stat().st_size < 2000 < (tmp_path / "model.onnx.data").stat().st_size
        assert model == a_model(), "the model itself stays as it is"
        for loaded, tensor in zip(onnx.load(path).graph.initializer, model.graph.initializer, strict=True):
            assert np.array_equal(numpy_helper.to_array(loaded), numpy_helper.to_array(tensor))
        onnx.checker.check_model(path, full_check=True)
        assert np.array_equal(run(path, {"x": X})[0], run(model, {"x": X})[0])


def test_sessions_of_models_above_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "LARGEST_FILE", 100)
    assert full_rank_error(a_model()) < 1e-5
