"""Recorded runs on real servers, in a real browser."""

from __future__ import annotations

import logging
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aimet_hooks import AimetHooksError, VisualizeCompression, recordings, start_bokeh_server_session
from aimet_hooks.cli import main
from tests.integration.page_reading import data, header, visible_text, wait_for
from tests.integration.servers import HOST, PageServer, PlainServer, answers, wait_until
from tests.integration.small_runs import compress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    OpenTab = Callable[[str], Page]

LAYERS, CELLS = 3, 12
QUIET = "No update"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results directory of a small run."""
    path = tmp_path_factory.mktemp("recorded") / "run"
    compress(None, results_dir=path, run_name="the recorded run", plugins=["file"])
    return path


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A choice of somebody's own for the layers of the same network."""
    path = tmp_path_factory.mktemp("mine") / "mine.json"
    path.write_text('{"first": 0.2, "second": null, "third": 0.8}')
    return path


@pytest.fixture
def warnings_said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What the plugin warned of so far."""
    with caplog.at_level(logging.INFO, "bokeh_vis"):
        yield lambda: [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def port_of(url: str) -> int:
    return int(url.strip("/").rpartition(":")[2])


def assert_shows_table(tab: Page) -> None:
    wait_for(tab, f"scores() === {CELLS}")
    assert data(tab, "cells")["layer"] == ["first", "second", "third"]


def chosen_in(tab: Page) -> dict[str, float]:
    choices = data(tab, "choices")
    return dict(zip(choices["layer"], choices["ratio"], strict=True))


# ---- start_bokeh_server_session ----


def test_a_server_answers_when_it_is_handed_out_and_ends_on_demand() -> None:
    url, process = start_bokeh_server_session()
    assert url == f"http://{HOST}:{port_of(url)}/"
    assert answers(port_of(url))
    assert isinstance(process, subprocess.Popen)
    process.terminate()
    process.wait(10)
    assert not answers(port_of(url))


def test_two_servers_have_ports_of_their_own() -> None:
    started = [start_bokeh_server_session() for _ in range(2)]
    try:
        assert len({url for url, _ in started}) == 2
        assert all(answers(port_of(url)) for url, _ in started)
    finally:
        for _, process in started:
            process.terminate()
            process.wait(10)


@pytest.mark.parametrize(
    "end",
    [
        "",
        "raise SystemExit(3)",
        "raise RuntimeError",
        "import os; os.kill(os.getpid(), 15)",
        "import os; os.kill(os.getpid(), 9)",
    ],
)
def test_a_server_ends_with_the_process_that_started_it(end: str) -> None:
    code = f"from aimet_hooks import start_bokeh_server_session as start; print(start()[0], flush=True); {end}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    wait_until(lambda: not answers(port_of(done.stdout.strip())), "the end of the server")


def test_an_interrupt_from_the_terminal_is_not_for_the_server() -> None:
    code = (
        "import time; from aimet_hooks import start_bokeh_server_session as start\n"
        "url, _ = start()\n"
        "try: print(url, flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: print('interrupted', flush=True)\n"
        "input()"
    )
    line = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(line, **pipes) as process:  # type: ignore[call-overload]
        port = port_of(process.stdout.readline().strip())
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert answers(port)
        process.communicate("\n")
    assert not answers(port)


def test_a_server_that_cannot_start_is_an_error_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOKEH_SIGN_SESSIONS", "yes")
    monkeypatch.delenv("BOKEH_SECRET_KEY", raising=False)
    with pytest.raises(AimetHooksError, match=r"^the Bokeh server on port \d+ ended: .*BOKEH_SECRET_KEY.*bokeh serve$"):
        start_bokeh_server_session()


# ---- VisualizeCompression ----


def test_the_example_of_the_contract_fills_one_page_in_tabs_opened_before_and_after(
    open_tab: OpenTab, recorded: Path
) -> None:
    url, process = start_bokeh_server_session()
    try:
        before = open_tab(f"{url}?&bokeh-session-id=compression")
        view = VisualizeCompression(url)
        view.display_eval_scores(recorded / "eval_scores.json")
        view.display_comp_ratio_plot(recorded / "comp_ratios.json")
        after = open_tab(f"{url}?&bokeh-session-id=compression")
        for tab in (before, after):
            assert_shows_table(tab)
            wait_for(tab, f"data('choices').layer.length === {LAYERS} && data('curves').xs.length === {LAYERS}")
            assert "recorded" in header(tab)
            assert "Chosen ratios" in visible_text(tab)
        view.close()
    finally:
        process.terminate()
        process.wait(10)


def test_a_display_returns_when_the_server_has_the_page(
    plain_server: PlainServer, open_tab: OpenTab, recorded: Path
) -> None:
    with VisualizeCompression(plain_server.url) as view:
        view.display_eval_scores(recorded)
        tab = open_tab(plain_server.page)
        wait_for(tab, "true")
        assert data(tab, "cells")["layer"] == ["first", "second", "third"]
        assert "the recorded run" in header(tab)
        assert "done" in header(tab)


def test_a_whole_recording_is_shown_whole_whichever_display_comes_first(
    plain_server: PlainServer, open_tab: OpenTab, recorded: Path
) -> None:
    with VisualizeCompression(plain_server.url) as view:
        view.display_comp_ratio_plot(recorded / "events.jsonl")
        tab = open_tab(plain_server.page)
        assert_shows_table(tab)
        wait_for(tab, f"data('choices').layer.length === {LAYERS}")
        view.display_eval_scores(recorded)
        assert_shows_table(tab)
        assert "done" in header(tab)


@pytest.mark.parametrize("scores_first", [True, False])
def test_a_choice_of_ones_own_stands_beside_the_scores_in_any_order(
    plain_server: PlainServer, open_tab: OpenTab, recorded: Path, mine: Path, scores_first: bool
) -> None:
    with VisualizeCompression(plain_server.url) as view:
        displays = [lambda: view.display_eval_scores(recorded), lambda: view.display_comp_ratio_plot(mine)]
        for display in displays if scores_first else reversed(displays):
            display()
        tab = open_tab(plain_server.page)
        assert_shows_table(tab)
        wait_for(tab, f"data('choices').layer.length === {LAYERS}")
        assert chosen_in(tab) == {"first": 0.2, "second": 1.0, "third": 0.8}
        assert "recorded" in header(tab)  # it is not what the run itself chose


def test_pickles_of_aimet_are_shown_together(plain_server: PlainServer, open_tab: OpenTab) -> None:
    golden = Path(__file__).parents[1] / "golden"
    with VisualizeCompression(plain_server.url) as view:
        view.display_eval_scores(golden / "aimet-eval-scores-protocol4.pkl")
        view.display_comp_ratio_plot(golden / "aimet-comp-ratios-protocol4.pkl")
        tab = open_tab(plain_server.page)
        wait_for(tab, "scores() > 0 && data('choices').layer.length > 0")
        scores = recordings.scores(golden / "aimet-eval-scores-protocol4.pkl")
        ratios = recordings.comp_ratios(golden / "aimet-comp-ratios-protocol4.pkl")
        assert data(tab, "cells")["layer"] == list(scores)
        assert chosen_in(tab) == {layer: 1.0 if ratio is None else ratio for layer, ratio in ratios.items()}


def test_another_table_takes_the_place_of_the_first_with_its_own_choice(
    plain_server: PlainServer, open_tab: OpenTab, recorded: Path, tmp_path: Path
) -> None:
    compress(None, names=("a", "b"), results_dir=tmp_path / "other", run_name="the other run", plugins=["file"])
    with VisualizeCompression(plain_server.url) as view:
        view.display_eval_scores(recorded)
        view.display_comp_ratio_plot(recorded)
        tab = open_tab(plain_server.page)
        assert_shows_table(tab)
        view.display_eval_scores(tmp_path / "other")
        wait_for(tab, "model('header').text.includes('the other run') && data('choices').layer.join() === 'a,b'")
        assert data(tab, "cells")["layer"] == ["a", "b"]


def test_a_second_view_takes_the_page_and_the_first_gets_it_back_by_displaying_again(
    plain_server: PlainServer, open_tab: OpenTab, recorded: Path, mine: Path, warnings_said: Callable[[], list[str]]
) -> None:
    with VisualizeCompression(plain_server.url) as first, VisualizeCompression(plain_server.url) as second:
        first.display_eval_scores(recorded)
        tab = open_tab(plain_server.page)
        assert_shows_table(tab)
        second.display_comp_ratio_plot(mine)
        wait_for(tab, "model('header').text.includes('mine')")
        wait_until(warnings_said, "a word about the loss")
        first.display_eval_scores(recorded)
        wait_for(tab, "model('header').text.includes('the recorded run')")
        assert "was exploring" not in header(tab)
    assert [text for text in warnings_said() if "was taken over by 'mine'; the recording is not shown" in text]


def test_a_page_of_a_name_of_its_own(plain_server: PlainServer, open_tab: OpenTab, recorded: Path) -> None:
    with VisualizeCompression(f"{plain_server.url}?bokeh-session-id=of%20mine") as view:
        view.display_eval_scores(recorded)
        tab = open_tab(f"{plain_server.url}?&bokeh-session-id=of%20mine")
        assert_shows_table(tab)


def test_tabs_are_not_told_that_something_is_wrong_with_a_page_that_is_let_go(
    open_tab: OpenTab, recorded: Path
) -> None:
    with PageServer() as server:
        tab = open_tab("about:blank")
        tab.clock.install()
        tab.goto(server.page)
        with VisualizeCompression(server.url) as view:
            view.display_eval_scores(recorded)
            assert_shows_table(tab)
        tab.clock.fast_forward(60_000)
        assert QUIET not in visible_text(tab)
        assert_shows_table(open_tab(server.page))  # this server keeps the page


def test_whoever_opened_a_tab_first_is_told_how_long_tabs_can_be_opened(
    plain_server: PlainServer, open_tab: OpenTab, recorded: Path, warnings_said: Callable[[], list[str]]
) -> None:
    open_tab(plain_server.page).wait_for_function("window.Bokeh && Bokeh.documents[0]")
    with VisualizeCompression(plain_server.url) as view:
        view.display_eval_scores(recorded)
        view.display_comp_ratio_plot(recorded)
        wait_until(warnings_said, "the warning")
    (text,) = warnings_said()
    assert "will stay blank, because a tab was there before" in text


def test_a_server_that_dies_is_an_error_and_the_page_is_whole_again_with_the_next_display(
    open_tab: OpenTab, recorded: Path, mine: Path
) -> None:
    with PlainServer() as server, VisualizeCompression(server.url) as view:
        view.display_eval_scores(recorded)
        server.kill()
        with pytest.raises(AimetHooksError, match=r"^(there is no live page|the live page was lost) at http"):
            view.display_comp_ratio_plot(mine)
        server.start()
        view.display_comp_ratio_plot(mine)
        tab = open_tab(server.page)
        assert_shows_table(tab)
        assert chosen_in(tab)["first"] == 0.2


def test_a_server_that_is_stopped_is_an_error_within_ten_seconds(recorded: Path) -> None:
    with PlainServer() as server, VisualizeCompression(server.url) as view:
        view.display_eval_scores(recorded)
        server.signal(signal.SIGSTOP)
        begin = time.monotonic()
        with pytest.raises(AimetHooksError, match=r"does not (answer|confirm)"):
            view.display_comp_ratio_plot(recorded)
        assert time.monotonic() - begin < 12


def test_a_port_that_accepts_and_stays_silent_is_an_error(recorded: Path) -> None:
    with socket.create_server((HOST, 0)) as silent:
        view = VisualizeCompression(f"http://{HOST}:{silent.getsockname()[1]}/")
        with pytest.raises(AimetHooksError, match="does not answer within 2 s"):
            view.display_eval_scores(recorded)


# ---- aimet-hooks show ----


def test_show_writes_a_page_that_opens_without_a_server(
    open_tab: OpenTab, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(recorded), "--html", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out == f"The page is in {tmp_path / 'page.html'}.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    tab = open_tab((tmp_path / "page.html").as_uri())
    assert_shows_table(tab)
    assert "the recorded run" in header(tab)


def test_show_says_where_it_cannot_write(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "missing" / "page.html"
    assert main(["show", str(recorded), "--html", str(path)]) == 1
    error = capsys.readouterr().err
    assert error == f"aimet-hooks: error: --html {str(path)!r} cannot be written (No such file or directory)\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--console", "--html", "x.html"],
        ["--console", "--visualization-url", "http://localhost:1/"],
        ["--html", "x.html", "--visualization-url", "http://localhost:1/"],
    ],
)
def test_show_takes_one_place_to_show_at(
    recorded: Path,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", str(recorded), *options]) == 2
    assert "exclude one another; give one of them" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_show_prints_by_default(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(recorded)]) == 0
    by_default = capsys.readouterr().out
    assert main(["show", str(recorded), "--console"]) == 0
    assert capsys.readouterr().out == by_default
    assert "Chosen ratios" in by_default


def test_show_on_a_server_says_the_address_and_returns_where_nobody_sits_at_a_terminal(
    plain_server: PlainServer, open_tab: OpenTab, recorded: Path
) -> None:
    line = [sys.executable, "-m", "aimet_hooks", "show", str(recorded), "--visualization-url", plain_server.url]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"The page is at {plain_server.page}\n"
    assert "as long as a tab is open" in done.stderr
    assert_shows_table(open_tab(plain_server.page))  # within the 15 s for which the server keeps it


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_show_on_a_server_stays_on_a_terminal_until_it_is_ended(
    plain_server: PlainServer, open_tab: OpenTab, recorded: Path, number: signal.Signals, code: int
) -> None:
    terminal, behind = pty.openpty()
    line = [sys.executable, "-m", "aimet_hooks", "show", str(recorded), "--visualization-url", plain_server.url]
    try:
        with subprocess.Popen(line, stdin=behind, stderr=behind, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == f"The page is at {plain_server.page}\n"
            assert b"It stays until Ctrl-C." in os.read(terminal, 1000)
            assert_shows_table(open_tab(plain_server.page))
            process.send_signal(number)
            assert process.wait(20) == code
    finally:
        os.close(terminal)
        os.close(behind)


def test_show_without_a_server_is_one_line_and_a_failure(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    assert main(["show", str(recorded), "--visualization-url", f"http://{HOST}:{port}/"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"start one there: aimet-hooks serve --port {port}")


def test_show_with_an_address_that_is_none_is_wrong_usage(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(recorded), "--visualization-url", "localhost:5006"]) == 2
    assert "write it as 'http://localhost:5006/'" in capsys.readouterr().err
