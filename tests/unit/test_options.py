"""The arguments of ``compress_model``: what is taken, and what the refusal of anything else says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimet_hooks import GreedySelection, ManualSelection, SpatialSvd, WeightSvd, options, reporting
from aimet_hooks.errors import UnknownNameError, UsageError

REPORTING = ("visualization_url", "results_dir", "run_name", "plugin_options", "console", "resume")


def score(model: object) -> float:
    return 0.5


def checked(**changed: Any) -> options.Options:
    arguments: dict[str, Any] = {
        "eval_callback": score,
        "full_eval_callback": None,
        "compress_scheme": "spatial_svd",
        "cost_metric": "mac",
        "selection": None,
        "layers_to_ignore": (),
        "layer_options": None,
        "direction": "maximize",
        "on_eval_error": "skip",
        "trainer": None,
        "shard": None,
        "visualization_url": None,
        "results_dir": None,
        "run_name": None,
        "plugin_options": None,
        "console": "auto",
        "resume": False,
    }
    arguments |= changed
    told = {name: arguments.pop(name) for name in REPORTING}
    return options.check(**arguments, reporting=reporting.check(**told))


def test_what_is_left_out_has_a_default() -> None:
    found = checked()
    assert found.selection == GreedySelection(target_comp_ratio=0.5, num_comp_ratio_candidates=10)
    assert found.scheme == SpatialSvd(multiplicity=1)
    assert (found.reporting.results_dir, found.reporting.plugin_options, found.layers_to_ignore) == (None, {}, ())


def test_what_is_given_is_kept(tmp_path: Path) -> None:
    manual = ManualSelection({"a": 0.5})
    found = checked(
        compress_scheme=WeightSvd(multiplicity=4),
        selection=manual,
        layers_to_ignore=["a", "b.*"],
        results_dir=str(tmp_path),
        plugin_options={"file": {"x": 1}},
        run_name="mine",
        visualization_url="http://localhost:5006/",
    )
    assert (found.scheme, found.selection) == (WeightSvd(multiplicity=4), manual)
    assert (found.layers_to_ignore, found.reporting.results_dir) == (("a", "b.*"), tmp_path)
    assert (found.reporting.plugin_options, found.reporting.run_name) == ({"file": {"x": 1}}, "mine")


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("eval_callback", None, "eval_callback is None; give a function that takes the model and returns a score"),
        ("eval_callback", lambda: 1, "cannot be called with the model alone; give it a first argument for the model"),
        ("eval_callback", lambda model, data: 1, r"give eval_callback=lambda model: .*\(model, data\)"),
        ("full_eval_callback", 3, "full_eval_callback is 3; give a function"),
        ("cost_metric", "flops", "cost_metric is 'flops'; give one of 'mac', 'memory'"),
        ("direction", "max", "direction is 'max'; give one of 'maximize', 'minimize'"),
        ("on_eval_error", "ignore", "on_eval_error is 'ignore'; give one of 'skip', 'raise'"),
        ("console", True, "console is True; give one of 'auto', 'on', 'off'"),
        ("trainer", 1, r"trainer is 1; give a function trainer\(model, layer_name\)"),
        (
            "selection",
            0.5,
            r"selection is 0\.5; give GreedySelection\(.*\), KnapsackSelection\(.*\) or ManualSelection",
        ),
        ("layers_to_ignore", "conv1", r"layers_to_ignore is 'conv1'; give a list of names, globs or modules"),
        ("layers_to_ignore", None, r"layers_to_ignore is None; give a list .* as \['conv1', 'head\.\*'\]"),
        ("visualization_url", 5006, r"visualization_url is 5006; give a string, as 'http://localhost:5006/'"),
        ("run_name", b"run", "run_name is b'run'; give a string"),
        ("results_dir", "", "results_dir is ''; give the path of a directory that is new or holds no run"),
        ("results_dir", 1, "results_dir is 1; give the path"),
        ("plugin_options", ["file"], r"plugin_options is \['file'\]; give \{name of a plugin: \{option: value\}\}"),
        ("plugin_options", {"file": 1}, r"plugin_options is \{'file': 1\}; give"),
        ("compress_scheme", "svd", "compress_scheme 'svd' is no scheme"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_is_taken(argument: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked(**{argument: value})


def test_the_configuration_is_described_in_json_types(tmp_path: Path) -> None:
    described = checked(
        selection=GreedySelection(target_comp_ratio=0.3, saved_eval_scores={"a": {0.1: 0.5}}),
        full_eval_callback=score,
        trainer=lambda model, name: None,
        results_dir=tmp_path,
        layers_to_ignore=("conv1", object()),
        plugin_options={"file": {"folder": tmp_path}},
    ).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["selection"] == {
        "rule": "greedy",
        "target_comp_ratio": 0.3,
        "num_comp_ratio_candidates": 10,
        "use_monotonic_fit": False,
        "saved_eval_scores": True,
        "max_drop": None,
        "probe_targets": [0.9, 0.7, 0.5, 0.4, 0.3],
    }
    assert described["layers_to_ignore"] == ["conv1", "object"]
    assert (described["eval_callback"], described["full_eval_callback"]) == ("score", "score")
    assert described["results_dir"] == str(tmp_path)


@pytest.mark.parametrize(("name", "ours"), options.AIMET_KEYWORDS.items())
def test_a_keyword_of_aimets_is_answered_with_ours(name: str, ours: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        options.refuse_unknown({name: 1}, ["selection"])
    assert str(caught.value) == f"compress_model has no keyword {name!r} (AIMET's); {ours}"


def test_an_unknown_keyword_is_answered_with_the_nearest() -> None:
    message = "compress_model has no keyword 'layer_to_ignore'; the nearest are 'layers_to_ignore'"
    with pytest.raises(UnknownNameError, match=message):
        options.refuse_unknown({"layer_to_ignore": ()}, ["selection", "layers_to_ignore"])
    options.refuse_unknown({}, [])


def test_an_input_shape_is_a_tuple_of_ints() -> None:
    assert options.example_input(None, None).shape is None
    found = options.example_input([np.int64(1), 3, 8], None).shape
    assert found == (1, 3, 8)
    assert {type(size) for size in found or ()} == {int}


@pytest.mark.parametrize("shape", [(), 5, "1,3", (1, 0), (1, -1), (1, 2.0), (True, 3), {1: 2}, [(1, 3), (1, 4)]])
def test_any_other_input_shape_is_refused(shape: object) -> None:
    message = (
        r"input_shape is .*; give positive integers with the batch first, as \(1, 3, 224, 224\); a model with several"
    )
    with pytest.raises(UsageError, match=message):
        options.example_input(shape, None)


def test_a_shape_and_values_are_not_both_taken() -> None:
    with pytest.raises(UsageError, match="input_shape and example_inputs are both given; give one of them"):
        options.example_input((1, 3), np.zeros((1, 3)))
