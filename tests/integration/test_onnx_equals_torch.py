"""The digits network as a torch module and as its ONNX export: the same table and the same ratios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from aimet_hooks import GreedySelection, compress_model, plan
from scripts.train_demo_network import load_folded_from_onnx, normalise

if TYPE_CHECKING:
    from aimet_hooks import CompressionResult

DEMO = Path(__file__).parents[2] / "aimet_hooks" / "demo"
NETWORK = DEMO / "digits.onnx"
CLOSE = 1e-4


def images_and_labels() -> tuple[np.ndarray, np.ndarray]:
    data = np.load(DEMO / "digits_test.npz")
    return normalise(data["images"]), data["labels"]


class Recorder:
    """Accuracy as the score; keeps which images each evaluation counted, and those that any found too close to call."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.right: list[np.ndarray] = []
        self.close = np.zeros(len(labels), bool)

    def __call__(self, model: Any) -> float:
        if isinstance(model, onnxruntime.InferenceSession):
            logits = model.run(None, {"image": self.images})[0]
        else:
            logits = model(torch.from_numpy(self.images)).numpy()
        second, first = np.sort(logits, axis=1)[:, -2:].T
        self.close |= first - second < CLOSE
        self.right.append(logits.argmax(1) == self.labels)
        return float(self.right[-1].mean())


def compressed(model: Any, recorder: Recorder, scheme: str) -> CompressionResult:
    options = None
    if isinstance(model, Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
    return compress_model(
        model,
        recorder,
        input_shape=(1, 1, 8, 8),
        compress_scheme=scheme,
        selection=GreedySelection(target_comp_ratio=0.5),
        layers_to_ignore=["head"],
        plugins=[],
        session_options=options,
    )


@pytest.mark.parametrize("scheme", ["spatial_svd", "weight_svd"])
def test_onnx_and_torch_give_the_same_table_and_the_same_ratios(scheme: str) -> None:
    images, labels = images_and_labels()
    first = Recorder(images, labels)
    compressed(NETWORK, first, scheme)
    clear = ~first.close
    assert clear.sum() >= len(labels) - 10

    torch_calls, onnx_calls = Recorder(images[clear], labels[clear]), Recorder(images[clear], labels[clear])
    of_torch = compressed(load_folded_from_onnx(NETWORK), torch_calls, scheme)
    of_onnx = compressed(NETWORK, onnx_calls, scheme)
    assert len(torch_calls.right) == len(onnx_calls.right) > 50
    for number, pair in enumerate(zip(torch_calls.right, onnx_calls.right, strict=True)):
        assert np.array_equal(*pair), f"evaluation {number} counts other images"
    pd.testing.assert_frame_equal(of_torch.eval_scores, of_onnx.eval_scores, check_exact=True)
    assert of_torch.comp_ratios == of_onnx.comp_ratios
    assert of_torch.stats == of_onnx.stats
    assert of_torch.skipped.keys() == of_onnx.skipped.keys()


@pytest.mark.parametrize("batch", [1, 5])
def test_macs_are_those_of_an_independent_counter(batch: int) -> None:
    module = load_folded_from_onnx(NETWORK)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(batch, 1, 8, 8))
    per_sample = counter.get_total_flops() / 2 / batch
    for model in (module, NETWORK):
        assert sum(layer.macs for layer in plan(model, input_shape=(batch, 1, 8, 8)).layers) == per_sample


@pytest.mark.parametrize("scheme", ["spatial_svd", "weight_svd"])
def test_macs_of_the_compressed_model_are_those_of_an_independent_counter(scheme: str) -> None:
    recorder = Recorder(*images_and_labels())
    of_torch = compressed(load_folded_from_onnx(NETWORK), recorder, scheme)
    of_onnx = compressed(NETWORK, recorder, scheme)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        of_torch.model(torch.zeros(1, 1, 8, 8))
    recounted = plan(of_onnx.model, input_shape=(3, 1, 8, 8)).layers
    after = sum(layer.macs_after for layer in of_onnx.stats.layers.values())
    assert counter.get_total_flops() / 2 == after == sum(layer.macs for layer in recounted)
    assert sum(layer.weights_after for layer in of_onnx.stats.layers.values()) == sum(
        layer.weights for layer in recounted
    )
