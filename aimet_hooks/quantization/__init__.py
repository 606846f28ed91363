"""What becomes of a network when it is quantized: ranges, noise, sensitivity, activations, and what will break."""

from aimet_hooks.quantization.activations import ActivationReport, analyze_activations
from aimet_hooks.quantization.layer_summary import summarize_weight_ranges
from aimet_hooks.quantization.problematic import ProblematicLayer, find_problematic_layers
from aimet_hooks.quantization.quantized_outputs import compare_quantized
from aimet_hooks.quantization.sensitivity import analyze_sensitivity
from aimet_hooks.quantization.sensitivity_result import SensitivityResult
from aimet_hooks.quantization.visualization import (
    QuantizationPage,
    visualize_changes_after_optimization,
    visualize_relative_weight_ranges_to_identify_problematic_layers,
    visualize_weight_ranges,
)
from aimet_hooks.quantization.weight_ranges import analyze_weight_ranges

__all__ = [
    "ActivationReport",
    "ProblematicLayer",
    "QuantizationPage",
    "SensitivityResult",
    "analyze_activations",
    "analyze_sensitivity",
    "analyze_weight_ranges",
    "compare_quantized",
    "find_problematic_layers",
    "summarize_weight_ranges",
    "visualize_changes_after_optimization",
    "visualize_relative_weight_ranges_to_identify_problematic_layers",
    "visualize_weight_ranges",
]
