"""The label-free callback."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from scipy.special import rel_entr, softmax

from aimet_hooks import GreedySelection, compress_model, demo
from aimet_hooks.errors import EvaluationError, UsageError
from aimet_hooks.evals import agreement
from aimet_hooks.testing import RecordingPlugin

IMAGES = np.random.default_rng(1).random((6, 3)).astype(np.float32)


def linear(scale: float) -> torch.nn.Module:
    module = torch.nn.Linear(3, 4)
    with torch.no_grad():
        module.weight.copy_(torch.arange(12.0).reshape(4, 3).sin() * scale)
        module.bias.zero_()
    return module


def test_the_original_agrees_fully_with_itself() -> None:
    score = agreement(IMAGES)(linear(1.0))
    assert score == {"score": 0.0, "same_top1": 1.0}


def test_kl_is_the_mean_divergence_of_the_softmax() -> None:
    callback = agreement(IMAGES)
    callback.remember_original(linear(1.0))
    outputs = [linear(scale)(torch.from_numpy(IMAGES)).detach().double().numpy() for scale in (1.0, 2.0)]
    p, q = (softmax(output, axis=1) for output in outputs)
    assert callback(linear(2.0))["score"] == pytest.approx(-rel_entr(p, q).sum(axis=1).mean(), rel=1e-6)


def test_several_batches_count_by_their_size() -> None:
    whole, parts = agreement(IMAGES), agreement([IMAGES[:1], IMAGES[1:]])
    for callback in (whole, parts):
        callback.remember_original(linear(1.0))
    assert whole(linear(3.0))["score"] == pytest.approx(parts(linear(3.0))["score"])


def test_sqnr_is_in_decibels_and_at_most_200() -> None:
    callback = agreement(IMAGES, metric="sqnr")
    callback.remember_original(linear(1.0))
    assert callback(linear(1.0)) == {"score": 200.0}
    assert callback(linear(1.1))["score"] == pytest.approx(20.0, abs=1e-4)


def test_a_dict_like_output_and_dict_inputs_work() -> None:
    class Net(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": a + b}

    assert agreement({"a": IMAGES, "b": IMAGES})(Net())["same_top1"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(([],), "agreement has no inputs"), ((IMAGES, "l2"), "give 'kl' for logits or 'sqnr'")],
)
def test_bad_arguments_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        agreement(arguments[0], metric=arguments[1] if len(arguments) > 1 else "kl")


def test_an_input_that_is_missing_is_named() -> None:
    session = onnxruntime.InferenceSession(str(demo.model_path()))
    with pytest.raises(UsageError, match=r"the model takes 'image', the inputs have 'images', 'labels'"):
        agreement({"images": IMAGES, "labels": IMAGES})(session)


def test_inputs_that_do_not_fit_are_a_baseline_that_cannot_be_evaluated() -> None:
    with pytest.raises(EvaluationError, match="the baseline cannot be evaluated: InvalidArgument"):
        compress_model(demo.model_path(), agreement(IMAGES), input_shape=demo.INPUT_SHAPE, plugins=[])


def test_it_drives_a_compression_with_the_full_evaluation_at_the_ends() -> None:
    images = np.load(demo.model_path().with_name("digits_test.npz"))["images"][:60].astype(np.float64) / 16
    recorded = RecordingPlugin()
    result = compress_model(
        demo.model_path(),
        agreement({"pixels": images}),
        input_shape=demo.INPUT_SHAPE,
        full_eval_callback=demo.accuracy(),
        selection=GreedySelection(num_comp_ratio_candidates=4),
        plugins=[recorded],
    )
    assert result.stats.baseline_score > 0.98
    assert (result.eval_scores.to_numpy() <= 0).all()
    assert all("same_top1" in event.metrics for event in recorded.events if event.name == "eval_score")
