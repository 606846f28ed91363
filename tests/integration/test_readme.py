"""The README's code runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_python_blocks_of_the_readme_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), namespace)  # noqa: S102
    images = torch.rand(2, 3, 16, 16)
    assert namespace["fresh"](images).shape == (2, 10)
    assert (tmp_path / "smaller" / "model.onnx").exists()
    assert (tmp_path / "runs" / "small" / "events.jsonl").exists()


def test_the_plugin_of_the_documentation_hears_a_run() -> None:
    from aimet_hooks import compress_model, demo

    namespace: dict[str, Any] = {}
    (block,) = blocks("docs/plugins.md", "python")
    exec(compile(block, "plugins.md", "exec"), namespace)  # noqa: S102
    compress_model(demo.model_path(), demo.accuracy(), plugins=[namespace["SlowCells"]()])


def test_the_constraints_of_the_documentation_are_kept() -> None:
    namespace: dict[str, Any] = {}
    constrained, own = blocks("docs/constraints.md", "python")
    exec(compile(constrained, "constraints.md", "exec"), namespace)  # noqa: S102
    ratios = namespace["result"].comp_ratios
    assert ratios["block2.conv1"] == ratios["block2.conv2"]
    exec(compile(own, "constraints.md", "exec"), namespace)  # noqa: S102
    assert namespace["result"].stats.cost_ratio <= 0.5


def test_the_analysis_of_the_documentation_gives_the_scores_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    block = next(block for block in blocks("docs/quantization.md", "python") if "analyze_sensitivity" in block)
    exec(compile(block, "quantization.md", "exec"), namespace)  # noqa: S102
    found = namespace["found"]
    assert found.scores.round(4)[2][["block1.conv2", "block3.expand"]].tolist() == [0.1, 0.9972]
    assert (found.problems, found.scores.round(4)[8].unique().tolist()) == ([], [0.9972])


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for command in ("demo", "test"):
        assert f"make {command} " in (ROOT / "README.md").read_text("utf-8")
        assert re.search(rf"^{command}: ", makefile, re.MULTILINE)


def test_the_architecture_names_every_file_of_the_core() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    core = [path for path in (ROOT / "aimet_hooks").iterdir() if path.suffix == ".py" and not path.name.startswith("_")]
    assert [path.name for path in core if path.name not in text] == []


def test_no_placeholder_is_left_in_the_documents() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert not re.search(r"^[A-Z_]{6,}$", path.read_text("utf-8"), re.MULTILINE), path
