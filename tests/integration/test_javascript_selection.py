"""The page's JavaScript chooses what Python chooses, to the last ratio."""

from __future__ import annotations

import itertools
import json
import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from aimet_hooks import knapsack, selection
from aimet_hooks.errors import TargetError
from aimet_hooks.selection import Choice
from aimet_hooks.strategies import RULES
from bokeh_vis import theme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    Rng = np.random.Generator

SCORES: dict[str, Callable[[Rng, float, np.ndarray], np.ndarray]] = {
    "saturated": lambda rng, baseline, saved: baseline - np.round(rng.uniform(0, 1, len(saved)) ** 4 * 20) / 360,
    "smooth": lambda rng, baseline, saved: baseline - rng.uniform(0, 0.5) * saved**3,
    "noisy": lambda rng, baseline, saved: baseline - rng.uniform(0, 0.5) * saved**3 * rng.uniform(0, 2, len(saved)),
    "anything": lambda rng, baseline, saved: rng.uniform(-1e3, 1e3, len(saved)),
    "four values": lambda rng, baseline, saved: rng.choice([0.0, 0.25, 0.5, 1.0], len(saved)),
    "above the baseline": lambda rng, baseline, saved: baseline + rng.uniform(-0.1, 0.2, len(saved)),
    "decimals": lambda rng, baseline, saved: np.round(baseline - 0.1 * saved * rng.uniform(0, 1, len(saved)), 3),
}
"""Scores by the shares of a layer's cost that are saved. Equal sums of steps of 1/360 differ in their rounding."""


class Table(NamedTuple):
    """Rows, and a target for them."""

    rows: dict[str, list[Choice]]
    rest: int
    total: int
    target: Fraction

    def in_python(self, rule: str) -> list[int] | None:
        try:
            picked = RULES[rule](self.target).pick(self.rows, ties={}, rest=self.rest, total=self.total)
        except TargetError:
            return None
        return [[c.ratio for c in row].index(picked.comp_ratios[name]) for name, row in self.rows.items()]

    def for_javascript(self) -> dict[str, Any]:
        names = sorted(self.rows)
        rows = [as_row(row, names.index(name)) for name, row in self.rows.items()]
        return {"rows": rows, "budget": math.floor(self.target * self.total) - self.rest}


def as_row(row: list[Choice], order: int) -> dict[str, Any]:
    ratios = [1.0 if choice.ratio is None else choice.ratio for choice in row]
    return {"ratios": ratios, "scores": [c.score for c in row], "costs": [c.cost for c in row], "order": order}


