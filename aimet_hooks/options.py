"""The arguments of ``compress_model``, checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from aimet_hooks import evaluation, event_log, own_costs, schemes, strategies
from aimet_hooks.adapters import ExampleInput
from aimet_hooks.errors import UnknownNameError, UsageError, kind_of, nearest
from aimet_hooks.layer_options import by_pattern
from aimet_hooks.reporting import one_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimet_hooks.cost import CostModel
    from aimet_hooks.evaluation import EvalCallback
    from aimet_hooks.layer_options import LayerOptions
    from aimet_hooks.own_costs import CostMetric
    from aimet_hooks.reporting import Reporting
    from aimet_hooks.schemes import SvdScheme
    from aimet_hooks.strategies import Strategy

Direction = Literal["maximize", "minimize"]
OnEvalError = Literal["skip", "raise"]

AIMET_KEYWORDS: Mapping[str, str] = {
    "eval_iterations": "bind it: eval_callback=lambda model: evaluate(model, iterations)",
    "parameters": "give selection=GreedySelection(target_comp_ratio=0.5) or ManualSelection({...})",
    "greedy_select_params": "give selection=GreedySelection(target_comp_ratio=0.5)",
    "target_comp_ratio": "give selection=GreedySelection(target_comp_ratio=0.5)",
    "num_comp_ratio_candidates": "give selection=GreedySelection(num_comp_ratio_candidates=10)",
    "use_monotonic_fit": "give selection=GreedySelection(use_monotonic_fit=True)",
    "saved_eval_scores_dict": "give selection=GreedySelection(saved_eval_scores=...)",
    "modules_to_ignore": "give layers_to_ignore=[...]",
    "list_of_module_comp_ratio_pairs": "give selection=ManualSelection({...})",
    "multiplicity": "give compress_scheme=SpatialSvd(multiplicity=8)",
    "rank_select_scheme": "leave it out: ranks follow from the ratios",
    "working_dir": "give results_dir",
    "mode": "give selection=GreedySelection(...) or ManualSelection({...})",
    "params": "give selection=GreedySelection(...) or ManualSelection({...})",
    "auto_params": "give selection=GreedySelection(target_comp_ratio=0.5)",
    "sess": "TensorFlow models are not supported: give a torch.nn.Module or an ONNX model",
}
"""What to write instead of the keywords that AIMET's users know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one run does, checked. ``compress_model`` documents each."""

    eval_callback: EvalCallback
    full_eval_callback: EvalCallback | None
    scheme: SvdScheme
    cost_metric: CostModel
    selection: Strategy
    layers_to_ignore: tuple[Any, ...]
    layer_options: Mapping[str, LayerOptions]
    direction: Direction
    on_eval_error: OnEvalError
    trainer: Callable[[Any, str], object] | None
    shard: tuple[int, int] | None
    reporting: Reporting

    def describe(self) -> dict[str, Any]:
        """The configuration in JSON types, as the first event records it."""
        full = self.full_eval_callback
        described = {
            "multiplicity": self.scheme.multiplicity,
            "costs": self.cost_metric.source,
            "direction": self.direction,
            "selection": self.selection.describe(),
            "layers_to_ignore": [
                name if isinstance(name, str) else type(name).__name__ for name in self.layers_to_ignore
            ],
            "layer_options": {pattern: asked.describe() for pattern, asked in self.layer_options.items()},
            "on_eval_error": self.on_eval_error,
            "eval_callback": evaluation.callback_name(self.eval_callback),
            "full_eval_callback": None if full is None else evaluation.callback_name(full),
            "trainer": None if self.trainer is None else evaluation.callback_name(self.trainer),
            "shard": self.shard,
            **self.reporting.describe(),
        }
        return cast("dict[str, Any]", event_log.json_safe(described))


