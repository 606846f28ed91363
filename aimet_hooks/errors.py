"""Everything that aimet-hooks raises on purpose.

::

    AimetHooksError
    ├── UsageError (also a ValueError)   an argument, option or name is wrong; nothing was computed
    │   ├── MissingExtraError            an optional dependency is not installed
    │   ├── UnknownNameError             a layer, plugin or keyword that does not exist
    │   └── TargetError                  the target ratio cannot be reached
    ├── ModelError                       the model cannot be read, run, copied or compressed
    ├── EvaluationError                  an evaluation callback failed where the run cannot go on
    ├── RecordingError                   a file of scores, ratios or events cannot be read
    └── ResultsDirError                  a results directory is taken or cannot be written
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class AimetHooksError(Exception):
    """The base of all errors of this package: one sentence that says what to do next."""


class UsageError(AimetHooksError, ValueError):
    """An argument, option or name is wrong; nothing was computed."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed; the message holds the command that installs it."""


class UnknownNameError(UsageError):
    """A name stands for nothing; the message lists the nearest ones that exist."""


class TargetError(UsageError):
    """No choice of ratios reaches the target; the message says the lowest ratio that can be reached."""


class ModelError(AimetHooksError):
    """The model cannot be read, run, copied or compressed."""


class EvaluationError(AimetHooksError):
    """An evaluation callback failed where the run cannot go on without its score."""


class RecordingError(AimetHooksError, ValueError):
    """A file of scores, ratios or events cannot be read; the message names the file and the place."""


class ResultsDirError(AimetHooksError):
    """A results directory already holds a run, or cannot be written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the known names that are most like ``name``, to end an error message with.

    Returns:
        ``"; the nearest are 'a', 'b'"``, ``"; there are 'a', 'b'"`` if nothing is near, or ``"; there are none"``.
    """
    choices = list(dict.fromkeys(known))
    if not choices:
        return "; there are none"
    inside = [choice for choice in choices if choice.startswith(f"{name}.")]
    close = inside or difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    verb = "the nearest are" if close else "there are"
    shown = ", ".join(repr(choice) for choice in (close or choices)[:3])
    return f"; {verb} {shown}" + (", ..." if not close and len(choices) > 3 else "")


def kind_of(value: object, *, whole: bool = False) -> str:
    """What a value is, for an error message: "None", "an int", "a list".

    Args:
        value: Any.
        whole: Whether a class that is not built in comes with its module.
    """
    if value is None:
        return "None"
    kind = type(value)
    name = kind.__name__ if not whole or kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' or name == 'ndarray' else 'a'} {name}"
