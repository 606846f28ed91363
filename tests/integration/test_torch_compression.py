"""``compress_model`` on torch modules: what it leaves alone, what it notices, what it makes."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aimet_hooks import (
    EvaluationError,
    GreedySelection,
    ManualSelection,
    ModelError,
    UsageError,
    WeightSvd,
    compress_model,
    hookimpl,
    plan,
)

SHAPE = (2, 3, 8, 8)
HALF = ManualSelection({"body.0": 0.5, "fc": 0.4})
FEW = GreedySelection(target_comp_ratio=0.7, num_comp_ratio_candidates=4)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.drop(self.body(F.relu(self.stem(x))).mean(dim=(2, 3))))


def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Network()


def inputs(seed: int = 0) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def score(model: nn.Module) -> float:
    return float(model(inputs()).detach().square().mean())


def compress(model: nn.Module, callback: Any = score, **options: Any) -> Any:
    options = {"input_shape": SHAPE, "compress_scheme": WeightSvd(), "selection": FEW, "plugins": []} | options
    return compress_model(model, callback, **options)


@pytest.fixture
def notes(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Handler()
    logger = logging.getLogger("aimet_hooks")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


# -- the user's model stays as it is --


def everything(model: nn.Module) -> dict[str, Any]:
    """All that must not change, down to the bits."""
    return {
        "state": [(name, pickle.dumps(value.numpy())) for name, value in model.state_dict().items()],
        "tensors": [id(tensor) for tensor in (*model.parameters(), *model.buffers())],
        "modules": [(name, id(module), module.training) for name, module in model.named_modules()],
        "hooks": [(list(m._forward_hooks), list(m._forward_pre_hooks), m._backward_hooks) for m in model.modules()],
        "attributes": [(sorted(vars(m)), m._compiled_call_impl) for m in model.modules()],
        "gradients": [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in model.parameters()],
    }


def process() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "python": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "defaults": (torch.get_default_dtype(), torch.get_default_device()),
        "backends": (
            torch.backends.mha.get_fastpath_enabled(),
            torch.backends.mkldnn.enabled,
            torch.backends.cudnn.enabled,
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
        ),
    }


def used_network() -> Network:
    """A model in the middle of training: mixed flags, hooks, gradients, a frozen layer."""
    model = network()
    model(inputs()).sum().backward()
    model.body[1].eval()
    model.fc.requires_grad_(requires_grad=False)
    model.drop.register_forward_hook(lambda *_: None)
    model.register_forward_pre_hook(lambda *_: None)
    return model


class Interrupted(BaseException):
    pass


class Stopping:
    """A callback or trainer that raises at a certain call."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        self.at, self.error, self.calls = at, error, 0

    def __call__(self, model: nn.Module, *_: Any) -> float:
        self.calls += 1
        if self.calls == self.at:
            raise self.error("stop")
        return score(model.eval())


def test_a_model_and_its_process_are_bit_identical_afterwards() -> None:
    model = used_network()
    before = everything(model), process()
    result = compress(model, trainer=lambda model, name: None)
    assert (everything(model), process()) == before
    assert result.stats.mac_ratio < 1


@pytest.mark.parametrize("at", [1, 2, 4])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Interrupted, SystemExit])
def test_it_is_after_an_exception_in_the_callback(at: int, error: type[BaseException]) -> None:
    model = used_network()
    before = everything(model), process()
    with pytest.raises((EvaluationError, KeyboardInterrupt, Interrupted, SystemExit)):
        compress(model, Stopping(at, error), on_eval_error="raise")
    assert (everything(model), process()) == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_is_after_a_failing_trainer(error: type[BaseException]) -> None:
    model = used_network()
    before = everything(model), process()
    with pytest.raises(error, match="stop"):
        compress(model, selection=HALF, trainer=Stopping(2, error))
    assert (everything(model), process()) == before


