"""The one call: adapt, explore, select, apply, report.

Every stage announces what it did; the hooks are called in this order::

    on_run_started, on_layer_skipped*, on_baseline_score, on_exploration_started, on_eval_score*, on_probe_score*,
    on_ratios_selected, on_layer_compressed*, then on_run_finished or on_run_failed
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Never

from aimet_hooks import evaluation, options, preflight, provenance, reporting
from aimet_hooks.adapters import Adapter, SessionSettings, adapt
from aimet_hooks.earlier_runs import fingerprint
from aimet_hooks.errors import UsageError
from aimet_hooks.events import RunStarted
from aimet_hooks.run import Run
from aimet_hooks.search_space import SearchSpace

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aimet_hooks.adapters import ExampleInput
    from aimet_hooks.evaluation import EvalCallback
    from aimet_hooks.layer_options import LayerOptions
    from aimet_hooks.options import Options
    from aimet_hooks.own_costs import CostMetric
    from aimet_hooks.result import CompressionResult
    from aimet_hooks.schemes import SvdScheme
    from aimet_hooks.strategies import Strategy


def compress_model(
    model: Any,
    eval_callback: EvalCallback,
    *,
    input_shape: Sequence[int] | None = None,
    example_inputs: Any = None,
    compress_scheme: SvdScheme | Literal["spatial_svd", "weight_svd"] = "spatial_svd",
    cost_metric: CostMetric = "mac",
    selection: Strategy | None = None,
    layers_to_ignore: Iterable[Any] = (),
    layer_options: Mapping[str, LayerOptions] | None = None,
    full_eval_callback: EvalCallback | None = None,
    direction: Literal["maximize", "minimize"] = "maximize",
    on_eval_error: Literal["skip", "raise"] = "skip",
    trainer: Callable[[Any, str], object] | None = None,
    visualization_url: str | None = None,
    results_dir: str | os.PathLike[str] | None = None,
    run_name: str | None = None,
    plugins: Sequence[str | object] | None = None,
    plugin_options: Mapping[str, Mapping[str, Any]] | None = None,
    console: Literal["auto", "on", "off"] = "auto",
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    session_options: Any = None,
    providers: Sequence[Any] | None = None,
    **unknown: Never,
) -> CompressionResult:
    """Compress a network: explore layer by layer, choose a ratio for each, build the result.

    The model is never changed: what is swapped in for an evaluation is put back, whatever happens.

    Args:
        model: ``torch.nn.Module`` (wrappers of DataParallel, DistributedDataParallel and torch.compile are taken off),
            ``onnx.ModelProto``, or the path of an ``.onnx`` file.
        eval_callback: Called with the native model (module in eval mode under no_grad, or
            ``onnxruntime.InferenceSession``); returns one real number, or a dict with "score" and other numbers to
            show beside it. One with a method ``remember_original(native_model)`` sees the original first.
            The original is evaluated twice, how far the two differ is the noise; once with a ``ManualSelection``, and
            with a ``full_eval_callback``, whose noise is not that of the cells.
        input_shape: Shape of the input, the batch first; optional where an ONNX model declares it.
        example_inputs: In its place the values: tensor or array, tuple, or dict by input name.
        compress_scheme: ``SpatialSvd(...)``, ``WeightSvd(...)``, or "spatial_svd", "weight_svd".
        cost_metric: What ratios are shares of: "mac" (multiply-accumulates) or "memory" (weights), or costs of your own
            in any unit, as cycles or milliseconds: ``cost_metric(layer, rank) -> float`` with rank None for the layer
            as it is, called for every layer with weights and all its ranks before anything is evaluated, or the path of
            a .csv file with the columns layer, rank (empty: as it is), cost. A ratio then stands for the highest rank
            that costs no more; layers that a file does not have cost nothing and are skipped.
        selection: ``GreedySelection(...)``, ``KnapsackSelection(...)`` or ``ManualSelection(...)``; greedy at half the
            cost by default.
        layers_to_ignore: Layers to leave alone: names, globs, or torch modules with all that lies below them.
        layer_options: {name or glob: LayerOptions(...)}: a lowest ratio or a multiplicity of layers, or a tie of layers
            that share one ratio. Where several match a layer, the later ones override what the earlier ones ask.
        full_eval_callback: Evaluates the baseline and the result; cells always use ``eval_callback``.
        direction: Whether a higher ("maximize") or a lower ("minimize") score is better.
        on_eval_error: "skip": a cell that fails stays empty, five in a row end the run; "raise": the first ends it.
        trainer: torch only: ``trainer(model, layer_name)`` after each layer of the result is compressed, to fine-tune
            it in place; the model is in train mode with gradients.
        visualization_url: "http://host:port/" of a Bokeh server, for the plugin that draws there.
        results_dir: Where the event log, tables and the model go; None writes nothing. "{time}" and "{run_name}" in it
            become the time of the start and the name of the run.
        run_name: Shown by views; the model's name by default.
        plugins: Exactly the plugins to load, as names and objects; None: all that are discovered.
        plugin_options: Options by name of a plugin.
        console: "auto": live panel on a terminal, plain lines elsewhere; "on": always the panel; "off": nothing.
        resume: Take every score that runs in results_dir found out of the same model with the same scheme, multiplicity
            and cost metric, and evaluate only what is missing; target and candidates may be others. An absent or empty
            directory starts afresh.
        shard: (i, n) of a job array: evaluate only every n-th cell from the i-th on and stop; ``merge`` joins what n
            processes found, each in a results_dir of its own, and ``resume`` goes on from there. Counted from 0 or
            from 1: the n-th is the 0-th. The result then has the scores, and no model.
        session_options: ``onnxruntime.SessionOptions`` of the sessions that eval_callback gets.
        providers: Their execution providers, the CPU by default.
        unknown: No other keyword is taken; those of AIMET are answered with ours.

    Returns:
        The compressed model, the table of scores, the chosen ratios, and what they save.

    Raises:
        UsageError: An argument is wrong, or the target cannot be reached; nothing was evaluated.
        ModelError: The model cannot be read, run or copied, or none of its layers can be compressed.
        EvaluationError: The baseline cannot be evaluated (twice), or too many cells in a row.
        ResultsDirError: results_dir already holds a run, is in use or cannot be written; with ``resume`` also if its
            scores are of another model, configuration or baseline.
        RecordingError: The event log in it cannot be read.
    """
    options.refuse_unknown(
        unknown, [name for name in inspect.signature(compress_model).parameters if name != "unknown"]
    )
    checked = options.check(
        eval_callback=eval_callback,
        full_eval_callback=full_eval_callback,
        compress_scheme=compress_scheme,
        cost_metric=cost_metric,
        selection=selection,
        layers_to_ignore=layers_to_ignore,
        layer_options=layer_options,
        direction=direction,
        on_eval_error=on_eval_error,
        trainer=trainer,
        shard=shard,
        reporting=reporting.check(
            visualization_url=visualization_url,
            results_dir=results_dir,
            run_name=run_name,
            plugin_options=plugin_options,
            console=console,
            resume=resume,
        ),
    )
    example = options.example_input(input_shape, example_inputs)
    chosen = checked.reporting.plugins(plugins)
    with adapt(model, example, SessionSettings(options=session_options, providers=providers)) as adapter:
        if trainer is not None and not adapter.trainable:
            raise UsageError(f"trainer is for torch models; {adapter.model_name} is an ONNX model")
        layers, candidates = adapter.layers(), checked.selection.candidates
        left_out = preflight.ignored(adapter, [layer.name for layer in layers], checked.layers_to_ignore)
        space = SearchSpace.of(layers, checked.scheme, candidates, checked.cost_metric, checked.layer_options)
        saved = checked.selection.known_scores([layer.name for layer in layers], checked.scheme.name)
        checked = replace(checked, reporting=checked.reporting.of_run(adapter.model_name))
        started = _started(checked, example, adapter)
        with reporting.opened(checked.reporting, chosen, started) as (announcer, earlier):
            run = Run(checked, adapter, announcer, space, left_out=left_out, saved=saved, earlier=earlier)
            with reporting.failure_announced(run):
                return _compress(run, started, adapter.notes)


def _compress(run: Run, started: RunStarted, notes: Sequence[str]) -> CompressionResult:
    """The story: behind each step the hooks that it calls."""
    run.announcer.announce(started)  # on_run_started
    for note in notes:
        run.announcer.note(note)
    table = run.prepare_table()  # on_layer_skipped
    baseline = run.score_baseline()  # on_baseline_score
    prepared = run.prepare_layers(table)
    run.explore(table, prepared)  # on_exploration_started, on_eval_score
    if run.options.shard is not None:
        return run.finish_shard(table, baseline)  # on_analysis_finished
    probes = run.probe(table, baseline, prepared)  # on_probe_score
    decision = run.choose(table, baseline, probes)  # on_ratios_selected
    build = run.build(table, decision, prepared)  # on_layer_compressed
    return run.finish(table, decision, baseline, build)  # on_run_finished


def _started(checked: Options, example: ExampleInput, adapter: Adapter) -> RunStarted:
    metric = checked.cost_metric
    layers = {
        layer.name: replace(layer.info, cost=metric.recorded(metric.of_layer(layer))) for layer in adapter.layers()
    }
    identity = {
        "model": adapter.fingerprint(),
        "compress_scheme": checked.scheme.name,
        "multiplicity": str(checked.scheme.multiplicity),
        "cost_metric": metric.identity,
        **evaluation.identity_of(checked.eval_callback),
    }
    return RunStarted(
        run_name=checked.reporting.run_name or adapter.model_name,
        model_name=adapter.model_name,
        scheme=checked.scheme.name,
        cost_metric=metric.name,
        settings={**checked.describe(), "input_shape": example.shape},
        layers=layers,
        fingerprint=fingerprint(identity),
        identity=identity,
        provenance={**provenance.collect(), **adapter.settings()},
    )
