"""What the package exports, and what importing it costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import aimet_hooks
from aimet_hooks import quantization, testing

PUBLIC = [
    "ActivationReport",
    "AimetHooksError",
    "CompressionResult",
    "EvaluationError",
    "GreedySelection",
    "KnapsackSelection",
    "LayerOptions",
    "LogReport",
    "ManualSelection",
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
    "Merged",
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
TESTING = [
    "SAMPLE_RUNS",
    "AdapterContract",
    "PluginContract",
    "RecordingPlugin",
    "bare_table",
    "failed_run",
    "finished_run",
    "run_of_strange_names",
    "sensitivity_run",
    "weight_ranges_run",
]
HEAVY = ["torch", "onnx", "onnxruntime", "bokeh", "rich", "pandas"]


@pytest.mark.parametrize(("module", "names"), [(aimet_hooks, PUBLIC), (testing, TESTING)])
def test_exported_names_are_exactly_these(module: object, names: list[str]) -> None:
    assert sorted(module.__all__) == sorted(names)  # type: ignore[attr-defined]
    assert set(names) <= set(dir(module))


@pytest.mark.parametrize(("module", "names"), [(aimet_hooks, PUBLIC), (testing, TESTING)])
def test_every_exported_name_is_there_and_documented(module: object, names: list[str]) -> None:
    for name in names:
        value = getattr(module, name)
        assert not (inspect.isclass(value) or inspect.isfunction(value)) or inspect.getdoc(value), name


@pytest.mark.parametrize("module", [aimet_hooks, testing])
def test_unknown_name_is_an_attribute_error(module: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'compres_model'"):
        module.compres_model  # type: ignore[attr-defined]


def test_names_are_those_of_the_modules_that_hold_them() -> None:
    for module in (aimet_hooks, testing):
        for name, home in module._HOMES.items():
            assert getattr(module, name) is getattr(importlib.import_module(f"{module.__name__}.{home}"), name)


def test_documented_functions_of_quantization_are_exported() -> None:
    assert set(quantization.__all__) - set(PUBLIC) == {"QuantizationPage"}  # which is returned, and made by nobody


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import aimet_hooks",
        "from aimet_hooks import hookimpl, UsageError",
        "from aimet_hooks.testing import RecordingPlugin, PluginContract",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert not loaded_by(statement) & set(HEAVY)


def test_importing_compress_model_loads_no_framework_and_no_view() -> None:
    assert not loaded_by("from aimet_hooks import *") & {"torch", "onnx", "onnxruntime", "bokeh", "rich"}


@pytest.mark.parametrize("name", ["demo", "errors", "evals", "testing"])
def test_modules_are_reached_through_the_package(name: str) -> None:
    code = f"import aimet_hooks; print(aimet_hooks.{name}.__name__)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == f"aimet_hooks.{name}\n"
