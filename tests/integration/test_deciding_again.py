"""One exploration answers other targets and other rules, without another evaluation."""

from __future__ import annotations

import json
import shlex
import shutil
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from aimet_hooks import (
    GreedySelection,
    KnapsackSelection,
    LayerOptions,
    ManualSelection,
    RecordingError,
    TargetError,
    UnknownNameError,
    UsageError,
    WeightSvd,
    compress_model,
    demo,
    load_run,
    recordings,
)
from aimet_hooks.adapters.onnx_graph.session_options import with_threads
from aimet_hooks.cli import main
from aimet_hooks.events import EvalScored, ExplorationStarted, ModelProbed, RatiosSelected, RunFinished
from aimet_hooks.testing import RecordingPlugin
from tests.integration.small_runs import Gate, network

if TYPE_CHECKING:
    from aimet_hooks.result import CompressionResult

RULES = {"greedy": GreedySelection, "knapsack": KnapsackSelection}


def compress_demo(results_dir: Path | None, selection: Any, **arguments: Any) -> CompressionResult:
    return compress_model(
        demo.model_path(),
        demo.accuracy(),
        input_shape=demo.INPUT_SHAPE,
        selection=selection,
        layers_to_ignore=[demo.HEAD],
        results_dir=results_dir,
        session_options=with_threads(1),
        **({"plugins": []} | arguments),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's exploration."""
    path = tmp_path_factory.mktemp("demo") / "run"
    compress_demo(path, GreedySelection(target_comp_ratio=0.5))
    return path


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("target", [0.3, 0.5, 0.8])
def test_a_saved_run_chooses_what_a_run_with_its_scores_chooses(run: Path, rule: str, target: float) -> None:
    chosen = load_run(run).select(target_comp_ratio=target, rule=rule)
    again = compress_demo(None, RULES[rule](target_comp_ratio=target, saved_eval_scores=run))
    assert chosen.comp_ratios == again.comp_ratios
    assert chosen.achieved_comp_ratio == pytest.approx(again.stats.mac_ratio)
    assert chosen.achieved_comp_ratio <= target
    assert chosen.rule == rule


def test_the_rule_of_the_run_is_taken_by_default(tmp_path: Path) -> None:
    first = compress_demo(tmp_path / "run", KnapsackSelection(target_comp_ratio=0.4, use_monotonic_fit=True))
    chosen = load_run(tmp_path / "run").select(target_comp_ratio=0.4)
    assert chosen.rule == "knapsack"
    assert chosen.comp_ratios == first.comp_ratios


def test_costs_of_a_batch_and_scores_to_minimize(tmp_path: Path) -> None:
    model, evaluate = network(width=13), Gate()
    evaluate.let(10**6)
    arguments: dict[str, Any] = {"input_shape": (7, 13, 9, 9), "direction": "minimize", "plugins": []}
    scores = {"run": lambda module: -evaluate(module)}

    def run(results_dir: Path | None, selection: GreedySelection) -> CompressionResult:
        return compress_model(model, scores["run"], results_dir=results_dir, selection=selection, **arguments)

    first = run(tmp_path / "run", GreedySelection(target_comp_ratio=0.7))
    saved = load_run(tmp_path / "run")
    assert saved.select(target_comp_ratio=0.7).comp_ratios == first.comp_ratios
    second = run(None, GreedySelection(target_comp_ratio=0.5, saved_eval_scores=tmp_path / "run"))
    assert saved.select(target_comp_ratio=0.5).comp_ratios == second.comp_ratios


def test_the_prediction_adds_up_what_single_layers_lose(run: Path) -> None:
    saved = load_run(run)
    chosen = saved.select(target_comp_ratio=0.2)
    state = saved.state
    assert state.baseline
    lost = sum(
        state.baseline.score - (state.scores[layer][ratio].score or 0.0)
        for layer, ratio in chosen.comp_ratios.items()
        if ratio is not None
    )
    assert chosen.predicted_score == pytest.approx(state.baseline.score - lost)


@pytest.mark.parametrize("rule", RULES)
def test_locked_layers_keep_their_ratios_and_the_others_make_up_for_them(run: Path, rule: str) -> None:
    saved = load_run(run)
    free = saved.select(target_comp_ratio=0.6, rule=rule).comp_ratios
    first, second, *_ = (layer for layer, ratio in free.items() if ratio is not None)
    locked = {first: 0.9, second: None}
    chosen = saved.select(target_comp_ratio=0.6, rule=rule, locked=locked)
    assert {layer: chosen.comp_ratios[layer] for layer in locked} == locked
    assert list(chosen.comp_ratios) == list(free)
    assert chosen.achieved_comp_ratio <= 0.6
    same = saved.select(target_comp_ratio=0.6, rule=rule, locked={first: free[first]})
    assert same.comp_ratios[first] == free[first]


def test_saved_scores_of_other_ranks_are_not_taken_for_those_of_this_run(run: Path) -> None:
    recorder = RecordingPlugin()
    compress_demo(
        None,
        GreedySelection(target_comp_ratio=0.7, saved_eval_scores=run),
        layer_options={"*": LayerOptions(multiplicity=32)},
        plugins=[recorder],
    )
    recorded = load_run(run).state.scores
    for cell in recorder.of_kind(EvalScored):
        of_that_rank = [known.score for known in recorded[cell.layer].values() if known.rank == cell.rank]
        assert not cell.reused or cell.score in of_that_rank
    (finished,) = recorder.of_kind(RunFinished)
    assert any("scores of other ranks" in note for note in finished.notes)
    with pytest.raises(UsageError, match="is of spatial_svd, and compress_scheme is weight_svd: their scores do not"):
        compress_demo(None, GreedySelection(saved_eval_scores=run), compress_scheme=WeightSvd())


def test_locked_ratios_may_be_written_as_they_are_shown(tmp_path: Path) -> None:
    compress_demo(tmp_path, GreedySelection(target_comp_ratio=0.8, num_comp_ratio_candidates=3))
    for ratio in (0.333333, Decimal("0.333333"), Fraction(1, 3), np.float32(1 / 3)):
        chosen = load_run(tmp_path).select(target_comp_ratio=0.8, locked={"stem": ratio})
        assert chosen.comp_ratios["stem"] == 1 / 3


def test_the_prediction_of_a_probe_is_that_of_a_later_choice(tmp_path: Path) -> None:
    noise, exact = iter(range(10**6)), demo.accuracy()
    compress_model(
        demo.model_path(),
        lambda session: exact(session) - 0.03 * (next(noise) * 7 % 5),
        input_shape=demo.INPUT_SHAPE,
        layers_to_ignore=[demo.HEAD],
        selection=KnapsackSelection(target_comp_ratio=0.5, use_monotonic_fit=True),
        results_dir=tmp_path,
        plugins=[],
    )
    saved = load_run(tmp_path)
    assert saved.state.probes
    for probe in saved.state.probes:
        chosen = saved.select(target_comp_ratio=probe.target_comp_ratio)
        assert chosen.comp_ratios == probe.comp_ratios
        assert chosen.predicted_score == pytest.approx(probe.predicted_score)


def test_a_run_that_goes_on_can_be_asked(run: Path, tmp_path: Path) -> None:
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_text("".join(lines[: len(lines) // 2]))
    chosen = load_run(tmp_path).select(target_comp_ratio=0.9)
    assert chosen.achieved_comp_ratio <= 0.9


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"target_comp_ratio": 1.2}, UsageError, "it must lie between 0 and 1"),
        ({"target_comp_ratio": 0.01}, TargetError, "the lowest ratio is 0.095; raise the target"),
        ({"target_comp_ratio": 0.1, "locked": {"block1.conv1": None}}, TargetError, "lock fewer layers"),
        ({"target_comp_ratio": 0.5, "locked": {"stm": 0.5}}, UnknownNameError, "'stm' is not in the table.*stem"),
        ({"target_comp_ratio": 0.5, "locked": {"stem": 0.55}}, UsageError, "no score at ratio 0.55; it has .* 0.5"),
        ({"target_comp_ratio": 0.5, "locked": ["stem"]}, UsageError, "locked is .*; give {layer: ratio"),
        ({"target_comp_ratio": 0.5, "locked": {None: 0.5}}, UnknownNameError, "None is not in the table"),
        (
            {"target_comp_ratio": 0.5, "locked": {"stem": [1]}},
            UsageError,
            "locked layer 'stem' is .*; give a number",
        ),
        ({"target_comp_ratio": 0.5, "rule": 5}, UnknownNameError, "rule is 5, which is none"),
        ({"target_comp_ratio": 0.5, "rule": "greedi"}, UnknownNameError, "'greedi', which is none.*greedy"),
    ],
)
def test_what_cannot_be_chosen_is_said(run: Path, arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        load_run(run).select(**arguments)


def test_tables_without_costs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "eval_scores.json").write_text('{"baseline": 0.9, "scores": {"a": {"0.5": 0.8}}}')
    with pytest.raises(RecordingError, match=r"scores and no costs; give the results directory or events\.jsonl"):
        load_run(tmp_path)
    compress_demo(tmp_path / "manual", ManualSelection({"stem": 0.5}))
    with pytest.raises(RecordingError, match="no table of scores with a baseline"):
        load_run(tmp_path / "manual")


