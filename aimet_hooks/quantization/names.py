"""Names and patterns with which a user chooses layers or tensors."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aimet_hooks.errors import UnknownNameError, UsageError, kind_of, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


def matching(names: Iterable[str] | None, known: Sequence[str], *, option: str, what: str) -> set[str]:
    """The known names that are among ``names``, or that one of these patterns matches; all if it is None.

    A name that is known stands for itself, whatever it would match as a pattern.

    Args:
        names: One name or several.
        known: All names.
        option: What the argument is called in a message.
        what: What the names are of, as "layer with weights".

    Raises:
        UnknownNameError: If one matches nothing.
        UsageError: If one is no string.
    """
    if names is None:
        return set(known)
    if not isinstance(names, Iterable):
        raise UsageError(f"{option} is {names!r}; give names of {what.partition(' ')[0]}s or patterns, as ['block1.*']")
    chosen: set[str] = set()
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str):
            raise UsageError(
                f"{option} holds {kind_of(name)}; give names of {what.partition(' ')[0]}s or patterns, as 'block1.*'"
            )
        found = {name} & {*known} or {other for other in known if fnmatchcase(other, name)}
        if not found:
            raise UnknownNameError(f"{option} has {name!r}, which is no {what}{nearest(name, known)}")
        chosen |= found
    return chosen
