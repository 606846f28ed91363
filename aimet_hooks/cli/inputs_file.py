"""Read the sample inputs that a command line names: an ``.npz`` file of arrays."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from aimet_hooks import regular_file
from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    import numpy.typing as npt

ALWAYS_READ = 32 * 1024 * 1024
MOST_PACKED = 4
"""Bytes of arrays for each byte of the file, beyond those that are always read: zeros can be packed a thousandfold."""

_ONE_ARRAY = b"\x93NUMPY"


def arrays(path: Path, option: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` file, by name of the input.

    Args:
        path: The file.
        option: What the command line calls it.

    Raises:
        UsageError: If there is no such file, it is none, or it unpacks to far more than its size.
    """
    what = f"{option} {str(path)!r}"
    try:
        with regular_file.opened(path) as file:
            is_one = file.read(len(_ONE_ARRAY)) == _ONE_ARRAY
            values = {} if is_one else _unpacked(file)
    except Exception as error:  # zipfile, zlib and numpy raise what they like
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{what} cannot be read as .npz: {why}") from error
    if is_one:
        raise UsageError(f"{what} is one array; write it with np.savez(file, input_name=array)")
    return values


def _unpacked(file: BinaryIO) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        names = archive.namelist()
    most = ALWAYS_READ + MOST_PACKED * file.seek(0, 2)
    if unpacked > most:
        raise ValueError(f"it would unpack to {unpacked:,} bytes; write it with np.savez, which does not pack")
    if len(set(names)) < len(names):
        raise ValueError("it has an array twice")
    file.seek(0)
    with np.load(file, allow_pickle=False) as found:
        values = dict(found)
    for name, value in values.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"its member {name!r} is no array")  # noqa: TRY004
    return values
