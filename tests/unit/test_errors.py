"""One tree of errors, drawn in the docstring as it is."""

from __future__ import annotations

import inspect
import pickle
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import aimet_hooks
from aimet_hooks import errors
from aimet_hooks.errors import AimetHooksError, kind_of, nearest

ALL = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
]


def drawn() -> dict[str, str]:
    """Parent by class, as the docstring draws it."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"( {4})([│├└─ ]*)(\w+Error)\b", line)
        if found:
            depth = len(found[2]) // 4
            path = [*path[:depth], found[3]]
            parents[found[3]] = path[depth - 1] if depth else "Exception"
    return parents


def test_every_error_is_in_the_drawing_below_its_parent() -> None:
    assert drawn() == {error.__name__: error.__bases__[0].__name__ for error in ALL}


@pytest.mark.parametrize("error", ALL)
def test_every_error_is_of_one_tree_and_public(error: type[AimetHooksError]) -> None:
    assert issubclass(error, AimetHooksError)
    assert getattr(aimet_hooks, error.__name__) is error
    assert error.__doc__


@pytest.mark.parametrize("error", ALL)
def test_errors_cross_processes(error: type[AimetHooksError]) -> None:
    again = pickle.loads(pickle.dumps(error("conv1: 0.5")))
    assert type(again) is error
    assert str(again) == "conv1: 0.5"


def test_wrong_arguments_and_files_are_value_errors_too() -> None:
    assert issubclass(errors.UsageError, ValueError)
    assert issubclass(errors.RecordingError, ValueError)
    assert not issubclass(errors.EvaluationError, ValueError)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("conv11", ["conv1", "conv2", "fc"], "; the nearest are 'conv1', 'conv2'"),
        ("layer1", ["layer1.0.conv1", "layer1.0.conv2", "fc"], "; the nearest are 'layer1.0.conv1', 'layer1.0.conv2'"),
        ("xyz", ["conv1", "fc"], "; there are 'conv1', 'fc'"),
        ("xyz", ["a1", "b2", "c3", "d4"], "; there are 'a1', 'b2', 'c3', ..."),
        ("xyz", ["a1", "a1"], "; there are 'a1'"),
        ("xyz", [], "; there are none"),
    ],
)
def test_hint_names_what_is_near(name: str, known: list[str], hint: str) -> None:
    assert nearest(name, known) == hint


@pytest.mark.parametrize(
    ("value", "whole", "kind"),
    [
        (None, True, "None"),
        (3, True, "an int"),
        ([], False, "a list"),
        (np.zeros(1), False, "an ndarray"),
        (Path(), False, f"a {type(Path()).__name__}"),
        (Decimal(1), True, "a decimal.Decimal"),
    ],
)
def test_the_kind_of_a_value_has_its_article(value: object, whole: bool, kind: str) -> None:
    assert kind_of(value, whole=whole) == kind