# ---- whole models that are measured ----


def test_whole_models_are_measured_in_at_most_five_percent_of_the_evaluations(tmp_path: Path) -> None:
    recorder = RecordingPlugin()
    compress_demo(tmp_path / "run", GreedySelection(target_comp_ratio=0.45), plugins=[recorder])
    (started,) = recorder.of_kind(ExplorationStarted)
    probes = recorder.of_kind(ModelProbed)
    assert 1 <= len(probes) <= 0.05 * started.evaluations
    assert [probe.target_comp_ratio for probe in probes] == [0.5, 0.4, 0.3][: len(probes)]  # those next to the target
    state = load_run(tmp_path / "run").state
    assert list(state.probes) == probes
    for probe in probes:
        chosen = load_run(tmp_path / "run").select(target_comp_ratio=probe.target_comp_ratio)
        assert chosen.comp_ratios == probe.comp_ratios
        assert chosen.predicted_score == pytest.approx(probe.predicted_score)
        again = compress_demo(None, ManualSelection(dict(probe.comp_ratios)))
        assert again.stats.compressed_score == probe.score


def test_nothing_is_measured_where_every_score_is_known_or_nothing_is_wanted(run: Path) -> None:
    for selection in (
        GreedySelection(target_comp_ratio=0.4, saved_eval_scores=run),
        GreedySelection(target_comp_ratio=0.4, probe_targets=()),
        ManualSelection({"stem": 0.5}),
    ):
        recorder = RecordingPlugin()
        compress_demo(None, selection, plugins=[recorder])
        assert recorder.of_kind(ModelProbed) == []


