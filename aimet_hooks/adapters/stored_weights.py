"""The weights that a quantizer would quantize, as a model stores them: no example input, nothing is run.

``Adapter.weight`` gives what compression can replace; this gives every convolution, transposed convolution and matrix
product with constant float weights, grouped and shared ones included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from aimet_hooks.adapters import TORCH, framework_of, require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aimet_hooks.adapters.channels import Channels
    from aimet_hooks.adapters.partners import Partner
    from aimet_hooks.factorization import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayer:
    """One layer with weights.

    Attributes:
        name: Qualified module name (torch) or node name (ONNX), as in ``Adapter.layers``.
        kind: Type of module or operator.
        groups: Groups that input channels are divided into; 1 for a matrix product.
        channels: Where its channels lie.
        unscalable: Why its weight cannot be scaled without changing more than what it gives in proportion, as "its
            weight is shared with 'fc'"; None if it can.
        fixed: Why ``Adapter.reweighted`` cannot give it another weight; None if it can.
        read: Reads the weight, (out, in / groups, *kernel) float32 or float64 on the CPU, (out, in) of a product.
    """

    name: str
    kind: str
    groups: int
    channels: Channels
    unscalable: str | None
    read: Callable[[], Array]
    fixed: str | None = None


class StoredWeights(Protocol):
    """A model that is only read."""

    model_name: str
    """As ``Adapter.model_name``."""
    layers: Sequence[StoredLayer]
    """In the order of the graph (ONNX) or of registration (torch)."""

    def names_within(self, module: object) -> set[str]:
        """As ``Adapter.names_within``."""
        ...

    def partners(self) -> Mapping[str, Partner]:
        """For every layer, by name, the one that it can be equalized with, or why there is none."""
        ...


def stored_weights(model: Any) -> StoredWeights:
    """The weights of a torch module, an ONNX model or the path of one.

    Raises:
        UsageError: If it is no model, or a ScriptModule.
        MissingExtraError: If the framework is not installed.
        ModelError: If the file cannot be read, or a parameter has no values.
    """
    framework = framework_of(model)
    require(framework)
    if framework is TORCH:
        from aimet_hooks.adapters.pytorch.stored import TorchWeights

        return TorchWeights(model)
    from aimet_hooks.adapters.onnx_graph.stored import OnnxWeights

    return OnnxWeights(model)


def outputs_first(weight: Array, groups: int) -> Array:
    """The weight of a transposed convolution as that of a convolution.

    Args:
        weight: (in, out / groups, *kernel).
        groups: Number of groups.

    Returns:
        (out, in / groups, *kernel).
    """
    inside, outside, *kernel = weight.shape
    grouped = weight.reshape(groups, inside // groups, outside, *kernel)
    return np.swapaxes(grouped, 1, 2).reshape(groups * outside, inside // groups, *kernel)
