"""Find the evaluation callback that a command line names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aimet_hooks.cli import inputs_file
from aimet_hooks.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import ModuleType

    from aimet_hooks.evals import Agreement
    from aimet_hooks.evaluation import EvalCallback


def refuse_unused(names: Collection[str | None], data: Path | None, metric: str | None) -> None:
    """Refuse what is for "agreement" alone, where no callback is that.

    Args:
        names: What was given as callbacks.
        data: What was given as ``--data``.
        metric: What was given as ``--metric``.

    Raises:
        UsageError: Names the option.
    """
    for option, value in (("--data", data), ("--metric", metric)):
        if value is not None and "agreement" not in names:
            raise UsageError(f"{option} is for --eval agreement; give that, or leave {option} out")


def named(name: str, data: Path | None, metric: Literal["kl", "sqnr"] | None) -> EvalCallback:
    """What ``--eval`` stands for: a function, or "agreement" on the arrays of ``--data``.

    Raises:
        UsageError: If there is no such function, or no such data.
    """
    return agreement_on(data, metric or "kl") if name == "agreement" else load(name)


def load(name: str) -> EvalCallback:
    """The function that ``module:function`` or ``file.py:function`` stands for; the current directory is importable.

    Raises:
        UsageError: If there is no such module, file or function, or it cannot be imported.
    """
    place, separator, function = name.rpartition(":")
    if not separator or not place or not function:
        raise UsageError(f"--eval {name!r} is no function; give module:function, file.py:function or agreement")
    try:
        module = _file(Path(place)) if place.endswith(".py") else _module(place)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"--eval: {place} cannot be imported ({text}); run it where it can be") from error
    if not hasattr(module, function):
        public = [found for found in vars(module) if not found.startswith("_")]
        raise UsageError(f"--eval {name!r}: {place} has no {function!r}{nearest(function, public)}")
    callback: EvalCallback = getattr(module, function)
    return callback


def _module(name: str) -> ModuleType:
    _importable(Path.cwd())
    return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    _importable(path.parent.resolve())
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"--eval: there is no file {str(path)!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def agreement_on(data: Path | None, metric: Literal["kl", "sqnr"]) -> Agreement:
    """The label-free callback on the arrays of an ``.npz`` file.

    Raises:
        UsageError: If there is no such file, or it is none.
    """
    from aimet_hooks.evals import agreement

    if data is None:
        raise UsageError("--eval agreement needs --data inputs.npz: one array an input, by the input's name")
    return agreement(inputs_file.arrays(data, "--data"), metric=metric)
