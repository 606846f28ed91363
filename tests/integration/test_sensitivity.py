"""``analyze_sensitivity`` on real torch modules and ONNX models: scores, noise, hooks, log, and the model untouched."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import nn

from aimet_hooks import (
    EvaluationError,
    GreedySelection,
    ModelError,
    RecordingError,
    ResultsDirError,
    SensitivityResult,
    UnknownNameError,
    UsageError,
    VisualizeCompression,
    analyze_sensitivity,
    compress_model,
    demo,
    event_log,
    hookimpl,
    load_run,
    recordings,
)
from aimet_hooks.events import (
    AnalysisFinished,
    BaselineScored,
    RunFailed,
    SensitivityScored,
    SensitivityStarted,
    WeightRangesAnalyzed,
)
from aimet_hooks.quantization.quantizer import quantize_dequantize
from aimet_hooks.testing import RecordingPlugin
from tests.unit.adapters.onnx_networks import array, network, node, quiet, run
from tests.unit.quantization.networks import torch_network as wide_channel_network

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

SHAPE = (2, 4, 8, 8)


class Network(nn.Module):
    """Layers of every kind that is quantized, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, padding=1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2)
        self.gru = nn.GRU(4, 4, batch_first=True)
        self.norm = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.up(torch.relu(self.depthwise(self.conv(x)))).mean(dim=2).transpose(1, 2)
        return self.fc(self.norm(self.gru(x)[0]).mean(dim=1))


def torch_network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network().train()


X = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


class Distance:
    """How far a network's output is from the original's, and how often that was asked."""

    def __init__(self, model: nn.Module, failing: range = range(0)) -> None:
        with torch.no_grad():
            self._expected = model.eval()(X)
            model.train()
        self._failing = failing
        self.calls = 0

    def __call__(self, model: nn.Module) -> float:
        assert not model.training
        self.calls += 1
        if self.calls - 1 in self._failing:
            raise RuntimeError("out of memory")
        return float((model(X) - self._expected).abs().mean())


def analyzed(model: nn.Module, callback: Any, **arguments: Any) -> SensitivityResult:
    defaults: dict[str, Any] = {"input_shape": SHAPE, "direction": "minimize", "plugins": [], "console": "off"}
    return analyze_sensitivity(model, callback, **(defaults | arguments))


def expected_scores(model: Network, bitwidth: int, **grid: bool) -> dict[str, float]:
    """The same scores without the package's machinery: a copy of the state with one weight changed by hand."""
    scores = {}
    for name in ("conv", "depthwise", "up", "fc"):
        copied = torch_network().eval()
        copied.load_state_dict(model.state_dict())
        weight = copied.get_submodule(name).weight.detach()
        values = weight.numpy()
        if name == "up":  # (in, out / groups, ...): two groups of three inputs and two outputs
            values = np.concatenate([np.swapaxes(group, 0, 1) for group in np.split(values, 2)])
        changed = quantize_dequantize(values, bitwidth=bitwidth, **grid)
        if name == "up":
            changed = np.concatenate([np.swapaxes(group, 0, 1) for group in np.split(changed, 2)])
        with torch.no_grad():
            weight.copy_(torch.from_numpy(changed))
            scores[name] = float((copied(X) - model.eval()(X)).abs().mean())
    model.train()
    return scores


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_scores_are_those_of_weights_changed_by_hand(per_channel: bool, symmetric: bool) -> None:
    model = torch_network()
    callback = Distance(model)
    found = analyzed(model, callback, bitwidths=[8, 3], per_channel=per_channel, symmetric=symmetric)
    assert list(found.scores.index) == ["conv", "depthwise", "up", "fc"]
    assert list(found.scores.columns) == [3, 8]
    for bits in (3, 8):
        expected = expected_scores(model, bits, per_channel=per_channel, symmetric=symmetric)
        assert found.scores[bits].to_dict() == pytest.approx(expected, rel=1e-4)
    assert found.baseline_score == 0.0
    assert callback.calls == 2 + 4 * 2
    assert found.sqnr.isna().all(axis=None)
    assert found.skipped == {
        "gru": "it is no convolution or matrix product with a float weight that is stored",
        "norm": "its weight is computed from other parameters (a parametrization, weight_norm or pruning)",
    }


