"""Options for sessions of ONNX Runtime."""

from __future__ import annotations

import onnxruntime


def with_threads(threads: int) -> onnxruntime.SessionOptions:
    """A fixed number of threads within an operator, none beside it.

    With one thread the order of sums, and so the last digits of a score, do not depend on the machine.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return options
