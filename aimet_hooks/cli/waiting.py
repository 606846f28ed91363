"""Commands that stay until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def until_interrupted(wait: Callable[[], object]) -> None:
    """Wait, and take Ctrl-C for the end that the user wants; SIGTERM ends the command as it always does.

    Args:
        wait: Returns by itself only when there is nothing more to wait for.
    """
    try:
        wait()
    except KeyboardInterrupt as error:
        if type(error) is not KeyboardInterrupt:  # terminated, not interrupted
            raise
