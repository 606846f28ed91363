"""Costs of the user's own, as cycles or milliseconds, of a function or a CSV file; and what ``cost_metric`` takes."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aimet_hooks import bounded_csv, cost, evaluation, regular_file
from aimet_hooks.cost import CostModel
from aimet_hooks.errors import UnknownNameError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from fractions import Fraction

    from aimet_hooks.cost import Amount, Cost, Ranks
    from aimet_hooks.layers import Layer

OwnCost = Callable[[str, int | None], float]
"""The cost of a layer at a rank; None: as it is."""

CostMetric = Literal["mac", "memory"] | OwnCost | str | os.PathLike[str]
"""What ``cost_metric`` takes."""

HEADER = ["layer", "rank", "cost"]
LARGEST_TOTAL = 10**300
"""What all layers may cost, so that sums are finite as floats, too."""
MOST_SHOWN = 60
"""Characters of a value that a message quotes."""


def cost_model(value: Any) -> CostModel:
    """The costs that ``cost_metric`` asks for.

    Raises:
        UsageError: If there are no such costs, or the file is wrong.
    """
    if isinstance(value, str) and value in cost.COUNTED:
        return cost.COUNTED[value]
    if isinstance(value, (str, os.PathLike)) and Path(value).suffix.lower() == ".csv":
        return CostsOfFile(Path(value))
    if callable(value):
        return CostsOfFunction(value)
    raise UsageError(
        f"cost_metric is {value!r}; give one of 'mac', 'memory', a function of (layer, rank), or the path of a .csv "
        "file with the columns layer, rank, cost"
    )


@dataclass(frozen=True, slots=True)
class _Ladder:
    """The ranks of a layer that no higher one undercuts, ascending, and so by ascending cost."""

    ranks: Sequence[int]
    costs: Sequence[Fraction]


class OwnCosts(CostModel):
    """Finite numbers >= 0 in any unit, which need not rise with the rank.

    A ratio stands for the highest rank that costs no more than this share of the layer as it is; where there is none,
    for the cheapest one.

    Args:
        source: What the user gave, in words.
    """

    name = "own"

    def __init__(self, source: str) -> None:
        self.source = source
        self._ladders: dict[tuple[str, int, int], _Ladder] = {}

    def check(self, layers: Sequence[Layer]) -> None:
        """Make sure that every layer has a cost as it is, and all together cost something."""
        total = sum(self.of_layer(layer) for layer in layers)
        if layers and not 0 < total <= LARGEST_TOTAL:
            raise UsageError(
                f"cost_metric {self.source}: all layers as they are cost {'0' if total == 0 else 'more than 1e300'}; "
                "give costs in a unit in which this is between 0 and 1e300"
            )

    def of_layer(self, layer: Layer) -> Fraction:
        """What a layer costs as it is."""
        return self._cost(layer.name, None)

    def of_rank(self, layer: Layer, rank: int, counted: Cost) -> Fraction:
        """What its factors cost at a rank."""
        del counted
        return self._cost(layer.name, rank)

    def rank_for(self, layer: Layer, ratio: Fraction, ranks: Ranks) -> int:
        """The highest rank that costs no more than the ratio allows, else the cheapest."""
        ladder = self._ladder(layer, ranks)
        fitting = bisect_right(ladder.costs, ratio * self.of_layer(layer))
        return ladder.ranks[max(fitting - 1, 0)]

    def reason_against(self, layer: Layer, ranks: Ranks) -> str | None:
        """Whether it has no rank, or none that costs less than the layer."""
        ladder, original = self._ladder(layer, ranks), self.of_layer(layer)
        if not ladder.ranks:
            return f"{self.source} has no rank of it up to {ranks.full} that is a multiple of {ranks.multiplicity}"
        if ladder.costs[0] < original:
            return None
        rank, smallest = ladder.ranks[0], float(ladder.costs[0])
        return f"its cheapest rank, {rank}, costs {smallest:g}, not less than the layer's own {float(original):g}"

    def recorded(self, amount: Amount) -> float:
        """The number that the user gave."""
        return float(amount)

    def _ladder(self, layer: Layer, ranks: Ranks) -> _Ladder:
        key = (layer.name, ranks.full, ranks.multiplicity)
        if key not in self._ladders:
            found: list[tuple[int, Fraction]] = []
            for rank in sorted(self._available(layer.name, ranks), reverse=True):
                amount = self._cost(layer.name, rank)
                if not found or amount < found[-1][1]:
                    found.append((rank, amount))
            self._ladders[key] = _Ladder([rank for rank, _ in found[::-1]], [amount for _, amount in found[::-1]])
        return self._ladders[key]

    def _available(self, layer: str, ranks: Ranks) -> Sequence[int]:
        del layer
        return range(ranks.multiplicity, ranks.full + 1, ranks.multiplicity) or (ranks.full,)

    @abstractmethod
    def _cost(self, layer: str, rank: int | None) -> Fraction:
        """What a layer costs at a rank, or as it is."""


class CostsOfFunction(OwnCosts):
    """Costs that a function returns; it is asked once for every layer and rank, before anything is evaluated.

    Args:
        function: Of the layer's name and a rank; None: as it is.
    """

    def __init__(self, function: OwnCost) -> None:
        name = evaluation.callback_name(function)
        super().__init__(name)
        self._function = function
        self._known: dict[tuple[str, int | None], Fraction] = {}

    @property
    def identity(self) -> str:
        """A digest of what the layers cost as they are: two functions of one name need not be the same."""
        content = sorted((layer, str(amount)) for (layer, rank), amount in self._known.items() if rank is None)
        return f"own:{self.source}:{hashlib.sha256(repr(content).encode()).hexdigest()[:12]}"

    def _cost(self, layer: str, rank: int | None) -> Fraction:
        if (layer, rank) not in self._known:
            self._known[layer, rank] = self._asked(layer, rank)
        return self._known[layer, rank]

    def _asked(self, layer: str, rank: int | None) -> Fraction:
        where = f"for layer {layer!r} " + ("as it is (rank None)" if rank is None else f"at rank {rank}")
        try:
            value: Any = self._function(layer, rank)
        except Exception as error:
            raise UsageError(
                f"cost_metric {self.source} fails {where}: {type(error).__name__}: {error}; it must have a cost for "
                "every layer with weights and every rank"
            ) from error
        number = None if isinstance(value, (bool, str)) else _finite(value)
        if number is None:
            raise UsageError(
                f"cost_metric {self.source} returns {repr(value)[:MOST_SHOWN]} {where}; "
                "a cost is a finite number of at least 0"
            )
        return cost.decimal(number)


class CostsOfFile(OwnCosts):
    """Costs that a CSV file lists, with the header ``layer,rank,cost``; an empty rank: the layer as it is.

    Layers that it does not have cost nothing, and stay as they are.

    Args:
        path: The file.

    Raises:
        UsageError: If it cannot be read, or a line of it is wrong; names file, line and value.
    """

    def __init__(self, path: Path) -> None:
        content = _content(path)
        super().__init__(str(path))
        self._digest = hashlib.sha256(content).hexdigest()[:12]
        self._path = path
        self._costs = _table(path, content)

    @property
    def identity(self) -> str:
        """A digest of the file."""
        return f"own:{self._digest}"

    def check(self, layers: Sequence[Layer]) -> None:
        """Make sure that the file knows no other layers either."""
        names = [layer.name for layer in layers]
        for name in self._costs:
            if name not in names:
                raise UnknownNameError(
                    f"{self._path} has layer {name!r}, which the model has not{nearest(name, names)}"
                )
        super().check(layers)

    def reason_against(self, layer: Layer, ranks: Ranks) -> str | None:
        """Whether the file does not have the layer."""
        if layer.name not in self._costs:
            return f"{self._path} has no cost of it"
        return super().reason_against(layer, ranks)

    def _available(self, layer: str, ranks: Ranks) -> Sequence[int]:
        usable = super()._available(layer, ranks)
        return [rank for rank in self._costs[layer] if rank is not None and rank in usable]

    def _cost(self, layer: str, rank: int | None) -> Fraction:
        return cost.decimal(self._costs[layer][rank] if layer in self._costs else 0)


def _content(path: Path) -> bytes:
    try:
        return regular_file.content(path, bounded_csv.MAX_BYTES)
    except OSError as error:
        raise UsageError(f"cost_metric {str(path)!r} cannot be read ({error.strerror or error})") from error


def _table(path: Path, content: bytes) -> Mapping[str, Mapping[int | None, float]]:
    try:
        return _table_in(bounded_csv.rows(content), path)
    except csv.Error as error:
        raise UsageError(f"{path} is not CSV: {error}") from error


def _table_in(lines: Iterator[tuple[int, list[str]]], path: Path) -> Mapping[str, Mapping[int | None, float]]:
    _, titles = next(lines, (0, []))
    if [title.strip() for title in titles] != HEADER:
        raise UsageError(f"{path} is no table of costs: its first line must be {','.join(HEADER)}")
    table: dict[str, dict[int | None, float]] = {}
    for number, row in lines:
        where = f"{path}, line {number}"
        if len(row) != len(HEADER):
            raise UsageError(f"{where} has {len(row)} columns; give {', '.join(HEADER)}")
        layer, rank, amount = row[0], _rank(row[1], where), _amount(row[2], where)
        known = table.setdefault(layer, {})
        if rank in known:
            which = "as it is (an empty rank)" if rank is None else f"at rank {rank}"
            raise UsageError(f"{where}: layer {_shown(layer)} {which} is there twice; give one cost for it")
        known[rank] = amount
    for layer, known in table.items():
        if None not in known:
            raise UsageError(
                f"{path} has no line of layer {_shown(layer)} as it is; add one with an empty rank, as "
                f"{layer[:MOST_SHOWN]},,100"
            )
    return table


def _rank(text: str, where: str) -> int | None:
    if not text.strip():
        return None
    try:
        rank = int(text)
    except ValueError:
        rank = 0
    if rank < 1:
        raise UsageError(
            f"{where}: rank is {_shown(text)}; give an integer of at least 1, or leave it empty for the layer as it is"
        )
    return rank


def _amount(text: str, where: str) -> float:
    number = _finite(text)
    if number is None:
        raise UsageError(f"{where}: cost is {_shown(text)}; give a finite number of at least 0")
    return number


def _finite(value: Any) -> float | None:
    """A number that a cost can be; None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _shown(text: str) -> str:
    return repr(text[:MOST_SHOWN])
