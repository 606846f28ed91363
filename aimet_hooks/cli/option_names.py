"""What the arguments of the package are called on a command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

OPTIONS = {
    "compress_scheme": "--scheme",
    "cost_metric": "--cost-metric",
    "eval_callback": "--eval",
    "example_inputs": "--inputs",
    "full_eval_callback": "--full-eval",
    "input_shape": "--input-shape",
    "layer_options": "--layer-option",
    "layers_to_ignore": "--ignore",
    "num_comp_ratio_candidates": "--candidates",
    "results_dir": "--results-dir",
    "resume=True": "--resume",
    "run_name": "--run-name",
    "saved_eval_scores": "--saved-eval-scores",
    "session_options": "--threads",
    "providers": "--provider",
    "symmetric=False": "--asymmetric",
    "target_comp_ratio": "--target",
    "use_monotonic_fit": "--monotonic-fit",
    "visualization_url": "--visualization-url",
}
"""Options by argument. Words that messages also use for other things are left out."""

_ARGUMENTS = re.compile(rf"""(?<![\w'"./-])(?:{"|".join(OPTIONS)}|^layers(?=\ has))(?![\w'"./-]|\ \(--)""")


def with_options(message: str, options: Collection[str]) -> str:
    """A message of the package with the option behind each argument that it names, where it names it first.

    Args:
        message: It may quote what the user wrote, which stays as it is.
        options: What the command has.
    """
    left = {"layers": "--layer", **OPTIONS}

    def told(found: re.Match[str]) -> str:
        option = left.pop(found[0], None)
        return f"{found[0]} ({option})" if option in options else found[0]

    return _ARGUMENTS.sub(told, message)
