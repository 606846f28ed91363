"""Where text goes: a terminal in colour, or a file as plain text of any width."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable


logger = logging.getLogger(__name__)


class Output:
    """Prints lines to a console; to one that is no terminal without control characters, without wrapping.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._abandoned = False

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at a terminal."""
        return self._console.is_terminal

    @property
    def has_colours(self) -> bool:
        """Whether colours will be seen."""
        return self.is_terminal and self._console.color_system is not None and not self._console.no_color

    @property
    def width(self) -> int | None:
        """Cells of a line, None where lines may be of any length."""
        return self._console.width if self.is_terminal else None

    def print(self, lines: Iterable[Text | str]) -> None:
        """Print lines. Once that has failed (a full disk, a pipe without a reader) this does nothing."""
        if self._abandoned:
            return
        try:
            for line in lines:
                self._print_line(line if isinstance(line, Text) else Text(line))
            self._console.file.flush()
        except BrokenPipeError:
            self._abandoned = True
        except OSError as error:
            self._abandoned = True
            logger.warning("the console output ends here: it cannot be written (%s)", error)

    def _print_line(self, line: Text) -> None:
        line = encodable(line, self._console.encoding)
        if self.is_terminal:
            self._console.print(line, soft_wrap=True)
        else:
            self._console.file.write(line.plain + "\n")


def encodable(text: Text, encoding: str) -> Text:
    """``text`` with "?" for every character that ``encoding`` does not have."""
    if encoding.startswith("utf") or text.plain.isascii():
        return text
    replaced = text.copy()
    replaced.plain = text.plain.encode(encoding, "replace").decode(encoding)
    return replaced


def stdout_console() -> Console:
    """Standard output as it is now; a terminal only if it really is one, whatever the environment says of colours."""
    return _console(sys.stdout, is_stderr=False, as_terminal=is_terminal(sys.stdout))


def stderr_console(*, always_terminal: bool = False) -> Console:
    """Standard error as it is now; ``always_terminal``: whatever it is, treat it as a terminal."""
    return _console(sys.stderr, is_stderr=True, as_terminal=always_terminal or is_terminal(sys.stderr))


def _console(stream: TextIO | None, *, is_stderr: bool, as_terminal: bool) -> Console:
    """A console that takes text literally: no markup, no emoji codes, no highlighting; of a missing stream, nowhere."""
    return Console(
        file=stream,
        stderr=is_stderr,
        force_terminal=as_terminal,
        force_jupyter=False,
        markup=False,
        emoji=False,
        highlight=False,
    )


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream leads to a terminal; one that is missing, closed or no real stream does not."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False
