"""Names steer neither a terminal nor a page, leave no directory, and come back from every file as they are."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.faults.command_lines import CommandLines, Ended

NAMES = (
    "\x1b[31m<script>alert(1)</script>[bold]\n\r\u202e",
    "\x1b]0;title\x07\x9b2J",
    "n" * 10_000,
    '=cmd("x")',
    "a,\"b'c",
    "../../elsewhere",
    "</script><img src=x onerror=alert(1)>",
    "\u200f\u2067right to left\u202e",
    "a\tb\0c",
    "[link=file:///etc/passwd]x[/link]",
    "$$\\href{javascript:alert(1)}{x}$$",
)
RUN_NAME = "../../\x1b[31m</title><script>alert(1)</script>"
RUNS_SCRIPTS = ("<script>alert", "<img src=x", "</title><script>")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLines]:
    modules = ("console_vis", "file_vis", "bokeh_vis.report", "onnx", "onnxruntime")
    with CommandLines(modules, tmp_path_factory.mktemp("idle")) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, commands: CommandLines) -> Path:
    """Where a model whose layers have these names was compressed."""
    path = tmp_path_factory.mktemp("names")
    rng = np.random.default_rng(0)
    values = ["x", *(f"v{at}" for at in range(1, len(NAMES))), "y"]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", [values[at], f"w{at}"], [values[at + 1]], name=name, pads=[1, 1, 1, 1])
            for at, name in enumerate(NAMES)
        ],
        RUN_NAME,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(rng.standard_normal((4, 4, 3, 3), np.float32), f"w{at}") for at in range(len(NAMES))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path / "m.onnx")
    np.savez(path / "inputs.npz", x=rng.standard_normal((1, 4, 8, 8), np.float32))
    done(
        commands, path, "compress", "m.onnx", "--eval", "agreement", "--metric", "sqnr", "--data", "inputs.npz",
        "--candidates", "3", "-o", "small.onnx", "--results-dir", "run", "--run-name", RUN_NAME,
    )  # fmt: skip
    return path


def done(commands: CommandLines, folder: Path, *line: str) -> Ended:
    """A command that succeeds, and has printed nothing that a terminal would act on."""
    ended = commands.run(line, folder)
    assert ended.code == 0, ended.stderr
    assert all(character.isprintable() or character == "\n" for character in ended.stdout + ended.stderr)
    return ended


@pytest.mark.parametrize(
    "line",
    [
        ("layers", "m.onnx"),
        ("quantization", "m.onnx"),
        ("show", "run"),
        ("show", "run/eval_scores.json"),
        ("show", "run/eval_scores.csv"),
        ("show", "run/comp_ratios.json"),
        ("apply", "m.onnx", "run", "-o", "applied.onnx"),
        ("select", "run", "--target", "0.8", "-o", "chosen.json"),
    ],
)
def test_nothing_steers_a_terminal(line: tuple[str, ...], commands: CommandLines, folder: Path) -> None:
    done(commands, folder, *line)


def test_files_give_the_names_back(commands: CommandLines, folder: Path) -> None:
    done(commands, folder, "select", "run", "--target", "0.9", "-o", "ratios.json")
    with (folder / "run" / "eval_scores.csv").open(newline="", encoding="utf-8") as file:
        listed = [row[0] for row in csv.reader(file)][1:]
    assert tuple(listed) == NAMES
    assert tuple(json.loads((folder / "run" / "eval_scores.json").read_text("utf-8"))["scores"]) == NAMES
    assert tuple(json.loads((folder / "run" / "comp_ratios.json").read_text("utf-8"))) == NAMES
    assert tuple(json.loads((folder / "ratios.json").read_text("utf-8"))) == NAMES


def test_no_file_lies_elsewhere(folder: Path) -> None:
    written = {path.name for path in (folder / "run").iterdir()}
    assert written == {
        *("events.jsonl", "eval_scores.json", "eval_scores.csv", "comp_ratios.json", "stats.json"),
        *("model.onnx", "report.html"),
    }


@pytest.mark.parametrize("name", ["run", "run/eval_scores.json", "run/comp_ratios.json"])
def test_nothing_runs_in_a_page(name: str, commands: CommandLines, folder: Path) -> None:
    done(commands, folder, "show", name, "--html", "page.html")
    for page in (folder / "page.html", folder / "run" / "report.html"):
        text = page.read_text("utf-8")
        assert not any(script in text for script in RUNS_SCRIPTS)


def test_a_table_is_named_by_its_file_whatever_that_is_called(commands: CommandLines, folder: Path) -> None:
    name = "\x1b[31m<script>alert(1)<\u202e.json"
    (folder / name).write_text('{"scores": {"a": {"0.5": 1.0}}}')
    done(commands, folder, "show", name)
    done(commands, folder, "show", name, "--html", "named.html")
    assert "<script>alert" not in (folder / "named.html").read_text("utf-8")
    (folder / name).write_text("[")
    ended = commands.run(["show", name], folder)
    assert ended.code == 1
    assert ended.stderr.rstrip("\n").isprintable()


def test_one_long_name_does_not_make_all_lines_as_long(commands: CommandLines, folder: Path) -> None:
    rows = {f"layer{number}": {"0.5": 1.0} for number in range(2_000)}
    (folder / "long.json").write_text(json.dumps({"scores": {"n" * 1_000_000: {"0.5": 1.0}, **rows}}))
    ended = done(commands, folder, "show", "long.json")
    assert len(ended.stdout) < 4_000_000
    assert ended.peak < commands.idle + 80_000_000
