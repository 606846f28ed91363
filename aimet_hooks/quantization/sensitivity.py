"""How much the model loses when the weights of one layer are quantized: the story of an analysis.

The hooks are called in this order::

    on_run_started, on_layer_skipped*, on_baseline_score, on_weight_ranges, on_sensitivity_started,
    on_sensitivity_score*, then on_analysis_finished or on_run_failed

Without a callback nothing is scored; without inputs either, nothing is run.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from aimet_hooks import evaluation, options, preflight, provenance, reporting
from aimet_hooks.adapters import SessionSettings, adapt
from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.earlier_runs import fingerprint
from aimet_hooks.events import LayerInfo, RunStarted
from aimet_hooks.quantization import sensitivity_options
from aimet_hooks.quantization.sensitivity_result import SensitivityResult, frame
from aimet_hooks.quantization.sensitivity_run import SensitivityRun
from aimet_hooks.quantization.sensitivity_table import SensitivityTable
from aimet_hooks.quantization.tried_layers import TriedLayers

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from aimet_hooks.adapters import Adapter, ExampleInput
    from aimet_hooks.adapters.stored_weights import StoredWeights
    from aimet_hooks.evaluation import EvalCallback
    from aimet_hooks.quantization.problematic import ProblematicLayer
    from aimet_hooks.quantization.sensitivity_options import SensitivityOptions


def analyze_sensitivity(
    model: Any,
    eval_callback: EvalCallback | None,
    *,
    bitwidths: Iterable[int] = (4, 8),
    per_channel: bool = False,
    symmetric: bool = True,
    layers: Iterable[str] | None = None,
    layers_to_ignore: Iterable[Any] = (),
    input_shape: Sequence[int] | None = None,
    example_inputs: Any = None,
    direction: Literal["maximize", "minimize"] = "maximize",
    on_eval_error: Literal["skip", "raise"] = "skip",
    visualization_url: str | None = None,
    results_dir: str | os.PathLike[str] | None = None,
    run_name: str | None = None,
    plugins: Sequence[str | object] | None = None,
    plugin_options: Mapping[str, Mapping[str, Any]] | None = None,
    console: Literal["auto", "on", "off"] = "auto",
    resume: bool = False,
    session_options: Any = None,
    providers: Sequence[Any] | None = None,
) -> SensitivityResult:
    """Score the model with the weights of one layer quantized at a time, at each of some bit widths.

    Quantization is simulated: a weight is rounded to the nearest value of its grid, and computed with as before.
    Activations stay as they are. Every layer that ``analyze_weight_ranges`` lists takes part, grouped and transposed
    convolutions included; of layers that share a weight one at a time. The model is never changed: the weight that is
    put in for an evaluation is taken out, whatever happens.

    Args:
        model: As for ``compress_model``, like all arguments that are not listed here.
        eval_callback: Scores the native model, and is called twice for the original. None: nothing is scored; with
            example_inputs there is the SQNR of what each layer gives for them, without them nothing is run.
        bitwidths: Bits of a quantized weight, each from 2 to 16; the lowest of all layers are evaluated first. The
            ranges of the weights are judged for the highest.
        per_channel: Whether every output channel has a scale of its own, or the layer one for all; which layers will
            break is judged for the same.
        symmetric: Whether grids are symmetric about zero.
        layers: Names or globs of layers; None for all.
        layers_to_ignore: Layers to leave out, as for ``compress_model``.
        input_shape: Shape of the input, the batch first; optional where an ONNX model declares it.
        example_inputs: In its place the values: then the SQNR of what each layer gives for them is found as well.
        direction: Whether a higher ("maximize") or a lower ("minimize") score is better.
        on_eval_error: "skip": a cell that fails stays empty, five in a row end the run; "raise": the first ends it.
        visualization_url: "http://host:port/" of a Bokeh server, for the plugin that draws there.
        results_dir: Where the event log and tables go; None writes nothing.
        run_name: Shown by views; the model's name by default.
        plugins: Exactly the plugins to load, as names and objects; None: all that are discovered.
        plugin_options: Options by name of a plugin.
        console: "auto": live panel on a terminal, plain lines elsewhere; "on": always the panel; "off": nothing.
        resume: Take every score that analyses in results_dir found out of the same model with the same ``per_channel``
            and ``symmetric``, and evaluate only what is missing; bit widths and layers may be others. It needs
            ``eval_callback``.
        session_options: ``onnxruntime.SessionOptions`` of the sessions that eval_callback gets.
        providers: Their execution providers, the CPU by default.

    Returns:
        Scores and SQNR of layers by bit widths, what the ranges of the weights say, and which layers will break.

    Raises:
        UsageError: An argument is wrong; nothing was evaluated.
        ModelError: The model cannot be read, run or copied, or none of its layers can be quantized.
        EvaluationError: The baseline cannot be evaluated (twice), or too many cells in a row.
        ResultsDirError: results_dir already holds a run, is in use or cannot be written; with ``resume`` also if its
            scores are of another model, configuration or baseline.
    """
    checked = sensitivity_options.check(
        eval_callback=eval_callback,
        bitwidths=bitwidths,
        per_channel=per_channel,
        symmetric=symmetric,
        layers=layers,
        layers_to_ignore=layers_to_ignore,
        direction=direction,
        on_eval_error=on_eval_error,
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
    if eval_callback is None:
        sensitivity_options.refuse_unscored(checked)
    if eval_callback is None and example_inputs is None:
        running = {"input_shape": input_shape, "session_options": session_options, "providers": providers}
        sensitivity_options.refuse_unrun(checked, running)
    chosen = checked.reporting.plugins(plugins)
    stored = stored_weights(model)
    checked = replace(checked, reporting=checked.reporting.of_run(stored.model_name))
    if eval_callback is None and example_inputs is None:
        checked = replace(checked, bitwidths=checked.bitwidths[-1:])  # the one that ranges are judged for
        left_out = _left_out(checked, stored, [layer.name for layer in stored.layers])
        started = _started(checked, example, stored, None)
        with reporting.opened(checked.reporting, chosen, started) as (announcer, _):
            run = SensitivityRun(options=checked, announcer=announcer, stored=stored, left_out=left_out)
            with reporting.failure_announced(run):
                return _analyze_ranges(run, started)
    with adapt(model, example, SessionSettings(options=session_options, providers=providers)) as adapter:
        started = _started(checked, example, stored, adapter)
        left_out = _left_out(checked, adapter, list(started.layers))
        with reporting.opened(checked.reporting, chosen, started) as (announcer, earlier):
            run = SensitivityRun(options=checked, announcer=announcer, stored=stored, left_out=left_out)
            tried = TriedLayers(run, adapter, has_inputs=example_inputs is not None)
            table = None if eval_callback is None else SensitivityTable(run, adapter, eval_callback, tried, earlier)
            with reporting.failure_announced(run):
                return _analyze(run, tried, table, started, adapter.notes)


def _analyze(
    run: SensitivityRun, tried: TriedLayers, table: SensitivityTable | None, started: RunStarted, notes: Sequence[str]
) -> SensitivityResult:
    """The story: behind each step the hooks that it calls. There is no table where there is no callback."""
    run.announcer.announce(started)  # on_run_started
    for note in notes:
        run.announcer.note(note)
    rows = tried.try_each(list(started.layers))  # on_layer_skipped
    baseline = table.score_baseline() if table else None  # on_baseline_score
    ranges = run.analyze_ranges(tried.sqnr)  # on_weight_ranges
    if table:
        table.fill(rows)  # on_sensitivity_started, on_sensitivity_score
    run.finish(baseline)  # on_analysis_finished
    return _result(run, *ranges)


def _analyze_ranges(run: SensitivityRun, started: RunStarted) -> SensitivityResult:
    """The same where nothing is run."""
    run.announcer.announce(started)  # on_run_started
    run.leave_out()  # on_layer_skipped
    ranges = run.analyze_ranges({})  # on_weight_ranges
    run.finish(None)  # on_analysis_finished
    return _result(run, *ranges)


def _result(run: SensitivityRun, summary: pd.DataFrame, problems: Sequence[ProblematicLayer]) -> SensitivityResult:
    state = run.announcer.state
    scores = {name: {bits: cell.score for bits, cell in row.items()} for name, row in state.sensitivity.items()}
    measured = {
        name: {int(bits): decibels for bits, decibels in row.items()} for name, row in state.output_sqnr.items()
    }
    return SensitivityResult(
        scores=frame(scores, run.options.bitwidths),
        baseline_score=state.baseline.score if state.baseline else None,
        sqnr=frame(measured or {name: {} for name in scores}, run.options.bitwidths),
        weight_ranges=summary,
        problems=problems,
        skipped=dict(state.skipped),
    )


def _left_out(checked: SensitivityOptions, model: Adapter | StoredWeights, names: Sequence[str]) -> dict[str, str]:
    return checked.not_asked_for(names) | preflight.ignored(model, names, checked.layers_to_ignore)


def _started(
    checked: SensitivityOptions, example: ExampleInput, stored: StoredWeights, adapter: Adapter | None
) -> RunStarted:
    identity = {
        **({"weights": _digest(stored)} if adapter is None else {"model": adapter.fingerprint()}),
        "compress_scheme": "quantization",
        "per_channel": str(checked.per_channel),
        "symmetric": str(checked.symmetric),
        **evaluation.identity_of(checked.eval_callback),
    }
    return RunStarted(
        run_name=checked.reporting.run_name or stored.model_name,
        model_name=stored.model_name,
        scheme="quantization",
        cost_metric="memory",
        settings={**checked.describe(), "input_shape": example.shape},
        layers=dict(_infos(stored, adapter)),
        fingerprint=fingerprint(identity),
        identity=identity,
        provenance={**provenance.collect(), **({} if adapter is None else adapter.settings())},
    )


def _infos(stored: StoredWeights, adapter: Adapter | None) -> Iterator[tuple[str, LayerInfo]]:
    """Every layer with weights; those that only the stored weights know, or that are not run, have no MACs."""
    known = {} if adapter is None else {layer.name: layer.info for layer in adapter.layers()}
    yield from known.items()
    for layer in stored.layers:
        if layer.name not in known:
            weight = layer.read()
            yield layer.name, LayerInfo(kind=layer.kind, weight_shape=weight.shape, macs=0, weights=weight.size)


def _digest(stored: StoredWeights) -> str:
    digest = hashlib.sha256()
    for layer in stored.layers:
        weight = layer.read()
        digest.update(f"{layer.name}:{layer.kind}:{weight.shape};".encode("utf-8", "surrogatepass"))
        digest.update(weight.tobytes())
    return digest.hexdigest()
