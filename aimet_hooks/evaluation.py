"""Call the user's evaluation callback and read what it returns."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from aimet_hooks.errors import UsageError, kind_of

EvalCallback = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one evaluation.

    Attributes:
        score: A finite number, or None with ``error``.
        seconds: Duration of the call.
        metrics: Other finite numbers of a dict.
        error: Why there is no score, in words.
        exception: What was raised, if anything.
    """

    score: float | None
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    exception: Exception | None = None


def check_callback(callback: EvalCallback, argument: str = "eval_callback") -> None:
    """Refuse a callback that cannot be called with the model alone.

    Raises:
        UsageError: With the lambda that mends it.
    """
    if not callable(callback):
        raise UsageError(f"{argument} is {callback!r}; give a function that takes the model and returns a score")
    if inspect.iscoroutinefunction(callback):
        raise UsageError(
            f"{argument} {callback_name(callback)} is a coroutine function, which nobody awaits; give a plain one"
        )
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):
        return  # a builtin that does not tell
    try:
        signature.bind(None)
    except TypeError as error:
        raise UsageError(
            f"{argument} {callback_name(callback)}{signature} cannot be called with the model alone; "
            f"{_mended(callback, signature, argument)}"
        ) from error


def check_trainer(trainer: Callable[..., object]) -> None:
    """Refuse a trainer that cannot be called with the model and the name of a layer.

    Raises:
        UsageError: With the lambda that mends it.
    """
    if not callable(trainer):
        raise UsageError(f"trainer is {trainer!r}; give a function trainer(model, layer_name)")
    try:
        signature = inspect.signature(trainer)
        signature.bind(None, "")
    except ValueError:
        return  # a builtin that does not tell
    except TypeError as error:
        raise UsageError(
            f"trainer {callback_name(trainer)}{signature} cannot be called as trainer(model, layer_name); "
            f"give trainer=lambda model, layer_name: {_called(trainer)}(...)"
        ) from error


def _mended(callback: EvalCallback, signature: inspect.Signature, argument: str) -> str:
    required = [parameter for parameter in signature.parameters.values() if parameter.default is parameter.empty]
    places = [parameter.name for parameter in required if parameter.kind in _POSITIONAL]
    keywords = [parameter.name for parameter in required if parameter.kind is parameter.KEYWORD_ONLY]
    arguments = [f"{name}={name}" for name in keywords]
    if places or any(parameter.kind is parameter.VAR_POSITIONAL for parameter in required):
        arguments = ["model", *places[1:], *arguments]
    elif keywords:
        taken = "model" if "model" in keywords else keywords[0]
        arguments = [f"{taken}=model", *(f"{name}={name}" for name in keywords if name != taken)]
    else:
        return "give it a first argument for the model"
    return f"give {argument}=lambda model: {_called(callback)}({', '.join(arguments)})"


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _called(callback: Callable[..., Any]) -> str:
    """What a user would write to call the callback: its name, or that of an instance of its class."""
    if inspect.ismethod(callback):
        owner = callback.__self__
        instance = owner.__name__ if inspect.isclass(owner) else type(owner).__name__.lower()
        return f"{instance}.{callback.__name__}"
    if isinstance(callback, functools.partial):
        return "callback"
    name = str(getattr(callback, "__name__", type(callback).__name__.lower()))
    return "callback" if name == "<lambda>" else name


def callback_name(callback: Callable[..., Any]) -> str:
    """The callback's qualified name, as provenance and messages have it."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    return str(getattr(callback, "__qualname__", None) or type(callback).__qualname__)


@runtime_checkable
class RemembersOriginal(Protocol):
    """An ``eval_callback`` that compares with the original model, and so wants to see it once before anything else."""

    def remember_original(self, model: Any) -> None:
        """Take in the original native model."""
        ...


@runtime_checkable
class Fingerprinted(Protocol):
    """An ``eval_callback`` that tells what its scores depend on beside the model: those of another do not compare."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal data and settings."""
        ...


def identity_of(callback: EvalCallback | None) -> dict[str, str]:
    """What a callback adds to what scores depend on: nothing, if it does not tell."""
    return {"eval_callback": str(callback.fingerprint)} if isinstance(callback, Fingerprinted) else {}


def evaluate_original(callback: EvalCallback, cell_callback: object, model: object, argument: str) -> Outcome:
    """Evaluate the original model by ``callback``, after the callback of the cells has seen it if it wants to."""
    if isinstance(cell_callback, RemembersOriginal):
        try:
            cell_callback.remember_original(model)
        except Exception as error:
            return Outcome(None, error=_described(error), exception=error)
    return evaluate(callback, model, argument)


def evaluate(callback: EvalCallback, model: object, argument: str = "eval_callback") -> Outcome:
    """Call the callback; an exception or an unusable score is an outcome with an error, never raised.

    Args:
        callback: Takes the model.
        model: The native model.
        argument: What the callback is called in a message.
    """
    begin = time.perf_counter()
    try:
        score, metrics = read_score(callback(model), argument)
    except UnusableScoreError as error:
        return Outcome(None, time.perf_counter() - begin, error=str(error))
    except Exception as error:
        return Outcome(None, time.perf_counter() - begin, error=_described(error), exception=error)
    seconds = time.perf_counter() - begin
    if not math.isfinite(score):
        return Outcome(None, seconds, metrics, error=f"the score is {score}")
    return Outcome(score, seconds, metrics)


def _described(error: Exception) -> str:
    """The class and the text of an exception on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class UnusableScoreError(ValueError):
    """What a callback returned is no score."""


def read_score(value: Any, argument: str = "eval_callback") -> tuple[float, dict[str, float]]:
    """The score that a callback returned, and the other numbers beside it.

    Args:
        value: A real number (float, int, Decimal, numpy scalar, 0-d tensor or array), or a dict with "score" and
            other such numbers, of which those that are finite are kept.
        argument: What the callback is called in a message.

    Raises:
        UnusableScoreError: If it is anything else.
    """
    if not isinstance(value, Mapping):
        return _number(value, f"{argument} returned"), {}
    if "score" not in value:
        raise UnusableScoreError(
            f"{argument} returned a dict without 'score'; its keys are {sorted(map(str, value))[:10]}"
        )
    if value["score"] is None:
        raise UnusableScoreError(f"{argument} returned a dict whose 'score' is None; a score is one real number")
    metrics = {}
    for name, item in value.items():
        if name == "score":
            continue
        try:
            number = _number(item, "")
        except UnusableScoreError:
            continue
        if math.isfinite(number):
            metrics[str(name)] = number
    return _number(value["score"], f"{argument} returned a dict with a 'score' that is"), metrics


def _number(value: Any, returned: str) -> float:
    if value is None:
        raise UnusableScoreError(f"{returned} None; is a `return` missing?")
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        shape = getattr(value, "shape", None)
        what = f"({str(value)[:40]!r})" if shape is None else f"of shape {tuple(shape)}"
        raise UnusableScoreError(f"{returned} {kind_of(value)} {what}; a score is one real number")
    try:
        return float(value)
    except (OverflowError, ValueError) as error:
        raise UnusableScoreError(f"{returned} a number that is no float: {error}") from error
