"""Layers with options of their own, and costs of the user's own, from the call to what is applied later."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest

from aimet_hooks import (
    GreedySelection,
    KnapsackSelection,
    LayerOptions,
    ManualSelection,
    ModelError,
    TargetError,
    UnknownNameError,
    UsageError,
    compress_model,
    demo,
    load_run,
    plan,
    recordings,
)
from aimet_hooks.adapters.onnx_graph.session_options import with_threads
from aimet_hooks.applying import apply_ratios
from aimet_hooks.cli import main
from aimet_hooks.events import EvalScored, ExplorationStarted, LayerSkipped, RunStarted
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import RecordingPlugin
from tests.integration.small_runs import Gate, network

if TYPE_CHECKING:
    from aimet_hooks.result import CompressionResult

RULES = {"greedy": GreedySelection, "knapsack": KnapsackSelection}
TIED = {"block1.*": LayerOptions(tie="one"), "block3.[ep]*": LayerOptions(tie="three", min_comp_ratio=0.4)}


def compress_demo(selection: Any, **arguments: Any) -> CompressionResult:
    return compress_model(
        demo.model_path(),
        demo.accuracy(),
        input_shape=demo.INPUT_SHAPE,
        selection=selection,
        session_options=with_threads(1),
        **({"plugins": [], "layers_to_ignore": [demo.HEAD]} | arguments),
    )


def compress_chain(selection: Any, **arguments: Any) -> tuple[CompressionResult, Gate]:
    """The chain of convolutions first, second, third, whose score is its number of weights."""
    evaluate = Gate()
    evaluate.let(10**6)
    given = {"input_shape": (1, 12, 8, 8), "plugins": []} | arguments
    return compress_model(network(), evaluate, selection=selection, **given), evaluate


# ---- options of layers ----


def test_a_lowest_ratio_saves_evaluations_and_is_kept() -> None:
    selection = GreedySelection(target_comp_ratio=0.6, num_comp_ratio_candidates=10, probe_targets=())
    free, all_of_them = compress_chain(selection)
    options = {"s*": LayerOptions(min_comp_ratio=0.7)}
    recorder = RecordingPlugin()
    bound, fewer = compress_chain(selection, layer_options=options, plugins=[recorder])
    (started,) = recorder.of_kind(ExplorationStarted)
    assert started.cells["second"] == (0.7, 0.8, 0.9)
    assert len(started.cells["first"]) == 9
    assert all_of_them.evaluations - fewer.evaluations == 6
    assert fewer.evaluations == started.evaluations + 3  # the baseline twice, and the result
    assert free.comp_ratios["second"] is not None
    assert bound.comp_ratios["second"] in (0.7, 0.8, 0.9, None)
    planned = plan(network(), input_shape=(1, 12, 8, 8), layer_options=options)
    assert planned.evaluations == started.evaluations
    assert planned.lowest_comp_ratio == started.lowest_comp_ratio


def test_a_layer_without_a_candidate_is_skipped_and_leaves_its_tie() -> None:
    options = {"*": LayerOptions(tie="chain"), "second": LayerOptions(min_comp_ratio=0.95)}
    recorder = RecordingPlugin()
    result, _ = compress_chain(GreedySelection(target_comp_ratio=0.7), layer_options=options, plugins=[recorder])
    (skipped,) = recorder.of_kind(LayerSkipped)
    assert skipped.reason == "no candidate is at least its min_comp_ratio 0.95; the highest is 0.9"
    note = "layer 'second' is skipped and so leaves the tie 'chain'; 'first', 'third' stay tied"
    assert note in recorder.events[-1].notes  # type: ignore[attr-defined]
    assert result.comp_ratios["first"] == result.comp_ratios["third"]
    assert note in plan(network(), input_shape=(1, 12, 8, 8), layer_options=options).notes
    with pytest.raises(ModelError, match=r"no candidate is at least its min_comp_ratio 0\.95"):
        compress_chain(GreedySelection(), layer_options={"*": LayerOptions(min_comp_ratio=0.95)})


def test_a_multiplicity_of_its_own_makes_the_ranks_of_a_layer() -> None:
    recorder = RecordingPlugin()
    options = {"second": LayerOptions(multiplicity=8)}
    compress_chain(GreedySelection(target_comp_ratio=0.7), layer_options=options, plugins=[recorder])
    ranks = {
        name: {cell.rank for cell in recorder.of_kind(EvalScored) if cell.layer == name} for name in ("first", "second")
    }
    assert ranks["second"] == {8, 16}
    assert len(ranks["first"]) == 9


@pytest.mark.parametrize("rule", RULES)
def test_tied_layers_share_a_ratio_in_the_run_and_in_what_is_chosen_later(rule: str, tmp_path: Path) -> None:
    selection = RULES[rule](target_comp_ratio=0.45, num_comp_ratio_candidates=5)
    result = compress_demo(selection, layer_options=TIED, results_dir=tmp_path / "run")
    saved = load_run(tmp_path / "run")
    assert saved.state.ties == {
        "block1.conv1": "one",
        "block1.conv2": "one",
        "block3.expand": "three",
        "block3.project": "three",
    }
    for target in (0.45, 0.3, 0.7):
        chosen = saved.select(target_comp_ratio=target, rule=rule)
        known = RULES[rule](target_comp_ratio=target, num_comp_ratio_candidates=5, saved_eval_scores=tmp_path / "run")
        again = result if target == 0.45 else compress_demo(known, layer_options=TIED)
        assert chosen.comp_ratios == again.comp_ratios
        assert chosen.achieved_comp_ratio == pytest.approx(again.stats.mac_ratio)
        assert chosen.comp_ratios["block1.conv1"] == chosen.comp_ratios["block1.conv2"]
        assert chosen.comp_ratios["block3.expand"] == chosen.comp_ratios["block3.project"]
    assert saved.state.settings["layer_options"]["block3.[ep]*"] == {"min_comp_ratio": 0.4, "tie": "three"}

    locked = saved.select(target_comp_ratio=0.6, rule=rule, locked={"block1.conv2": 0.8})
    assert (locked.comp_ratios["block1.conv1"], locked.comp_ratios["block1.conv2"]) == (0.8, 0.8)
    alone = saved.select(target_comp_ratio=0.7, rule=rule, locked={"block1.conv1": None})
    assert alone.comp_ratios["block1.conv2"] is None
    with pytest.raises(
        UsageError, match=r"'block1\.conv1' and 'block1\.conv2' are tied by 'one' and locked at 0\.8 and n"
    ):
        saved.select(target_comp_ratio=0.6, locked={"block1.conv1": 0.8, "block1.conv2": None})


def test_the_lowest_ratio_counts_with_ties() -> None:
    options = {"first": LayerOptions(tie="a", min_comp_ratio=0.8), "second": LayerOptions(tie="a")}
    with pytest.raises(TargetError, match=r"the lowest ratio of the model is 0\.(\d+)") as caught:
        compress_chain(GreedySelection(target_comp_ratio=0.3), layer_options=options)
    lowest = float(str(caught.value).partition("of the model is ")[2].split()[0])
    result, _ = compress_chain(GreedySelection(target_comp_ratio=lowest), layer_options=options)
    assert result.comp_ratios["first"] == result.comp_ratios["second"] == 0.8


def test_the_order_of_events_and_their_meaning_survive_the_log(tmp_path: Path) -> None:
    recorder = RecordingPlugin()
    compress_chain(
        GreedySelection(target_comp_ratio=0.7),
        layer_options={"*d": LayerOptions(tie="a")},
        cost_metric=lambda layer, rank: 1.25 if rank is None else rank / 16,
        results_dir=tmp_path / "run",
        plugins=[recorder],
    )
    logged = [event for event in recorder.events if event.logged]
    assert recordings.read(tmp_path / "run") == logged


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"second": 0.5}, r"layer 'second' has ratio 0\.5, below its min_comp_ratio 0\.7; raise the ratio, or lower"),
        (
            {"first": 0.5, "third": 0.6},
            r"'first' and 'third' are tied by 'a', and ManualSelection gives them 0\.5 and 0\.6",
        ),
        (
            {"third": 0.6},
            r"'first' and 'third' are tied by 'a', and ManualSelection gives them none and 0\.6; give both",
        ),
        ({"first": 0.6, "third": None}, r"tied by 'a', and ManualSelection gives them 0\.6 and none"),
    ],
)
def test_ratios_by_hand_keep_to_the_options(ratios: dict[str, float | None], message: str) -> None:
    options = {"second": LayerOptions(min_comp_ratio=0.7), "[ft]*": LayerOptions(tie="a")}
    with pytest.raises(UsageError, match=message):
        compress_chain(ManualSelection(ratios), layer_options=options)
    result, _ = compress_chain(ManualSelection({"first": 0.5, "second": 0.7, "third": 0.5}), layer_options=options)
    assert result.comp_ratios == {"first": 0.5, "second": 0.7, "third": 0.5}


def test_what_matches_no_layer_is_named_before_anything_is_evaluated() -> None:
    evaluate = Gate()
    with pytest.raises(
        UnknownNameError, match="layer_options has 'frst', which matches no layer; the nearest are 'first'"
    ):
        compress_model(
            network(), evaluate, input_shape=(1, 12, 8, 8), layer_options={"frst": LayerOptions()}, plugins=[]
        )
    assert evaluate.evaluations == 0


# ---- costs of the user's own ----


def cycles(layer: str, rank: int | None) -> float:
    """Ranks below 16 cost what 16 costs, and 20 costs less than 17; the head has none to spare."""
    if rank is None:
        return 1000.5 if layer != demo.HEAD else 10.0
    return 60.25 * (-(-rank // 16) * 16) / 4 - (200 if rank == 20 else 0)


@pytest.mark.parametrize("rule", RULES)
def test_costs_of_a_function_are_what_ratios_are_shares_of(rule: str, tmp_path: Path) -> None:
    recorder = RecordingPlugin()
    asked: Counter[tuple[str, int | None]] = Counter()

    def counted(layer: str, rank: int | None) -> float:
        asked[layer, rank] += 1
        return cycles(layer, rank)

    selection = RULES[rule](target_comp_ratio=0.75, num_comp_ratio_candidates=5)
    result = compress_demo(
        selection, cost_metric=counted, results_dir=tmp_path / "run", plugins=[recorder], layer_options=TIED
    )
    (started,) = recorder.of_kind(RunStarted)
    assert started.cost_metric == "own"
    assert started.settings["costs"] == counted.__qualname__
    assert set(asked.values()) == {1}
    assert {name: info.cost for name, info in started.layers.items()} == {n: cycles(n, None) for n in started.layers}
    for cell in recorder.of_kind(EvalScored):
        assert cell.cost == cycles(cell.layer, cell.rank)
        assert cell.achieved_comp_ratio == cell.cost / cycles(cell.layer, None)
    kept = sum(cycles(name, stats.rank if stats.rank else None) for name, stats in result.stats.layers.items()) / sum(
        cycles(name, None) for name in started.layers
    )
    assert result.stats.cost_ratio == pytest.approx(kept)
    assert result.stats.cost_ratio <= 0.75
    saved = load_run(tmp_path / "run")
    state = saved.state
    assert state.total_cost == sum(cycles(name, None) for name in started.layers)
    assert sum(state.cost_after(name) or 0.0 for name in state.layers) / state.total_cost == pytest.approx(kept)
    for target in (0.75, 0.6, 0.9):
        chosen = saved.select(target_comp_ratio=target)
        known = RULES[rule](target_comp_ratio=target, num_comp_ratio_candidates=5, saved_eval_scores=tmp_path / "run")
        again = compress_demo(known, cost_metric=cycles, layer_options=TIED)
        assert chosen.comp_ratios == again.comp_ratios
        assert chosen.achieved_comp_ratio == pytest.approx(again.stats.cost_ratio)


@pytest.mark.parametrize("unit", [1.0, 1 / 3, 1e-9, 3.3e15])
def test_the_unit_of_the_costs_does_not_matter(unit: float, tmp_path: Path) -> None:
    selection = GreedySelection(target_comp_ratio=0.6)

    def cost(layer: str, rank: int | None) -> float:
        return unit * (1.7 if rank is None else 0.1 * rank)

    result, _ = compress_chain(selection, cost_metric=cost, results_dir=tmp_path / "run")
    assert result.stats.cost_ratio <= 0.6
    assert load_run(tmp_path / "run").select(target_comp_ratio=0.6).comp_ratios == result.comp_ratios


def test_a_function_that_counts_macs_chooses_what_macs_choose() -> None:
    per_rank = 2 * 12 * 3 * 64
    by_macs, _ = compress_chain(GreedySelection(target_comp_ratio=0.6))
    own, _ = compress_chain(
        GreedySelection(target_comp_ratio=0.6),
        cost_metric=lambda layer, rank: 12 * 12 * 9 * 64 if rank is None else rank * per_rank,
    )
    assert own.comp_ratios == by_macs.comp_ratios
    assert own.stats.cost_ratio == own.stats.mac_ratio == by_macs.stats.mac_ratio
    assert own.eval_scores.equals(by_macs.eval_scores)


def test_costs_are_part_of_the_fingerprint_and_constraints_are_not(tmp_path: Path) -> None:
    def fingerprint(**arguments: Any) -> str:
        recorder = RecordingPlugin()
        compress_chain(ManualSelection({"first": 0.5}), plugins=[recorder], **arguments)
        return recorder.of_kind(RunStarted)[0].fingerprint

    plain = fingerprint()
    assert fingerprint(layer_options={"second": LayerOptions(min_comp_ratio=0.5)}) == plain
    content = "layer,rank,cost\nfirst,,9\nfirst,3,4\n"
    found = [plain, fingerprint(cost_metric=lambda layer, rank: 20.0 if rank is None else rank)]
    for text in (content, content.replace("9", "8")):
        (tmp_path / "costs.csv").write_text(text)
        found.append(fingerprint(cost_metric=tmp_path / "costs.csv"))
    assert len(set(found)) == 4


def test_a_function_that_fails_ends_the_run_before_anything_is_evaluated() -> None:
    evaluate = Gate()
    with pytest.raises(UsageError, match="fails for layer 'second' at rank 36: KeyError: 36; it must have a cost"):
        compress_model(
            network(),
            evaluate,
            input_shape=(1, 12, 8, 8),
            cost_metric=lambda layer, rank: {None: 9, 1: 1, 2: 2}[rank] if layer == "second" else rank or 99,
            plugins=[],
        )
    assert evaluate.evaluations == 0


# ---- the command line ----


def costs_csv(path: Path) -> Path:
    """Costs of three layers of the demo's network, at every fourth rank."""
    lines = [
        f"{name},{rank},{cycles(name, rank) if rank else 1000.5}" for name in NAMED for rank in ("", *range(4, 97, 4))
    ]
    path.write_text("\n".join(["layer,rank,cost", *lines]) + "\n")
    return path


