"""What a plugin can implement: the hook specifications, and the marker for implementations.

::

    from aimet_hooks import hookimpl

    @hookimpl
    def create_reporter(settings):
        return MyReporter(settings.results_dir)

    class MyReporter:
        @hookimpl
        def on_eval_score(self, event):
            print(event.layer, event.comp_ratio, event.score)

Every ``on_*`` hook may take ``event``, ``run``, both or neither: its signature says which. Every event has ``run_id``,
``seq`` (number in its run, from 0) and ``time`` (seconds since the epoch) beside the fields that are listed below.
``run`` is the state of the run so far, to be read during the call on the thread of the call. All hooks are called in
the process that called ``compress_model`` (or ``analyze_sensitivity``, whose runs have hooks of their own for their
table), one after the other, so a hook that is slow delays the run. A run that is replayed from its log calls the same
hooks with the same events, in the process that called ``replay``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from aimet_hooks import events
    from aimet_hooks.run_settings import RunSettings
    from aimet_hooks.run_state import RunState

PROJECT = "aimet_hooks"
"""Name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function or method as the implementation of the hook of its name."""


@hookspec(firstresult=True)
def create_reporter(settings: RunSettings) -> object | None:
    """Make the object that will hear this run.

    Fires when:
        A run begins, before its first event.
    How often:
        Once a run on every plugin that was selected.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        settings: ``visualization_url`` (str or None), ``results_dir`` (Path or None), ``run_name`` (str), ``console``
            ("auto", "on" or "off"), ``plugin_options`` (mapping of this plugin's own options, {} if none were given).
    Return:
        An object with ``on_*`` hooks, or None if the plugin has nothing to report for this run.
    If it raises:
        The plugin is left out of this run, with one log record that holds its name and the traceback.
    Since:
        0.1
    """


@hookspec
def on_run_started(event: events.RunStarted, run: RunState) -> None:
    """The model has been read and its layers are known; nothing has been evaluated.

    Fires when:
        A run begins.
    How often:
        Once a run, as its first event.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``run_name``, ``model_name``, ``scheme``, ``cost_metric`` ("mac", "memory", "own"), ``settings`` (mapping
            in JSON types), ``layers`` (by name in network order: kind, weight_shape, macs for one sample >= 0, weights
            >= 0, cost >= 0 in the user's own unit or None), ``fingerprint`` (of ``identity``), ``identity`` (what
            scores depend on, by name), ``provenance`` (mapping in JSON types).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_layer_skipped(event: events.LayerSkipped, run: RunState) -> None:
    """A layer with weights stays as it is, for a stated reason.

    Fires when:
        After on_run_started, before the baseline is evaluated.
    How often:
        Once for every layer with weights that is not in the table; the ignored ones included.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``layer`` (name), ``reason`` (in words).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_baseline_score(event: events.BaselineScored, run: RunState) -> None:
    """The original model has been evaluated: twice where cells are scored by the same callback, else once.

    Fires when:
        After the layers that are skipped are known, before the exploration.
    How often:
        Once a run.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``score`` (finite, unit and range are the callback's), ``seconds`` (>= 0), ``metrics`` (other numbers
            that it returned, by name), ``repeated_score`` (of the second evaluation, finite, or None), ``noise``
            (>= 0, by how much the two differ, in the unit of the score).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_exploration_started(event: events.ExplorationStarted, run: RunState) -> None:
    """The cells of the table are known and will be evaluated one by one.

    Fires when:
        After on_baseline_score.
    How often:
        Once a run; not at all where the ratios are given by hand.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``layers`` (names, network order), ``candidates`` (ratios of cost kept, 0 < r < 1, ascending),
            ``total`` (cells), ``reused`` (cells with a known score, 0 <= reused <= total), ``evaluations`` (that the
            others take), ``cells`` (by layer the ratios that have one; empty: all), ``lowest_comp_ratio`` (of the
            model, 0 <= r <= 1, or None), ``ties`` (by layer; layers of one name share one ratio).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_eval_score(event: events.EvalScored, run: RunState) -> None:
    """One cell is known: the model's score with one layer compressed to one ratio.

    Fires when:
        During the exploration; cells with a known score first, then each one as it has been evaluated.
    How often:
        Once a cell. Ratios that give the same rank share an evaluation and have a call each.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``layer``, ``comp_ratio`` (0 < r < 1, cost kept), ``score`` (finite, or None with ``error``), ``rank``
            (>= 1), ``achieved_comp_ratio`` (0 <= r < 1), ``macs`` and ``weights`` of the compressed layer (one sample,
            no bias), ``seconds`` (>= 0), ``completed`` and ``total`` (cells, 1 <= completed <= total), ``reused``
            (bool), ``error`` (str or None), ``metrics``, ``cost`` (>= 0 in the user's own unit, or None). Rank,
            achieved ratio, macs and weights are None where a bare table is shown.
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_probe_score(event: events.ModelProbed, run: RunState) -> None:
    """The whole model has been compressed to a target and measured: a point of its budget curve.

    Fires when:
        After the exploration, and where ``max_drop`` is given while its model is searched for; before
        on_ratios_selected.
    How often:
        Once for every model that is measured: at most 5 % of the number of evaluations, and at most eight more for
        ``max_drop``.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``comp_ratios`` (by layer; None: left alone), ``target_comp_ratio`` and ``achieved_comp_ratio`` (0 < r <
            1, of the whole model's cost), ``score`` (or None, then ``error``), ``predicted_score`` (optimistic: layers
            one at a time), ``seconds``, ``reused`` (it was measured by an earlier run).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_ratios_selected(event: events.RatiosSelected, run: RunState) -> None:
    """A ratio has been chosen for every layer of the table.

    Fires when:
        After the exploration, or after the baseline where the ratios are given by hand.
    How often:
        Once a run.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``comp_ratios`` (by layer; None: left alone), ``target_comp_ratio`` (0 < r < 1, None for a manual
            selection), ``achieved_comp_ratio`` (0 < r <= 1, of the whole model's cost; None where only the choice was
            recorded), ``threshold`` (score, or None).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_layer_compressed(event: events.LayerCompressed, run: RunState) -> None:
    """A layer of the result has been replaced by its factors.

    Fires when:
        After on_ratios_selected; where there is a trainer, after it returned for this layer.
    How often:
        Once for every layer with a chosen ratio.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``layer``, ``comp_ratio`` (0 < r < 1, as chosen), ``achieved_comp_ratio`` (0 <= r < 1), ``rank`` (>= 1),
            ``macs_before``, ``macs_after`` (one sample), ``weights_before``, ``weights_after`` (no bias),
            ``cost_after`` (>= 0 in the user's own unit, or None).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_progress(event: events.Progressed, run: RunState) -> None:
    """A step that has no event of its own is done.

    Fires when:
        During the trial replacements before the baseline ("preflight") and the building of the result ("compression").
    How often:
        Once a layer and stage. Neither logged nor replayed.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``stage`` (str), ``completed`` (1 <= completed <= total), ``total``. ``seq`` is that of the event before.
        run: State of the run.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_run_finished(event: events.RunFinished, run: RunState) -> None:
    """The compressed model has been built, evaluated and, with a results directory, saved.

    Fires when:
        At the end of a run that succeeded.
    How often:
        Once, as the last event; a run ends with this or with on_run_failed.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``baseline_score``, ``compressed_score``, ``mac_ratio``, ``memory_ratio`` (0 < r <= 1, kept of all layers
            with weights), ``notes`` (what the run warned of), ``metrics``.
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback.
    Since:
        0.1
    """


@hookspec
def on_weight_ranges(event: events.WeightRangesAnalyzed, run: RunState) -> None:
    """It is known what quantization leaves of every layer.

    Fires when:
        A run analyses quantization: after the baseline is evaluated, if it is.
    How often:
        Once a run, before on_sensitivity_started.
    Thread:
        The one that called ``analyze_sensitivity``.
    Arguments:
        event: ``bitwidth`` (2 to 16), ``layers`` (by name in network order: figures by name, None where undefined),
            ``problems`` (the layers that will break, the worst first: layer, channel, cause, remedy, partner),
            ``output_sqnr`` (by name, then bit width in digits: of what the layer gives for the example inputs, in dB,
            None where undefined; empty where there are none).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_sensitivity_started(event: events.SensitivityStarted, run: RunState) -> None:
    """The cells of the table of layers by bit widths are known and will now be filled.

    Fires when:
        After on_weight_ranges, where there is a callback.
    How often:
        At most once a run.
    Thread:
        The one that called ``analyze_sensitivity``.
    Arguments:
        event: ``layers`` (the rows), ``bitwidths`` (the columns: bits of a weight, ascending), ``total`` (cells >= 1),
            ``reused`` (cells whose score is known already), ``evaluations`` (that the others take).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_sensitivity_score(event: events.SensitivityScored, run: RunState) -> None:
    """One cell is known: the model's score with the weights of one layer quantized to one bit width.

    Fires when:
        A cell was evaluated, or its evaluation failed; the event log has the score on disk by then.
    How often:
        ``event.total`` times a run, the lowest bit width of every layer first.
    Thread:
        The one that called ``analyze_sensitivity``.
    Arguments:
        event: ``layer``, ``bitwidth`` (2 to 16), ``score`` (in the callback's unit; None if the evaluation failed),
            ``seconds`` (of the evaluation), ``completed`` (1 <= completed <= total), ``total``, ``sqnr`` (of what the
            layer gives for the example inputs, in dB; None where there are none), ``reused``, ``error`` (why there is
            no score), ``metrics`` (the callback's other numbers).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; after three failures the reporter is left out.
    Since:
        0.1
    """


@hookspec
def on_analysis_finished(event: events.AnalysisFinished, run: RunState) -> None:
    """A run that makes no model has ended well; all that it found is in its state.

    Fires when:
        At the end of a run that analyses quantization, explores a shard, or joins shards, and succeeded.
    How often:
        Once, as the last event; such a run ends with this or with on_run_failed.
    Thread:
        The one that called ``analyze_sensitivity``, ``compress_model`` or ``merge_runs``.
    Arguments:
        event: ``baseline_score`` (None where nothing was evaluated), ``notes`` (what the run warned of).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback.
    Since:
        0.1
    """


@hookspec
def on_run_failed(event: events.RunFailed, run: RunState) -> None:
    """The run ends without a result; all scores so far are in the event log.

    Fires when:
        An exception ends the run after on_run_started, KeyboardInterrupt and SystemExit included; or a run is replayed
        whose end was not recorded, as it was killed.
    How often:
        Once, as the last event; a run ends with this, with on_run_finished or with on_analysis_finished.
    Thread:
        The one that called ``compress_model``.
    Arguments:
        event: ``stage`` ("preflight", "baseline", "weight ranges", "exploration", "probing", "selection",
            "compression" or "evaluation"), ``error`` (class of the exception), ``message``, ``notes`` (what the run
            warned of).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback; the original exception goes on to the caller.
    Since:
        0.1
    """


@hookspec
def on_score_recorded(event: events.ScoreRecorded, run: RunState) -> None:
    """A score was added to the log of a run that had ended, as that of the fine-tuned result.

    Fires when:
        A recording is shown that has one, or a log is followed to which one is added; never during a run.
    How often:
        Once for every score that was recorded.
    Thread:
        The one that shows the recording.
    Arguments:
        event: ``label`` (what was scored), ``score`` (in the unit of the run's).
        run: State of the run, this event included.
    Return:
        Ignored.
    If it raises:
        One log record with the plugin's name and traceback.
    Since:
        0.1
    """


def hook_names() -> frozenset[str]:
    """Names of all specifications of this module."""
    names = tuple(globals())  # grows by itself: a warning that is raised here leaves its registry
    return frozenset(name for name in names if hasattr(globals()[name], f"{PROJECT}_spec"))
