"""Small runs for processes that are killed: one of a torch network, one of an ONNX model, which tell what they do."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnxruntime
import pandas as pd  # noqa: F401  # imported here, and so not in every process
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from aimet_hooks import GreedySelection, cli, compress_model, demo, log_lock
from aimet_hooks.adapters.onnx_graph import adapter as _onnx  # noqa: F401
from aimet_hooks.adapters.pytorch import adapter as _torch  # noqa: F401
from aimet_hooks.event_log import FILE_NAME
from aimet_hooks.every_event import EveryEvent
from tests.faults.attempts import eventually

if TYPE_CHECKING:
    from aimet_hooks.events import Event
    from aimet_hooks.result import CompressionResult
    from aimet_hooks.run_state import RunState

Framework = Literal["torch", "onnx"]
START, EVALUATION, DELAY = "start", "evaluation", "delay"


@dataclass(frozen=True)
class Moment:
    """When a run is killed.

    Attributes:
        what: "start" of the call, begin of an "evaluation", the name of an event that has just been written, or
            "delay": from outside, whatever the run does then.
        number: The how manieth of its kind.
        seconds: Of a delay.
    """

    what: str
    number: int = 1
    seconds: float = 0.0


NEVER = Moment("never")


class Killer(EveryEvent):
    """Kills its own process at a moment."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._left = moment.number

    def hear(self, event: Event, run: RunState) -> None:
        self.count(event.name)

    def count(self, what: str) -> None:
        self._left -= what == self._moment.what
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


class Evaluation:
    """A score by what the model gives for a fixed input, another for every cell; kept in a file that kills survive.

    Args:
        file: Gets a line at the begin of each evaluation and one with its score, each with the process.
        killer: Told when an evaluation begins.
    """

    def __init__(self, file: Path, killer: Killer) -> None:
        self._file = file
        self._killer = killer

    def __call__(self, model: Any) -> float:
        self._note("begins")
        self._killer.count(EVALUATION)
        score = score_of(model)
        self._note(repr(score))
        return score

    def _note(self, text: str) -> None:
        file = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(file, f"{os.getpid()} {text}\n".encode())
        os.close(file)


def score_of(model: Any) -> float:
    """The mean square of what a model gives for a fixed input."""
    if isinstance(model, nn.Module):
        inputs = torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
        return float(model(inputs).square().mean())
    (logits,) = model.run(None, {"image": np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)})
    return float(np.square(logits).mean())


def network() -> nn.Module:
    """Three convolutions."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 8, 3)
    )


def compress(framework: Framework, evaluate: Any, *, model: Any = None, **arguments: Any) -> CompressionResult:
    """A run of a small model, with tables and nothing else unless asked for."""
    given: dict[str, Any] = {"plugins": ["file"], "console": "off", **arguments}
    if framework == "torch":
        given.setdefault("selection", GreedySelection(0.6, num_comp_ratio_candidates=8))
        return compress_model(network() if model is None else model, evaluate, input_shape=(1, 3, 8, 8), **given)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return compress_model(
        demo.model_path(),
        evaluate,
        selection=GreedySelection(0.65, num_comp_ratio_candidates=8),
        layers_to_ignore=("head", "stem", "block1.*"),
        session_options=options,
        **given,
    )


def killed_at(moment: Moment, framework: Framework, directory: Path, evaluations: Path) -> None:
    """Begin or resume a run that is killed at a moment, if it comes that far."""
    torch.set_num_threads(1)
    killer = Killer(moment)
    killer.count(START)
    compress(framework, Evaluation(evaluations, killer), results_dir=directory, resume=True, plugins=["file", killer])


def interrupted(directory: Path, evaluations: Path) -> None:
    """Begin or resume a run that somebody interrupts; the process goes on with the model as it was, and without traces.

    Exit codes: 0: it ended before, 130: it was interrupted.
    """
    torch.set_num_threads(1)
    model = network().train()
    before, code = described(model), 0
    try:
        print("ready", flush=True)
        compress("torch", Evaluation(evaluations, Killer(NEVER)), model=model, results_dir=directory, resume=True)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        code = 130
    changed = [now for was, now in zip(before, described(model), strict=True) if was != now]
    assert not changed, changed
    log_lock.refuse_in_use(directory / FILE_NAME)
    eventually(lambda: threading.enumerate() == [threading.main_thread()])
    sys.exit(code)


def described(model: nn.Module) -> list[object]:
    """All of a model that a run might change, to the bit."""
    modules = [
        (name, id(module), type(module), module.training, sorted(vars(module)), len(module._forward_hooks))
        for name, module in model.named_modules()
    ]
    tensors = [
        (name, id(tensor), tensor.requires_grad, tensor.detach().numpy().tobytes())
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    ]
    return [*modules, *tensors, torch.is_grad_enabled()]


def command(*line: str) -> None:
    """A command line; a signal that comes after it does nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it is put back to
    code = cli.main(line)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def without_space(directory: Path, after: int) -> None:
    """A run that may write no longer files from an evaluation on; its score is printed."""

    def evaluate(model: Any) -> float:
        evaluations.append(model)
        if len(evaluations) == after:
            size = (directory / FILE_NAME).stat().st_size + 100
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return score_of(model)

    evaluations: list[Any] = []
    result = compress("torch", evaluate, results_dir=directory)
    print(f"score {result.stats.compressed_score!r}", flush=True)


