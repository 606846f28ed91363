"""Which layers will be in the table: each one is tried in the model before anything is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aimet_hooks.errors import UnknownNameError, kind_of, nearest
from aimet_hooks.layers import named
from aimet_hooks.search_space import NOTHING_ASKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.adapters.stored_weights import StoredWeights
    from aimet_hooks.layers import Layer
    from aimet_hooks.schemes import SvdScheme
    from aimet_hooks.search_space import SearchSpace

MAX_REASON = 300
"""Characters of an exception's text that a reason quotes."""


def ignored(model: Adapter | StoredWeights, names: Sequence[str], patterns: Iterable[Any]) -> dict[str, str]:
    """The layers that the user leaves out, each with the name, glob or module that says so.

    Raises:
        UnknownNameError: If an entry matches no layer.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        if isinstance(pattern, str):
            matched = named(pattern, names)
            shown, likely = repr(pattern), nearest(pattern, names)
        else:
            within = model.names_within(pattern)
            matched = [name for name in names if name in within]
            shown, likely = kind_of(pattern), "; give layer names, globs, or modules of the model"
        if not matched:
            raise UnknownNameError(f"layers_to_ignore has {shown}, which matches no layer{likely}")
        found.update(dict.fromkeys(matched, f"ignored: layers_to_ignore has {shown}"))
    return found


def try_layers(adapter: Adapter, space: SearchSpace, left_out: dict[str, str]) -> Iterator[tuple[Layer, str | None]]:
    """For each layer with weights whether it can be compressed: None, or the reason against it.

    A layer that nothing speaks against is replaced once by factors without content, and the example input run. A layer
    that the example did not reach is tried as well: who reads its weight without calling it fails, and says so.
    """
    for layer in adapter.layers():
        reason = left_out.get(layer.name) or space.reason_against(layer)
        if layer.name not in left_out and (reason is None or not layer.called):
            reason = _trial(adapter, layer, space.scheme) or reason
        yield layer, reason


def loosened_ties(space: SearchSpace, ties: Mapping[str, str], skipped: Iterable[str]) -> Iterator[str]:
    """What is to be said of ties that have lost a layer, or never had two.

    Args:
        space: Which layers were to share a ratio.
        ties: Those that do.
        skipped: Names of the layers that stay as they are.
    """
    asked = [options.tie for options in space.options.values() if options.tie is not None]
    for name, options in space.options.items():
        if options.tie is not None and asked.count(options.tie) == 1:
            yield f"tie {options.tie!r} has layer {name!r} only, which is tied to nothing; name another layer for it"
    for name in skipped:
        tie = space.options.get(name, NOTHING_ASKED).tie
        if tie is not None:
            others = ", ".join(repr(other) for other, found in ties.items() if found == tie)
            left = f"; {others} stay tied" if others else ""
            yield f"layer {name!r} is skipped and so leaves the tie {tie!r}{left}"


def _trial(adapter: Adapter, layer: Layer, scheme: SvdScheme) -> str | None:
    if layer.called and not np.isfinite(adapter.weight(layer.name)).all():
        return "its weight holds NaN or infinite values"
    return failure_in(adapter, adapter.swapped(layer.name, scheme.trial(layer)), "a replacement")


def failure_in(adapter: Adapter, changed: AbstractContextManager[Any], what: str) -> str | None:
    """Why the model fails on the example input with a layer changed; None if it does not.

    Args:
        adapter: The model.
        changed: A context of the adapter that changes a layer.
        what: What is in the layer's place, in words.
    """
    try:
        with changed as native:
            adapter.run_example(native)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return f"the model fails with {what} in its place: {text[:MAX_REASON]}"
    return None
