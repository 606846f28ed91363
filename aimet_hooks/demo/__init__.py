"""The network and the images that ``aimet-hooks demo`` compresses.

``digits.onnx`` is a small residual network, trained by ``scripts/train_demo_network.py`` on the digits of
scikit-learn (E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository); ``digits_test.npz`` holds the 360
images that it has not seen.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

INPUT_SHAPE = (1, 1, 8, 8)
HEAD = "head"
"""The classifier's last layer, which the demo leaves alone: cutting it leaves fewer directions than classes."""


def model_path() -> Path:
    """The ONNX file of the network."""
    return Path(str(resources.files(__name__))) / "digits.onnx"


def accuracy() -> Callable[[Any], float]:
    """An evaluation callback: the share of the 360 test images that a session classifies rightly."""
    with np.load(Path(str(resources.files(__name__))) / "digits_test.npz", allow_pickle=False) as data:
        images = data["images"].astype(np.float32) / 16
        labels = data["labels"]

    def digits_accuracy(session: Any) -> float:
        (logits,) = session.run(None, {"image": images})
        return float((logits.argmax(axis=1) == labels).mean())

    return digits_accuracy
