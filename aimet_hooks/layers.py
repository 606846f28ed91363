"""What every framework says of a layer with weights, in one vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import TYPE_CHECKING

from aimet_hooks.events import LayerInfo

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Shapes of a layer that two layers in a row could replace.

    A linear layer is a convolution without spatial axes.

    Attributes:
        in_channels: m, input channels or features.
        out_channels: n, output channels or features.
        kernel: (kh, kw), (k,) or ().
        input_size: Spatial size of the input: (Hi, Wi), (L,) or ().
        output_size: Spatial size of the output: (Ho, Wo), (L,) or ().
        repeats: How often the layer works on such an input for the example: batch size, times the other leading
            dimensions of a linear layer.
    """

    in_channels: int
    out_channels: int
    kernel: tuple[int, ...]
    input_size: tuple[int, ...]
    output_size: tuple[int, ...]
    repeats: int

    @property
    def weights(self) -> int:
        """Number of weights, m * n * kernel."""
        return self.in_channels * self.out_channels * prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for the whole example, weights * output positions."""
        return self.weights * prod(self.output_size) * self.repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer with weights.

    Attributes:
        name: Qualified module name (torch) or node name (ONNX).
        kind: Type of module or operator, as "Conv2d" or "Gemm".
        weight_shape: Shape as ``LayerInfo`` describes it.
        macs: Multiply-accumulates for the whole example.
        weights: Number of weights without the bias.
        samples: First dimension of the example input: what MACs are divided by.
        geometry: Shapes for a replacement; None where the layer cannot be replaced.
        reason: Why it cannot be replaced, whatever the scheme; None if it can.
        called: Whether the example input reached it as a layer; where not, a trial replacement tells whether its
            weight is read by somebody else.
    """

    name: str
    kind: str
    weight_shape: tuple[int, ...]
    macs: int
    weights: int
    samples: int
    geometry: Geometry | None = None
    reason: str | None = None
    called: bool = True

    @property
    def info(self) -> LayerInfo:
        """The layer as events carry it, MACs for one sample."""
        return LayerInfo(
            kind=self.kind,
            weight_shape=self.weight_shape,
            macs=per_sample(self.macs, self.samples),
            weights=self.weights,
        )


def per_sample(macs: int, samples: int) -> float:
    """MACs of the example divided by its samples: an int wherever that is exact."""
    return macs // samples if macs % samples == 0 else macs / samples


def named(pattern: str, names: Sequence[str]) -> list[str]:
    """The names that a name or glob stands for: itself, else all that match it."""
    return [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
