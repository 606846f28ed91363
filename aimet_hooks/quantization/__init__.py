"""What becomes of a network's weights when they are quantized: ranges, noise, and the layers that will break."""

from aimet_hooks.quantization.layer_summary import summarize_weight_ranges
from aimet_hooks.quantization.problematic import ProblematicLayer, find_problematic_layers
from aimet_hooks.quantization.visualization import (
    QuantizationPage,
    visualize_changes_after_optimization,
    visualize_relative_weight_ranges_to_identify_problematic_layers,
    visualize_weight_ranges,
)
from aimet_hooks.quantization.weight_ranges import analyze_weight_ranges

__all__ = [
    "ProblematicLayer",
    "QuantizationPage",
    "analyze_weight_ranges",
    "find_problematic_layers",
    "summarize_weight_ranges",
    "visualize_changes_after_optimization",
    "visualize_relative_weight_ranges_to_identify_problematic_layers",
    "visualize_weight_ranges",
]
