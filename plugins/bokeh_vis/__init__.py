"""Show runs on a live page of a Bokeh server, and as a page in one file.

Reached through the entry point ``bokeh`` only. Bokeh is imported when there is something to draw, and then on the
thread that draws.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from aimet_hooks import hookimpl
from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bokeh.models import Column

    from aimet_hooks.events import Event
    from aimet_hooks.quantization.model_ranges import ModelRanges, RangeChanges
    from aimet_hooks.run_settings import RunSettings
    from bokeh_vis.display import Display
    from bokeh_vis.live_layout import LiveLayout
    from bokeh_vis.server import PageServer

__all__ = [
    "create_reporter",
    "draw_relative_weight_ranges",
    "draw_weight_range_changes",
    "draw_weight_ranges",
    "open_display",
    "open_live_layout",
    "open_server",
    "page_address",
    "page_server",
    "start_server",
    "write_layout",
    "write_report",
]

logger = logging.getLogger(__name__)


@hookimpl
def create_reporter(settings: RunSettings) -> object | None:
    """A reporter that draws the run on ``visualization_url`` and into ``report.html`` of ``results_dir``."""
    if settings.visualization_url is None and settings.results_dir is None:
        return None
    from bokeh_vis import address
    from bokeh_vis.reporter import BokehReporter

    page = None
    if settings.visualization_url is not None:
        try:
            page = address.parse(settings.visualization_url)
        except UsageError as error:
            logger.warning("there is no live page: %s; the run goes on without it", error)
    return None if page is None and settings.results_dir is None else BokehReporter(page, settings.results_dir)


def page_address(url: str) -> str:
    """What a browser opens to see the page that a run with this ``visualization_url`` draws.

    Raises:
        UsageError: If ``url`` is no address.
    """
    from bokeh_vis import address

    return address.parse(url).page


def open_display(url: str) -> Display:
    """A page on a Bokeh server for recorded runs.

    Raises:
        UsageError: If ``url`` is no address.
    """
    from bokeh_vis.display import Display

    return Display(url)


def write_report(events: Sequence[Event], path: Path) -> None:
    """Write a recorded run as a page in one file.

    Raises:
        OSError: If it cannot be written.
    """
    from aimet_hooks.run_state import RunState
    from bokeh_vis import report

    run = RunState()
    for event in events:
        run.apply(event)
    report.write(run, path, goes_on=False)


def start_server() -> tuple[str, subprocess.Popen[bytes]]:
    """Start a plain Bokeh server on a free port of this machine: its address and its process.

    Raises:
        AimetHooksError: If it does not start.
    """
    from bokeh_vis import server_process

    return server_process.start_plain()


@contextlib.contextmanager
def page_server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """``aimet-hooks serve`` as a process of its own as long as the ``with`` block lasts: its address and its process.

    Raises:
        AimetHooksError: If it does not start.
    """
    from bokeh_vis import server_process

    url, process = server_process.start_pages()
    try:
        yield url, process
    finally:
        server_process.end(process)


def open_server(root: Path | None, *, host: str, port: int, origins: Sequence[str] = ()) -> PageServer:
    """A server of live pages and, with a root, of the pages of all runs below it; it listens and does not serve yet.

    Raises:
        AimetHooksError: If it cannot listen there.
    """
    from bokeh_vis.server import PageServer

    return PageServer(root, host=host, port=port, origins=origins)


def draw_weight_ranges(ranges: ModelRanges) -> Column:
    """The page of ``visualize_weight_ranges``, a layout that belongs to no document yet."""
    from bokeh_vis.weight_ranges import pages

    return pages.weight_ranges(ranges)


def draw_relative_weight_ranges(ranges: ModelRanges) -> Column:
    """The page of ``visualize_relative_weight_ranges_to_identify_problematic_layers``, likewise."""
    from bokeh_vis.weight_ranges import pages

    return pages.relative_ranges(ranges)


def draw_weight_range_changes(changes: RangeChanges) -> Column:
    """The page of ``visualize_changes_after_optimization``, likewise."""
    from bokeh_vis.weight_ranges import pages

    return pages.changes(changes)


def write_layout(layout: Column, path: Path) -> None:
    """Write one of these pages as a file.

    Raises:
        OSError: If it cannot be written.
    """
    from bokeh_vis import html_file
    from bokeh_vis.weight_ranges import pages

    html_file.write(layout, path, pages.title_of(layout))


def open_live_layout(url: str) -> LiveLayout:
    """A place for one of these pages on a Bokeh server.

    Raises:
        UsageError: If ``url`` is no address.
        AimetHooksError: If there is no Bokeh server.
    """
    from bokeh_vis.live_layout import LiveLayout

    return LiveLayout(url)