NAMED = ("block1.conv1", "block1.conv2", "block2.conv2")


def test_a_file_of_costs_and_layer_options_go_through_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    costs = costs_csv(tmp_path / "my costs.csv")
    (tmp_path / "evaluation.py").write_text("from aimet_hooks import demo\naccuracy = demo.accuracy()\n")
    meaning = ["--cost-metric", str(costs), "--layer-option", "block1.*:tie=one,min_comp_ratio=0.4"]
    meaning += ["--layer-option", "block1.conv?:multiplicity=8"]
    assert main(["layers", str(demo.model_path()), "--candidates", "5", *meaning]) == 0
    said = capsys.readouterr().out
    assert "my costs.csv has no cost of it" in said
    assert "(own)" in said
    line = ["compress", str(demo.model_path()), "--eval", "evaluation.py:accuracy", "--target", "0.7", "--threads", "1"]
    line += ["--candidates", "5", "--results-dir", "run", "-o", "out.onnx", "--plugin", "file", "--plugin", "console"]
    assert main([*line, *meaning]) == 0
    said = capsys.readouterr().out
    assert "keep 0.7 of the cost" in said
    assert "of the cost kept, target 0.7" in said
    assert re.search(r"^  cost +3\.00 k +-> +[\d.]+ k +0\.\d{3} kept$", said, re.MULTILINE)
    assert main(["show", "run", "--html", "page.html"]) == 0
    assert "cost kept" in Path("page.html").read_text()
    state = load_run("run").state
    assert set(state.scores) == set(NAMED)
    assert state.skipped["stem"] == f"{costs} has no cost of it"
    assert all(cell.rank % 8 == 0 for name in NAMED[:2] for cell in state.scores[name].values() if cell.rank)
    assert state.selection
    ratios = state.selection.comp_ratios
    assert ratios["block1.conv1"] == ratios["block1.conv2"]
    assert main(["select", "run", "--target", "0.7", "-o", "ratios.json"]) == 0
    assert json.loads(Path("ratios.json").read_text()) == ratios
    command = capsys.readouterr().out.splitlines()[-1]
    assert f"--cost-metric {shlex.quote(str(costs))} --layer-option 'block1.conv?:multiplicity=8' " in command
    command = command.replace("MODEL.onnx", str(demo.model_path())).replace("OUT.onnx", "applied.onnx")
    assert main(shlex.split(command)[1:]) == 0
    assert " of the cost, " in capsys.readouterr().out
    assert onnx.load("applied.onnx") == onnx.load("out.onnx")
    applied = apply_ratios(
        demo.model_path(),
        "ratios.json",
        input_shape=demo.INPUT_SHAPE,
        cost_metric=costs,
        layer_options={"block1.*": LayerOptions(multiplicity=8, tie="one")},
    )
    assert applied.model == onnx.load("out.onnx")
    assert applied.cost_ratio == pytest.approx(state.selection.achieved_comp_ratio)


