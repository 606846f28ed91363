"""The page of a run as one file that needs neither a server nor a network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.resources import INLINE

from bokeh_vis import page as pages

if TYPE_CHECKING:
    from pathlib import Path

    from aimet_hooks.run_state import RunState


def write(run: RunState, path: Path, *, notice: str = "") -> None:
    """Write the page of a run as it is now; the file is replaced as a whole.

    Args:
        run: However far it came.
        path: Of the HTML file.
        notice: A sentence about the page itself; "": none.

    Raises:
        OSError: If it cannot be written.
    """
    page = pages.build(max(pages.COLUMNS, len(run.candidates)))
    while page.draw(run, now=time.time(), notice=notice):
        pass
    page.control.still()
    document = Document()
    document.add_root(page.root)
    title = run.started.run_name if run.started else "aimet-hooks"
    part = path.with_name(f".{path.name}.part")
    part.write_text(file_html(document, INLINE, title=title), "utf-8", "replace")
    part.replace(path)
