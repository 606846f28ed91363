"""Read the pickles that AIMET wrote, without running anything that is in them."""

from __future__ import annotations

import decimal
import io
import pickle
import pickletools
from typing import TYPE_CHECKING, Any

from aimet_hooks.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 64 * 1024 * 1024
MAX_MEMO = 10_000_000

_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


class _Unpickler(pickle.Unpickler):
    """Admits numbers, strings and containers; everything else that a pickle could call is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("decimal", "Decimal"):
            return decimal.Decimal
        if (module, name) == ("numpy", "dtype"):
            import numpy as np

            return np.dtype
        if module in _NUMPY_MODULES and name == "scalar":
            return _numpy_scalar
        raise pickle.UnpicklingError(
            f"it holds {module}.{name}; only numbers, strings, dict, list and tuple are admitted"
        )


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    """What numpy's own ``scalar`` does for numbers; objects, which it would unpickle again, are refused."""
    import numpy as np

    if (
        not isinstance(dtype, np.dtype)
        or dtype.kind not in "fiu"
        or not isinstance(data, bytes)
        or len(data) != dtype.itemsize
    ):
        raise pickle.UnpicklingError("it holds a numpy scalar that is no number")
    return np.frombuffer(data, dtype)[0]


def load(path: Path) -> Any:
    """The content of a pickle of dict, list, tuple, str, int, float, ``decimal.Decimal`` and numpy numbers.

    Raises:
        RecordingError: If it cannot be read, is above 64 MB, or holds anything else.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    if size > MAX_BYTES:
        raise RecordingError(f"{path} is {size:,} bytes long; a pickle of scores has at most {MAX_BYTES:,}")
    try:
        _check_memo(data)
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:
        raise RecordingError(f"{path} is refused: {error}; convert it to eval_scores.json or .csv") from error


def _check_memo(data: bytes) -> None:
    """Refuse memo places far beyond the length of the data: a few bytes could make the reader fill the memory."""
    for opcode, argument, _ in pickletools.genops(data):
        if (
            opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
            and isinstance(argument, int)
            and argument > min(len(data), MAX_MEMO)
        ):
            raise pickle.UnpicklingError(f"its memo place {argument} is beyond its own length")
