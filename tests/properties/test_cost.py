"""Ranks and costs of any layer, against searching for them."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks import cost
from aimet_hooks.layers import Geometry

RATIOS = st.integers(2, 40).flatmap(lambda n: st.integers(1, n - 1).map(lambda k: (k, n)))
AXES = st.sampled_from([(), (0,)])


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    spatial = draw(st.integers(0, 2))
    sizes = st.tuples(*[st.integers(1, 12)] * spatial)
    return Geometry(
        in_channels=draw(st.integers(1, 24)),
        out_channels=draw(st.integers(1, 24)),
        kernel=draw(st.tuples(*[st.integers(1, 5)] * spatial)),
        input_size=draw(sizes),
        output_size=draw(sizes),
        repeats=draw(st.integers(1, 4)),
    )


def _axes(geometry: Geometry, axes: tuple[int, ...]) -> tuple[int, ...]:
    return axes if geometry.kernel else ()


@given(geometries(), AXES, RATIOS, st.sampled_from(["macs", "weights"]))
def test_the_rank_is_the_largest_whose_cost_fits_the_ratio(
    geometry: Geometry, axes: tuple[int, ...], ratio: tuple[int, int], metric: str
) -> None:
    axes, (k, n) = _axes(geometry, axes), ratio
    original = getattr(geometry, metric)
    full = cost.full_rank(geometry, axes)
    one = getattr(cost.factored_cost(geometry, axes, 1), metric)
    fitting = [
        r for r in range(1, full + 1) if n * getattr(cost.factored_cost(geometry, axes, r), metric) <= k * original
    ]
    found = cost.rank_for(Fraction(k, n), cost_of_rank_1=one, cost_of_layer=original, full=full)
    assert found == max(fitting, default=1)


@given(RATIOS, st.integers(1, 50), st.integers(1, 5000), st.integers(1, 60), st.sampled_from([1, 2, 4, 8, 32]))
def test_a_multiplicity_only_raises_a_rank_and_never_above_what_the_layer_costs(
    ratio: tuple[int, int], one: int, original: int, full: int, multiplicity: int
) -> None:
    plain = cost.rank_for(Fraction(*ratio), cost_of_rank_1=one, cost_of_layer=original, full=full)
    rank = cost.rank_for(
        Fraction(*ratio), cost_of_rank_1=one, cost_of_layer=original, full=full, multiplicity=multiplicity
    )
    highest = max([r for r in range(1, full + 1) if r * one <= original], default=1)
    assert plain <= rank <= highest
    assert rank % multiplicity == 0 or rank == highest
    assert rank - plain < multiplicity


@given(geometries(), AXES, st.integers(1, 10))
def test_cost_is_proportional_to_the_rank(geometry: Geometry, axes: tuple[int, ...], rank: int) -> None:
    axes = _axes(geometry, axes)
    one, several = cost.factored_cost(geometry, axes, 1), cost.factored_cost(geometry, axes, rank)
    assert (several.macs, several.weights) == (rank * one.macs, rank * one.weights)
