"""A compressed torch model is plain torch: it is pickled and exported where aimet_hooks is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from aimet_hooks import ManualSelection, SpatialSvd, compress_model

NETWORK = """
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.body = nn.Conv2d(8, 12, (3, 5), padding="same", padding_mode="reflect")
        self.norm = nn.BatchNorm2d(12)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.body(torch.relu(self.stem(x)))))
        return self.fc(self.drop(x.mean(dim=(2, 3))))
"""

ELSEWHERE = """
import sys
import warnings

sys.modules["aimet_hooks"] = None  # an import of it fails

import numpy as np
import onnx
import onnxruntime
import torch

sys.path.insert(0, sys.argv[1])
torch.set_num_threads(1)
model = torch.load(sys.argv[1] + "/model.pt", weights_only=False).eval()
inputs, expected = torch.load(sys.argv[1] + "/expected.pt")
with torch.no_grad():
    assert torch.equal(model(inputs), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own
        exported = torch.export.export(model, (inputs,))
        assert torch.equal(exported.module()(inputs), expected)
        path = sys.argv[1] + "/model.onnx"
        torch.onnx.export(model, (inputs,), path, dynamo=True, external_data=False, verbose=False)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
(found,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
nodes = [node.op_type for node in onnx.load(path).graph.node]
print(nodes.count("Conv"))
"""


WITHOUT_COMPILER = """
import sys
from torch import nn
from aimet_hooks import ManualSelection, compress_model

model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 4))
compress_model(model, lambda m: 1.0, input_shape=(1, 3, 8, 8), selection=ManualSelection({"0": 0.5}), plugins=[])
print("torch._dynamo" in sys.modules)
"""


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "their_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    import their_network

    yield their_network.Network()
    del sys.modules["their_network"]


def test_a_compressed_model_needs_no_aimet_hooks(network: Any, tmp_path: Path) -> None:
    inputs = torch.randn(2, 3, 16, 16)
    result = compress_model(
        network,
        lambda model: float(model(inputs).mean()),
        example_inputs=inputs,
        compress_scheme=SpatialSvd(),
        selection=ManualSelection({"stem": 0.6, "body": 0.4}),
        plugins=[],
    )
    model = result.model.eval()
    with torch.no_grad():
        torch.save((inputs, model(inputs)), tmp_path / "expected.pt")
    torch.save(model, tmp_path / "model.pt")
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split()[-1] == "4"


def test_a_run_does_not_load_torch_s_compiler() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER], capture_output=True, text=True, timeout=300, check=True
    )
    assert run.stdout.split() == ["False"]
