"""What a callback may return, what it may not, and how it must be callable."""

from __future__ import annotations

import functools
import math
import operator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from aimet_hooks import evaluation
from aimet_hooks.errors import UsageError
from aimet_hooks.evaluation import UnusableScoreError, check_callback, check_trainer, evaluate, read_score

# -- scores ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        Fraction(1, 2),
        Decimal("0.5"),
        np.float16(0.5),
        np.float32(0.5),
        np.float64(0.5),
        np.longdouble(0.5),
        np.array(0.5),
        torch.tensor(0.5),
        torch.tensor(0.5, dtype=torch.float16),
        torch.tensor(0.5, dtype=torch.bfloat16),
        torch.tensor(0.5, requires_grad=True),
        torch.nn.Parameter(torch.tensor(0.5)),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_every_single_real_number_is_a_score(value: object) -> None:
    score, metrics = read_score(value)
    assert type(score) is float
    assert (score, metrics) == (0.5, {})
    assert read_score({"score": value})[0] == 0.5


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3), Decimal(3)])
def test_whole_numbers_are_scores(value: object) -> None:
    score, _ = read_score(value)
    assert type(score) is float
    assert score == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"eval_callback returned None; is a `return` missing\?"),
        (True, r"returned a bool \('True'\); a score is one real number"),
        (np.bool_(True), r"returned a bool \('True'\)"),
        (torch.tensor(True), r"returned a bool \('True'\)"),
        (1 + 2j, r"returned a complex \('\(1\+2j\)'\)"),
        (np.complex64(1), r"returned a complex"),
        (torch.tensor(1j), r"returned a complex"),
        (torch.tensor([0.5, 0.5]), r"returned a Tensor of shape \(2,\); a score is one real number"),
        (torch.tensor([0.5]), r"returned a Tensor of shape \(1,\)"),
        (np.array([[0.5]]), r"returned an ndarray of shape \(1, 1\)"),
        ("0.5", r"returned a str \('0.5'\)"),
        ((0.5, 0.5), r"returned a tuple \('\(0.5, 0.5\)'\)"),
        ([0.5], r"returned a list"),
        (b"x" * 500, r"returned a bytes \(\"b'x{38}\"\); a score"),
        (np.array("x"), r"returned a str \('x'\)"),
        (10**400, r"returned a number that is no float: int too large to convert to float"),
        (Decimal("sNaN"), r"returned a number that is no float: cannot convert signaling NaN to float"),
        ({"accuracy": 0.5, 5: 1}, r"returned a dict without 'score'; its keys are \['5', 'accuracy'\]"),
        ({"score": None}, r"returned a dict whose 'score' is None"),
        ({"score": [1]}, r"returned a dict with a 'score' that is a list"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_everything_else_is_refused_with_what_it_is(value: object, message: str) -> None:
    with pytest.raises(UnusableScoreError, match=message):
        read_score(value)
    outcome = evaluate(lambda model: value, "model")
    assert outcome.score is None
    assert outcome.exception is None
    assert outcome.error is not None
    assert outcome.error.startswith("eval_callback returned")


def test_other_numbers_of_a_dict_are_metrics_and_the_rest_is_left_out() -> None:
    value = {
        "score": 0.5,
        "loss": torch.tensor(0.25),
        7: np.int64(3),
        "nan": math.nan,
        "text": "x",
        "flag": True,
        "many": [1],
        "none": None,
    }
    assert read_score(value) == (0.5, {"loss": 0.25, "7": 3.0})


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (math.nan, "the score is nan"),
        (math.inf, "the score is inf"),
        (-math.inf, "the score is -inf"),
        (Decimal("NaN"), "the score is nan"),
        (torch.tensor(float("nan")), "the score is nan"),
        ({"score": np.float32("inf"), "loss": 1.0}, "the score is inf"),
    ],
)
def test_score_that_is_not_finite_is_no_score(value: object, error: str) -> None:
    outcome = evaluate(lambda model: value, "model")
    assert (outcome.score, outcome.error) == (None, error)


# -- calls -------------------------------------------------------------------------------------------------------------


def test_outcome_has_score_metrics_and_duration() -> None:
    outcome = evaluate(lambda model: {"score": len(model), "loss": 0.5}, "model")
    assert (outcome.score, outcome.metrics, outcome.error) == (5.0, {"loss": 0.5}, None)
    assert outcome.seconds >= 0


def test_exception_of_a_callback_is_an_outcome() -> None:
    error = RuntimeError("out of memory")

    def callback(model: object) -> float:
        raise error

    outcome = evaluate(callback, "model")
    assert (outcome.score, outcome.error) == (None, "RuntimeError: out of memory")
    assert outcome.exception is error


def test_value_error_of_a_callback_is_not_taken_for_a_bad_score() -> None:
    outcome = evaluate(lambda model: int("x"), "model")
    assert outcome.error is not None
    assert outcome.error.startswith("ValueError: invalid literal")
    assert isinstance(outcome.exception, ValueError)


def test_score_that_fails_when_it_is_read_is_an_outcome() -> None:
    outcome = evaluate(lambda model: torch.tensor(0.5, device="meta"), "model")  # as a GPU that failed does
    assert outcome.score is None
    assert outcome.error is not None
    assert "meta" in outcome.error
    assert outcome.exception is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_process_passes(error: type[BaseException]) -> None:
    def callback(model: object) -> float:
        raise error

    with pytest.raises(error):
        evaluate(callback, "model")


