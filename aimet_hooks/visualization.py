"""Look at recorded runs on a Bokeh server. What draws is the plugin ``bokeh``, reached through its entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from aimet_hooks import discovery, recordings
from aimet_hooks.errors import RecordingError, UsageError
from aimet_hooks.events import ExplorationStarted, RatiosSelected

if TYPE_CHECKING:
    import os
    import subprocess

    from aimet_hooks.events import Event

PLUGIN = "bokeh"


def start_bokeh_server_session() -> tuple[str, subprocess.Popen[bytes]]:
    """Start a plain ``bokeh serve`` on a free port of this machine, without an application.

    Returns:
        Its address ("http://127.0.0.1:PORT/"), and its process, which ends with this one or by ``terminate()``.

    Raises:
        AimetHooksError: If it does not start.
        UsageError: If the plugin cannot be used.
    """
    url, process = discovery.plugin(PLUGIN).start_server()
    return url, process


class VisualizeCompression:
    """A live page that shows recorded runs; both displays fill the same page.

    ::

        with VisualizeCompression("http://localhost:5006/") as view:
            view.display_eval_scores("runs/a")
            view.display_comp_ratio_plot("runs/a")

    The page stays until ``close``, the end of the ``with`` block or of the process; a plain server drops it when the
    last tab has left, too.

    Args:
        url: "http://host:port/" of a Bokeh server; ``?bokeh-session-id=NAME`` is honoured.

    Raises:
        UsageError: If it is no address, or the plugin cannot be used.
    """

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):
            raise UsageError(f"url is {url!r}; give the address of a Bokeh server, as 'http://localhost:5006/'")
        self._display: Any = discovery.plugin(PLUGIN).open_display(url)

    def display_eval_scores(self, path: str | os.PathLike[str]) -> None:
        """Show a table of scores and all else that was recorded with it; returns when the server has it.

        Args:
            path: A results directory, ``events.jsonl``, ``eval_scores.json`` or ``.csv``, or a pickle of AIMET's.

        Raises:
            RecordingError: If the file cannot be read or has no scores.
            AimetHooksError: If the server does not have the page within 10 s.
        """
        self._display.show_scores(_read(path, ExplorationStarted, "table of scores"))

    def display_comp_ratio_plot(self, path: str | os.PathLike[str]) -> None:
        """Show chosen ratios, beside the scores that are shown already; returns when the server has it.

        Args:
            path: A results directory, ``events.jsonl``, ``comp_ratios.json``, or a pickle of AIMET's.

        Raises:
            RecordingError: If the file cannot be read or nothing was chosen in it.
            AimetHooksError: If the server does not have the page within 10 s.
        """
        self._display.show_choice(_read(path, RatiosSelected, "chosen ratios"))

    def close(self) -> None:
        """Let the page go."""
        self._display.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(path: str | os.PathLike[str], kind: type[Event], what: str) -> list[Event]:
    events = recordings.read_compression(path)
    if not any(isinstance(event, kind) for event in events):
        raise RecordingError(f"{path} has no {what}")
    return events
