"""Find out before a run, not after it, that its result cannot be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def check(output: Path, option: str) -> None:
    """Refuse a file that cannot be written.

    Args:
        output: The file.
        option: What the command line calls it.

    Raises:
        UsageError: If it cannot.
    """
    probe = output.with_name(f".{output.name}.part")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"{option} {str(output)!r} cannot be written ({error.strerror}); make its folder first, or choose another"
        ) from error
