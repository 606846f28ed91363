"""Every file that holds a run, a table or a choice becomes the events of a run."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from aimet_hooks import recordings
from aimet_hooks.errors import RecordingError
from aimet_hooks.events import BaselineScored, EvalScored, ExplorationStarted, RatiosSelected, RunStarted
from aimet_hooks.log_writer import EventLog
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import finished_run
from aimet_hooks.testing.sample_runs import run_with_a_recorded_score

TABLE = {"conv1": {0.25: 0.5, 0.75: 0.875}, 'a,"b\n層': {0.25: 0.625, 0.75: None}}
KNOWN = {"conv1": {0.25: 0.5, 0.75: 0.875}, 'a,"b\n層': {0.25: 0.625}}
RATIOS = {"conv1": 0.25, 'a,"b\n層': None}
JSON_TABLE = {layer: {str(ratio): score for ratio, score in row.items()} for layer, row in TABLE.items()}
DECIMALS = {layer: {Decimal(str(ratio)): score for ratio, score in row.items()} for layer, row in TABLE.items()}
PAIRS = [(layer, None if ratio is None else Decimal(str(ratio))) for layer, ratio in RATIOS.items()]


def saved(path: Path, content: object) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix in (".pkl", ".pickle"):
        path.write_bytes(pickle.dumps(content))
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


CSV = 'layer,0.25,0.75\nconv1,0.5,0.875\n"a,""b\n層",0.625,\n'
SCORE_FILES: dict[str, object] = {
    "eval_scores.json": {"schema": 1, "baseline": 0.9, "scores": JSON_TABLE},
    "EVAL_SCORES.JSON": {"scores": JSON_TABLE},
    "with_bom.json": b"\xef\xbb\xbf" + json.dumps({"scores": JSON_TABLE}).encode(),
    "eval_scores.csv": CSV,
    "from_excel.csv": b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").replace('b\r\n', 'b\n').encode(),
    "blank_lines.csv": CSV + "\n\n",
    "aimet.pkl": DECIMALS,
    "aimet.pickle": {
        layer: {ratio: score and np.float32(score) for ratio, score in row.items()} for layer, row in DECIMALS.items()
    },
}  # fmt: skip
RATIO_FILES: dict[str, object] = {
    "comp_ratios.json": RATIOS,
    "aimet.pkl": PAIRS,
    "tuples.pkl": tuple(PAIRS),
    "mapping.pkl": dict(PAIRS),
}


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCORE_FILES)
def test_scores_of_every_format_are_read(name: str, tmp_path: Path) -> None:
    assert recordings.scores(saved(tmp_path / name, SCORE_FILES[name])) == KNOWN


@pytest.mark.parametrize("name", SCORE_FILES)
def test_table_becomes_a_run_that_can_be_shown(name: str, tmp_path: Path) -> None:
    events = recordings.read(saved(tmp_path / name, SCORE_FILES[name]))
    assert [event.seq for event in events] == list(range(len(events)))
    run = RunState()
    for event in events:
        run.apply(event)
    assert run.started is not None
    assert run.started.run_name == run.run_id == (tmp_path / name).stem
    assert run.candidates == (0.25, 0.75)
    assert list(run.scores) == list(TABLE)
    assert (run.completed, run.total) == (3, 3)
    assert {layer: {ratio: cell.score for ratio, cell in row.items()} for layer, row in run.scores.items()} == KNOWN
    assert all(cell.reused for row in run.scores.values() for cell in row.values())


def test_baseline_of_a_table_is_read(tmp_path: Path) -> None:
    events = recordings.read(saved(tmp_path / "eval_scores.json", SCORE_FILES["eval_scores.json"]))
    assert [event.score for event in events if isinstance(event, BaselineScored)] == [0.9]
    assert not any(isinstance(event, BaselineScored) for event in recordings.read(saved(tmp_path / "x.csv", CSV)))


def test_path_may_be_a_string(tmp_path: Path) -> None:
    assert recordings.scores(str(saved(tmp_path / "x.csv", CSV))) == KNOWN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "scores.pkl").write_bytes(pickle.dumps(DECIMALS, protocol))
    (tmp_path / "ratios.pkl").write_bytes(pickle.dumps(PAIRS, protocol))
    assert recordings.scores(tmp_path / "scores.pkl") == KNOWN
    assert recordings.comp_ratios(tmp_path / "ratios.pkl") == RATIOS


def test_scores_that_are_not_finite_are_not_known(tmp_path: Path) -> None:
    pickled = {"conv1": {0.25: math.nan, 0.5: math.inf, 0.75: Decimal("-1e999"), 0.8: 0.5}}
    assert recordings.scores(saved(tmp_path / "x.pkl", pickled)) == {"conv1": {0.8: 0.5}}
    assert recordings.scores(saved(tmp_path / "x.csv", "layer,0.25,0.5\nconv1,nan,-inf\n")) == {}


def test_names_with_halves_of_characters_are_read_as_plugins_write_them(tmp_path: Path) -> None:
    content = 'layer,0.5\n"conv \udcff",0.5\n'
    (tmp_path / "x.csv").write_bytes(content.encode("utf-8", "surrogatepass"))
    assert recordings.scores(tmp_path / "x.csv") == {"conv \udcff": {0.5: 0.5}}


# -- choices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RATIO_FILES)
def test_ratios_of_every_format_are_read(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / name, RATIO_FILES[name])
    assert recordings.comp_ratios(path) == RATIOS
    events = recordings.read(path)
    assert [type(event) for event in events] == [RunStarted, RatiosSelected]
    assert recordings.read(path)[1].run_id == path.stem


def test_layer_may_be_called_scores(tmp_path: Path) -> None:
    assert recordings.comp_ratios(saved(tmp_path / "x.json", {"scores": 0.5, "conv1": None})) == {
        "scores": 0.5,
        "conv1": None,
    }


# -- logs and directories ----------------------------------------------------------------------------------------------


def logged(directory: Path) -> None:
    with contextlib.closing(EventLog(directory)) as log:
        for event in finished_run():
            log.append(event)


def test_log_and_its_directory_give_the_events_of_the_run(tmp_path: Path) -> None:
    logged(tmp_path)
    assert recordings.read(tmp_path) == recordings.read(tmp_path / "events.jsonl") == finished_run()


def test_log_of_a_directory_wins_over_its_tables(tmp_path: Path) -> None:
    logged(tmp_path)
    saved(tmp_path / "eval_scores.json", "no JSON")
    assert recordings.read(tmp_path) == finished_run()


def test_score_that_was_recorded_later_belongs_to_the_run_that_has_scores(tmp_path: Path) -> None:
    recorded = run_with_a_recorded_score()
    killed = [replace(event, run_id="killed") for event in finished_run()[:1]]
    with contextlib.closing(EventLog(tmp_path)) as log:
        for event in (*recorded[:-1], *killed, recorded[-1]):
            if event.logged:
                log.append(event)
    assert recordings.read(tmp_path) == [event for event in recorded if event.logged]
    assert len(list(recordings.read_all(tmp_path))) == len(recordings.read(tmp_path)) + 1


def test_scores_of_a_run_are_those_that_succeeded(tmp_path: Path) -> None:
    logged(tmp_path)
    known = recordings.scores(tmp_path)
    assert sum(len(row) for row in known.values()) == 8
    assert 0.5 not in known["layer1.0.conv1"]
    assert recordings.comp_ratios(tmp_path)["conv1"] == 0.5


def test_scores_are_found_where_the_line_that_began_the_table_is_damaged(tmp_path: Path) -> None:
    logged(tmp_path)
    lines = (tmp_path / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_text("".join(line for line in lines if "exploration_started" not in line))
    assert sum(len(row) for row in recordings.scores(tmp_path).values()) == 8


def test_directory_with_tables_alone_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "eval_scores.json", SCORE_FILES["eval_scores.json"])
    saved(tmp_path / "comp_ratios.json", RATIOS)
    events = recordings.read(tmp_path)
    assert {type(event) for event in events} == {
        RunStarted,
        BaselineScored,
        ExplorationStarted,
        EvalScored,
        RatiosSelected,
    }
    assert recordings.scores(tmp_path) == KNOWN
    assert recordings.comp_ratios(tmp_path) == RATIOS


def test_directory_with_a_choice_alone_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "comp_ratios.json", RATIOS)
    assert recordings.comp_ratios(tmp_path) == RATIOS


# -- what is refused ---------------------------------------------------------------------------------------------------


def nested(depth: int) -> list[object]:
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", "{", "is not JSON"),
        ("x.json", b"\xff\xff", "is not JSON"),
        ("x.json", "[" * 100_000, "is not JSON"),
        ("x.json", "1" * 5000, "is not JSON"),
        ("x.json", '{"conv1": NaN}', "is not JSON: it holds NaN, which is no JSON"),
        ("x.json", '{"conv1": 0.5, "conv1": 0.6}', "is not JSON: it has the key 'conv1' twice"),
        ("x.json", [nested(100)], "is not JSON: it is nested more than 100 deep"),
        ("x.json", "[" + "{}," * 1_000_000 + "1]", "is not JSON: it would take more than 60 MB of memory"),
        ("x.json", {"a": 10**299}, f"'{'1' + 59 * '0'}' at 'a' is no compression ratio"),
        ("x.json", "[1]", "holds neither scores nor ratios"),
        ("x.json", "{}", "holds neither scores nor ratios"),
        ("x.json", {"scores": {"a": 5}}, 'has no table: "scores" must be'),
        ("x.json", {"scores": {"a": {"0.5": [1]}}}, "a list at 'a' is no score"),
        ("x.json", {"scores": {"a": {"0.5": "high"}}}, "'high' at 'a' is no score"),
        ("x.json", {"scores": {"a": {"0.5": True}}}, "'True' at 'a' is no score"),
        ("x.json", {"scores": {"a": {"1.5": 1}}}, "'1.5' at 'a' is no compression ratio between 0 and 1"),
        ("x.json", {"scores": {"a": {"0": 1}}}, "'0' at 'a' is no compression ratio"),
        ("x.json", {"scores": {"a": {"nan": 1}}}, "'nan' at 'a' is no compression ratio"),
        ("x.json", {"scores": {"a": {"half": 1}}}, "'half' at 'a' is no compression ratio"),
        ("x.json", {"scores": {"a": {"0.5": 1, "0.50": 2}}}, "ratio 0.5 is there twice at 'a'"),
        ("x.json", {"scores": {}, "baseline": "good"}, "'good' at 'baseline' is no score"),
        ("x.json", {"scores": {f"l{at}": {at / 999: 1} for at in range(1, 400)}}, "holds more than 100,000 scores"),
        ("x.json", {"schema": 2, "scores": {}}, "is of schema '2', this version reads 1: update aimet-hooks"),
        ("x.json", {"conv1": True}, "'True' at 'conv1' is no compression ratio"),
        ("x.json", {"conv1": [0.5]}, "a list at 'conv1' is no compression ratio"),
        ("x.csv", "", "is no table of scores: its first line must be 'layer' and one column a ratio"),
        ("x.csv", "layer\nconv1\n", "is no table of scores"),
        ("x.csv", "name,0.5\nconv1,1\n", "is no table of scores"),
        ("x.csv", "layer,0.5\nconv1\n", "line 2 has 1 columns, the first line has 2"),
        ("x.csv", 'layer,0.5\n"a\nb",1\nconv1,1,2\n', "line 4 has 3 columns"),
        ("x.csv", "layer,0.5,0.50\n", "ratio 0.5 is there twice at 'the first line'"),
        ("x.csv", "layer,0.5\na,1\na,2\n", "line 3: layer 'a' is there twice"),
        ("x.csv", "layer,0.5\nconv1,high\n", "'high' at 'conv1' is no score"),
        ("x.csv", "layer,score\n", "'score' at 'the first line' is no compression ratio"),
        ("x.csv", 'layer,0.5\n"conv1,1\n', "is not CSV: unexpected end of data"),
        ("x.csv", "layer" + "," * 300_001, "is not CSV: it has more than 300,000 fields"),
        ("x.csv", "layer,0.5\n" + "".join(f"{at},1\n" for at in range(100_001)), "holds more than 100,000 scores"),
        ("x.csv", b"layer,0.5\n\xff,1\n", "is not CSV"),
        ("x.csv", "layer,0.5\n" + "n" * 200_000 + ",1\n", "is not CSV: field larger than field limit"),
        ("x.pkl", [], "holds neither scores nor ratios"),
        ("x.pkl", {}, "holds neither scores nor ratios"),
        ("x.pkl", 5, "holds neither scores nor ratios"),
        ("x.pkl", [("conv1", 0.5, 1)], "holds neither scores nor ratios"),
        ("x.pkl", [(1, 0.5)], "'1' is no name of a layer"),
        ("x.pkl", [([], 0.5)], "a list is no name of a layer"),
        ("x.pkl", {1: {Decimal("0.5"): 1.0}}, "'1' is no name of a layer"),
        ("x.pkl", {"conv1": {"a": 1.0}}, "'a' at 'conv1' is no compression ratio"),
        ("x.pkl", {"conv1": {Decimal("NaN"): 1.0}}, "'NaN' at 'conv1' is no compression ratio"),
        ("x.pkl", {"conv1": {1 << 100_000: 1.0}}, "a very large int at 'conv1' is no compression ratio"),
        ("x.pkl", {"conv1": {0.5: 1 << 100_000}}, "a very large int at 'conv1' is no score"),
        ("x.pkl", {1 << 100_000: 0.5}, "a very large int is no name of a layer"),
        ("x.pkl", {"conv1": {0.5: nested(100)}}, "a list at 'conv1' is no score"),
        ("x.pkl", b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"is refused: it holds 'os\.system'"),
        ("x.pkl", b"", "is refused"),
        ("x.txt", "", r"is no recording: give a results directory or a .jsonl, .json, .csv, .pkl, .pickle file"),
        ("x.jsonl", "", "holds no event"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_with_file_and_place(
    name: str, content: object, message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / name, content)
    with pytest.raises(RecordingError, match=message) as caught:
        recordings.read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


def test_deeply_nested_pickle_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pkl", b"}X\x01\x00\x00\x00a" + b"]" * 100_000 + b"a" * 99_999 + b"s.")
    with pytest.raises(RecordingError, match="a list at 'a' is no compression ratio"):
        recordings.read(path)


def test_small_pickle_that_repeats_one_long_row_is_refused(tmp_path: Path) -> None:
    row = {index / 2000: 0.5 for index in range(1, 1001)}
    path = saved(tmp_path / "x.pkl", {f"layer{index}": row for index in range(101)})
    with pytest.raises(RecordingError, match="holds more than 100,000 scores"):
        recordings.read(path)


def test_small_pickle_that_repeats_lists_in_lists_is_refused(tmp_path: Path) -> None:
    """Written out, its one score would be 2 ** 100 times a 1."""
    shared: object = 1
    for _ in range(100):
        shared = [shared, shared]
    with pytest.raises(RecordingError, match="a list at 'conv1' is no score"):
        recordings.read(saved(tmp_path / "x.pkl", {"conv1": {0.5: shared}}))


@pytest.mark.parametrize("suffix", [".json", ".csv", ".pkl"])
def test_what_is_no_regular_file_or_too_large_is_refused(suffix: str, tmp_path: Path) -> None:
    pipe, device, sparse = (tmp_path / f"{name}{suffix}" for name in ("pipe", "device", "sparse"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    sparse.touch()
    os.truncate(sparse, 1 << 30)
    for path, why in (
        (pipe, "it is no regular file"),
        (device, "it is no regular file"),
        (sparse, "it is larger than"),
    ):
        with pytest.raises(RecordingError, match=f"cannot read .*: {why}"):
            recordings.read(path)


@pytest.mark.parametrize("name", ["nowhere.json", "nowhere", "null\0byte.json"])
def test_path_without_a_file_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no file"):
        recordings.read(tmp_path / name)


def test_path_that_cannot_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read .*: File name too long"):
        recordings.read(tmp_path / ("n" * 300 + ".json"))


def test_directory_without_a_run_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        RecordingError, match=r"holds no run: there is no events.jsonl, eval_scores.json or comp_ratios.json"
    ):
        recordings.read(tmp_path)


@pytest.mark.parametrize(
    ("ask", "content", "message"),
    [
        (recordings.scores, RATIOS, "has no table of scores"),
        (recordings.comp_ratios, {"scores": JSON_TABLE}, "has no chosen ratios"),
    ],
)
def test_recording_of_something_else_is_said(
    ask: Callable[[Path], object], content: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordingError, match=message):
        ask(saved(tmp_path / "x.json", content))


def test_file_in_place_of_a_directory_of_another_name_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    saved(tmp_path / "run.json" / "comp_ratios.json", RATIOS)
    assert recordings.comp_ratios(tmp_path / "run.json") == RATIOS