def stuck(directory: Path, evaluations: Path, number: int) -> None:
    """A run one of whose evaluations never ends. Exit code 130: it was interrupted."""

    def evaluate(model: Any) -> float:
        seen.append(score(model))
        if len(seen) == number:
            print("stuck", flush=True)
            threading.Event().wait()
        return seen[-1]

    seen: list[float] = []
    score = Evaluation(evaluations, Killer(NEVER))
    try:
        compress("torch", evaluate, results_dir=directory, resume=True)
    except KeyboardInterrupt:
        sys.exit(130)


def leaving_processes(directory: Path) -> None:
    """A run whose evaluations leave a program and a forked process behind, and another run in the same directory."""

    def evaluate(model: Any) -> float:
        if not left:
            left.append(subprocess.Popen(["sleep", "1000"]).pid)
            child = os.fork()
            if not child:
                signal.pause()
            left.append(child)
        return score_of(model)

    left: list[int] = []
    compress("torch", evaluate, results_dir=directory)
    log_lock.refuse_in_use(directory / FILE_NAME)
    compress("torch", score_of, results_dir=directory, resume=True)
    for child in left:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it has ended"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def with_workers(directory: Path) -> None:
    """A run whose evaluations read their data by two forked processes."""

    def evaluate(model: Any) -> float:
        loader = DataLoader(TensorDataset(torch.linspace(-1, 1, 4 * 3 * 8 * 8).reshape(4, 3, 8, 8)), num_workers=2)
        return float(sum(model(batch).square().mean() for (batch,) in loader))

    compress("torch", evaluate, results_dir=directory, selection=GreedySelection(0.6, num_comp_ratio_candidates=3))


def interrupted_often(seed: int, times: int) -> None:
    """Interrupt runs of one process at random moments; what the process has stays as it was, and a run goes well."""
    torch.set_num_threads(1)
    draw = random.Random(seed)  # noqa: S311
    signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    selection = GreedySelection(0.6, num_comp_ratio_candidates=4)
    model = network().train()
    before = described(model)
    compress("torch", score_of, model=model, selection=selection)  # the first takes longer than the others
    begin = time.monotonic()
    compress("torch", score_of, model=model, selection=selection)
    seconds = time.monotonic() - begin
    for _ in range(times):
        try:
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(seconds / 100, seconds))
            compress("torch", score_of, model=model, selection=selection)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        changed = [now for was, now in zip(before, described(model), strict=True) if was != now]
        assert not changed, changed
    compress("torch", score_of, model=model, selection=selection)