def check(
    *,
    eval_callback: EvalCallback,
    full_eval_callback: EvalCallback | None,
    compress_scheme: SvdScheme | str,
    cost_metric: CostMetric,
    selection: Strategy | None,
    layers_to_ignore: Iterable[Any],
    layer_options: Mapping[str, LayerOptions] | None,
    direction: str,
    on_eval_error: str,
    trainer: Callable[[Any, str], object] | None,
    shard: Any,
    reporting: Reporting,
) -> Options:
    """Check the arguments.

    Raises:
        UsageError: With the argument, its value, what is allowed and what to do.
    """
    evaluation.check_callback(eval_callback)
    if full_eval_callback is not None:
        evaluation.check_callback(full_eval_callback, "full_eval_callback")
    if trainer is not None:
        evaluation.check_trainer(trainer)
    selection = strategies.GreedySelection() if selection is None else selection
    if not isinstance(selection, (strategies.TableSelection, strategies.ManualSelection)):
        raise UsageError(
            f"selection is {selection!r}; give GreedySelection(target_comp_ratio=0.5), "
            "KnapsackSelection(target_comp_ratio=0.5) or ManualSelection({...})"
        )
    return Options(
        eval_callback=eval_callback,
        full_eval_callback=full_eval_callback,
        scheme=schemes.scheme_of(compress_scheme),
        cost_metric=own_costs.cost_model(cost_metric),
        selection=selection,
        layers_to_ignore=listed(layers_to_ignore),
        layer_options=by_pattern(layer_options),
        direction=one_of(direction, Direction, "direction"),
        on_eval_error=one_of(on_eval_error, OnEvalError, "on_eval_error"),
        trainer=trainer,
        shard=_shard(shard, selection, reporting),
        reporting=reporting,
    )


def _shard(value: Any, selection: Strategy, reporting: Reporting) -> tuple[int, int] | None:
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(numbers) != 2 or any(type(number) is not int for number in numbers) or not 0 <= numbers[0] <= numbers[1] > 0:
        raise UsageError(f"shard is {value!r}; give (i, n), the i-th of n processes, as (1, 4)")
    if isinstance(selection, strategies.ManualSelection):
        raise UsageError("shard is for exploring, and a ManualSelection explores nothing; leave shard out")
    if reporting.results_dir is None:
        raise UsageError("shard needs results_dir: a directory of its own for every shard, which merge joins")
    return numbers


def listed(patterns: Any) -> tuple[Any, ...]:
    """The entries of ``layers_to_ignore``.

    Raises:
        UsageError: If it is a single string or no collection.
    """
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        shown = repr(patterns) if isinstance(patterns, str) else kind_of(patterns)
        raise UsageError(f"layers_to_ignore is {shown}; give a list of names, globs or modules, as ['conv1', 'head.*']")
    return tuple(patterns)


def refuse_unknown(unknown: Mapping[str, object], known: Sequence[str]) -> None:
    """Refuse keywords that ``compress_model`` does not have; those of AIMET with what to write instead.

    Raises:
        UnknownNameError: For the first of them.
    """
    for name in unknown:
        if name in AIMET_KEYWORDS:
            raise UnknownNameError(f"compress_model has no keyword {name!r} (AIMET's); {AIMET_KEYWORDS[name]}")
        raise UnknownNameError(f"compress_model has no keyword {name!r}{nearest(name, known)}")


def example_input(shape: object, values: Any) -> ExampleInput:
    """What the user says about the input.

    Raises:
        UsageError: If the shape is no tuple of positive integers, or both are given.
    """
    if shape is None:
        return ExampleInput(values=values)
    if values is not None:
        raise UsageError("input_shape and example_inputs are both given; give one of them")
    sizes: tuple[Any, ...] = (
        () if isinstance(shape, (str, Mapping)) or not isinstance(shape, Iterable) else tuple(shape)
    )
    if not sizes or not all(map(_is_size, sizes)):
        raise UsageError(
            f"input_shape is {shape!r}; give positive integers with the batch first, as (1, 3, 224, 224); "
            "a model with several inputs needs example_inputs"
        )
    return ExampleInput(shape=tuple(int(size) for size in sizes))


def _is_size(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) > 0