def test_costs_of_a_function_are_to_be_listed_for_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compress_chain(GreedySelection(target_comp_ratio=0.7), cost_metric=cycles_of_chain, results_dir=tmp_path / "run")
    assert main(["select", str(tmp_path / "run"), "--target", "0.7", "-o", str(tmp_path / "ratios.json")]) == 0
    said = capsys.readouterr().out
    assert "COSTS.csv must list the costs that the run had of cycles_of_chain." in said
    assert "--cost-metric COSTS.csv " in said


def cycles_of_chain(layer: str, rank: int | None) -> float:
    return 20.0 if rank is None else float(rank)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (
            ["--layer-option", "stem"],
            "'stem' is no layer option; give GLOB:min_comp_ratio=0.5,multiplicity=32,tie=name",
        ),
        (["--layer-option", "stem:0.5"], "'stem:0.5' is no layer option"),
        (["--layer-option", "stem:ratio=0.5"], "'stem:ratio=0.5' is no layer option"),
        (["--layer-option", "stem:min_comp_ratio=half"], "'stem:min_comp_ratio=half' is no layer option"),
        (["--layer-option", "stem:multiplicity=1.5"], "'stem:multiplicity=1.5' is no layer option"),
        (["--layer-option", "stem:min_comp_ratio=2"], "it must lie between 0 and 1"),
        (["--layer-option", "stem:multiplicity=0"], "multiplicity is 0; give an integer of at least 1"),
        (["--layer-option", "stm:tie=a"], "(--layer-option) has 'stm', which matches no layer; the nearest are 'stem'"),
        (["--layer-option", "stem:tie=a", "--layer-option", "stem:tie=b"], "--layer-option 'stem' is there twice"),
        (
            ["--cost-metric", "flops"],
            "'flops' is no cost metric; give mac, memory, or a .csv file of layer, rank, cost",
        ),
        (["--cost-metric", "missing.csv"], "'missing.csv' cannot be read (No such file or directory)"),
    ],
)
def test_wrong_options_are_one_line(option: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", str(demo.model_path()), *option]) == 2
    assert text in " ".join(capsys.readouterr().err.split())


def test_logs_of_before_have_no_ties_and_no_own_costs() -> None:
    state = RunState()
    assert state.ties == {}
    for event in recordings.read(Path(__file__).parents[1] / "golden" / "events-v1.jsonl"):
        state.apply(event)
    assert state.ties == {}
    assert all(info.cost is None and state.cost(name) == info.macs for name, info in state.layers.items())
