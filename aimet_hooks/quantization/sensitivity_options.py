"""The arguments of ``analyze_sensitivity``, checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aimet_hooks import evaluation, event_log, options
from aimet_hooks.errors import UnknownNameError, UsageError, nearest
from aimet_hooks.layers import named
from aimet_hooks.quantization.quantizer import check_bitwidth, check_flag, quantize_dequantize
from aimet_hooks.reporting import one_of

if TYPE_CHECKING:
    from aimet_hooks.evaluation import EvalCallback
    from aimet_hooks.factorization import Array
    from aimet_hooks.options import Direction, OnEvalError
    from aimet_hooks.quantization.quantizer import Doubles
    from aimet_hooks.reporting import Reporting

NOT_ASKED_FOR = "not asked for: layers does not name it"


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityOptions:
    """What one analysis does, checked. ``analyze_sensitivity`` documents each."""

    eval_callback: EvalCallback | None
    bitwidths: tuple[int, ...]
    per_channel: bool
    symmetric: bool
    layers: tuple[str, ...] | None
    layers_to_ignore: tuple[Any, ...]
    direction: Direction
    on_eval_error: OnEvalError
    reporting: Reporting

    def describe(self) -> dict[str, Any]:
        """The configuration in JSON types, as the first event records it."""
        callback = self.eval_callback
        described = {
            "bitwidths": self.bitwidths,
            "per_channel": self.per_channel,
            "symmetric": self.symmetric,
            "layers": self.layers,
            "direction": self.direction,
            "layers_to_ignore": [
                name if isinstance(name, str) else type(name).__name__ for name in self.layers_to_ignore
            ],
            "on_eval_error": self.on_eval_error,
            "eval_callback": None if callback is None else evaluation.callback_name(callback),
            **self.reporting.describe(),
        }
        return cast("dict[str, Any]", event_log.json_safe(described))

    def quantized(self, weight: Array, bitwidth: int) -> Doubles:
        """A weight as it is after its quantization to a bit width."""
        return quantize_dequantize(weight, bitwidth=bitwidth, symmetric=self.symmetric, per_channel=self.per_channel)

    def not_asked_for(self, names: Sequence[str]) -> dict[str, str]:
        """The reason for every layer that ``layers`` does not name.

        Raises:
            UnknownNameError: If a name or glob of ``layers`` matches nothing.
        """
        if self.layers is None:
            return {}
        asked: set[str] = set()
        for pattern in self.layers:
            found = named(pattern, names)
            if not found:
                raise UnknownNameError(f"layers has {pattern!r}, which matches no layer{nearest(pattern, names)}")
            asked.update(found)
        return {name: NOT_ASKED_FOR for name in names if name not in asked}


def check(
    *,
    eval_callback: EvalCallback | None,
    bitwidths: Any,
    per_channel: Any,
    symmetric: Any,
    layers: Any,
    layers_to_ignore: Iterable[Any],
    direction: str,
    on_eval_error: str,
    reporting: Reporting,
) -> SensitivityOptions:
    """Check the arguments.

    Raises:
        UsageError: With the argument, its value, what is allowed and what to do.
    """
    if eval_callback is not None:
        evaluation.check_callback(eval_callback)
    return SensitivityOptions(
        eval_callback=eval_callback,
        bitwidths=_bitwidths(bitwidths),
        per_channel=check_flag(per_channel, "per_channel"),
        symmetric=check_flag(symmetric, "symmetric"),
        layers=_names(layers),
        layers_to_ignore=options.listed(layers_to_ignore),
        direction=one_of(direction, options.Direction, "direction"),
        on_eval_error=one_of(on_eval_error, options.OnEvalError, "on_eval_error"),
        reporting=reporting,
    )


def refuse_unscored(options: SensitivityOptions) -> None:
    """Refuse what is about scores, where there is no callback.

    Raises:
        UsageError: Names the argument.
    """
    if options.reporting.resume:
        raise UsageError(
            "resume=True goes on with the scores of an analysis, and without eval_callback there are none; give the "
            "eval_callback of that analysis, or another results_dir"
        )
    given = {
        "direction='minimize'": options.direction == "minimize",
        "on_eval_error='raise'": options.on_eval_error == "raise",
    }
    _refuse(given, "without eval_callback nothing is scored; give one, or leave it out")


def refuse_unrun(options: SensitivityOptions, running: Mapping[str, object]) -> None:
    """Refuse what says how the model is run, or how its weights are rounded, where neither is done.

    Args:
        options: What else is asked for.
        running: What says how it is run, by argument.

    Raises:
        UsageError: Names the argument.
    """
    given = {"symmetric=False": not options.symmetric}
    _refuse(
        given | {argument: value is not None for argument, value in running.items()},
        "without eval_callback and example_inputs only the ranges of the weights are analyzed, symmetric and not; "
        "give one of the two, or leave it out",
    )


def _refuse(given: Mapping[str, bool], why: str) -> None:
    for argument, is_given in given.items():
        if is_given:
            raise UsageError(f"{argument} changes nothing, as {why}")


def _bitwidths(given: Any) -> tuple[int, ...]:
    values = () if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not values:
        raise UsageError(f"bitwidths is {given!r}; give a list of numbers of bits from 2 to 16, as [4, 8]")
    return tuple(sorted({check_bitwidth(bits) for bits in values}))


def _names(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    values = () if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not values or not all(isinstance(name, str) for name in values):
        raise UsageError(
            f"layers is {given!r}; give a list of names or globs, as ['conv1', 'block1.*'], or None for all"
        )
    return values
