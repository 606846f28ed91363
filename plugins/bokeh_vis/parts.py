"""Find the models of a page that may have been built by another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from bokeh.model import Model

M = TypeVar("M", bound="Model")


def part(root: Model, name: str, kind: type[M]) -> M:
    """The one model of a page with this name.

    Raises:
        LookupError: If there is none of this kind: the page was damaged, or made by another version.
    """
    found = root.select_one({"name": name})
    if not isinstance(found, kind):
        raise LookupError(f"the page has no {kind.__name__} {name!r}")  # noqa: TRY004 -- it is not there
    return found