# -- signatures --------------------------------------------------------------------------------------------------------


class Evaluator:
    def __call__(self, model: object) -> float:
        return 0.5

    def method(self, model: object) -> float:
        return 0.5

    @classmethod
    def of_class(cls, model: object) -> float:
        return 0.5

    @staticmethod
    def static(model: object) -> float:
        return 0.5

    def with_loader(self, model: object, loader: object) -> float:
        return 0.5

    @classmethod
    def of_class_with_loader(cls, model: object, loader: object) -> float:
        return 0.5


class NeedsMore:
    def __call__(self, model: object, loader: object, *, device: str) -> float:
        return 0.5


def evaluate_all(model: object, iterations: int, use_cuda: bool, verbose: bool = False) -> float:
    return 0.5


@pytest.mark.parametrize(
    "callback",
    [
        lambda model: 0.5,
        lambda model, iterations=10: 0.5,
        lambda *anything: 0.5,
        lambda model, /, *, device="cpu": 0.5,
        Evaluator(),
        Evaluator().method,
        Evaluator.of_class,
        Evaluator.static,
        functools.partial(evaluate_all, iterations=1, use_cuda=False),
        functools.partial(operator.mul, 2),
        torch.nn.Identity(),
        len,
        max,
    ],
)
def test_callback_that_takes_the_model_alone_is_accepted(callback: Any) -> None:
    check_callback(callback)


@pytest.mark.parametrize(
    ("callback", "mended"),
    [
        (evaluate_all, "eval_callback=lambda model: evaluate_all(model, iterations, use_cuda)"),
        (lambda model, loader: 0.5, "eval_callback=lambda model: callback(model, loader)"),
        (lambda model, *, loader: 0.5, "eval_callback=lambda model: callback(model, loader=loader)"),
        (lambda model, n, *args, loader, **kw: 0.5, "eval_callback=lambda model: callback(model, n, loader=loader)"),
        (lambda *args, loader: 0.5, "eval_callback=lambda model: callback(model, loader=loader)"),
        (lambda *, model: 0.5, "eval_callback=lambda model: callback(model=model)"),
        (lambda *, loader, model: 0.5, "eval_callback=lambda model: callback(model=model, loader=loader)"),
        (lambda *, net, loader: 0.5, "eval_callback=lambda model: callback(net=model, loader=loader)"),
        (lambda: 0.5, "give it a first argument for the model"),
        (lambda **options: 0.5, "give it a first argument for the model"),
        (Evaluator().with_loader, "eval_callback=lambda model: evaluator.with_loader(model, loader)"),
        (Evaluator.of_class_with_loader, "eval_callback=lambda model: Evaluator.of_class_with_loader(model, loader)"),
        (Evaluator.method, "eval_callback=lambda model: method(model, model)"),
        (NeedsMore(), "eval_callback=lambda model: needsmore(model, loader, device=device)"),
        (functools.partial(evaluate_all, use_cuda=True), "eval_callback=lambda model: callback(model, iterations)"),
    ],
)
def test_callback_that_needs_more_gets_the_lambda_that_mends_it(callback: Any, mended: str) -> None:
    with pytest.raises(UsageError, match="cannot be called with the model alone") as caught:
        check_callback(callback)
    assert str(caught.value).endswith(mended)


def test_message_names_argument_function_and_signature() -> None:
    with pytest.raises(
        UsageError,
        match=r"full_eval_callback evaluate_all\(model: .*iterations: .*\).* cannot be called with the model alone; "
        r"give full_eval_callback=lambda model: evaluate_all\(",
    ):
        check_callback(evaluate_all, "full_eval_callback")


@pytest.mark.parametrize("callback", [None, 0.5, "evaluate", torch.tensor(1.0)])
def test_what_cannot_be_called_is_refused(callback: Any) -> None:
    with pytest.raises(
        UsageError, match=r"eval_callback is .*; give a function that takes the model and returns a score"
    ):
        check_callback(callback)


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (evaluate_all, "evaluate_all"),
        (Evaluator().method, "Evaluator.method"),
        (Evaluator(), "Evaluator"),
        (functools.partial(evaluate_all, iterations=1), "evaluate_all"),
        (len, "len"),
    ],
)
def test_callback_has_a_name_for_the_record(callback: Any, name: str) -> None:
    assert evaluation.callback_name(callback) == name


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        (
            lambda model: None,
            r"cannot be called as trainer\(model, layer_name\); give trainer=lambda model, layer_name: ",
        ),
        ("adam", r"trainer is 'adam'; give a function trainer\(model, layer_name\)"),
    ],
)
def test_a_trainer_that_cannot_be_called_is_refused(trainer: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_trainer(trainer)


def test_a_coroutine_function_is_refused() -> None:
    async def accuracy(model: object) -> float:
        return 0.5

    with pytest.raises(UsageError, match="accuracy is a coroutine function, which nobody awaits"):
        check_callback(accuracy)


def test_a_message_names_the_argument_and_has_one_line() -> None:
    def broken(model: object) -> None:
        raise RuntimeError("first\n  second")

    assert evaluate(broken, None).error == "RuntimeError: first second"
    assert (evaluate(lambda _: None, None, "full_eval_callback").error or "").startswith(
        "full_eval_callback returned None"
    )
