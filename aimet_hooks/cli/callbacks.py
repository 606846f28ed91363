"""Find the evaluation callback that a command line names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aimet_hooks.errors import UsageError, nearest

if TYPE_CHECKING:
    from types import ModuleType

    from aimet_hooks.evals import Agreement
    from aimet_hooks.evaluation import EvalCallback


def load(name: str) -> EvalCallback:
    """The function that ``module:function`` or ``file.py:function`` stands for; the current directory is importable.

    Raises:
        UsageError: If there is no such module, file or function, or it cannot be imported.
    """
    place, separator, function = name.rpartition(":")
    if not separator or not place or not function:
        raise UsageError(f"--eval {name!r} is no function; give module:function, file.py:function or agreement")
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    if not hasattr(module, function):
        public = [found for found in vars(module) if not found.startswith("_")]
        raise UsageError(f"--eval {name!r}: {place} has no {function!r}{nearest(function, public)}")
    callback: EvalCallback = getattr(module, function)
    return callback


def _module(name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name.partition(".")[0] or error.name == name:
            raise UsageError(
                f"--eval: there is no module {name!r} here or installed; run it where the module lies"
            ) from error
        raise UsageError(f"--eval: module {name!r} cannot be imported: {error}") from error


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise UsageError(f"--eval: there is no file {str(path)!r}")
    if str(path.parent.resolve()) not in sys.path:
        sys.path.insert(0, str(path.parent.resolve()))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def agreement_on(data: Path | None, metric: Literal["kl", "sqnr"]) -> Agreement:
    """The label-free callback on the arrays of an ``.npz`` file.

    Raises:
        UsageError: If there is no such file, or it is none.
    """
    from aimet_hooks.evals import agreement

    if data is None:
        raise UsageError("--eval agreement needs --data inputs.npz: one array an input, by the input's name")
    try:
        with np.load(data, allow_pickle=False) as arrays:
            inputs: dict[str, Any] = dict(arrays)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"--data {str(data)!r} cannot be read as .npz: {error}") from error
    return agreement(inputs, metric=metric)