def test_user_s_model_is_bit_identical_afterwards_and_after_exceptions() -> None:
    model = torch_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = {name: id(value) for name, value in model.named_parameters()}
    analyzed(model, Distance(model), example_inputs=X, input_shape=None)

    class Interrupting(Distance):
        def __call__(self, native: nn.Module) -> float:
            if self.calls == 4:
                raise KeyboardInterrupt
            return super().__call__(native)

    recorded = RecordingPlugin()
    with pytest.raises(KeyboardInterrupt):
        analyzed(model, Interrupting(model), plugins=[recorded])
    assert recorded.names[-1] == "run_failed"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {name: id(value) for name, value in model.named_parameters()} == parameters
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_sqnr_is_that_of_what_a_layer_gives_for_the_example() -> None:
    model = torch_network()
    found = analyzed(model, Distance(model), example_inputs=X, input_shape=None, bitwidths=[4])
    weight = torch.from_numpy(quantize_dequantize(model.conv.weight.detach().numpy(), bitwidth=4, per_channel=False))
    with torch.no_grad():
        exact = model.conv(X).double()
        given = nn.functional.conv2d(X, weight.float(), model.conv.bias, padding=1).double()
    expected = 10 * math.log10(exact.square().sum() / (exact - given).square().sum())
    assert found.sqnr.loc["conv", 4] == pytest.approx(expected, rel=1e-4)
    assert found.sqnr.notna().all(axis=None)


def test_sqnr_that_cannot_be_found_is_noted_and_the_scores_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from aimet_hooks.adapters.pytorch import TorchAdapter

    def refusing(self: TorchAdapter, name: str, weight: Any = None) -> None:
        raise RuntimeError(f"no hook on {name}")

    monkeypatch.setattr(TorchAdapter, "layer_output", refusing)
    model, recorded = torch_network(), RecordingPlugin()
    found = analyzed(
        model, Distance(model), example_inputs=X, input_shape=None, layers=["fc"], bitwidths=[4], plugins=[recorded]
    )
    assert found.sqnr.isna().all(axis=None)
    assert found.scores.notna().all(axis=None)
    (end,) = recorded.of_kind(AnalysisFinished)
    assert end.notes == ("what layer 'fc' gives for the example inputs cannot be seen: RuntimeError: no hook on fc",)


def test_inputs_that_are_not_finite_are_noted_once() -> None:
    recorded = RecordingPlugin()
    x = torch.full(SHAPE, math.nan)
    found = analyze_sensitivity(torch_network(), None, example_inputs=x, plugins=[recorded], console="off")
    assert found.sqnr.isna().all(axis=None)
    (end,) = recorded.of_kind(AnalysisFinished)
    assert end.notes == (
        "there is no SQNR of what 'conv', 'depthwise', 'up', ... gives for the example inputs: only zeros, or values "
        "that are NaN or infinite; check the inputs",
    )


def test_layers_that_share_a_weight_are_quantized_one_at_a_time() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    seen = []

    def different(native: nn.Sequential) -> float:
        seen.append(torch.equal(native[0].weight, native[2].weight))
        return float(native(x).mean())

    found = analyze_sensitivity(model, different, input_shape=(1, 4), bitwidths=[2], plugins=[])
    assert list(found.scores.index) == ["0", "2"]
    assert seen == [True, True, False, False]
    assert model[2].weight is model[0].weight


def test_an_analysis_has_no_ratios_to_choose(tmp_path: Path) -> None:
    model = torch_network()
    analyzed(model, Distance(model), results_dir=tmp_path / "run", layers=["fc"])
    known = GreedySelection(saved_eval_scores=tmp_path / "run")
    reads: list[Callable[[], object]] = [
        lambda: load_run(tmp_path / "run"),
        lambda: recordings.scores(tmp_path / "run"),
        lambda: recordings.comp_ratios(tmp_path / "run"),
        lambda: VisualizeCompression("http://localhost:9/").display_eval_scores(tmp_path / "run"),
        lambda: compress_model(model, lambda _: 0.5, input_shape=SHAPE, selection=known, plugins=[]),
    ]
    for read in reads:
        with pytest.raises(
            RecordingError, match=r"run is an analysis of quantization, which has no ratios; give a run"
        ):
            read()