@pytest.mark.parametrize("rule", RULES)
def test_max_drop_takes_the_smallest_measured_model_that_is_within(run: Path, rule: str) -> None:
    recorder = RecordingPlugin()
    result = compress_demo(None, RULES[rule](max_drop=0.01, saved_eval_scores=run), plugins=[recorder])
    assert result.stats.baseline_score - result.stats.compressed_score <= 0.01
    (selected,) = recorder.of_kind(RatiosSelected)
    probes = recorder.of_kind(ModelProbed)
    assert selected.target_comp_ratio is None
    assert 1 <= len(probes) <= 8
    within = [probe for probe in probes if result.stats.baseline_score - probe.score <= 0.01]
    assert result.stats.mac_ratio == min(probe.achieved_comp_ratio for probe in within)


def test_a_drop_that_cannot_be_kept_is_said_with_what_was_measured() -> None:
    evaluate = Gate()  # whose scores fall with every weight that is saved
    evaluate.let(10**6)
    with pytest.raises(
        TargetError, match=r"max_drop 0 cannot be kept: the baseline scores .* at 0\.\d{3}.*raise max_drop"
    ):
        compress_model(
            network(), evaluate, input_shape=(1, 12, 8, 8), selection=GreedySelection(max_drop=0.0), plugins=[]
        )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"max_drop": -0.1}, r"max_drop is -0\.1; give by how much"),
        ({"max_drop": "1%"}, "max_drop is '1%'; give by how much"),
        ({"max_drop": 0.1, "target_comp_ratio": 0.4}, "both given; give one of them"),
        ({"probe_targets": 0.5}, r"probe_targets is 0\.5; give a list"),
        ({"probe_targets": [0.5, 2]}, "a target of probe_targets is 2; it must lie between 0 and 1"),
    ],
)
def test_wrong_numbers_are_named(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        GreedySelection(**arguments)


# ---- what is found out later ----


def test_a_score_that_is_recorded_later_is_in_the_log_and_changes_nothing_else(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    before = load_run(tmp_path / "run").state
    for saved in (load_run(tmp_path / "run"), load_run(tmp_path / "run" / "events.jsonl")):
        saved.record_score("fine-tuned", 0.75)
    state = load_run(tmp_path / "run").state
    assert [(event.label, event.score) for event in state.recorded] == [("fine-tuned", 0.75)] * 2
    assert [event.seq for event in recordings.read(tmp_path / "run")] == list(range(state.recorded[-1].seq + 1))
    assert (state.phase, state.time, state.finished) == ("finished", before.time, before.finished)
    assert load_run(tmp_path / "run").select(target_comp_ratio=0.3) == load_run(run).select(target_comp_ratio=0.3)


def test_a_score_is_added_behind_a_torn_line(run: Path, tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    log.write_bytes((run / "events.jsonl").read_bytes() + b'{"event": "eval_sc')
    load_run(log).record_score("measured on the phone", 1)
    assert load_run(log).state.recorded[0].label == "measured on the phone"


@pytest.mark.parametrize(
    ("label", "score", "text"),
    [
        ("", 0.5, "label is ''; say what was scored"),
        ("x", float("nan"), "score is nan; give one finite number"),
        ("x", "0.5", "score is '0.5'; give one finite number"),
        ("x", True, "score is True; give one finite number"),
    ],
)
def test_what_is_no_score_is_refused(run: Path, label: str, score: Any, text: str) -> None:
    content = (run / "events.jsonl").read_bytes()
    with pytest.raises(UsageError, match=text):
        load_run(run).record_score(label, score)
    assert (run / "events.jsonl").read_bytes() == content


def test_a_run_that_goes_on_takes_no_score(run: Path, tmp_path: Path) -> None:
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_text("".join(lines[: len(lines) // 2]))
    with pytest.raises(UsageError, match="has not ended; record scores when it has"):
        load_run(tmp_path).record_score("early", 0.5)


# ---- aimet-hooks select, aimet-hooks apply ----


def test_select_writes_ratios_and_says_the_command_that_applies_them(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratios, out = tmp_path / "ratios.json", tmp_path / "out.onnx"
    assert main(["select", str(run), "--target", "0.3", "-o", str(ratios)]) == 0
    said = capsys.readouterr().out
    assert "of the MACs kept (target 0.3)" in said
    assert "optimistic" in said
    assert json.loads(ratios.read_text()) == load_run(run).select(target_comp_ratio=0.3).comp_ratios
    command = shlex.split(
        said.splitlines()[-1].replace("MODEL.onnx", str(demo.model_path())).replace("OUT.onnx", str(out))
    )
    assert command[0] == "aimet-hooks"
    assert main(command[1:]) == 0
    assert "It was not evaluated." in capsys.readouterr().out
    by_hand = compress_demo(None, ManualSelection(ratios))
    assert onnx.load(out) == by_hand.model


def test_the_command_carries_what_the_ratios_meant_in_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    selection = GreedySelection(target_comp_ratio=0.6)
    first = compress_demo(tmp_path / "run", selection, compress_scheme=WeightSvd(multiplicity=4), cost_metric="memory")
    ratios, out = tmp_path / "ratios.json", tmp_path / "out.onnx"
    assert main(["select", str(tmp_path / "run"), "--target", "0.6", "-o", str(ratios)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert "--scheme weight_svd --cost-metric memory --multiplicity 4 --input-shape 1,1,8,8" in line
    command = shlex.split(line.replace("MODEL.onnx", str(demo.model_path())).replace("OUT.onnx", str(out)))
    assert main(command[1:]) == 0
    assert onnx.load(out) == first.model


@pytest.mark.parametrize(
    ("ratios", "text"),
    [
        ({"steem": 0.5}, "'steem', which does not exist"),
        ({"block3.depthwise": 0.5}, "cannot be compressed: depthwise convolution"),
        ({"stem": None}, "has no ratio"),
    ],
)
def test_ratios_that_cannot_be_applied_are_one_line(
    tmp_path: Path, ratios: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ratios.json").write_text(json.dumps(ratios))
    line = ["apply", str(demo.model_path()), str(tmp_path / "ratios.json"), "-o", str(tmp_path / "out.onnx")]
    assert main(line) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert text in error
    assert not (tmp_path / "out.onnx").exists()


def test_select_takes_the_smallest_measured_model_within_a_drop(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratios = tmp_path / "ratios.json"
    assert main(["select", str(run), "--max-drop", "0.01", "-o", str(ratios)]) == 0
    assert "that were measured" in capsys.readouterr().out
    probe = load_run(run).smallest_within(0.01)
    assert json.loads(ratios.read_text()) == probe.comp_ratios
    assert main(["select", str(run), "--max-drop", "0", "--target", "0.5", "-o", str(ratios)]) == 2
    assert "give one of --target R and --max-drop D" in capsys.readouterr().err


def test_select_locks_layers(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratios = tmp_path / "ratios.json"
    line = ["select", str(run), "--target", "0.4", "-o", str(ratios), "--lock"]
    assert main([*line, "stem=0.9", "--lock", "block1.conv1=none"]) == 0
    chosen = json.loads(ratios.read_text())
    assert (chosen["stem"], chosen["block1.conv1"]) == (0.9, None)
    capsys.readouterr()
    for wrong, text in (("stem", "'stem' is no lock"), ("stem=x", "'stem=x' is no lock"), ("steem=0.5", "'steem'")):
        assert main([*line, wrong]) == 2
        assert text in capsys.readouterr().err
    assert main(["select", str(run), "--max-drop", "0.01", "-o", str(ratios), "--lock", "stem=0.9"]) == 2
    assert "--lock goes with --target" in capsys.readouterr().err


def test_select_says_what_it_cannot_read_or_write(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", str(tmp_path), "--target", "0.5", "-o", str(tmp_path / "x.json")]) == 1
    assert "holds no run" in capsys.readouterr().err
    assert main(["select", str(run), "--target", "0.5", "-o", str(tmp_path / "missing" / "x.json")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert main(["select", str(run), "--target", "7", "-o", str(tmp_path / "x.json")]) == 2
    assert "it must lie between 0 and 1" in capsys.readouterr().err


def test_compress_takes_the_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evaluation.py").write_text("from aimet_hooks import demo\naccuracy = demo.accuracy()\n")
    line = [
        "compress",
        str(demo.model_path()),
        "--eval",
        f"{tmp_path / 'evaluation.py'}:accuracy",
        "--rule",
        "knapsack",
    ]
    line += ["--results-dir", str(tmp_path / "run"), "-o", str(tmp_path / "out.onnx"), "--console", "off", "--ignore"]
    assert main([*line, demo.HEAD, "--threads", "1", "--plugin", "file"]) == 0
    assert load_run(tmp_path / "run").state.settings["selection"]["rule"] == "knapsack"
    del capsys
