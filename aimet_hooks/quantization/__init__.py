"""What becomes of a network whose weights are quantized: ranges, noise, sensitivity, and which layers will break."""

from aimet_hooks.quantization.layer_summary import summarize_weight_ranges
from aimet_hooks.quantization.problematic import ProblematicLayer, find_problematic_layers
from aimet_hooks.quantization.sensitivity import analyze_sensitivity
from aimet_hooks.quantization.sensitivity_result import SensitivityResult
from aimet_hooks.quantization.weight_ranges import analyze_weight_ranges

__all__ = [
    "ProblematicLayer",
    "SensitivityResult",
    "analyze_sensitivity",
    "analyze_weight_ranges",
    "find_problematic_layers",
    "summarize_weight_ranges",
]
