"""Costs of the user's own: which are taken, what is said of the others, and the rank that a ratio stands for."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimet_hooks import SpatialSvd, WeightSvd, cost, own_costs
from aimet_hooks.errors import UnknownNameError, UsageError
from aimet_hooks.layers import Layer
from tests.unit.test_schemes import layer

CONV = layer((4, 8), (1, 1), name="conv")
"""Full rank 4."""
HEAD = layer((4, 4), (), name="head")

GOOD = "layer,rank,cost\nconv,,10\nconv,1,4\nconv,2,3\nconv,4,8\nhead,,2.5\n"


def ranks_of(costs: dict[int | None, float], ratios: list[float], multiplicity: int = 1) -> list[int]:
    """The ranks that ratios of a layer with these costs stand for."""
    model = own_costs.cost_model(lambda _, rank: costs[rank])
    scheme = SpatialSvd(multiplicity=multiplicity)
    return [
        next(
            iter(variant.rank for variant in scheme.variants(CONV, [Fraction(str(ratio))], model)),
            0,
        )
        for ratio in ratios
    ]


def test_a_ratio_is_the_highest_rank_that_costs_no_more() -> None:
    rising = {None: 10.0, 1: 2.0, 2: 4.0, 3: 6.0, 4: 8.0}
    assert ranks_of(rising, [0.2, 0.3, 0.4, 0.7, 0.9]) == [1, 1, 2, 3, 4]


def test_a_ratio_below_all_ranks_is_the_cheapest_of_which_the_highest_counts() -> None:
    assert ranks_of({None: 10.0, 1: 3.0, 2: 2.0, 3: 2.0, 4: 9.0}, [0.1, 0.2, 0.3]) == [3, 3, 3]


def test_ranks_that_a_higher_one_undercuts_are_never_chosen() -> None:
    aligned = {None: 10.0, 1: 5.0, 2: 7.0, 3: 9.0, 4: 4.0}
    assert ranks_of(aligned, [0.1, 0.5, 0.7, 0.9]) == [4, 4, 4, 4]


def test_a_rank_that_saves_nothing_is_no_variant() -> None:
    assert ranks_of({None: 1.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}, [0.5]) == [0]


def test_multiples_are_not_rounded_up() -> None:
    rising = {None: 10.0, 2: 4.0, 4: 8.0}
    assert ranks_of(rising, [0.3, 0.5, 0.8], multiplicity=2) == [2, 2, 4]
    assert ranks_of({None: 10.0, 4: 8.0}, [0.3], multiplicity=32) == [4]


def test_seven_tenths_are_exact() -> None:
    assert ranks_of({None: 0.1, 1: 0.01, 2: 0.03, 3: 0.07, 4: 0.08}, [0.3, 0.7]) == [2, 3]


def test_a_function_is_asked_once_for_every_layer_and_rank() -> None:
    asked: list[tuple[str, int | None]] = []

    def costs(name: str, rank: int | None) -> float:
        asked.append((name, rank))
        return 9.0 if rank is None else float(rank)

    model = own_costs.cost_model(costs)
    model.check([CONV, HEAD])
    for _ in range(2):
        SpatialSvd().variants(CONV, [Fraction(1, 2), Fraction(1, 3)], model)
    assert sorted(asked, key=str) == sorted([("head", None), *(("conv", rank) for rank in (None, 1, 2, 3, 4))], key=str)
    assert (model.name, model.source) == ("own", costs.__qualname__)
    other = own_costs.cost_model(lambda name, rank: 8.0 if rank is None else float(rank))
    other.check([CONV, HEAD])
    assert model.identity.split(":")[-1] != other.identity.split(":")[-1]


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.int64(3), Decimal(3), Fraction(3), np.array(3.0)])
def test_any_real_number_is_a_cost(value: Any) -> None:
    assert own_costs.cost_model(lambda name, rank: value).of_layer(CONV) == 3


@pytest.mark.parametrize(
    "value", [-1, -0.5, math.nan, math.inf, None, "3", True, [1], 10**400, np.ones(2), Decimal("Infinity")]
)
@pytest.mark.parametrize(("rank", "where"), [(None, r"as it is \(rank None\)"), (2, "at rank 2")])
def test_a_value_that_is_no_cost_is_named_with_layer_and_rank(value: Any, rank: int | None, where: str) -> None:
    model = own_costs.cost_model(lambda name, asked: value if asked == rank else 100.0)
    with pytest.raises(
        UsageError, match=rf"cost_metric .*<lambda> returns .* for layer 'conv' {where}; a cost is a fin"
    ):
        SpatialSvd().variants(CONV, [Fraction(1, 2)], model)


def test_a_function_that_fails_is_told_with_layer_and_rank() -> None:
    model = own_costs.cost_model({("conv", None): 1.0}.__getitem__)
    with pytest.raises(UsageError, match=r"fails for layer 'conv' as it is .*TypeError"):
        model.check([CONV])


@pytest.mark.parametrize(("value", "what"), [(0.0, "0"), (1e300, "more than 1e300")])
def test_a_model_must_cost_something(value: float, what: str) -> None:
    with pytest.raises(UsageError, match=f"all layers as they are cost {what}; give costs in a unit"):
        own_costs.cost_model(lambda name, rank: value).check([CONV, HEAD])


@pytest.mark.parametrize("value", ["flops", "costs.json", "", None, 3, ["mac"], b"costs.csv"])
def test_anything_else_is_no_cost_metric(value: Any) -> None:
    with pytest.raises(UsageError, match=r"cost_metric is .*; give one of 'mac', 'memory', a function .*\.csv file"):
        own_costs.cost_model(value)


def test_what_is_counted_has_its_name() -> None:
    assert own_costs.cost_model("mac") is cost.MAC
    assert own_costs.cost_model("memory") is cost.MEMORY


# ---- CSV files ----


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "costs.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    return write


def test_a_file_lists_the_ranks_that_there_are(written: Callable[[str | bytes], Path]) -> None:
    path = written(GOOD)
    for given in (path, str(path)):
        model = own_costs.cost_model(given)
        model.check([CONV, HEAD])
        assert (model.of_layer(CONV), model.of_layer(HEAD)) == (10, Fraction(5, 2))
        assert [v.rank for v in SpatialSvd().variants(CONV, [Fraction(1, 2), Fraction(9, 10)], model)] == [2, 4]
    assert model.source == str(path)


def test_a_spreadsheet_may_write_it(written: Callable[[str | bytes], Path]) -> None:
    content = '\ufefflayer,rank,cost\r\n"conv", ,1e1\r\n\r\nconv, 1 , 4.0\r\n'
    model = own_costs.cost_model(written(content))
    assert (model.of_layer(CONV), model.of_rank(CONV, 1, cost.Cost(1, 1))) == (10, 4)


def test_equal_bytes_are_equal_costs(written: Callable[[str | bytes], Path]) -> None:
    first, same = own_costs.cost_model(written(GOOD)), own_costs.cost_model(written(GOOD))
    other = own_costs.cost_model(written(GOOD.replace("10", "11")))
    assert first.identity == same.identity != other.identity


def test_a_layer_that_the_file_does_not_have_costs_nothing_and_is_skipped(
    written: Callable[[str | bytes], Path],
) -> None:
    model = own_costs.cost_model(written(GOOD))
    other = layer(name="other")
    assert model.of_layer(other) == 0
    assert (SpatialSvd().reason_against(other, model) or "").endswith("costs.csv has no cost of it")


def test_a_layer_without_a_rank_that_saves_something_is_skipped(written: Callable[[str | bytes], Path]) -> None:
    model = own_costs.cost_model(written(GOOD + "wide,,1\nwide,8,1\nwide,16,1.5\n"))
    said = WeightSvd().reason_against(HEAD, model)
    assert (said or "").endswith("costs.csv has no rank of it up to 4 that is a multiple of 1")
    assert (SpatialSvd(multiplicity=3).reason_against(CONV, model) or "").endswith("up to 4 that is a multiple of 3")
    wide: Layer = layer((64, 64), name="wide")
    assert SpatialSvd().reason_against(wide, model) == "its cheapest rank, 8, costs 1, not less than the layer's own 1"


def test_unknown_layers_are_named_with_the_nearest(written: Callable[[str | bytes], Path]) -> None:
    model = own_costs.cost_model(written(GOOD))
    with pytest.raises(
        UnknownNameError, match=r"costs\.csv has layer 'head', which the model has not; there are 'conv'"
    ):
        model.check([CONV])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no table of costs: its first line must be layer,rank,cost"),
        ("layer;rank;cost\n", "its first line must be layer,rank,cost"),
        ("rank,layer,cost\n", "its first line must be layer,rank,cost"),
        ("layer,rank,cost\nconv,,1,2\n", "line 2 has 4 columns; give layer, rank, cost"),
        ("layer,rank,cost\nconv\n", "line 2 has 1 columns"),
        ("layer,rank,cost\n\nconv,one,1\n", "line 3: rank is 'one'; give an integer of at least 1, or leave it empty"),
        ("layer,rank,cost\nconv,0,1\n", "line 2: rank is '0'"),
        ("layer,rank,cost\nconv,-4,1\n", "line 2: rank is '-4'"),
        ("layer,rank,cost\nconv,1.5,1\n", r"line 2: rank is '1\.5'"),
        (f"layer,rank,cost\nconv,{'9' * 9000},1\n", "line 2: rank is '9{60}'; give"),
        ("layer,rank,cost\nconv,1,\n", "line 2: cost is ''; give a finite number of at least 0"),
        ("layer,rank,cost\nconv,1,fast\n", "line 2: cost is 'fast'"),
        ("layer,rank,cost\nconv,1,nan\n", "line 2: cost is 'nan'"),
        ("layer,rank,cost\nconv,1,-1\n", "line 2: cost is '-1'"),
        ("layer,rank,cost\nconv,1,1e999\n", "line 2: cost is '1e999'"),
        ("layer,rank,cost\nconv,,1\nconv,1,1\nconv,01,2\n", "line 4: layer 'conv' at rank 1 is there twice"),
        ("layer,rank,cost\nconv,,1\nconv,,2\n", r"line 3: layer 'conv' as it is \(an empty rank\) is there twice"),
        ("layer,rank,cost\nconv,1,1\n", "no line of layer 'conv' as it is; add one with an empty rank, as conv,,100"),
        ('layer,rank,cost\n"conv,1,1\n', "is not CSV"),
        (b"layer,rank,cost\n\xff\xfe,,1\n", "is not CSV"),
        ("layer,rank,cost\n" + "conv,,1\n" * 150_000, "is not CSV: it has more than 300,000 fields"),
        (f"layer,rank,cost\n{'n' * 200_000},,1\n", "is not CSV: field larger than field limit"),
        (b"PK\x03\x04\x00\x00", "is no table of costs"),
    ],
)
def test_a_wrong_line_is_one_sentence_with_file_line_and_value(
    content: str | bytes, message: str, written: Callable[[str | bytes], Path]
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        own_costs.cost_model(written(content))
    assert "costs.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.csv' cannot be read \(No such file"):
        own_costs.cost_model(tmp_path / "missing.csv")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match=r"endless\.csv' cannot be read \(it is no regular file\)"):
        own_costs.cost_model(tmp_path / "endless.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match=r"folder\.csv' cannot be read"):
        own_costs.cost_model(tmp_path / "folder.csv")
