"""Costs of the user's own, for every layer: ranks against searching for them, and whole numbers against the costs."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks import GreedySelection, KnapsackSelection, SpatialSvd, WeightSvd, cost, own_costs
from aimet_hooks.schemes import SvdScheme
from aimet_hooks.score_table import ScoreTable
from aimet_hooks.search_space import SearchSpace
from tests.properties.test_cost import RATIOS
from tests.unit.test_schemes import layer

COSTS = st.one_of(st.integers(0, 12).map(float), st.floats(0, 1e12), st.floats(0, 1).map(lambda x: round(x, 3)))
CONV = layer((8, 8), (1, 1), name="conv")
FULL = 8


@given(st.lists(COSTS, min_size=FULL, max_size=FULL), COSTS, RATIOS, st.sampled_from([1, 2, 3, 8, 16]))
def test_the_rank_is_the_highest_that_costs_no_more_else_the_cheapest(
    costs: list[float], original: float, ratio: tuple[int, int], multiplicity: int
) -> None:
    model = own_costs.cost_model(lambda _, rank: original if rank is None else costs[rank - 1])
    scheme = SpatialSvd(multiplicity=multiplicity)
    exact = {rank: Fraction(repr(costs[rank - 1])) for rank in range(1, FULL + 1)}
    available = [rank for rank in exact if rank % multiplicity == 0] or [FULL]
    budget = Fraction(*ratio) * Fraction(repr(original))
    fitting = [rank for rank in available if exact[rank] <= budget]
    expected = max(fitting) if fitting else max(available, key=lambda rank: (-exact[rank], rank))
    found = [variant.rank for variant in scheme.variants(CONV, [Fraction(*ratio)], model)]
    assert found == ([expected] if exact[expected] < Fraction(repr(original)) else [])


@given(st.lists(COSTS, min_size=FULL, max_size=FULL), COSTS)
def test_costs_never_fall_with_the_ratio(costs: list[float], original: float) -> None:
    model = own_costs.cost_model(lambda _, rank: original if rank is None else costs[rank - 1])
    found = SpatialSvd().variants(CONV, [Fraction(k, 40) for k in range(1, 40)], model)
    amounts = [model.of_rank(CONV, variant.rank, variant.cost) for variant in found]
    assert amounts == sorted(amounts)
    assert [variant.rank for variant in found] == sorted({variant.rank for variant in found})


@given(st.lists(COSTS, min_size=1, max_size=8))
def test_whole_numbers_are_in_the_order_of_the_costs_and_fit_64_bits(costs: list[float]) -> None:
    exact = [cost.decimal(value) for value in costs]
    whole = cost.whole(exact, sum(exact))
    assert sum(whole[amount] for amount in exact) < cost.LARGEST_TOTAL + len(exact)
    ordered = [whole[amount] for amount in sorted(exact)]
    assert ordered == sorted(ordered)
    if sum(exact):
        total = sum(whole[amount] for amount in exact)
        for amount in exact:
            assert abs(Fraction(whole[amount], total) - amount / sum(exact)) <= Fraction(len(exact) + 1, 2**40)


@given(
    st.lists(st.tuples(st.integers(1, 24), st.integers(1, 24)), min_size=1, max_size=3),
    st.sampled_from([SpatialSvd(), WeightSvd()]),
    st.sampled_from([GreedySelection, KnapsackSelection]),
    st.integers(1, 99),
    st.randoms(use_true_random=False),
)
def test_a_function_that_counts_macs_gives_the_table_and_the_choice_of_macs(
    channels: list[tuple[int, int]], scheme: SvdScheme, rule: type[GreedySelection], percent: int, random: Random
) -> None:
    layers = [layer(sizes, name=f"conv{number}") for number, sizes in enumerate(channels)]
    by_name = {described.name: described for described in layers}
    strategy = rule(Fraction(percent, 100), 5)

    def macs(name: str, rank: int | None) -> float:
        described = by_name[name]
        return float(described.macs if rank is None else scheme.cost(described, rank).macs)

    tables = []
    for metric in (cost.MAC, own_costs.cost_model(macs)):
        space = SearchSpace(scheme, strategy.candidates, metric)
        rows = [described.name for described in layers if space.reason_against(described) is None]
        tables.append(ScoreTable(layers, rows, space))
    counted, own = tables
    assert counted.variants == own.variants
    assert (counted.total_cost, counted.rest, counted.lowest_ratio()) == (own.total_cost, own.rest, own.lowest_ratio())
    for name, ratios in counted.cells.items():
        for ratio in ratios:
            score = random.choice([0.0, 0.5, 0.75, random.random()])
            counted.record(name, ratio, score)
            own.record(name, ratio, score)
    if counted.lowest_ratio() <= strategy.target:
        first, second = (table_choice(strategy, table) for table in tables)
        assert first == second


def table_choice(strategy: GreedySelection, table: ScoreTable) -> dict[str, float | None]:
    return strategy.choose(table, baseline=1.0, higher_is_better=True).comp_ratios
