"""While a panel is drawn, let what others write to the terminal appear above it, line by line."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.ansi import AnsiDecoder

from console_vis.output import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class LineStream(io.TextIOBase):
    """Stands in for a stream to the terminal: complete lines are printed by the console, so above the panel.

    A line that is not complete yet waits for its end; of one that is rewritten after a carriage return, as progress
    bars do, the last state counts. Text is taken literally, but for colours. In a forked process, where nobody draws
    a panel, and after ``close_lines`` everything goes to the stream itself.

    Args:
        console: The console that draws the panel.
        stream: What it stands in for.
    """

    def __init__(self, console: Console, stream: TextIO) -> None:
        self._console = console
        self._stream = stream
        self._process = os.getpid()
        self._pending = ""
        self._lock = threading.Lock()
        self._decoder = AnsiDecoder()
        self._open = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Print the lines that ``text`` completes."""
        if not self._open or os.getpid() != self._process:
            return self._stream.write(text)
        with self._lock:  # not while printing: the drawing thread may itself be about to warn
            *lines, self._pending = (self._pending + text).split("\n")
            self._pending = self._pending[self._pending.rfind("\r", 0, -1) + 1 :]
        for line in lines:
            shown = line.rstrip("\r").rpartition("\r")[-1]
            self._console.print(self._decoder.decode_line(shown), soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        """Nothing: complete lines are on the screen already, an incomplete one waits."""
        if not self._open or os.getpid() != self._process:
            self._stream.flush()

    def close_lines(self) -> None:
        """Write to the stream itself from now on, at first what waits."""
        with self._lock:
            self._open = False
            pending, self._pending = self._pending, ""
        if pending:
            self._stream.write(pending)

    def fileno(self) -> int:
        """The file descriptor of the stream."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        return self._stream.encoding

    def writable(self) -> bool:
        """True."""
        return True


class TerminalLines:
    """Puts ``LineStream`` in the place of standard output and error where these are terminals, and in log handlers.

    Args:
        console: The console that draws the panel.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._replaced: list[tuple[str, TextIO, LineStream]] = []
        self._handlers: list[tuple[logging.StreamHandler[TextIO], TextIO, LineStream]] = []

    def start(self) -> None:
        """Stand in from now on."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None or not (is_terminal(stream) or stream is self._console.file):
                continue
            lines = LineStream(self._console, stream)
            setattr(sys, name, lines)
            self._replaced.append((name, stream, lines))
            for handler in _handlers_on(stream):
                handler.setStream(cast("TextIO", lines))
                self._handlers.append((handler, stream, lines))

    def stop(self) -> None:
        """Put everything back that has not been replaced by others in the meantime."""
        for handler, stream, lines in self._handlers:
            current: object = handler.stream
            if current is lines:
                handler.setStream(stream)
        for name, stream, lines in self._replaced:
            if getattr(sys, name) is lines:
                setattr(sys, name, stream)
            lines.close_lines()
        self._handlers.clear()
        self._replaced.clear()


def _handlers_on(stream: TextIO) -> Iterator[logging.StreamHandler[TextIO]]:
    loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    handlers = {handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers}
    for handler in handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
            yield handler
