"""A layout as one HTML file that needs neither a server nor a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.resources import INLINE

if TYPE_CHECKING:
    from pathlib import Path

    from bokeh.models import LayoutDOM


def write(root: LayoutDOM, path: Path, title: str) -> None:
    """Write a layout that belongs to no document; the file is replaced as a whole.

    Args:
        root: The page.
        path: Of the HTML file.
        title: Of the page, in the browser's tab.

    Raises:
        OSError: If it cannot be written.
    """
    document = Document()
    document.add_root(root)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(file_html(document, INLINE, title=title), "utf-8", "replace")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