def random_row(rng: Rng, kind: str, baseline: float, largest: int) -> list[Choice]:
    """Up to nine of 19 ratios; costs are those of a few ranks, so that some are equal; or of none but the layer."""
    cost = int(largest ** rng.uniform(0.3, 1)) + 20
    ratios = np.sort(rng.choice(np.arange(1, 20), rng.integers(0, 10), replace=False)) / 20
    ranks = int(rng.choice([4, 20, cost]))
    costs = np.maximum(np.floor(ratios * ranks), 1) * (cost // ranks)
    saved = (cost - costs) / cost
    if kind == "proportional to cost":
        scores = baseline - 1e-3 * (cost - costs) * 20 / largest + 1e-6 * rng.uniform(0, 1, len(costs))
    else:
        scores = SCORES[kind](rng, baseline, saved)
    cells = zip(ratios.tolist(), scores.tolist(), costs.astype(int).tolist(), strict=True)
    return [*(Choice(*cell) for cell in cells), Choice(None, baseline, cost)]


def random_table(rng: Rng, layers: int) -> Table:
    kind = str(rng.choice([*SCORES, "proportional to cost"]))
    baseline = int(rng.integers(300, 361)) / 360
    largest = int(rng.choice([100, 10_000, 10**8, 10**13]))
    names = [f"layer{number}" for number in rng.permutation(layers)]
    rows = {name: random_row(rng, kind, baseline, largest) for name in names}
    for name in names[: layers // 3]:  # only their names tell these layers from others
        rows[name] = rows[names[rng.integers(layers)]]
    whole, cheapest = (sum(row[at].cost for row in rows.values()) for at in (-1, 0))
    rest = int(rng.integers(0, whole // 4 + 1))
    total = rest + whole
    kept = rest + cheapest + (whole - cheapest) * rng.uniform(-0.05, 1.0)
    return Table(
        rows, rest, total, min(max(Fraction(int(kept), total), Fraction(1, total)), Fraction(total - 1, total))
    )


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def run(tab: Page, body: str, value: Any, **constants: int) -> Any:
    """What a function with this body makes of the value, where some constants of the scripts are others."""
    scripts = theme.scripts("greedy.js", "knapsack.js")
    for name, number in constants.items():
        scripts, found = re.subn(rf"(?<=const {name} = )[\d_]+", str(number), scripts)
        assert found == 1
    return tab.evaluate(f"text => {{ {scripts}\nconst value = JSON.parse(text)\n{body} }}", json.dumps(value))


CHOOSE = """
const typed = ({ratios, scores, costs, order}) =>
  ({ratios: Float64Array.from(ratios), scores: Float64Array.from(scores), costs: Float64Array.from(costs), order})
return value.tables.map(({rows, budget}, k) => choose(value.rule, k % 2 ? rows : rows.map(typed), budget))
"""


def in_javascript(tab: Page, rule: str, tables: list[Table], **constants: int) -> list[list[int] | None]:
    value = {"rule": rule, "tables": [table.for_javascript() for table in tables]}
    chosen: list[list[int] | None] = run(tab, CHOOSE, value, **constants)
    return chosen


@pytest.mark.parametrize("rule", RULES)
def test_small_tables(tab: Page, rule: str) -> None:
    rng = np.random.default_rng(1)
    tables = [random_table(rng, int(rng.integers(1, 13))) for _ in range(1000)]
    expected = [table.in_python(rule) for table in tables]
    assert 20 < expected.count(None) < 200
    assert in_javascript(tab, rule, tables) == expected


@pytest.mark.parametrize("rule", RULES)
def test_large_tables(tab: Page, rule: str) -> None:
    rng = np.random.default_rng(2)
    tables = [random_table(rng, int(rng.integers(100, 301))) for _ in range(36)]
    assert in_javascript(tab, rule, tables) == [table.in_python(rule) for table in tables]


@pytest.mark.parametrize("constants", [{"MAX_STATES": 4}, {"MAX_WORK": 3000}], ids="-".join)
def test_a_search_that_is_cut_short(tab: Page, monkeypatch: pytest.MonkeyPatch, constants: dict[str, int]) -> None:
    for name, number in constants.items():
        monkeypatch.setattr(knapsack, name, number)
    rng = np.random.default_rng(3)
    tables = [random_table(rng, int(rng.integers(5, 60))) for _ in range(150)]
    chosen = in_javascript(tab, "knapsack", tables, **constants)
    assert chosen == [table.in_python("knapsack") for table in tables]
    assert chosen != in_javascript(tab, "knapsack", tables)  # some are, indeed


def test_no_layers_at_all(tab: Page) -> None:
    body = "return [choose(value, [], 0), choose(value, [], -1)]"
    assert [run(tab, body, rule) for rule in RULES] == [[[], None]] * 2


def test_sums_are_rounded_once(tab: Page) -> None:
    rng = np.random.default_rng(4)
    lists = [(rng.normal(size=k % 9) * 2.0 ** rng.integers(-60, 60, k % 9)).tolist() for k in range(500)]
    lists += [[1.0, 2.0**-53, 2.0**-106], [1.0, -(2.0**-54), -(2.0**-108)], [1.0 + 2.0**-52, 2.0**-53, -(2.0**-106)]]
    sums = map(float, run(tab, "return value.map(exact_sum)", lists))
    assert list(sums) == [math.fsum(numbers) for numbers in lists]


def test_halves_are_rounded_to_even(tab: Page) -> None:
    rng = np.random.default_rng(6)
    numbers = [*np.arange(-10, 10.5, 0.5), 0.5 - 2.0**-54, 2.0**-54 - 0.5, *(rng.normal(size=100) * 2.0**48)]
    assert run(tab, "return value.map(rounded_half_even)", list(map(float, numbers))) == np.rint(numbers).tolist()


def test_products_are_compared_exactly(tab: Page) -> None:
    numbers = [1, 3, 2**26 + 1, 2**50 - 1, 2**53 - 3, 2**53 - 2, 2**53 - 1]
    quadruples = [list(q) for q in itertools.product(numbers, repeat=4)]
    above = run(tab, "return value.map((numbers) => is_product_above(...numbers))", quadruples)
    assert above == [a * b > c * d for a, b, c, d in quadruples]


def test_tied_rows_have_the_ratios_of_all_their_layers(tab: Page) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        table = random_table(rng, 12).rows
        ties = rng.choice(["", "a", "b", "constructor"], len(table)).tolist()
        named = {name: tie for name, tie in zip(table, ties, strict=True) if tie}
        groups: dict[str, list[int]] = {}
        for k, name in enumerate(table):
            groups.setdefault(named.get(name, f"row {k}"), []).append(k)
        value = {"rows": [as_row(row, k) for k, row in enumerate(table.values())], "ties": ties}
        found = run(tab, "return tied(value.rows, value.ties)", value)
        expected = selection.tied(table, named)
        assert found["members"] == list(groups.values())
        assert found["rows"] == [as_row(row, list(table).index(leader)) for leader, row in expected.items()]
