"""The page of a run as one file that needs neither a server nor a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.presentation.text import clean
from bokeh_vis import html_file
from bokeh_vis import page as pages
from bokeh_vis.control import Claim

if TYPE_CHECKING:
    from pathlib import Path

    from aimet_hooks.run_state import RunState


def write(run: RunState, path: Path, *, goes_on: bool = True, notice: str = "") -> None:
    """Write the page of a run as it is now; the file is replaced as a whole.

    Args:
        run: However far it came.
        path: Of the HTML file.
        goes_on: Whether that is a run that goes on as long as it has not ended, and not a recording of one.
        notice: A sentence about the page itself; "": none.

    Raises:
        OSError: If it cannot be written.
    """
    page = pages.build(max(pages.COLUMNS, len(run.candidates)))
    while page.draw(run, Claim(), goes_on=goes_on, notice=notice):
        pass
    page.control.still()
    html_file.write(page.root, path, clean(run.started.run_name) if run.started else "aimet-hooks")
