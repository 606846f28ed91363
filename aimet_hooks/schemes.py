"""Compression schemes: which layers they take, to which ranks, and what replaces a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from aimet_hooks import cost, factorization
from aimet_hooks.cost import Ranks
from aimet_hooks.errors import UsageError, nearest
from aimet_hooks.layer_options import check_multiplicity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    from aimet_hooks.cost import Cost, CostModel
    from aimet_hooks.factorization import Array, Decomposition, Replacement
    from aimet_hooks.layers import Geometry, Layer


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compress a layer, and the candidates that lead to it.

    Attributes:
        rank: Rank of the two factors.
        cost: What can be counted of them, for the whole example.
        ratios: The candidates that round to this rank, ascending.
    """

    rank: int
    cost: Cost
    ratios: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SvdScheme:
    """What both schemes share: a layer becomes two, cut from one singular value decomposition.

    Args:
        multiplicity: Ranks are rounded up to a multiple of this, as hardware likes them.

    Raises:
        UsageError: If multiplicity is not an integer >= 1.
    """

    name: ClassVar[str] = ""
    first_axes: ClassVar[tuple[int, ...]] = ()

    multiplicity: int = 1

    def __post_init__(self) -> None:
        check_multiplicity(self.multiplicity)

    def reason_against(self, layer: Layer, metric: CostModel) -> str | None:
        """Why this scheme leaves the layer alone, or None if it takes it."""
        if layer.reason is not None:
            return layer.reason
        if layer.geometry is None:
            return f"{layer.kind} is not supported"
        return metric.reason_against(layer, self._ranks(layer))

    def variants(self, layer: Layer, ratios: Iterable[Fraction], metric: CostModel) -> tuple[Variant, ...]:
        """The distinct ranks that the ratios (cost kept) stand for and that save something, ascending."""
        ranks, by_rank = self._ranks(layer), dict[int, list[float]]()
        for ratio in sorted(ratios):
            by_rank.setdefault(metric.rank_for(layer, ratio, ranks), []).append(float(ratio))
        variants = (Variant(rank, self.cost(layer, rank), tuple(found)) for rank, found in by_rank.items())
        before = metric.of_layer(layer)
        return tuple(variant for variant in variants if metric.of_rank(layer, variant.rank, variant.cost) < before)

    def _ranks(self, layer: Layer) -> Ranks:
        full = cost.full_rank(_geometry(layer), self.first_axes)
        return Ranks(full, self.multiplicity, lambda rank: self.cost(layer, rank))

    def cost(self, layer: Layer, rank: int) -> Cost:
        """What can be counted of the layer at a rank."""
        return cost.factored_cost(_geometry(layer), self.first_axes, rank)

    def prepare(self, weight: Array, highest: int) -> Decomposition:
        """The one decomposition of a layer's weight; its ``at(rank)`` gives the replacements."""
        return factorization.Decomposition(weight, self.first_axes, highest)

    def trial(self, layer: Layer) -> Replacement:
        """A replacement with the right shapes and no content."""
        return factorization.zeros(layer.weight_shape, self.first_axes, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialSvd(SvdScheme):
    """Spatial SVD: a kh x kw convolution becomes a kh x 1 and a 1 x kw one (Jaderberg et al. 2014, arXiv:1405.3866).

    The weight (n, m, kh, kw) becomes (r, m, kh, 1) and (n, r, 1, kw); in one dimension (n, m, k) becomes (r, m, k) and
    (n, r, 1). Linear layers are skipped.

    Args:
        multiplicity: Ranks are rounded up to a multiple of this.
    """

    name: ClassVar[str] = "spatial_svd"
    first_axes: ClassVar[tuple[int, ...]] = (0,)

    def reason_against(self, layer: Layer, metric: CostModel) -> str | None:
        """Why this scheme leaves the layer alone, or None if it takes it."""
        if layer.reason is None and layer.geometry is not None and not layer.geometry.kernel:
            return "spatial SVD takes convolutions only; use compress_scheme=WeightSvd() for linear layers"
        return SvdScheme.reason_against(self, layer, metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSvd(SvdScheme):
    """Weight SVD: a 1 x 1 convolution to r channels, then one with the layer's kernel; a linear layer becomes two.

    Zhang et al. 2016, arXiv:1505.06798. The weight (n, m, kh, kw) becomes (r, m, 1, 1) and (n, r, kh, kw), that of a
    linear layer (n, m) becomes (r, m) and (n, r).

    Args:
        multiplicity: Ranks are rounded up to a multiple of this.
    """

    name: ClassVar[str] = "weight_svd"


def _geometry(layer: Layer) -> Geometry:
    if layer.geometry is None:
        raise UsageError(f"layer {layer.name!r} ({layer.kind}) cannot be replaced: {layer.reason}")
    return layer.geometry


SCHEMES: dict[str, type[SvdScheme]] = {scheme.name: scheme for scheme in (SpatialSvd, WeightSvd)}
"""The schemes by the name that ``compress_scheme`` takes."""


def scheme_of(value: object) -> SvdScheme:
    """The scheme that ``compress_scheme`` asks for.

    Raises:
        UsageError: If there is no such scheme.
    """
    if isinstance(value, SvdScheme) and value.name:
        return value
    if value == "channel_pruning":
        raise UsageError("compress_scheme 'channel_pruning' arrives later; use 'spatial_svd' or 'weight_svd'")
    if isinstance(value, str) and value in SCHEMES:
        return SCHEMES[value]()
    if isinstance(value, type) and issubclass(value, SvdScheme):
        raise UsageError(f"compress_scheme is the class {value.__name__}; give an instance: {value.__name__}()")
    raise UsageError(f"compress_scheme {value!r} is no scheme{nearest(str(value), SCHEMES)}")