@pytest.mark.parametrize("name", ["sensitivity.json", "sensitivity.csv", "weight_ranges.json", "weight_ranges.csv"])
def test_a_file_of_an_analysis_is_refused_with_what_to_give_in_its_place(name: str, tmp_path: Path) -> None:
    model = torch_network()
    analyzed(model, Distance(model), results_dir=tmp_path, plugins=["file"], layers=["fc"])
    with pytest.raises(
        RecordingError, match=f"{name} is a table of an analysis of quantization; give its results dire"
    ):
        recordings.read(tmp_path / name)


# -- hooks and log -----------------------------------------------------------------------------------------------------


def test_hooks_are_called_in_their_order_and_the_lowest_bit_width_of_every_layer_comes_first() -> None:
    model, recorded = torch_network(), RecordingPlugin()
    analyzed(model, Distance(model), plugins=[recorded])
    names = [name for name in recorded.names if name != "progress"]
    assert names == [
        "run_started",
        *["layer_skipped"] * 2,
        "baseline_score",
        "weight_ranges",
        "sensitivity_started",
        *["sensitivity_score"] * 8,
        "analysis_finished",
    ]
    cells = recorded.of_kind(SensitivityScored)
    assert [(cell.layer, cell.bitwidth, cell.completed, cell.total) for cell in cells] == [
        (layer, bits, number + 4 * place + 1, 8)
        for place, bits in enumerate((4, 8))
        for number, layer in enumerate(("conv", "depthwise", "up", "fc"))
    ]
    (started,) = recorded.of_kind(SensitivityStarted)
    assert (started.bitwidths, started.total, started.evaluations, started.reused) == ((4, 8), 8, 8, 0)
    (baseline,) = recorded.of_kind(BaselineScored)
    assert (baseline.score, baseline.repeated_score) == (0.0, 0.0)
    assert recorded.phases[-1] == "finished"


