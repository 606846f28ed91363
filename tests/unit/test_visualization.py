"""What VisualizeCompression says about addresses and files, before any server is asked."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from aimet_hooks import AimetHooksError, RecordingError, UsageError, VisualizeCompression

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def nobody() -> str:
    """The address of a port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize("url", ["localhost:5006", "ftp://localhost/", "", "http://localhost:port/"])
def test_an_address_that_is_none_is_refused_with_the_way_to_write_it(url: str) -> None:
    with pytest.raises(UsageError, match=r"write it as 'http://localhost:5006/'"):
        VisualizeCompression(url)


@pytest.mark.parametrize("url", [None, 5006])
def test_something_that_is_no_text_is_refused(url: Any) -> None:
    with pytest.raises(UsageError, match=r"give the address of a Bokeh server, as 'http://localhost:5006/'"):
        VisualizeCompression(url)


def test_a_missing_server_is_one_sentence_with_the_command_that_starts_one(nobody: str) -> None:
    with VisualizeCompression(nobody) as view, pytest.raises(AimetHooksError) as caught:
        view.display_eval_scores(GOLDEN / "eval_scores.json")
    port = nobody.strip("/").rpartition(":")[2]
    assert str(caught.value).startswith(f"there is no live page at {nobody}: nothing listens at 127.0.0.1:{port}")
    assert str(caught.value).endswith(f"start one there: aimet-hooks serve --port {port}")


def test_a_missing_server_is_said_again_at_the_next_display(nobody: str) -> None:
    view = VisualizeCompression(nobody)
    for _ in range(2):
        with pytest.raises(AimetHooksError, match="nothing listens"):
            view.display_eval_scores(GOLDEN / "eval_scores.json")


@pytest.mark.parametrize("name", ["comp_ratios.json", "aimet-comp-ratios-protocol4.pkl"])
def test_a_file_without_scores_is_refused(nobody: str, name: str) -> None:
    with pytest.raises(RecordingError, match=rf"{name} has no table of scores"):
        VisualizeCompression(nobody).display_eval_scores(GOLDEN / name)


@pytest.mark.parametrize("name", ["eval_scores.csv", "events-v1-failed.jsonl", "aimet-eval-scores-protocol4.pkl"])
def test_a_file_without_a_choice_is_refused(nobody: str, name: str) -> None:
    with pytest.raises(RecordingError, match=rf"{name} has no chosen ratios"):
        VisualizeCompression(nobody).display_comp_ratio_plot(GOLDEN / name)


def test_a_file_that_is_missing_is_refused(nobody: str, tmp_path: Path) -> None:
    view = VisualizeCompression(nobody)
    for display in (view.display_eval_scores, view.display_comp_ratio_plot):
        with pytest.raises(RecordingError, match=r"there is no file '.*gone\.json'"):
            display(tmp_path / "gone.json")


def test_closing_is_possible_before_anything_was_shown_and_more_than_once(nobody: str) -> None:
    view = VisualizeCompression(nobody)
    view.close()
    view.close()
