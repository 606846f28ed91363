"""Real runs of a small network, which stop where a test wants them to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from aimet_hooks import GreedySelection, compress_model

if TYPE_CHECKING:
    from aimet_hooks.result import CompressionResult

SECONDS = 60.0


def network(*names: str, width: int = 12) -> nn.Module:
    """A chain of convolutions with these names."""
    torch.manual_seed(0)
    model = nn.Sequential()
    for name in names or ("first", "second", "third"):
        model.add_module(name, nn.Conv2d(width, width, 3, padding=1))
    return model


class Gate:
    """An evaluation that goes on as far as it is let."""

    def __init__(self) -> None:
        self.evaluations = 0
        self._condition = threading.Condition()
        self._allowed = 0

    def let(self, evaluations: int) -> None:
        """Let so many evaluations happen, all in all."""
        with self._condition:
            self._allowed = evaluations
            self._condition.notify_all()

    def __call__(self, model: Any) -> float:
        with self._condition:
            assert self._condition.wait_for(lambda: self.evaluations < self._allowed, SECONDS)
            self.evaluations += 1
        weights = sum(parameter.numel() for parameter in model.parameters())
        return 0.5 + weights / 20_000


FREELY = 10**9


def compress(
    url: str | None, evaluate: Any = None, *, names: tuple[str, ...] = (), candidates: int = 5, **arguments: Any
) -> CompressionResult:
    """One run of the small network; ``evaluate`` is free by default."""
    if evaluate is None:
        evaluate = Gate()
        evaluate.let(FREELY)
    return compress_model(
        network(*names),
        evaluate,
        input_shape=(1, 12, 8, 8),
        selection=GreedySelection(target_comp_ratio=0.6, num_comp_ratio_candidates=candidates),
        visualization_url=url,
        **{"plugins": ["bokeh"], "console": "off", **arguments},
    )


class RunningRun:
    """A run on a thread of its own."""

    def __init__(self, url: str | None, **arguments: Any) -> None:
        self.gate = Gate()
        self.result: CompressionResult | None = None
        self._error: BaseException | None = None
        self._arguments = arguments
        self._url = url
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = compress(self._url, self.gate, **self._arguments)
        except BaseException as error:
            self._error = error

    def finish(self) -> CompressionResult:
        """Let it run to its end."""
        self.gate.let(FREELY)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        assert self.result is not None
        return self.result
