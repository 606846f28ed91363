"""The order of the exploration, for tables of any shape."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aimet_hooks import exploration
from aimet_hooks.cost import Cost
from aimet_hooks.exploration import Cell
from aimet_hooks.schemes import Variant

Table = dict[str, tuple[Variant, ...]]

TABLES = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 40), max_size=8).map(
    lambda counts: {
        layer: tuple(Variant(rank, Cost(rank, rank), (rank / (count + 1),)) for rank in range(1, count + 1))
        for layer, count in counts.items()
    }
)


@given(TABLES)
def test_every_cell_comes_exactly_once(table: Table) -> None:
    cells = exploration.coarse_first(table)
    assert len(cells) == len(set(cells))
    assert set(cells) == {Cell(layer, variant) for layer, row in table.items() for variant in row}


@given(TABLES)
def test_every_layer_says_something_before_any_says_a_second_thing(table: Table) -> None:
    cells = exploration.coarse_first(table)
    filled = [layer for layer, row in table.items() if row]
    assert [cell.layer for cell in cells[: len(filled)]] == filled


@given(TABLES, st.data())
def test_whenever_it_stops_each_layer_is_known_on_a_spread(table: Table, data: st.DataObject) -> None:
    """Cells come level by level; when 2^n - 1 of a row are known, no gap is longer than 1 / 2^n of the row."""
    cells = exploration.coarse_first(table)
    stop = data.draw(st.integers(0, len(cells)), label="cells explored")
    for layer, row in table.items():
        known = [cell.variant.rank for cell in cells[:stop] if cell.layer == layer]
        level = (len(known) + 1).bit_length() - 1
        complete = sorted(known[: 2**level - 1])
        gaps = [b - a - 1 for a, b in zip([0, *complete], [*complete, len(row) + 1], strict=True)]
        assert max(gaps) <= len(row) / 2**level
