"""The models of a page by their names: it may have been built by another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from bokeh.model import Model

M = TypeVar("M", bound="Model")


class Parts:
    """The named models of a page.

    Args:
        root: The page.
    """

    def __init__(self, root: Model) -> None:
        self._models = {model.name: model for model in root.references() if model.name}

    def get(self, name: str, kind: type[M]) -> M:
        """The model of this name.

        Raises:
            LookupError: If there is none of this kind: the page was damaged, or made by another version.
        """
        found = self._models.get(name)
        if not isinstance(found, kind):
            raise LookupError(f"the page has no {kind.__name__} {name!r}")  # noqa: TRY004 -- it is not there
        return found
