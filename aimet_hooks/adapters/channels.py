"""Where the channels of a layer lie in the values that it reads and gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The axes and the numbers of a layer's channels.

    Attributes:
        outputs: Number of its output channels.
        inputs: Number of its input channels, those of all groups.
        output_axis: Axis of what it gives: 1 of a convolution, -1 of a product, -2 if the weight is the left operand.
            None if a channel of what it gives is not in proportion to the channel's weights and bias.
        input_axis: Axis of what it reads over which it sums; None if that is no single one.
        spatial: Number of axes that a kernel moves along, 0 of a product.
    """

    outputs: int
    inputs: int
    output_axis: int | None
    input_axis: int | None
    spatial: int = 0
