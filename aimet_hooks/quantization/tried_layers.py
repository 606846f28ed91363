"""Which layers work with a quantized weight, and what that leaves of what each of them gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from aimet_hooks import preflight
from aimet_hooks.events import Progressed
from aimet_hooks.quantization.noise import sqnr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.adapters.stored_weights import StoredLayer
    from aimet_hooks.factorization import Array
    from aimet_hooks.quantization.sensitivity_run import SensitivityRun


class TriedLayers:
    """Tries each layer of a model with a quantized weight.

    Args:
        run: The analysis.
        adapter: The model.
        has_inputs: Whether the example inputs are the user's, so that what layers give for them means something.

    Attributes:
        sqnr: By layer and bit width, of what it gives for the user's inputs, in dB; None where that is undefined.
    """

    def __init__(self, run: SensitivityRun, adapter: Adapter, *, has_inputs: bool) -> None:
        self._run = run
        self._adapter = adapter
        self._has_inputs = has_inputs
        self._weights: dict[str, StoredLayer] = {layer.name: layer for layer in run.stored.layers}
        self.sqnr: dict[str, dict[int, float | None]] = {}
        self._undefined: list[str] = []

    def quantized(self, name: str, bitwidth: int) -> Array:
        """A layer's weight after its quantization."""
        return self._run.options.quantized(self._weights[name].read(), bitwidth)

    def try_each(self, names: Sequence[str]) -> list[str]:
        """The names of the layers that the model works with, after each was tried; the others are skipped.

        Raises:
            ModelError: If there is none.
        """
        run = self._run
        working = []
        for number, name in enumerate(names, start=1):
            reason = run.left_out.get(name) or self._reason_against(name)
            if reason is None:
                working.append(name)
            else:
                run.skip(name, reason)
            run.announcer.announce(Progressed(stage="preflight", completed=number, total=len(names)))
        run.require(working)
        self._note_undefined()
        return working

    def _reason_against(self, name: str) -> str | None:
        if name not in self._weights:
            return "it is no convolution or matrix product with a float weight that is stored"
        layer = self._weights[name]
        if layer.fixed is not None:
            return layer.fixed
        if not np.isfinite(layer.read()).all():
            return "its weight holds NaN or infinite values"
        trial = self.quantized(name, self._run.options.bitwidths[0])
        reason = preflight.failure_in(self._adapter, self._adapter.reweighted(name, trial), "a quantized weight")
        if reason is None and self._has_inputs:
            self._measure(name)
        return reason

    def _measure(self, name: str) -> None:
        """Find the SQNR of what a layer gives, or say why that cannot be seen: the model runs all the same."""
        bitwidths = self._run.options.bitwidths
        try:
            exact = self._adapter.layer_output(name)
            found = None if exact is None else {bits: self._sqnr_at(bits, name, exact) for bits in bitwidths}
            why = "the example inputs do not reach it, or its weight is read without a call of the layer"
        except Exception as error:
            found, why = None, " ".join(f"{type(error).__name__}: {error}".split())
        if found is None:
            self._run.announcer.note(f"what layer {name!r} gives for the example inputs cannot be seen: {why}")
        elif all(value is None for value in found.values()):
            self._undefined.append(name)
        self.sqnr[name] = found or dict.fromkeys(bitwidths)

    def _note_undefined(self) -> None:
        """Say once which layers give what has no SQNR."""
        if self._undefined:
            shown = ", ".join(map(repr, self._undefined[:3])) + (", ..." if len(self._undefined) > 3 else "")
            self._run.announcer.note(
                f"there is no SQNR of what {shown} gives for the example inputs: only zeros, or values that are NaN or "
                "infinite; check the inputs"
            )

    def _sqnr_at(self, bitwidth: int, name: str, exact: Array) -> float | None:
        given = self._adapter.layer_output(name, self.quantized(name, bitwidth))
        if given is None:
            return None
        signal = exact.astype(np.float64)
        with np.errstate(all="ignore"):  # outputs that are not finite have no SQNR
            decibels = float(sqnr(np.square(signal).sum(), np.square(signal - given).sum()))
        return None if math.isnan(decibels) else decibels
