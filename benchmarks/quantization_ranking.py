"""Does the ranking by weights alone tell which layers lose the score?

For the demo network, and for a larger one that is trained here (a residual network of 22 layers with batch norms, on
scikit-learn's digits), every layer is quantized by itself to 4 bits with one scale, and the model scored. Printed is
Spearman's rank correlation between what is measured and what the weights, and the layer's output, say: 1 is the same
order. Half a minute::

    python benchmarks/quantization_ranking.py
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy is imported

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from aimet_hooks import demo
from aimet_hooks.adapters.onnx_graph.session_options import with_threads
from aimet_hooks.evals import agreement
from aimet_hooks.quantization import analyze_sensitivity, summarize_weight_ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

BITWIDTH = 4
PREDICTIONS = ("effective_bits_per_tensor", "sqnr_symmetric_per_tensor", "relative_range", "rounded_to_zero")
RISING = ("relative_range", "rounded_to_zero")
"""Those of which more is worse."""


class Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        same = inside == outside and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.bn1(self.conv1(images)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.shortcut(images))


def trained_network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """The larger network, and the images and labels that it was not trained with."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.tensor(digits.images[:, None] / 16).float()
    parts = train_test_split(images, torch.tensor(digits.target), test_size=0.4, random_state=0)
    train, test, train_labels, test_labels = parts
    widths = (16, 16, 16, 32, 32, 32, 64, 64, 64)
    blocks = [Block(a, b, 1 + (a < b)) for a, b in zip((16, *widths[:-1]), widths, strict=True)]
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    )
    epochs, steps = 12, -(-len(train) // 32)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(train)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(train[batch]), train_labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return model.eval(), test, test_labels


def report(name: str, model: Any, scores: dict[str, Callable[[Any], Any]], images: Any, **how: Any) -> None:
    summary = summarize_weight_ranges(model, bitwidth=BITWIDTH)
    for score, evaluate in scores.items():
        result = analyze_sensitivity(
            model, evaluate, bitwidths=(BITWIDTH,), example_inputs=images, plugins=[], console="off", **how
        )
        measured = result.scores[BITWIDTH].dropna()
        drops = result.baseline_score - measured
        print(
            f"{name}, {score}: {len(drops)} layers, baseline {result.baseline_score:.4f}, drops {drops.min():.4f} to "
            f"{drops.max():.4f}, {(drops.abs() < 1e-9).sum()} of them none"
        )
        for prediction in PREDICTIONS:
            worse = summary.loc[measured.index, prediction] * (1 if prediction in RISING else -1)
            print(f"    by {prediction}: Spearman {correlation(worse, drops):+.2f}")
        print(f"    by the SQNR of the layer's output: Spearman {correlation(-result.sqnr[BITWIDTH], drops):+.2f}")


def correlation(worse: pd.Series, drops: pd.Series) -> float:
    return float(spearmanr(worse.reindex(drops.index), drops, nan_policy="omit").statistic)


def main() -> None:
    with np.load(demo.model_path().with_name("digits_test.npz"), allow_pickle=False) as data:
        images = data["images"].astype(np.float32) / 16
    scores: dict[str, Callable[[Any], Any]] = {"accuracy": demo.accuracy(), "agreement": agreement(images)}
    report("demo network", demo.model_path(), scores, images, session_options=with_threads(1))
    model, test, labels = trained_network()

    def accuracy(network: nn.Module) -> float:
        return float((network(test).argmax(1) == labels).float().mean())

    report("residual network", model, {"accuracy": accuracy, "agreement": agreement(test)}, test)


if __name__ == "__main__":
    main()
