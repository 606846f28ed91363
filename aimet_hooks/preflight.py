"""Which layers will be in the table: each one is tried in the model before anything is evaluated."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from aimet_hooks.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from fractions import Fraction

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.layers import CostMetric, Layer
    from aimet_hooks.schemes import SvdScheme

MAX_REASON = 300
"""Characters of an exception's text that a reason quotes."""


def ignored(adapter: Adapter, layers: Sequence[Layer], patterns: Iterable[Any]) -> dict[str, str]:
    """The layers that the user leaves out, each with the name, glob or module that says so.

    Raises:
        UnknownNameError: If an entry matches no layer.
    """
    names = [layer.name for layer in layers]
    found: dict[str, str] = {}
    for pattern in patterns:
        if isinstance(pattern, str):
            matched = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
            shown, likely = repr(pattern), nearest(pattern, names)
        else:
            within = adapter.names_within(pattern)
            matched = [name for name in names if name in within]
            shown, likely = f"a {type(pattern).__name__}", "; give layer names, globs, or modules of the model"
        if not matched:
            raise UnknownNameError(f"layers_to_ignore has {shown}, which matches no layer{likely}")
        found.update(dict.fromkeys(matched, f"ignored: layers_to_ignore has {shown}"))
    return found


def try_layers(
    adapter: Adapter, scheme: SvdScheme, metric: CostMetric, candidates: Sequence[Fraction], left_out: dict[str, str]
) -> Iterator[tuple[Layer, str | None]]:
    """For each layer with weights whether it can be compressed: None, or the reason against it.

    A layer that nothing speaks against is replaced once by factors without content, and the example input run. A layer
    that the example did not reach is tried as well: who reads its weight without calling it fails, and says so.
    """
    for layer in adapter.layers():
        reason = left_out.get(layer.name) or scheme.reason_against(layer, metric)
        if reason is None and candidates and not scheme.variants(layer, candidates, metric):
            reason = f"no candidate saves anything at multiplicity {scheme.multiplicity}"
        if layer.name not in left_out and (reason is None or not layer.called):
            reason = _trial(adapter, layer, scheme) or reason
        yield layer, reason


def _trial(adapter: Adapter, layer: Layer, scheme: SvdScheme) -> str | None:
    if layer.called and not np.isfinite(adapter.weight(layer.name)).all():
        return "its weight holds NaN or infinite values"
    try:
        with adapter.swapped(layer.name, scheme.trial(layer)) as native:
            adapter.run_example(native)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return f"the model fails with a replacement in its place: {text[:MAX_REASON]}"
    return None