class FormatsRatios:
    """A plugin for compression, as a third party wrote it before there were bit widths."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @hookimpl
    def on_eval_score(self, event: Any) -> None:
        self.heard.append(f"{event.comp_ratio:.2f}")

    @hookimpl
    def on_analysis_finished(self, run: Any) -> None:
        self.heard += [f"{cell.comp_ratio:.2f}" for row in run.scores.values() for cell in row.values()]
        self.heard += [] if run.last_cell is None else [f"{run.last_cell.comp_ratio:.2f}"]


def test_a_plugin_that_formats_ratios_never_hears_a_bit_width(caplog: pytest.LogCaptureFixture) -> None:
    model, plugin = torch_network(), FormatsRatios()
    analyzed(model, Distance(model), plugins=[plugin])
    assert plugin.heard == []
    assert "failed" not in caplog.text


def test_log_and_files_are_those_of_the_run(tmp_path: Path) -> None:
    model, recorded = torch_network(), RecordingPlugin()
    found = analyzed(
        model,
        Distance(model, failing=range(3, 4)),
        example_inputs=X,
        input_shape=None,
        results_dir=tmp_path / "run",
        plugins=[recorded, "file"],
    )
    logged = [event for event in recorded.events if event.logged]
    assert list(event_log.read(tmp_path / "run" / "events.jsonl")) == logged
    table = json.loads((tmp_path / "run" / "sensitivity.json").read_text("utf-8"))
    assert table["scores"]["depthwise"]["4"] is None
    assert math.isnan(found.scores.loc["depthwise", 4])
    assert table["scores"]["up"] == {str(bits): found.scores.loc["up", bits] for bits in (4, 8)}
    assert table["sqnr"]["up"] == {str(bits): found.sqnr.loc["up", bits] for bits in (4, 8)}
    ranges = json.loads((tmp_path / "run" / "weight_ranges.json").read_text("utf-8"))
    assert ranges["bitwidth"] == 8
    assert set(ranges["layers"]) == {"conv", "depthwise", "up", "norm", "fc", "gru"} - {"gru"}
    with pytest.raises(ResultsDirError, match=r"already holds a run; choose another directory, or continue"):
        analyzed(model, Distance(model), results_dir=tmp_path / "run")


class Interrupted(Distance):
    def __call__(self, model: nn.Module) -> float:
        if self.calls == 5:
            raise KeyboardInterrupt
        return super().__call__(model)


def test_analysis_that_was_interrupted_goes_on_and_ends_as_the_undisturbed_one(tmp_path: Path) -> None:
    model = torch_network()
    undisturbed = analyzed(model, Distance(model))
    with pytest.raises(KeyboardInterrupt):
        analyzed(model, Interrupted(model), results_dir=tmp_path, resume=True)
    callback, recorded = Distance(model), RecordingPlugin()
    found = analyzed(model, callback, results_dir=tmp_path, resume=True, plugins=[recorded])
    pd.testing.assert_frame_equal(found.scores, undisturbed.scores)
    (started,) = recorded.of_kind(SensitivityStarted)
    cells = recorded.of_kind(SensitivityScored)
    assert started.reused == 3 == sum(cell.reused for cell in cells)
    assert all(cell.reused for cell in cells[:3])
    assert callback.calls == 2 + started.evaluations == 2 + len(cells) - 3

    callback = Distance(model)
    more = analyzed(model, callback, bitwidths=(4, 6, 8), results_dir=tmp_path, resume=True)
    assert callback.calls == 2 + len(more.scores)
    pd.testing.assert_frame_equal(more.scores[[4, 8]], undisturbed.scores)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"per_channel": True}, "its scores are of per_channel False, this run's are of True"),
        ({"symmetric": False}, "its scores are of symmetric True, this run's are of False"),
    ],
)
def test_scores_of_another_grid_are_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = torch_network()
    analyzed(model, Distance(model), results_dir=tmp_path)
    with pytest.raises(ResultsDirError, match=message):
        analyzed(model, Distance(model), results_dir=tmp_path, resume=True, **changed)


def test_scores_of_a_compression_are_refused(tmp_path: Path) -> None:
    model = torch_network()
    compress_model(model, lambda _: 0.5, input_shape=SHAPE, results_dir=tmp_path, plugins=[], console="off")
    message = (
        "its scores are of scheme spatial_svd, this run's are of quantization; give what that run was given, or ch"
    )
    with pytest.raises(ResultsDirError, match=message):
        analyzed(model, Distance(model), results_dir=tmp_path, resume=True)


def test_five_failures_in_a_row_end_the_run_and_it_is_told_once() -> None:
    model, recorded = torch_network(), RecordingPlugin()
    message = "5 evaluations in a row failed, the last for layer 'conv' at 8 bits: RuntimeError: out of memory"
    with pytest.raises(EvaluationError, match=message):
        analyzed(model, Distance(model, failing=range(2, 99)), plugins=[recorded])
    (failed,) = recorded.of_kind(RunFailed)
    assert failed.stage == "exploration"
    assert recorded.names.count("analysis_finished") == 0


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_most_cells_beating_the_baseline_is_warned_of(direction: str) -> None:
    model, recorded = torch_network(), RecordingPlugin()
    analyzed(model, Distance(model, failing=range(3, 4)), direction=direction, plugins=[recorded])
    (end,) = recorded.of_kind(AnalysisFinished)
    told = [
        note for note in end.notes if note.startswith("7 of 7 cells score better than the baseline's 0: check dire")
    ]
    assert len(told) == (direction == "maximize")


def test_first_failure_ends_the_run_if_that_is_wanted() -> None:
    model = torch_network()
    with pytest.raises(EvaluationError, match=r"layer 'conv' at 4 bits: .* would go on without this cell"):
        analyzed(model, Distance(model, failing=range(2, 3)), on_eval_error="raise")


# -- which layers ------------------------------------------------------------------------------------------------------


def test_layers_are_chosen_by_names_globs_and_modules() -> None:
    model = torch_network()
    callback = Distance(model)
    found = analyzed(model, callback, layers=["*o*", "fc"], layers_to_ignore=[model.conv])
    assert list(found.scores.index) == ["fc"]  # conv is ignored, depthwise and up are not named, norm is computed
    assert found.skipped["conv"] == "ignored: layers_to_ignore has a Conv2d"
    assert found.skipped["up"] == "not asked for: layers does not name it"
    assert list(found.weight_ranges.index) == ["norm", "fc"]
    assert callback.calls == 2 + 2


def test_layer_with_weights_that_are_not_finite_is_skipped_and_among_the_problems() -> None:
    model = torch_network()
    with torch.no_grad():
        model.fc.weight[0, 0] = math.inf
    recorded = RecordingPlugin()
    found = analyzed(model, lambda _: 0.5, plugins=[recorded])
    assert found.skipped["fc"] == "its weight holds NaN or infinite values"
    assert found.problems[0].layer == "fc"
    (ranges,) = recorded.of_kind(WeightRangesAnalyzed)
    assert ranges.layers["fc"]["sqnr_symmetric_per_tensor"] is None
    assert ranges.layers["fc"]["non_finite"] == 1
    assert ranges.problems[0]["layer"] == "fc"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bitwidths": 8}, r"bitwidths is 8; give a list of numbers of bits from 2 to 16, as \[4, 8\]"),
        ({"bitwidths": []}, r"bitwidths is \[\]; give a list"),
        ({"bitwidths": "48"}, "bitwidths is '48'; give a list"),
        ({"bitwidths": [1]}, "bitwidth is 1; give a whole number of bits from 2 to 16"),
        ({"bitwidths": [4.5]}, r"bitwidth is 4\.5"),
        ({"layers": "conv"}, "layers is 'conv'; give a list of names or globs"),
        ({"layers": []}, r"layers is \[\]; give a list"),
        ({"layers_to_ignore": "conv"}, "layers_to_ignore is 'conv'; give a list"),
        ({"direction": "up"}, "direction is 'up'; give one of 'maximize', 'minimize'"),
        ({"on_eval_error": "no"}, "on_eval_error is 'no'"),
        ({"console": "no"}, "console is 'no'"),
        ({"per_channel": "no"}, "^per_channel is 'no'; give True or False$"),
        ({"symmetric": None}, "^symmetric is None; give True or False$"),
        ({"input_shape": None}, "a torch model does not tell its input"),
        ({"session_options": quiet()}, "session_options and providers are for ONNX models"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_evaluated(arguments: dict[str, Any], message: str) -> None:
    model = torch_network()
    callback = Distance(model)
    with pytest.raises(UsageError, match=message):
        analyzed(model, callback, **arguments)
    assert callback.calls == 0


def test_names_that_match_nothing_and_models_without_layers_are_refused() -> None:
    model = torch_network()
    with pytest.raises(UnknownNameError, match="layers has 'convs', which matches no layer"):
        analyzed(model, Distance(model), layers=["convs"])
    with pytest.raises(ModelError, match="no layer of Sequential can be quantized: it has no layer with weights"):
        analyzed(nn.Sequential(nn.ReLU()), lambda _: 1.0)
    with pytest.raises(UsageError, match="eval_callback is 3"):
        analyzed(model, 3)


# -- without a callback ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["torch", "onnx"])
def test_without_a_callback_nothing_is_run(framework: str) -> None:
    model: Any = torch_network() if framework == "torch" else demo.model_path()
    recorded = RecordingPlugin()
    found = analyze_sensitivity(model, None, bitwidths=[4], plugins=[recorded], console="off", layers_to_ignore=["fc*"])
    skipped = 1
    assert recorded.names == ["run_started", *["layer_skipped"] * skipped, "weight_ranges", "analysis_finished"]
    assert (found.baseline_score, found.scores.empty, found.sqnr.empty) == (None, True, True)
    assert set(found.weight_ranges["bitwidth"]) == {4}
    assert list(recorded.of_kind(WeightRangesAnalyzed)[0].layers) == list(found.weight_ranges.index)


def test_inputs_without_a_callback_give_the_noise_of_every_layer_at_every_bit_width(tmp_path: Path) -> None:
    model, recorded = torch_network(), RecordingPlugin()
    arguments: dict[str, Any] = {"example_inputs": X, "input_shape": None, "bitwidths": [3, 8], "per_channel": True}
    scored = analyzed(model, Distance(model), **arguments)
    arguments |= {"direction": "maximize", "plugins": [recorded, "file"]}
    found = analyzed(model, None, **arguments, results_dir=tmp_path / "run")
    pd.testing.assert_frame_equal(found.sqnr, scored.sqnr)
    assert list(found.sqnr.index) == ["conv", "depthwise", "up", "fc"]
    assert found.sqnr.notna().all(axis=None)
    assert (found.baseline_score, found.scores.empty) == (None, True)
    assert found.skipped == scored.skipped
    names = [name for name in recorded.names if name != "progress"]
    assert names == ["run_started", *["layer_skipped"] * 2, "weight_ranges", "analysis_finished"]
    rows = (tmp_path / "run" / "sensitivity.csv").read_text().splitlines()
    assert rows[:2] == ["layer,bitwidth,score,sqnr", f"conv,3,,{found.sqnr.loc['conv', 3]}"]
    assert len(rows) == 1 + 4 * 2


@pytest.mark.parametrize(
    "arguments", [{"symmetric": False}, {"input_shape": SHAPE}, {"session_options": quiet()}, {"providers": ["CPU"]}]
)
def test_without_callback_and_inputs_what_would_change_nothing_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(arguments))}.* changes nothing, as without eval_callback and"):
        analyze_sensitivity(torch_network(), None, plugins=[], console="off", **arguments)


@pytest.mark.parametrize("arguments", [{"direction": "minimize"}, {"on_eval_error": "raise"}])
@pytest.mark.parametrize("inputs", [None, X])
def test_without_a_callback_what_is_about_scores_is_refused(arguments: dict[str, Any], inputs: Any) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(arguments))}='.*' changes nothing, as without eval_callback no"):
        analyze_sensitivity(torch_network(), None, example_inputs=inputs, plugins=[], console="off", **arguments)


@pytest.mark.parametrize("inputs", [None, X])
def test_an_analysis_without_a_callback_has_no_scores_to_go_on_with(inputs: Any, tmp_path: Path) -> None:
    model = torch_network()
    analyzed(model, Distance(model), results_dir=tmp_path, plugins=["file"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    message = "^resume=True goes on with the scores of an analysis, and without eval_callback there are none; give the "
    with pytest.raises(UsageError, match=message):
        analyze_sensitivity(model, None, example_inputs=inputs, results_dir=tmp_path, resume=True, plugins=["file"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_was_analysed_without_scores_goes_on_with_a_callback(tmp_path: Path) -> None:
    model = torch_network()
    analyze_sensitivity(model, None, results_dir=tmp_path, plugins=[], console="off")
    found = analyzed(model, Distance(model), results_dir=tmp_path, resume=True)
    assert found.scores.notna().all(axis=None)


def wide_network() -> nn.Sequential:
    """Layer "3" has one wide channel, which a scale for every channel helps; of layer "5" nothing is kept."""
    model = wide_channel_network(wide=40)
    with torch.no_grad():
        model[5].weight[:, 3, 1, 1] = 500
    return model


@pytest.mark.parametrize("callback", [None, lambda _: 0.5])
def test_weights_are_judged_for_the_scales_that_are_asked_for(callback: Any) -> None:
    arguments: dict[str, Any] = {"bitwidths": [8], "plugins": [], "console": "off"}
    arguments |= {} if callback is None else {"input_shape": (1, 3, 16, 16)}
    one = analyze_sensitivity(wide_network(), callback, **arguments)
    each = analyze_sensitivity(wide_network(), callback, per_channel=True, **arguments)
    assert [problem.layer for problem in one.problems] == ["3", "5"]
    assert [problem.layer for problem in each.problems] == ["5"]
    assert each.problems[0].remedy.endswith("a scale a channel is not enough")


def test_an_analysis_of_no_layer_is_refused_also_without_a_callback() -> None:
    message = r"no layer of Network can be quantized: 'conv': ignored: layers_to_ignore has '\*'; "
    with pytest.raises(ModelError, match=message):
        analyze_sensitivity(torch_network(), None, layers_to_ignore=["*"], plugins=[], console="off")


def test_the_noise_of_a_layer_whose_weight_is_read_without_a_call_is_noted() -> None:
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    recorded = RecordingPlugin()
    found = analyze_sensitivity(
        model, None, example_inputs=torch.ones(1, 3, 8), layers=["*out_proj"], plugins=[recorded], console="off"
    )
    assert found.sqnr.isna().all(axis=None)
    (end,) = recorded.of_kind(AnalysisFinished)
    assert end.notes == (
        "what layer '0.self_attn.out_proj' gives for the example inputs cannot be seen: the example inputs do not "
        "reach it, or its weight is read without a call of the layer",
    )


# -- ONNX --------------------------------------------------------------------------------------------------------------


def onnx_network() -> onnx.ModelProto:
    nodes = [
        node("Conv", "x w1", "a", "conv", pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b w2", "c", "depthwise", group=6),
        node("ConvTranspose", "c w3", "d", "up", group=2),
        node("Flatten", "d", "e"),
        node("Transpose", "w4", "t"),
        node("MatMul", "e t", "y", "fc"),
    ]
    weights = {"w1": array(6, 4, 3, 3), "w2": array(6, 1, 3, 3), "w3": array(6, 2, 3, 3), "w4": array(5, 4 * 64)}
    return network(nodes, weights, inputs={"x": SHAPE})


def test_onnx_layers_of_every_kind_are_scored() -> None:
    model = onnx_network()
    before = model.SerializeToString(deterministic=True)
    x = {"x": array(*SHAPE)}
    (expected,) = run(model, x)
    scored = []

    def distance(session: onnxruntime.InferenceSession) -> float:
        scored.append(session)
        return float(np.abs(session.run(None, x)[0] - expected).mean())

    found = analyze_sensitivity(
        model, distance, example_inputs=x, direction="minimize", plugins=[], session_options=quiet()
    )
    assert model.SerializeToString(deterministic=True) == before
    assert list(found.scores.index) == ["conv", "depthwise", "up", "fc"]
    assert len(scored) == 2 + 8
    assert (found.scores[4] > found.scores[8]).all()
    assert (found.scores[8] > 0).all()
    assert ((found.sqnr[8] - found.sqnr[4]) > 18).all()
    # the last layer's output is the model's
    weight = quantize_dequantize(array(5, 4 * 64), bitwidth=4, per_channel=False).astype(np.float32)
    other = onnx_network()
    other.graph.initializer[3].raw_data = weight.tobytes()
    assert found.scores.loc["fc", 4] == pytest.approx(float(np.abs(run(other, x)[0] - expected).mean()), rel=1e-4)


def test_torch_and_its_export_are_equally_sensitive(tmp_path: Path) -> None:
    del tmp_path
    conv, fc = nn.Conv2d(4, 6, 3), nn.Linear(6 * 36, 5)
    model = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), fc)
    proto = network(
        [
            node("Conv", "x w1 b1", "a", "0"),
            node("Relu", "a", "b"),
            node("Flatten", "b", "c"),
            node("Gemm", "c w2 b2", "y", "3", transB=1),
        ],
        {
            "w1": conv.weight.detach().numpy(),
            "b1": conv.bias.detach().numpy(),
            "w2": fc.weight.detach().numpy(),
            "b2": fc.bias.detach().numpy(),
        },
        inputs={"x": SHAPE},
    )

    def of_module(native: nn.Module) -> float:
        return float(native(X).square().mean())

    def of_session(native: onnxruntime.InferenceSession) -> float:
        return float(np.square(native.run(None, {"x": X.numpy()})[0]).mean())

    a = analyze_sensitivity(model, of_module, example_inputs=X, plugins=[])
    b = analyze_sensitivity(proto, of_session, example_inputs=X.numpy(), plugins=[], session_options=quiet())
    np.testing.assert_allclose(a.scores.to_numpy(), b.scores.to_numpy(), rtol=1e-4)
    np.testing.assert_allclose(a.sqnr.to_numpy(), b.sqnr.to_numpy(), rtol=1e-3)


def test_what_works_in_place_behind_a_layer_changes_no_figure() -> None:
    images, found = torch.rand(4, 3, 8, 8), []
    for inplace in (True, False):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=inplace), nn.Conv2d(8, 4, 3)).eval()
        result = analyze_sensitivity(model, lambda _: 1.0, example_inputs=images, plugins=[], console="off")
        found.append(result.sqnr)
    pd.testing.assert_frame_equal(*found)
