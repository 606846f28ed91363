"""A plugin of somebody else, installed into a fresh environment beside aimet-hooks, found by its entry point."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PLUGIN = ROOT / "tests" / "third_party" / "sample_plugin"

RUN = """
    import json
    import sys

    import onnxruntime

    import aimet_hooks
    from aimet_hooks import GreedySelection, compress_model, demo

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    compress_model(
        demo.model_path(), demo.accuracy(), results_dir=sys.argv[1], console="off", session_options=options,
        selection=GreedySelection(0.98, num_comp_ratio_candidates=4), layers_to_ignore=("head", "stem", "block[12].*"),
    )
    print(json.dumps({"package": aimet_hooks.__file__, "prefix": sys.prefix}))
"""


class Environment:
    """A virtual environment of its own that borrows only what aimet-hooks depends on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = directory / ("Scripts" if os.name == "nt" else "bin") / "python"

    def run(self, *arguments: object, cwd: Path | None = None, **variables: str) -> str:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AIMET_HOOKS", "PIP_"))
        }
        done = subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=cwd or self.directory,
            env=inherited | {"OMP_NUM_THREADS": "1"} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def asked(self, code: str) -> Any:
        return json.loads(self.run("-c", f"import json; print(json.dumps({code}))"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """aimet-hooks and the sample plugin, built and installed by pip."""
    directory = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    fresh = Environment(directory)
    purelib = Path(fresh.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (purelib / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    # where hatchling is there it builds without asking the network; else pip fetches it
    offline = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    fresh.run("-m", "pip", "install", "--quiet", "--no-deps", "--ignore-installed", *offline, ROOT, PLUGIN)
    return fresh


@pytest.fixture(scope="module")
def results(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results directory of a run with ``plugins=None`` in that environment."""
    directory = tmp_path_factory.mktemp("run") / "results"
    told = json.loads(environment.run("-c", textwrap.dedent(RUN), directory))
    assert Path(told["package"]).is_relative_to(environment.directory), "not the installed package was imported"
    return directory


def heard(results: Path) -> list[tuple[int, str, str]]:
    lines = [line.split(",") for line in (results / "heard.csv").read_text().splitlines()]
    return [(int(seq), name, phase) for seq, name, phase in lines]


def test_plugin_is_found_by_its_entry_point(environment: Environment) -> None:
    found = environment.asked(
        "[[p.name, p.distribution, p.version] for p in __import__('aimet_hooks.discovery').discovery.find().values()]"
    )
    assert ["sample", "aimet-hooks-sample-plugin", "1.2.3"] in found
    assert [entry[:2] for entry in found if entry[1] == "aimet-hooks"] == [
        ["bokeh", "aimet-hooks"],
        ["console", "aimet-hooks"],
        ["file", "aimet-hooks"],
    ]


def test_plugin_hears_every_event_of_a_run_in_order(results: Path) -> None:
    events = heard(results)
    numbers = [seq for seq, name, _ in events if name != "progress"]
    assert numbers == list(range(len(numbers)))
    names = " ".join(name for _, name, _ in events if name != "progress")
    assert re.fullmatch(
        r"run_started( layer_skipped)+ baseline_score exploration_started( eval_score){6} ratios_selected"
        r"( layer_compressed)+ run_finished",
        names,
    ), names
    assert list(dict.fromkeys(phase for _, _, phase in events)) == [
        "preparing",
        "exploring",
        "selected",
        "compressing",
        "finished",
    ]
    progressed = [(at, seq) for at, (seq, name, _) in enumerate(events) if name == "progress"]
    assert progressed
    assert all(seq == events[at - 1][0] for at, seq in progressed)


def test_plugin_heard_what_the_log_holds(results: Path) -> None:
    logged = [json.loads(line) for line in (results / "events.jsonl").read_text().splitlines()]
    assert [(line["seq"], line["event"]) for line in logged] == [
        (seq, name) for seq, name, _ in heard(results) if name != "progress"
    ]
    assert logged[0]["provenance"]["versions"]["aimet-hooks"]


def test_plugin_hears_the_same_from_a_replay(environment: Environment, results: Path, tmp_path: Path) -> None:
    environment.run("-m", "aimet_hooks", "replay", results, "--results-dir", tmp_path / "again", "--console", "off")
    assert heard(tmp_path / "again") == [line for line in heard(results) if line[1] != "progress"]
    for name in ("eval_scores.json", "eval_scores.csv", "comp_ratios.json", "stats.json"):
        assert (tmp_path / "again" / name).read_bytes() == (results / name).read_bytes()


def test_built_in_plugins_of_the_installed_package_ran_beside_it(results: Path) -> None:
    written = {path.name for path in results.iterdir()}
    assert {"eval_scores.json", "eval_scores.csv", "comp_ratios.json", "stats.json", "report.html"} <= written


def test_plugin_is_left_out_where_the_environment_says_so(environment: Environment, tmp_path: Path) -> None:
    environment.run("-c", textwrap.dedent(RUN), tmp_path / "results", AIMET_HOOKS_PLUGINS="file")
    assert not (tmp_path / "results" / "heard.csv").exists()


def test_plugin_stands_its_contract_in_that_environment(environment: Environment, tmp_path: Path) -> None:
    shutil.copytree(PLUGIN / "tests", tmp_path / "tests")
    out = environment.run("-m", "pytest", "-q", "-c", os.devnull, "--rootdir", tmp_path, cwd=tmp_path)
    assert re.search(r"\d+ passed", out), out


def test_installed_package_holds_no_tests_and_is_typed(environment: Environment) -> None:
    files = environment.asked(
        "[str(f) for f in __import__('importlib.metadata').metadata.distribution('aimet-hooks').files]"
    )
    top = {file.split("/")[0] for file in files if not file.startswith("..")}
    packages = {name for name in top if not name.endswith(".dist-info")}
    assert packages == {"aimet_hooks", "bokeh_vis", "console_vis", "file_vis"}
    assert "aimet_hooks/py.typed" in files
    assert {"aimet_hooks/demo/digits.onnx", "bokeh_vis/styles.css", "bokeh_vis/scripts/tick.js"} <= set(files)
