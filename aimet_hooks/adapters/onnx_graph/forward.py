"""Run a session of ONNX Runtime on numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnxruntime

FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
"""Types of float tensors that numpy has, as a session names them."""


def first_output(session: onnxruntime.InferenceSession, inputs: Any) -> npt.NDArray[Any]:
    """The first output for one batch, as a float array; floating inputs are cast to what the model takes.

    Args:
        session: The model.
        inputs: Array, tuple of them in the order of the model's inputs, or dict by input name.

    Raises:
        UsageError: If an input is missing.
    """
    types = {value.name: value.type for value in session.get_inputs()}
    if not isinstance(inputs, Mapping):
        inputs = dict(zip(types, inputs if isinstance(inputs, tuple) else (inputs,), strict=False))
    elif len(types) == len(inputs) == 1:
        inputs = dict(zip(types, inputs.values(), strict=True))
    missing = [name for name in types if name not in inputs]
    if missing:
        given = ", ".join(map(repr, inputs)) or "nothing"
        raise UsageError(
            f"the model takes {missing[0]!r}, the inputs have {given}; name the arrays as the model's inputs"
        )
    feeds = {name: _cast(np.asarray(inputs[name]), kind) for name, kind in types.items()}
    return np.asarray(session.run(None, feeds)[0], np.float64)


def _cast(value: npt.NDArray[Any], kind: str) -> npt.NDArray[Any]:
    return value.astype(FLOATS[kind]) if kind in FLOATS and value.dtype != FLOATS[kind] else value
