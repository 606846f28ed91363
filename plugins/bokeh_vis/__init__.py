"""Show runs on a live page of a Bokeh server, and as a page in one file.

Reached through the entry point ``bokeh`` only. Bokeh is imported when there is something to draw, and then on the
thread that draws.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aimet_hooks import hookimpl
from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    from aimet_hooks.run_settings import RunSettings

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
