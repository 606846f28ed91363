"""Compress PyTorch and ONNX networks layer by layer, with every step announced through pluggy hooks.

::

    from aimet_hooks import compress_model, GreedySelection

    half = GreedySelection(target_comp_ratio=0.5)
    result = compress_model(model, eval_callback, input_shape=(1, 3, 224, 224), selection=half)

Names are loaded when they are first used: importing this package imports neither torch, onnx, onnxruntime, bokeh nor
rich.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimet_hooks.compress import compress_model
    from aimet_hooks.errors import (
        AimetHooksError,
        EvaluationError,
        MissingExtraError,
        ModelError,
        RecordingError,
        ResultsDirError,
        TargetError,
        UnknownNameError,
        UsageError,
    )
    from aimet_hooks.hookspecs import hookimpl
    from aimet_hooks.layer_options import LayerOptions
    from aimet_hooks.log_verification import LogReport, verify_log
    from aimet_hooks.merging import Merged, merge_runs
    from aimet_hooks.planning import plan
    from aimet_hooks.quantization import (
        ActivationReport,
        ProblematicLayer,
        SensitivityResult,
        analyze_activations,
        analyze_sensitivity,
        analyze_weight_ranges,
        compare_quantized,
        find_problematic_layers,
        summarize_weight_ranges,
        visualize_changes_after_optimization,
        visualize_relative_weight_ranges_to_identify_problematic_layers,
        visualize_weight_ranges,
    )
    from aimet_hooks.replaying import replay
    from aimet_hooks.result import CompressionResult, load_compressed
    from aimet_hooks.saved_run import SavedRun, SavedSelection, load_run
    from aimet_hooks.schemes import SpatialSvd, WeightSvd
    from aimet_hooks.strategies import GreedySelection, KnapsackSelection, ManualSelection
    from aimet_hooks.visualization import VisualizeCompression, start_bokeh_server_session

__version__ = "0.1.0"

_HOMES = {
    "compress_model": "compress",
    "plan": "planning",
    "hookimpl": "hookspecs",
    "LayerOptions": "layer_options",
    "ActivationReport": "quantization",
    "ProblematicLayer": "quantization",
    "SensitivityResult": "quantization",
    "analyze_activations": "quantization",
    "analyze_sensitivity": "quantization",
    "analyze_weight_ranges": "quantization",
    "compare_quantized": "quantization",
    "find_problematic_layers": "quantization",
    "summarize_weight_ranges": "quantization",
    "visualize_changes_after_optimization": "quantization",
    "visualize_relative_weight_ranges_to_identify_problematic_layers": "quantization",
    "visualize_weight_ranges": "quantization",
    "replay": "replaying",
    "CompressionResult": "result",
    "load_compressed": "result",
    "SavedRun": "saved_run",
    "SavedSelection": "saved_run",
    "load_run": "saved_run",
    "LogReport": "log_verification",
    "verify_log": "log_verification",
    "Merged": "merging",
    "merge_runs": "merging",
    "SpatialSvd": "schemes",
    "WeightSvd": "schemes",
    "GreedySelection": "strategies",
    "KnapsackSelection": "strategies",
    "ManualSelection": "strategies",
    "VisualizeCompression": "visualization",
    "start_bokeh_server_session": "visualization",
    "AimetHooksError": "errors",
    "EvaluationError": "errors",
    "MissingExtraError": "errors",
    "ModelError": "errors",
    "RecordingError": "errors",
    "ResultsDirError": "errors",
    "TargetError": "errors",
    "UnknownNameError": "errors",
    "UsageError": "errors",
}

_MODULES = ("demo", "errors", "evals", "testing")
"""Modules that are used as ``aimet_hooks.evals``, without an import of their own."""

__all__ = [
    "ActivationReport",
    "AimetHooksError",
    "CompressionResult",
    "EvaluationError",
    "GreedySelection",
    "KnapsackSelection",
    "LayerOptions",
    "LogReport",
    "ManualSelection",
    "Merged",
    "MissingExtraError",
    "ModelError",
    "ProblematicLayer",
    "RecordingError",
    "ResultsDirError",
    "SavedRun",
    "SavedSelection",
    "SensitivityResult",
    "SpatialSvd",
    "TargetError",
    "UnknownNameError",
    "UsageError",
    "VisualizeCompression",
    "WeightSvd",
    "__version__",
    "analyze_activations",
    "analyze_sensitivity",
    "analyze_weight_ranges",
    "compare_quantized",
    "compress_model",
    "find_problematic_layers",
    "hookimpl",
    "load_compressed",
    "load_run",
    "merge_runs",
    "plan",
    "replay",
    "start_bokeh_server_session",
    "summarize_weight_ranges",
    "verify_log",
    "visualize_changes_after_optimization",
    "visualize_relative_weight_ranges_to_identify_problematic_layers",
    "visualize_weight_ranges",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
