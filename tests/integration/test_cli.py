"""The commands, run as users run them."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from aimet_hooks import demo, event_log
from aimet_hooks.cli import main

EVALUATION = """
from aimet_hooks import demo
accuracy = demo.accuracy()
def needs_two(model, data): return 0.5
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "evaluation_of_digits.py").write_text(EVALUATION)
    return tmp_path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own."""
    line = [sys.executable, "-m", "aimet_hooks", *map(str, arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from aimet_hooks.cli import main; main(['--help']);"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'bokeh', 'rich', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.endswith("[]\n")
    for command in ("compress", "demo", "layers", "plugins", "quantization", "replay", "serve", "show", "verify"):
        assert f"  {command} " in output


def test_demo_shows_the_table_the_ratios_and_where_the_files_are(folder: Path) -> None:
    with started("demo", "--results-dir", "out") as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    for name in ("stem", "block1.conv1", "block3.depthwise", "fc1", "head"):
        assert name in output
    assert "depthwise convolution" in output
    assert "out" in output
    assert "'head', is left alone" in errors
    stats = json.loads((folder / "out" / "stats.json").read_text())
    assert stats["mac_ratio"] <= 0.5
    assert stats["compressed_score"] >= 0.955
    assert {path.name for path in (folder / "out").iterdir()} == {
        "events.jsonl",
        "eval_scores.json",
        "eval_scores.csv",
        "comp_ratios.json",
        "stats.json",
        "model.onnx",
        "report.html",
    }
    assert errors.endswith("The page of this run: out/report.html\n")
    assert "\x1b" not in output + errors


def test_demo_says_where_its_live_page_is_and_goes_on_without_a_server(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    with started("demo", "--results-dir", "out", "--visualization-url", url) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Chosen ratios" in output
    lines = errors.splitlines()
    assert lines[0] == f"Live page: {url}?&bokeh-session-id=compression"
    (warning,) = [line for line in lines if line.startswith("warning:")]
    assert "nothing listens at" in warning
    assert (folder / "out" / "report.html").exists()


def test_demo_without_a_results_directory_writes_below_runs(folder: Path) -> None:
    assert run("demo", "--console", "off") == 0
    (results,) = (folder / "runs").iterdir()
    assert (results / "model.onnx").exists()


@pytest.mark.parametrize("target", ["1.5", "0.01"])
def test_a_target_that_cannot_be_is_wrong_usage_in_one_line(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "--console", "off", "--target", target, "--results-dir", "out") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("aimet-hooks: error: target_comp_ratio")


def test_a_directory_that_holds_a_run_is_an_error_with_both_ways_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / event_log.FILE_NAME).write_text("")
    assert run("demo", "--console", "off", "--results-dir", "out") == 1
    assert "already holds a run; choose another directory, or continue that run with resume=True" in (
        capsys.readouterr().err
    )


def test_layers_lists_what_is_skipped_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("layers", demo.model_path(), "--scheme", "weight_svd", "--ignore", "he*", "--input-shape", "2,1,8,8") == 0
    )
    output = capsys.readouterr().out
    assert "its rank 1 costs" in output
    assert "depthwise convolution (group=96)" in output
    assert "ignored: layers_to_ignore has 'he*'" in output
    assert "2,330,752 MACs a sample and 93,952 weights in 11 layers" in output
    assert "lowest ratio that the model can reach" in output


@pytest.mark.parametrize("evaluation", ["evaluation_of_digits.py:accuracy", "evaluation_of_digits:accuracy"])
def test_compress_writes_a_model_that_runs(evaluation: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ("--eval", evaluation, "--target", 0.6, "--candidates", 4, "--threads", 1, "--console", "off")
    assert run("compress", demo.model_path(), *line, "-o", "small.onnx", "--input-shape", "1x1x8x8") == 0
    assert "The compressed model is in small.onnx." in capsys.readouterr().out
    onnx.checker.check_model(onnx.load("small.onnx"), full_check=True)
    session = onnxruntime.InferenceSession("small.onnx")
    assert demo.accuracy()(session) > 0.9


def test_compress_takes_agreement_and_given_ratios(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("inputs.npz", image=np.random.default_rng(0).random((4, 1, 8, 8)))
    (folder / "ratios.json").write_text('{"block1.conv1": 0.5, "fc1": null}')
    line = ("--eval", "agreement", "--data", "inputs.npz", "--ratios", "ratios.json", "--plugin", "file")
    assert run("compress", demo.model_path(), *line, "-o", "small.onnx", "--results-dir", "out") == 0
    assert json.loads((folder / "out" / "comp_ratios.json").read_text())["block1.conv1"] == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--eval", "accuracy"), "--eval 'accuracy' is no function; give module:function"),
        (
            ("--eval", "nowhere:accuracy"),
            "--eval: nowhere cannot be imported (ModuleNotFoundError: ",
        ),
        (("--eval", "nowhere.py:accuracy"), "there is no file 'nowhere.py'"),
        (("--eval", "evaluation_of_digits.py:acuracy"), "has no 'acuracy'; the nearest are 'accuracy'"),
        (("--eval", "evaluation_of_digits.py:needs_two"), "give eval_callback=lambda model: needs_two(model, data)"),
        (("--eval", "agreement"), "--eval agreement needs --data inputs.npz"),
        (("--eval", "agreement", "--data", "evaluation_of_digits.py"), "cannot be read as .npz"),
        (("--eval", "evaluation_of_digits.py:accuracy", "--input-shape", "1,a"), "'1,a' is no shape"),
        (
            ("--eval", "evaluation_of_digits.py:accuracy", "-o", "no/x.onnx"),
            "-o 'no/x.onnx' cannot be written (No such file or directory); make its folder first",
        ),
        (("--eval", "evaluation_of_digits.py:accuracy", "--ignore", "hed"), "the nearest are 'head'"),
        (("--eval", "evaluation_of_digits.py:accuracy", "--plugin", "fil"), "plugin 'fil' is not installed"),
        (("--eval", "evaluation_of_digits.py:accuracy", "--multiplicity", "0"), "multiplicity is 0"),
    ],
)
def test_wrong_usage_of_compress(options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("compress", demo.model_path(), "--console", "off", "-o", "small.onnx", *options)
    assert run(*arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_failing_run_is_exit_code_1_and_traceback_shows_more(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.py").write_text("def accuracy(session):\n    raise RuntimeError('no data')\n")
    line = ("compress", demo.model_path(), "--eval", "broken.py:accuracy", "-o", "small.onnx", "--console", "off")
    assert run(*line) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1] == ("aimet-hooks: error: the baseline cannot be evaluated: RuntimeError: no data")
    assert "Traceback" not in error
    assert run(*line, "--traceback") == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["out", "out/events.jsonl", "out/eval_scores.json", "out/eval_scores.csv", "aimet.pkl"]
)
def test_show_prints_any_recording(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "aimet.pkl").write_bytes(pickle.dumps({"block1.conv1": {Decimal("0.5"): 0.9944}}))
    assert run("demo", "--console", "off", "--results-dir", "out") == 0
    capsys.readouterr()
    assert run("show", name) == 0
    output = capsys.readouterr().out
    assert "block1.conv1" in output
    assert "0.994" in output


def test_show_prints_ratios_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "comp_ratios.json").write_text('{"conv": 0.3, "fc": null}')
    assert run("show", "comp_ratios.json") == 0
    output = capsys.readouterr().out
    assert "conv" in output
    assert "0.3" in output


@pytest.mark.parametrize(
    ("content", "message"),
    [("{]", "is not JSON"), ('{"a": 7}', "is no compression ratio between 0 and 1")],
)
def test_show_names_what_is_wrong_with_a_file(
    content: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file.json").write_text(content)
    assert run("show", "file.json") == 1
    assert message in capsys.readouterr().err


def test_plugins_says_what_is_loaded_and_why_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = folder / "broken_plugin-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[aimet_hooks]\nbroken = does_not_exist\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("AIMET_HOOKS_PLUGINS", "file")
    assert run("plugins") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "no: ModuleNotFoundError: No module named 'does_not_exist'" in lines["broken"]
    assert "broken-plugin  1.2" in lines["broken"]
    assert "not chosen by AIMET_HOOKS_PLUGINS" in lines["console"]
    assert lines["file"].endswith("yes")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_code_and_a_whole_log(number: int, code: int, folder: Path) -> None:
    slow = "import time\nfrom aimet_hooks import demo\nraw = demo.accuracy()\n"
    slow += (
        "def accuracy(session):\n    print('evaluating', flush=True)\n    time.sleep(0.2)\n    return raw(session)\n"
    )
    (folder / "slow.py").write_text(slow)
    line = ("compress", demo.model_path(), "--eval", "slow.py:accuracy", "-o", "small.onnx", "--results-dir", "out")
    with started(*line) as process:
        assert process.stdout is not None
        for _ in range(4):
            assert process.stdout.readline() == "evaluating\n"
        os.kill(process.pid, number)
        _, errors = process.communicate()
    assert process.returncode == code
    assert errors.splitlines()[-1] == f"aimet-hooks: {'interrupted' if code == 130 else 'terminated'}"
    names = [event.name for event in event_log.read(folder / "out" / "events.jsonl")]
    assert names[-1] == "run_failed"
    assert names.count("eval_score") >= 2


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("import sys\nsys.exit(0)\n", 2, "--eval: bad.py cannot be imported (SystemExit: 0)"),
        ("raise EOFError\n", 2, "--eval: bad.py cannot be imported (EOFError:)"),
        ("def f(:\n", 2, "--eval: bad.py cannot be imported (SyntaxError:"),
        ("import sys\ndef f(session):\n    sys.exit(0)\n", 1, "the evaluation called sys.exit(0)"),
        ("def f(session):\n    raise EOFError\n", 1, "the baseline cannot be evaluated: EOFError"),
    ],
)
def test_an_evaluation_that_leaves_python_is_never_a_success(
    text: str, code: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.py").write_text(text)
    line = ("compress", demo.model_path(), "--eval", "bad.py:f", "-o", "small.onnx", "--console", "off")
    assert run(*line) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no zip"])
def test_damaged_data_is_wrong_usage(content: bytes, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cut.npz").write_bytes(content)
    line = ("compress", demo.model_path(), "--eval", "agreement", "--data", "cut.npz", "-o", "small.onnx")
    assert run(*line) == 2
    assert "--data 'cut.npz' cannot be read as .npz" in capsys.readouterr().err


def test_one_array_as_data_is_told_how_to_name_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("one.npy", np.zeros(3))
    line = ("compress", demo.model_path(), "--eval", "agreement", "--data", "one.npy", "-o", "small.onnx")
    assert run(*line) == 2
    assert "is one array; write it with np.savez(file, input_name=array)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        ("layers", "no.onnx"),
        ("show", "no"),
        ("verify", "no"),
        ("replay", "no"),
        ("compress", "no.onnx", "--eval", "a", "-o", "b"),
    ],
)
def test_a_path_that_does_not_exist_is_wrong_usage(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*line) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("aimet-hooks: error: invalid value for ")
    assert error.endswith(f"does not exist; see aimet-hooks {line[0]} --help")


@pytest.mark.parametrize("command", ["compress", "layers", "quantization", "select", "replay", "show", "verify"])
def test_wrong_usage_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert run(command, "--no-such-option") == 2
    assert [line.partition(";")[2] for line in capsys.readouterr().err.splitlines()] == [
        f" see aimet-hooks {command} --help"
    ] * 2


def test_help_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    assert "Commands:" in capsys.readouterr().err


def test_missing_weights_of_a_model_are_one_line_with_their_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(
        onnx.load(demo.model_path()), folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0
    )
    (folder / "m.data").unlink()
    for command in ("quantization", "layers"):
        assert run(command, "m.onnx") == 1
        assert capsys.readouterr().err == (
            "aimet-hooks: error: m.data, which holds the weights of the model, is missing; "
            "put it beside the .onnx file again\n"
        )


def test_a_result_that_cannot_be_written_leaves_the_old_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import resource, sys\n"
        "from aimet_hooks.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    (folder / "small.onnx").write_bytes(b"old")
    (folder / "ratios.json").write_text('{"block1.conv1": 0.5}')
    line = ("compress", demo.model_path(), "--eval", "evaluation_of_digits.py:accuracy", "--ratios", "ratios.json")
    arguments = [sys.executable, "-c", code, *map(str, line), "-o", "small.onnx", "--console", "off"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert (folder / "small.onnx").read_bytes() == b"old"
    assert sorted(path.name for path in folder.glob(".*")) == []


# -- quantization ------------------------------------------------------------------------------------------------------


def test_quantization_without_an_evaluation_lists_what_will_break(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(demo.model_path())
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "block1.conv1.weight")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[3] *= 40
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, folder / "wide.onnx")
    assert run("quantization", "wide.onnx", "--bitwidths", "8") == 0
    printed = capsys.readouterr().out
    assert "Weights that will not survive 8 bits: 1 of 11 layers, the worst first" in printed
    assert "block1.conv1: channel 3 is" in printed
    assert "Scores" not in printed
    assert sorted(path.name for path in folder.iterdir()) == ["evaluation_of_digits.py", "wide.onnx"]


def test_quantization_with_inputs_alone_tells_the_noise_of_every_layer(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(folder / "inputs.npz", image=np.random.default_rng(0).random((4, 1, 8, 8), np.float32))
    line = ("quantization", demo.model_path(), "--inputs", "inputs.npz", "--bitwidths", "2,8", "--per-channel")
    assert run(*line, "--html", "page.html") == 0
    printed = capsys.readouterr().out
    assert "SQNR (dB) of what each layer gives for the inputs with its weights quantized, the lowest first" in printed
    assert "Scores" not in printed
    assert "with its weights quantized to 2 and 8 bits" in (folder / "page.html").read_text()


def test_quantization_of_no_layer_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("quantization", demo.model_path(), "--layer", "stem", "--ignore", "stem") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("aimet-hooks: error: no layer of digits.onnx can be quantized: 'stem': ignored: ")


def test_quantization_with_an_evaluation_ranks_layers_and_writes_files_and_a_page(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(folder / "inputs.npz", image=np.random.default_rng(0).random((4, 1, 8, 8), np.float32))
    line = ("quantization", demo.model_path(), "--eval", "evaluation_of_digits:accuracy", "--bitwidths", "2,8")
    where = ("--layer", "block3.*", "--ignore", "*depthwise", "--results-dir", "run", "--html", "page.html")
    assert run(*line, *where, "--inputs", "inputs.npz", "--threads", "1", "--per-channel", "--asymmetric") == 0
    printed = capsys.readouterr().out
    assert "Scores with the weights of one layer quantized, the most sensitive first" in printed
    assert "The page is in page.html." in printed
    table = json.loads((folder / "run" / "sensitivity.json").read_text())
    assert list(table["scores"]) == ["block3.expand", "block3.project"]
    assert table["bitwidths"] == [2, 8]
    assert table["sqnr"]["block3.expand"]["8"] > table["sqnr"]["block3.expand"]["2"] > 0
    first = next(iter(event_log.read(folder / "run" / "events.jsonl")))
    assert (first.settings["per_channel"], first.settings["symmetric"]) == (True, False)  # type: ignore[attr-defined]
    assert "digits" in (folder / "page.html").read_text()
    assert run("show", "run") == 0
    assert "the most sensitive first" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bitwidths", "4;8"), "is no list of bit widths; give whole numbers as 4,8"),
        (("--bitwidths", "1"), "bitwidth is 1; give a whole number of bits from 2 to 16"),
        (("--layer", "convs"), "layers (--layer) has 'convs', which matches no layer"),
        (("--eval", "nothing"), "--eval 'nothing' is no function"),
        (("--eval", "agreement"), "--eval agreement needs --data inputs.npz"),
        (("--data", "inputs.npz"), "--data is for --eval agreement; give that, or leave --data out"),
        (
            ("--eval", "evaluation_of_digits.py:accuracy", "--metric", "kl"),
            "--metric is for --eval agreement; give that, or leave --metric out",
        ),
        (
            ("--asymmetric",),
            "symmetric=False (--asymmetric) changes nothing, as without eval_callback (--eval) and example_inputs "
            "(--inputs) only the ranges of the weights are analyzed",
        ),
        (("--threads", "1"), "session_options (--threads) changes nothing, as without eval_callback (--eval)"),
        (("--resume",), "resume=True (--resume) with results_dir (--results-dir) None has nothing to go on with"),
        (
            ("--resume", "--results-dir", "run"),
            "resume=True (--resume) goes on with the scores of an analysis, and without eval_callback (--eval) there",
        ),
        (("--ignore", "zz"), "layers_to_ignore (--ignore) has 'zz'"),
        (("--inputs", "none.npz"), "--inputs 'none.npz' cannot be read as .npz"),
        (("--html", "no/page.html"), "--html 'no/page.html' cannot be written"),
    ],
)
def test_wrong_usage_of_quantization(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("quantization", demo.model_path(), *options) == 2
    assert message in capsys.readouterr().err
