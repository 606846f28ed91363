"""Every hostile file gives one clear line and exit code 1 or 2, and takes little memory, whatever command reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults import hostile_inputs, hostile_models, hostile_recordings
from tests.faults.command_lines import CommandLines, Ended

MORE_THAN_IDLE = 80_000_000
LONGEST_LINE = 1_100


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLines]:
    with CommandLines(("console_vis", "bokeh_vis.report"), tmp_path_factory.mktemp("idle")) as commands:
        yield commands


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLines]:
    modules = ("console_vis", "file_vis", "pandas", "onnx", "onnxruntime", "aimet_hooks.adapters.onnx_graph.adapter")
    with CommandLines(modules, tmp_path_factory.mktemp("idle")) as commands:
        yield commands


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    hostile_models.prepare(tmp_path)
    (tmp_path / "good.onnx").write_bytes(hostile_models.good().SerializeToString())
    return tmp_path


def assert_refused(ended: Ended, most: int) -> None:
    lines = ended.stderr.splitlines()
    assert ended.code in (1, 2), (ended.code, ended.stderr[-500:])
    assert len(lines) == 1, lines
    assert lines[0].startswith("aimet-hooks: error: ")
    assert len(lines[0]) < LONGEST_LINE
    assert lines[0].isprintable()
    assert ended.stdout == ""
    assert ended.peak < most, f"{ended.peak / 1e6:.0f} MB of {most / 1e6:.0f} MB"


# -- scores, ratios and pickles ----------------------------------------------------------------------------------------

SHOW, PAGE, REPLAY = ("show", "FILE"), ("show", "FILE", "--html", "page.html"), ("replay", "FILE", "--plugin", "file")
"""All files are read by one function, so the commands other than ``show`` that call it are tried with a few."""


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((name, SHOW) for name in (*hostile_recordings.FILES, *hostile_recordings.ENDLESS)),
        *((name, PAGE) for name in ("empty.json", "layer_name.json", "many_ratios.json", "runs_code.pkl")),
        *((name, REPLAY) for name in ("empty.jsonl", "objects.jsonl", "long_line.jsonl", "laughs.pkl", "pipe.jsonl")),
    ],
)
def test_recordings(name: str, command: tuple[str, ...], readers: CommandLines, tmp_path: Path) -> None:
    if name in hostile_recordings.ENDLESS:
        hostile_recordings.write_endless(tmp_path, name)
    else:
        (tmp_path / name).write_bytes(hostile_recordings.FILES[name])
    line = [name if part == "FILE" else part for part in command]
    assert_refused(readers.run(line, tmp_path), readers.idle + MORE_THAN_IDLE)
    assert not (tmp_path / "was_run").exists()
    assert not (tmp_path / "page.html").exists()


COMPRESS = ("compress", "good.onnx", "--eval", "agreement", "--metric", "sqnr", "-o", "small.onnx", "--console", "off")
TAKING = {
    "select": ("select", "FILE", "--target", "0.5", "-o", "chosen.json"),
    "ratios": (*COMPRESS, "--data", "inputs.npz", "--ratios", "FILE"),
    "saved scores": (*COMPRESS, "--data", "inputs.npz", "--saved-eval-scores", "FILE"),
    "apply": ("apply", "good.onnx", "FILE", "-o", "small.onnx"),
}


@pytest.mark.parametrize("command", TAKING)
@pytest.mark.parametrize(
    "name",
    ["empty.json", "nested.json", "layer_name.json", "many_ratios.json", "laughs.pkl", "runs_code.pkl", "rows.csv"],
)
def test_recordings_beside_a_model(name: str, command: str, models: CommandLines, beside: Path) -> None:
    (beside / name).write_bytes(hostile_recordings.FILES[name])
    line = [name if part == "FILE" else part for part in TAKING[command]]
    assert_refused(models.run(line, beside), models.idle + MORE_THAN_IDLE)
    assert not (beside / "was_run").exists()
    assert not (beside / "small.onnx").exists()


@pytest.mark.parametrize("name", [*hostile_recordings.COSTS, "device.csv", "pipe.csv", "sparse.csv"])
def test_costs(name: str, models: CommandLines, beside: Path) -> None:
    if name in hostile_recordings.COSTS:
        (beside / name).write_bytes(hostile_recordings.COSTS[name])
    else:
        hostile_recordings.write_endless(beside, name)
    ended = models.run(["layers", "good.onnx", "--cost-metric", name], beside)
    assert_refused(ended, models.idle + MORE_THAN_IDLE)


# -- sample inputs -----------------------------------------------------------------------------------------------------

TAKING_INPUTS = {
    "inputs": ("quantization", *COMPRESS[1:6], "--data", "inputs.npz", "--inputs", "FILE", "--console", "off"),
    "data": (*COMPRESS, "--data", "FILE"),
}
TAKEN_AS_DATA = ("elsewhere.npz", "name.npz")
"""A model with one input takes one array of any name as evaluation data; nothing is written by its name."""


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (name, command)
        for name in (*hostile_inputs.FILES, "device.npz", "pipe.npz", "sparse.npz")
        for command in TAKING_INPUTS
        if command == "inputs" or name not in TAKEN_AS_DATA
    ],
)
def test_sample_inputs(name: str, command: str, models: CommandLines, beside: Path) -> None:
    if name in hostile_inputs.FILES:
        (beside / name).write_bytes(hostile_inputs.FILES[name])
    else:
        hostile_recordings.write_endless(beside, name)
    line = [name if part == "FILE" else part for part in TAKING_INPUTS[command]]
    assert_refused(models.run(line, beside), models.idle + MORE_THAN_IDLE)
    assert not (beside / "was_run").exists()


# -- models ------------------------------------------------------------------------------------------------------------

RUNNING = {
    "layers": ("layers", "m.onnx"),
    "apply": ("apply", "m.onnx", "ratios.json", "-o", "small.onnx"),
    "compress": ("compress", "m.onnx", *COMPRESS[2:], "--data", "inputs.npz"),
}
WITH_SCORES = ("quantization", "m.onnx", *COMPRESS[2:6], "--data", "inputs.npz", "--console", "off")
WEIGHTS_ALONE = ("quantization", "m.onnx", "--console", "off")


def assert_model_refused(commands: CommandLines, lines: Sequence[Sequence[str]], content: bytes, folder: Path) -> None:
    (folder / "m.onnx").write_bytes(content)
    for line in lines:
        assert_refused(commands.run(line, folder), commands.idle + MORE_THAN_IDLE + 3 * len(content))
    assert not (folder / "small.onnx").exists()


@pytest.mark.parametrize("name", hostile_models.REFUSED)
def test_models_that_are_not_what_they_say(name: str, models: CommandLines, beside: Path) -> None:
    content = hostile_models.changed(hostile_models.REFUSED[name])
    assert_model_refused(models, [RUNNING["layers"], RUNNING["apply"], WEIGHTS_ALONE], content, beside)


@pytest.mark.parametrize("name", hostile_models.damaged())
def test_models_that_are_damaged(name: str, models: CommandLines, beside: Path) -> None:
    assert_model_refused(models, [RUNNING["layers"], WEIGHTS_ALONE], hostile_models.damaged()[name], beside)


@pytest.mark.parametrize("name", hostile_models.NOT_RUN)
def test_models_that_cannot_run(name: str, models: CommandLines, beside: Path) -> None:
    content = hostile_models.changed(hostile_models.NOT_RUN[name])
    assert_model_refused(models, [RUNNING["layers"], RUNNING["compress"], WITH_SCORES], content, beside)
    ended = models.run(WEIGHTS_ALONE, beside)
    assert ended.code in (0, 1, 2)
    assert "Traceback" not in ended.stderr
    assert ended.peak < models.idle + MORE_THAN_IDLE + 3 * len(content)


# -- the command itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "name", "content"),
    [
        (("show", "long_line.json"), "long_line.json", hostile_recordings.FILES["long_line.json"]),
        (("show", "dicts.pkl"), "dicts.pkl", hostile_recordings.FILES["dicts.pkl"]),
        (("layers", "m.onnx"), "m.onnx", hostile_models.changed(hostile_models.REFUSED["functions_without_end"])),
    ],
)
def test_a_process_of_its_own_is_as_careful(line: Sequence[str], name: str, content: bytes, tmp_path: Path) -> None:
    """As the other tests, but started as users start it; what a model needs is imported beyond an idle command."""
    (tmp_path / name).write_bytes(content)
    idle, ended = started(["--help"], tmp_path), started(line, tmp_path)
    assert_refused(ended, idle.peak + MORE_THAN_IDLE + (3 * len(content) if name.endswith(".onnx") else 0))


def started(line: Sequence[str], folder: Path) -> Ended:
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-m", "aimet_hooks", *line], cwd=folder, stdout=stdout, stderr=stderr
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    texts = [(folder / name).read_text("utf-8") for name in ("stdout", "stderr")]
    return Ended(process.returncode, *texts, usage.ru_maxrss * 1024)
