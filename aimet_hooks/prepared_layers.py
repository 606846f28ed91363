"""One decomposition a layer, made when it is first needed and kept until the result is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.factorization import Decomposition, Replacement
    from aimet_hooks.schemes import SvdScheme


class PreparedLayers:
    """The decompositions of a run.

    Kept are the factors up to the highest rank that a layer will be asked for. Unless a layer's output is larger than
    its input, they hold fewer weights than the layer itself, so all together take less memory than the model.

    Args:
        adapter: Gives the weights.
        scheme: Decomposes them.
        highest: Highest rank by layer.
    """

    def __init__(self, adapter: Adapter, scheme: SvdScheme, highest: Mapping[str, int]) -> None:
        self._adapter = adapter
        self._scheme = scheme
        self._highest = highest
        self._prepared: dict[str, Decomposition] = {}

    def at(self, layer: str, rank: int) -> Replacement:
        """The replacement of a layer at a rank."""
        if layer not in self._prepared:
            self._prepared[layer] = self._scheme.prepare(self._adapter.weight(layer), self._highest[layer])
        return self._prepared[layer].at(rank)
