"""Evaluation callbacks that come with the package."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aimet_hooks import adapters
from aimet_hooks.errors import UsageError, kind_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

HIGHEST_SQNR = 200.0
"""Decibels that stand for outputs without any difference."""


class Agreement:
    """How much a model's outputs agree with the original's; an ``eval_callback`` that needs no labels.

    ``compress_model`` shows it the original before anything else; called by hand, the first model that it sees is the
    original.
    """

    def __init__(self, batches: list[Any], metric: Literal["kl", "sqnr"], axis: int) -> None:
        self._batches = batches
        self._metric = metric
        self._axis = axis
        self._original: list[Floats] | None = None
        self.__qualname__ = f"agreement({metric})"

    @property
    def fingerprint(self) -> str:
        """Digest of the inputs and the metric: scores for others do not compare."""
        digest = hashlib.sha256(f"{self._metric}:{self._axis}".encode())
        for batch in self._batches:
            values = batch.items() if isinstance(batch, Mapping) else enumerate(_listed(batch))
            for name, value in values:
                array = _array(value)
                digest.update(f"{name}:{array.shape};".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()[:12]

    def remember_original(self, model: Any) -> None:
        """Take the outputs of this model as the ones to agree with."""
        self._original = self._outputs(model)

    def __call__(self, model: Any) -> dict[str, float]:
        """The score of a model; higher is better."""
        outputs = self._outputs(model)
        if self._original is None:
            self._original = outputs
        pairs = list(zip(self._original, outputs, strict=True))
        with np.errstate(all="ignore"):  # a score that is not finite is said to be none
            return _kl(pairs, self._axis) if self._metric == "kl" else _sqnr(pairs)

    def _outputs(self, model: Any) -> list[Floats]:
        return [adapters.first_output(model, batch) for batch in self._batches]


def agreement(inputs: Any, *, metric: Literal["kl", "sqnr"] = "kl", axis: int = -1) -> Agreement:
    """A label-free ``eval_callback``: the agreement of the compressed model's first output with the original's.

    Args:
        inputs: One batch (array or tensor with the samples first, tuple of them for several inputs, or dict by input
            name), or a list of such batches.
        metric: "kl": outputs are logits; the score is the negative Kullback-Leibler divergence of their softmax from
            the original's, in nats, mean over all positions; 0 is full agreement, "same_top1" is the share of
            positions with the same largest logit.
            "sqnr": outputs are numbers; the score is 10 log10(sum x^2 / sum (x - y)^2) in decibels, 200 at most.
        axis: The axis of the classes, for "kl".

    Raises:
        UsageError: If there are no inputs, or the metric does not exist.
    """
    if metric not in ("kl", "sqnr"):
        raise UsageError(f"metric is {metric!r}; give 'kl' for logits or 'sqnr' for other outputs")
    batches = inputs if isinstance(inputs, list) else [inputs]
    if not batches:
        raise UsageError("agreement has no inputs; give at least one batch")
    for batch in batches:
        if not isinstance(batch, (tuple, Mapping)) and not hasattr(batch, "shape"):
            raise UsageError(
                f"agreement has {kind_of(batch)} as a batch; give an array or tensor, a tuple of them, "
                "a dict by input name, or a list of such batches"
            )
    return Agreement(batches, metric, axis)


def _listed(batch: Any) -> Sequence[Any]:
    return batch if isinstance(batch, tuple) else (batch,)


def _array(value: Any) -> np.ndarray[Any, Any]:
    """An array or tensor as an array; what numpy does not know, as bfloat16, as float."""
    return np.asarray(value.detach().float().cpu() if hasattr(value, "detach") else value)


def _kl(pairs: list[tuple[Floats, Floats]], axis: int) -> dict[str, float]:
    divergence, same, positions = 0.0, 0, 0
    for original, output in pairs:
        log_p, log_q = _log_softmax(original, axis), _log_softmax(output, axis)
        terms = (np.exp(log_p) * (log_p - log_q)).sum(axis)
        divergence += float(terms.sum())
        same += int((original.argmax(axis) == output.argmax(axis)).sum())
        positions += terms.size
    return {"score": 0.0 - divergence / positions, "same_top1": same / positions}


def _log_softmax(logits: Floats, axis: int) -> Floats:
    shifted = logits - logits.max(axis, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return result


def _sqnr(pairs: list[tuple[Floats, Floats]]) -> dict[str, float]:
    signal = sum(float((original**2).sum()) for original, _ in pairs)
    noise = sum(float(((original - output) ** 2).sum()) for original, output in pairs)
    if noise == 0 or signal == 0:
        return {"score": HIGHEST_SQNR if noise == 0 else -HIGHEST_SQNR}
    return {"score": min(HIGHEST_SQNR, float(10 * np.log10(signal / noise)))}
