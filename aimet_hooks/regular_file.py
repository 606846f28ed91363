"""Read a file from outside: a regular one, of a size that is known before."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO


def opened(path: Path) -> BinaryIO:
    """The file, open for reading; never waits for a writer, as a pipe would.

    Raises:
        OSError: If it cannot be read, or is a device, a pipe or anything else that may never end.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def content(path: Path, most: int) -> bytes:
    """The bytes of a file.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        OSError: If it is none that ``opened`` opens, or has more bytes.
    """
    with opened(path) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most // 1024**2} MiB")
    return found