def test_it_is_after_a_failing_build(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnceCopied(Network):
        copies = 0

        def __deepcopy__(self, memo: Any) -> Any:
            OnceCopied.copies += 1
            if OnceCopied.copies > 1:
                raise MemoryError("no room for a copy")
            return network()

    model = OnceCopied()
    before = everything(model), process()
    with pytest.raises(MemoryError, match="no room for a copy"):
        compress(model, selection=HALF)
    assert (everything(model), process()) == before


def test_it_is_after_an_error_before_the_run() -> None:
    model = used_network()
    before = everything(model), process()
    with pytest.raises(ModelError, match="fails on the example input"):
        compress(model, input_shape=(1, 5, 8, 8))
    with pytest.raises(UsageError, match="layers_to_ignore has 'nothing'"):
        compress(model, layers_to_ignore=["nothing"])
    assert (everything(model), process()) == before


def test_it_is_after_a_plan() -> None:
    model = used_network()
    before = everything(model), process()
    plan(model, input_shape=SHAPE)
    assert (everything(model), process()) == before


def test_a_run_inside_no_grad_or_inference_mode_leaves_those_and_gives_a_model_that_can_be_trained() -> None:
    def trainer(model: nn.Module, name: str) -> None:
        model(inputs()).sum().backward()

    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            before = process()["gradients"]
            result = compress(network(), selection=HALF, trainer=trainer)
            assert process()["gradients"] == before
        result.model(inputs()).sum().backward()


def test_two_runs_at_once_on_one_model_are_refused() -> None:
    model, inside, go_on = network(), threading.Event(), threading.Event()

    def waiting(native: nn.Module) -> float:
        inside.set()
        assert go_on.wait(30)
        return score(native)

    results: list[Any] = []
    first = threading.Thread(target=lambda: results.append(compress(model, waiting, selection=HALF)))
    first.start()
    try:
        assert inside.wait(30)
        for second in (model, nn.Sequential(model), model.body):
            with pytest.raises(UsageError, match="is in use by another run in this process; wait for it, or"):
                compress(second, selection=HALF)
        compress(copy.deepcopy(model), selection=HALF)
    finally:
        go_on.set()
        first.join()
    assert len(results) == 1
    compress(model, selection=HALF)  # and afterwards it is free again


# -- what the callback gets, and what it does to the model --


def test_the_callback_gets_the_user_s_module_in_eval_mode_without_gradients() -> None:
    model = network()
    seen = []

    def callback(native: nn.Module) -> float:
        modes = {module.training for module in native.modules()}
        seen.append((native is model, modes, torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return score(native)

    compress(model.train(), callback)
    assert len(seen) > 5
    assert set(map(str, seen[:-1])) == {"(True, {False}, False, False)"}
    assert str(seen[-1]) == "(False, {False}, False, False)"  # the result


def test_a_callback_that_leaves_train_mode_behind_gets_eval_mode_again(notes: list[str]) -> None:
    modes = []

    def callback(native: nn.Module) -> float:
        modes.append(native.training)
        value = score(native)
        native.train()
        return value

    compress(network(), callback)
    assert set(modes) == {False}
    assert any("the model was changed during an evaluation (train mode)" in note for note in notes)


def _write(model: Any) -> None:
    model.stem.weight.mul_(1.001)


def _write_data(model: Any) -> None:
    model.stem.bias.data.add_(0.001)


def _update_statistics(model: Any) -> None:
    model.train()
    model(inputs())
    model.eval()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_write, "stem.weight"),
        (_write_data, "stem.bias"),
        (_update_statistics, "body.1.num_batches_tracked"),
        (lambda model: model.drop.register_forward_hook(lambda *_: None), "hooks of 'drop'"),
        (lambda model: model.fc.requires_grad_(requires_grad=False), "gradient of fc.weight, gradient of fc.bias"),
    ],
)
def test_what_the_callback_changes_is_named_and_noted(
    change: Any, named: str, notes: list[str], tmp_path: Path
) -> None:
    calls = []

    def callback(model: nn.Module) -> float:
        calls.append(1)
        if len(calls) == 4:  # two of the baseline, and the first cell, which has no stem of its own
            change(model)
        return score(model)

    compress(network(), callback, results_dir=tmp_path / "run")
    said = f"the model was changed during an evaluation ({named}"
    assert [note for note in notes if said in note], notes
    last = json.loads((tmp_path / "run" / "events.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "run_finished"
    assert [note for note in last["notes"] if said in note]


def test_nothing_is_noted_where_the_callback_changes_nothing(notes: list[str]) -> None:
    compress(network())
    assert not [note for note in notes if "changed" in note]


def test_a_forward_that_writes_a_buffer_is_noted_only_for_evaluations(notes: list[str]) -> None:
    class Counting(Network):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return super().forward(x)

    model = Counting()
    plan(model, input_shape=SHAPE)
    assert float(model.calls) == 0
    compress(model, lambda _: 1.0)  # only the example runs
    assert float(model.calls) == 0
    assert not notes
    compress(model)
    assert float(model.calls) > 0
    assert [note for note in notes if "(calls)" in note]


# -- kinds of models --


def test_data_parallel_is_unwrapped() -> None:
    result = compress(nn.DataParallel(network()))
    assert type(result.model) is Network
    assert set(result.eval_scores.index) <= {"stem", "body.0", "fc"}


def test_distributed_data_parallel_is_unwrapped() -> None:
    dist = torch.distributed
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        result = compress(nn.parallel.DistributedDataParallel(network()))
    finally:
        dist.destroy_process_group()
    assert type(result.model) is Network
    assert set(result.eval_scores.index) <= {"stem", "body.0", "fc"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiled_models_are_unwrapped_and_explored_eagerly() -> None:
    compiled: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    whole = torch.compile(network(), backend=backend)
    in_place, part = network(), network()
    in_place.compile(backend=backend)
    part.body = torch.compile(part.body, backend=backend)
    expected = compress(network())
    for model, prefix in ((whole, ""), (in_place, ""), (part, "_orig_mod.")):
        result = compress(model)
        assert compiled == []
        assert type(result.model) is Network
        assert list(result.comp_ratios) == [name.replace("body.", f"body.{prefix}") for name in expected.comp_ratios]
        assert np.array_equal(result.eval_scores.to_numpy(), expected.eval_scores.to_numpy(), equal_nan=True)
        assert "_compiled_call_impl" not in vars(result.model)
        torch.compiler.reset()
        with torch.no_grad():
            model(inputs())
        assert compiled, "the model is no longer compiled"
        compiled.clear()


def test_dicts_go_in_and_come_out() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, *, image: torch.Tensor, scale: float) -> dict[str, torch.Tensor]:
            return {"logits": self.net(image) * scale}

    example = {"image": inputs().numpy(), "scale": 2.0}
    result = compress(
        Named(),
        lambda model: model(image=inputs(), scale=1.0)["logits"].sum(),
        input_shape=None,
        example_inputs=example,
    )
    assert result.model(image=inputs(), scale=1.0)["logits"].shape == (2, 10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_floating_dtype_is_compressed_in_its_own(dtype: torch.dtype) -> None:
    result = compress(network().to(dtype), lambda model: model(inputs().to(dtype)).float().square().mean())
    assert {parameter.dtype for parameter in result.model.parameters()} == {dtype}
    assert result.stats.mac_ratio <= 0.7


def test_models_that_cannot_be_taken_are_refused_in_words() -> None:
    class Locked(Network):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(
        ModelError, match=r"Locked cannot be copied by copy.deepcopy, which the result needs: cannot pickle"
    ):
        compress(Locked())
    with pytest.raises(ModelError, match=r"parameter 'stem.weight' is on the meta device and has no values; load the"):
        compress(network().to("meta"))
    with pytest.raises(ModelError, match=r"parameter '0.weight' is not initialized; run the model once on an input"):
        compress(nn.Sequential(nn.LazyLinear(3)))
    with pytest.raises(
        ModelError, match="no layer of Sequential can be compressed by weight_svd: it has no layer with w"
    ):
        compress(nn.Sequential(nn.ReLU()), lambda _: 1.0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_script_modules_are_refused_as_a_whole_and_skipped_as_a_part() -> None:
    scripted = torch.jit.trace(network().eval(), inputs())
    with pytest.raises(
        UsageError, match=r"model is a torch.jit.ScriptModule, whose layers cannot be replaced; give the nn"
    ):
        compress(scripted)
    model = network()
    model.body = torch.jit.trace(model.body.eval(), torch.randn(2, 8, 8, 8))
    result = compress(model, selection=ManualSelection({"stem": 0.5}))
    assert set(result.comp_ratios) | set(result.skipped) == {"stem", "fc", "body.0"}
    assert "is not supported" in result.skipped["body.0"]


def test_layers_are_ignored_by_module_object() -> None:
    model = network()
    result = compress(model, layers_to_ignore=[model.body, "fc"], selection=ManualSelection({"stem": 0.5}))
    assert result.skipped == {
        "body.0": "ignored: layers_to_ignore has a Sequential",
        "fc": "ignored: layers_to_ignore has 'fc'",
    }
    with pytest.raises(UsageError, match="layers_to_ignore has a Linear, which matches no layer"):
        compress(model, layers_to_ignore=[nn.Linear(1, 1)])


def test_what_a_replacement_breaks_is_skipped_and_the_run_goes_on() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(8, 16)
            self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.head = nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.layer(self.embed(x)))

    x = torch.randn(2, 5, 8)
    result = compress(
        Encoder(),
        lambda model: model(x).square().mean(),
        input_shape=(2, 5, 8),
        selection=ManualSelection({"embed": 0.5, "head": 0.5}),
    )
    assert set(result.comp_ratios) == {"embed", "head"}
    assert set(result.skipped) == {"layer.self_attn", "layer.self_attn.out_proj", "layer.linear1", "layer.linear2"}
    for name in ("layer.self_attn.out_proj", "layer.linear1", "layer.linear2"):
        assert "AttributeError: 'Sequential' object has no attribute" in result.skipped[name]


# -- the result --


def test_the_result_is_a_plain_copy_with_the_flags_of_the_original() -> None:
    model = used_network()
    result = compress(model, selection=HALF)
    assert [type(module) for module in result.model.body[0]] == [nn.Conv2d, nn.Conv2d]
    assert all(
        type(module).__module__.split(".")[0] in ("torch", __name__.split(".")[0]) for module in result.model.modules()
    )
    assert result.model.training
    assert not result.model.body[1].training
    assert {p.requires_grad for p in result.model.fc.parameters()} == {False}
    assert {p.requires_grad for p in result.model.body.parameters()} == {True}
    assert all(parameter.grad is None for parameter in result.model.parameters())
    assert not {id(p) for p in result.model.parameters()} & {id(p) for p in model.parameters()}


def test_scores_of_the_table_are_those_of_the_swapped_model() -> None:
    """The last layer alone at the chosen ratio: the result's score is the cell's, bit for bit."""
    table = compress(network()).eval_scores
    result = compress(network(), selection=ManualSelection({"stem": 0.5}))
    assert result.stats.compressed_score == table.loc["stem", 0.5]


def test_the_trainer_is_called_once_a_layer_on_the_copy_in_train_mode_with_gradients() -> None:
    model = used_network()
    calls = []

    def trainer(native: nn.Module, name: str) -> None:
        replaced = native.get_submodule(name)
        modes = {module.training for module in native.modules()}
        calls.append((name, native is model, type(replaced), modes, torch.is_grad_enabled()))
        native(inputs()).sum().backward()

    result = compress(model, selection=HALF, trainer=trainer)
    assert calls == [(name, False, nn.Sequential, {True}, True) for name in ("body.0", "fc")]
    assert result.model.fc[0].weight.grad is None  # frozen
    assert result.model.body[0][0].weight.grad is not None


def test_later_layers_are_cut_from_the_weights_as_the_trainer_left_them() -> None:
    target = torch.randn(10, 2) @ torch.randn(2, 12)  # of rank 2: nothing is lost

    def trainer(native: Any, name: str) -> None:
        if name == "body.0":
            with torch.no_grad():
                native.fc.weight.copy_(target)

    result = compress(network(), selection=HALF, trainer=trainer)
    first, second = result.model.fc
    assert torch.allclose(second.weight @ first.weight, target, atol=1e-4)


def test_a_trainer_may_rebuild_the_model_but_not_take_layers_away() -> None:
    def rebuild(native: Any, name: str) -> None:
        native.fc = nn.Linear(12, 10, bias=False)

    result = compress(network(), selection=HALF, trainer=rebuild)
    assert result.model.fc.bias is None  # by the second call

    def remove(native: Any, name: str) -> None:
        native.fc = nn.Identity()
        del native.fc

    with pytest.raises(
        ModelError, match="layer 'fc' is gone from the model; trainer must leave the layers where they a"
    ):
        compress(network(), selection=HALF, trainer=remove)


def test_the_trainer_of_an_event_comes_before_it() -> None:
    order: list[str] = []

    class Reporter:
        @hookimpl
        def on_layer_compressed(self, event: Any) -> None:
            order.append(f"event {event.layer}")

    compress(network(), selection=HALF, trainer=lambda _, name: order.append(f"trainer {name}"), plugins=[Reporter()])
    assert order == ["trainer body.0", "event body.0", "trainer fc", "event fc"]
