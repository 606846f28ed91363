"""What is asked of single layers: which values are taken, and which layers a name or glob means."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from aimet_hooks import LayerOptions, layer_options
from aimet_hooks.errors import UnknownNameError, UsageError

NAMES = ["stem", "layer4.0.conv1", "layer4.0.conv2", "head"]


def test_nothing_is_asked_by_default() -> None:
    assert LayerOptions().describe() == {}
    assert LayerOptions().lowest is None


@pytest.mark.parametrize("written", [0.3, Fraction(3, 10), Decimal("0.3")])
def test_a_lowest_ratio_is_exact_and_described_in_json_types(written: Any) -> None:
    asked = LayerOptions(min_comp_ratio=written, multiplicity=8, tie="a")
    assert asked.lowest == Fraction(3, 10)
    assert asked.describe() == {"min_comp_ratio": 0.3, "multiplicity": 8, "tie": "a"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_comp_ratio": 0}, r"min_comp_ratio is 0; it must lie between 0 and 1, both excluded"),
        ({"min_comp_ratio": 1.0}, r"min_comp_ratio is 1\.0; it must lie between 0 and 1"),
        ({"min_comp_ratio": "0.5"}, r"min_comp_ratio is '0\.5'; give a number between 0 and 1"),
        ({"min_comp_ratio": float("nan")}, "min_comp_ratio is nan; give a number between 0 and 1"),
        ({"multiplicity": 0}, "multiplicity is 0; give an integer of at least 1"),
        ({"multiplicity": True}, "multiplicity is True; give an integer of at least 1"),
        ({"multiplicity": 8.0}, r"multiplicity is 8\.0; give an integer of at least 1"),
        ({"tie": ""}, "tie is ''; give the layers that share a ratio the same name"),
        ({"tie": 3}, "tie is 3; give the layers that share a ratio the same name"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LayerOptions(**values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("stem", LayerOptions())], r"layer_options is \[.*\]; give \{name or glob: LayerOptions\(\.\.\.\)\}"),
        (
            {"stem": {"multiplicity": 8}},
            r"layer_options has 'stem': \{'multiplicity': 8\}; give a name or glob and Lay",
        ),
        ({3: LayerOptions()}, r"layer_options has 3: LayerOptions\(.*\); give a name or glob"),
    ],
)
def test_anything_but_a_mapping_of_options_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        layer_options.by_pattern(given)


def test_nothing_given_is_an_empty_mapping() -> None:
    assert layer_options.by_pattern(None) == {}


def test_a_glob_means_all_that_it_matches_and_later_options_override_field_by_field() -> None:
    found = layer_options.of_each(
        {
            "*": LayerOptions(multiplicity=8, tie="all"),
            "layer4.*": LayerOptions(min_comp_ratio=0.5, multiplicity=32),
            "layer4.0.conv2": LayerOptions(min_comp_ratio=0.75),
        },
        NAMES,
    )
    assert found["stem"] == found["head"] == LayerOptions(multiplicity=8, tie="all")
    assert found["layer4.0.conv1"] == LayerOptions(min_comp_ratio=0.5, multiplicity=32, tie="all")
    assert found["layer4.0.conv2"] == LayerOptions(min_comp_ratio=0.75, multiplicity=32, tie="all")


def test_an_exact_name_that_comes_first_is_overridden_as_well() -> None:
    given = {"stem": LayerOptions(multiplicity=2), "s*": LayerOptions(multiplicity=4)}
    assert layer_options.of_each(given, NAMES) == {"stem": LayerOptions(multiplicity=4)}


def test_a_name_with_the_characters_of_a_glob_means_itself() -> None:
    assert list(layer_options.of_each({"a[0]": LayerOptions()}, ["a[0]", "a0"])) == ["a[0]"]


@pytest.mark.parametrize("pattern", ["layr4.*", "STEM", ""])
def test_what_matches_nothing_is_an_error_with_the_nearest_names(pattern: str) -> None:
    with pytest.raises(UnknownNameError, match=r"layer_options has '.*', which matches no layer; the"):
        layer_options.of_each({pattern: LayerOptions()}, NAMES)
