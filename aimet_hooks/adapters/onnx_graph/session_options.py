"""Options for sessions of ONNX Runtime, where the user has none.

All are quiet: ONNX Runtime would say the same of the user's model again for every session, in colours. What fails
raises, with the same words.
"""

from __future__ import annotations

import onnxruntime

_FATAL_ONLY = 4


def default() -> onnxruntime.SessionOptions:
    """What ONNX Runtime does by itself."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    return options


def with_threads(threads: int) -> onnxruntime.SessionOptions:
    """A fixed number of threads within an operator, none beside it.

    With one thread the order of sums, and so the last digits of a score, do not depend on the machine.
    """
    options = default()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return options


def unoptimized() -> onnxruntime.SessionOptions:
    """For a single run, of which only the shapes count."""
    options = with_threads(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def unplanned() -> onnxruntime.SessionOptions:
    """For large tensors as outputs: a plan of memory from the first run would be held beside that run's memory."""
    options = default()
    options.enable_mem_pattern = False
    return options
