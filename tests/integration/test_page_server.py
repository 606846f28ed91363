"""``aimet-hooks serve``: the page before any run, and the pages of all runs below a directory."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from aimet_hooks import analyze_sensitivity, event_log
from aimet_hooks.events import LayerSkipped, RunFinished, RunStarted
from tests import page_runs
from tests.integration.page_reading import data, header, tick_layer, visible_text, wait_for
from tests.integration.servers import HOST, PageServer, PlainServer, ServerProcess, free_port, wait_until
from tests.integration.small_runs import Gate, RunningRun, compress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from aimet_hooks.events import Event

IMG = "<img src=x onerror=alert(1)>"
TOKEN_SECONDS = 2
DEMO_CELLS = 72

SERVE_WITH_SHORT_TOKENS = f"""
import sys
import bokeh.server.tornado, bokeh.server.server
for module in (bokeh.server.tornado, bokeh.server.server):
    if hasattr(module, "DEFAULT_SESSION_TOKEN_EXPIRATION"):
        module.DEFAULT_SESSION_TOKEN_EXPIRATION = {TOKEN_SECONDS}
from aimet_hooks.cli import main
sys.exit(main(["serve", "--port", sys.argv[1]]))
"""


# ---- the live page ----


def run_demo(url: str) -> None:
    line = [sys.executable, "-m", "aimet_hooks", "demo", "--visualization-url", url, "--console", "off"]
    subprocess.run(line, check=True, capture_output=True, timeout=120)


def assert_whole_demo(tab: Page) -> None:
    wait_for(tab, f"model('header').text.includes('>done<') && scores() === {DEMO_CELLS}")
    wait_for(tab, "data('curves').xs.length === 5 && data('choices').ratio.length === 8")


def test_four_tabs_opened_before_the_run_and_one_opened_late_show_everything(
    open_tab: Callable[[str], Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    port = free_port()
    with ServerProcess([sys.executable, "-c", SERVE_WITH_SHORT_TOKENS, str(port)], port) as server:
        tabs = [open_tab(address) for address in (server.url, server.page, server.url, server.page)]
        opened = time.monotonic()
        for tab in tabs:
            wait_for(tab, "model('header').text.includes('Waiting for a run')")
        run_demo(server.url)
        for tab in tabs:
            assert_whole_demo(tab)
        wait_until(lambda: time.monotonic() > opened + 2 * TOKEN_SECONDS, "the time of a short token")
        assert_whole_demo(open_tab(server.page))
        assert_whole_demo(open_tab(server.url))


def test_on_a_plain_server_a_late_tab_stays_blank_as_the_run_warned(
    open_tab: Callable[[str], Page], caplog: pytest.LogCaptureFixture
) -> None:
    """What ``aimet-hooks serve`` is for: if this fails, Bokeh has changed and the warning can go."""
    with PlainServer(f"--session-token-expiration={TOKEN_SECONDS}") as server:
        first = open_tab(server.page)
        opened = time.monotonic()
        compress(server.url)
        wait_for(first, "scores() === 12")
        wait_until(lambda: time.monotonic() > opened + 2 * TOKEN_SECONDS, "the time of the token")
        late = open_tab(server.page)
        wait_until(lambda: "Token is expired" in server.output, "the server's word")
        assert late.evaluate("Bokeh.documents.length") == 0
        assert "will stay blank" in caplog.text


def test_a_second_run_takes_the_place_of_the_first_in_tabs_that_were_opened_before_both(
    open_tab: Callable[[str], Page],
) -> None:
    with PageServer() as server:
        tabs = [open_tab(server.page) for _ in range(2)]
        for tab in tabs:
            wait_for(tab, "model('header').text.includes('Waiting for a run')")
            tab.evaluate("window.was_not_reloaded = true")
        compress(server.url, run_name="first run")
        compress(server.url, names=("a", "b"), run_name="second run")
        for tab in tabs:
            wait_for(tab, "model('header').text.includes('second run') && scores() === 8")
            assert data(tab, "cells")["layer"] == ["a", "b"]
            assert tab.evaluate("window.was_not_reloaded")


# ---- the pages of all runs ----


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory of runs, empty yet."""
    return tmp_path / "runs"


@pytest.fixture
def server(root: Path) -> Iterator[PageServer]:
    """A server that shows them."""
    with PageServer(str(root)) as process:
        yield process


def of_its_own(directory: Path, **arguments: object) -> dict[str, object]:
    """Arguments of a run that knows nothing of any server."""
    return {"results_dir": directory, "plugins": ["file"], **arguments}


def open_run(open_tab: Callable[[str], Page], listed: Page, name: str) -> Page:
    """The page of a run, by the link in the list."""
    link = listed.get_by_role("link", name=name, exact=True)
    link.wait_for()
    return open_tab(f"{listed.url.rpartition('/')[0]}/{link.get_attribute('href')}")


def test_runs_are_listed_and_followed_from_an_empty_directory_to_the_end(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    listed = open_tab(f"{server.url}runs")
    listed.get_by_text("No run has been found yet").wait_for()
    run = RunningRun(None, **of_its_own(root / "deep" / "one", run_name="run one"))
    try:
        run.gate.let(6)
        page = open_run(open_tab, listed, "run one")
        wait_for(page, "scores() === 4 && data('curves').name.length === 1")
        other = open_run(open_tab, listed, "run one")
        wait_for(other, "scores() === 4")
        for layer in ("first", "third"):
            tick_layer(page, layer)
        run.gate.let(10)
        for tab in (page, other):
            wait_for(tab, "scores() === 8")
        assert data(page, "curves")["name"] == ["first", "third"]
        assert len(data(other, "curves")["name"]) == 1  # what is ticked is each viewer's own business
        assert "exploring" in header(page)
    finally:
        run.finish()
    for tab in (page, other):
        wait_for(
            tab, "scores() === 12 && model('header').text.includes('>done<') && data('choices').layer.length === 3"
        )
    listed.get_by_text("12 / 12").wait_for()
    listed.get_by_text("done", exact=True).wait_for()


def test_a_run_that_failed_and_one_that_goes_on_are_told_apart(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    def fail(model: object) -> float:
        raise RuntimeError("no data here")

    with pytest.raises(Exception, match="no data here"):
        compress(None, fail, **of_its_own(root / "failed", run_name="failing"))
    run = RunningRun(None, **of_its_own(root / "running", run_name="going on"))
    try:
        run.gate.let(5)
        listed = open_tab(f"{server.url}runs")
        failed = open_run(open_tab, listed, "failing")
        failed.get_by_text("no data here").first.wait_for()
        for state in ("exploring", "failed"):
            listed.locator(".state", has_text=state).wait_for()
    finally:
        run.finish()


def test_an_analysis_is_listed_with_its_bit_widths(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    analyze_sensitivity(
        model, None, example_inputs=torch.ones(1, 4), bitwidths=[2, 4, 8], results_dir=root / "a", plugins=[]
    )
    listed = open_tab(f"{server.url}runs")
    listed.get_by_text("quantization of weights · at 2, 4 and 8 bits").wait_for()
    page = open_run(open_tab, listed, "Sequential")
    page.get_by_text("with its weights quantized to 2, 4 and 8 bits").wait_for()


def test_two_runs_are_ticked_and_compared(server: PageServer, root: Path, open_tab: Callable[[str], Page]) -> None:
    compress(None, **of_its_own(root / "a", run_name="first"))
    compress(None, candidates=9, compress_scheme="weight_svd", **of_its_own(root / "b", run_name="second"))
    listed = open_tab(f"{server.url}runs")
    for name in ("first", "second"):
        row = listed.locator(".slick-row", has=listed.get_by_role("link", name=name, exact=True))
        row.locator(".slick-cell.l0").click()
    listed.wait_for_function("Bokeh.documents[0].get_model_by_name('pareto_points').data.x.length === 2")
    listed.get_by_text("Size against score").wait_for()
    listed.get_by_role("link", name="Compare the two ticked runs").click()
    listed.wait_for_url(re.compile(r"/compare\?a="))
    wait_for_differences(listed)
    text = visible_text(listed)
    for shown in ("spatial_svd", "weight_svd", "MACs in A", "MACs in B", "ratio chosen in A"):
        assert shown in text
    differences = data(listed, "differences")
    assert differences["layer"] == ["first", "second", "third"]
    assert all(differences["cost_a"])
    assert all(differences["cost_b"])


def wait_for_differences(tab: Page) -> None:
    tab.wait_for_function("window.Bokeh?.documents[0]?.get_model_by_name('differences')?.data.layer.length > 0")


def test_two_analyses_are_compared_by_bit_width(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    for name, bitwidths, low in (("a", [2, 4], 0.4), ("b", [4, 8], 0.65)):
        model = nn.Sequential(nn.Linear(4, 3))

        def score(native: nn.Sequential, whole: torch.Tensor = model[0].weight, low: float = low) -> float:
            return 0.9 if native[0].weight is whole else low

        analyze_sensitivity(
            model,
            score,
            input_shape=(1, 4),
            bitwidths=bitwidths,
            results_dir=root / name,
            run_name=name,
            plugins=[],
        )
    listed = open_tab(f"{server.url}runs")
    for name in ("a", "b"):
        listed.get_by_role("link", name=name, exact=True).wait_for()
    tab = open_tab(f"{server.url}compare?a=a&b=b")
    tab.get_by_text("2 bit widths left out that only one of them has").wait_for()
    assert [cell.split("|")[2:] for cell in data(tab, "differences")["cell_0"]] == [["+25.00", "0 at 4 bits"]]
    text = visible_text(tab)
    assert "4 bits" in text
    assert "ratio chosen" not in text


def test_a_comparison_follows_a_run_that_goes_on(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    compress(None, **of_its_own(root / "a", run_name="finished"))
    run = RunningRun(None, **of_its_own(root / "b", run_name="going on"))
    try:
        run.gate.let(6)
        listed = open_tab(f"{server.url}runs")
        listed.get_by_role("link", name="going on", exact=True).wait_for()
        compared = open_tab(f"{server.url}compare?a=a&b=b")
        wait_for_differences(compared)
        assert set(data(compared, "differences")["ratio_b"]) == {""}
    finally:
        run.finish()
    compared.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('differences')?.data.ratio_b.every((ratio) => ratio !== '')"
    )


@pytest.mark.parametrize("page", ["run?run=..%2F..%2Fetc", "run", "compare?a=x&b=../y", "compare"])
def test_an_address_that_names_no_run_is_told_so(
    server: PageServer, open_tab: Callable[[str], Page], page: str
) -> None:
    tab = open_tab(f"{server.url}{page}")
    tab.get_by_text(re.compile("There is no such run|Nothing to compare")).wait_for()


def test_markup_in_names_is_text_in_the_list_and_in_a_comparison(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    for name in ("a", "<b>b"):
        compress(None, names=(IMG, "plain"), **of_its_own(root / name, run_name=f"{IMG}{name}"))
    listed = open_tab(f"{server.url}runs")
    listed.get_by_text(f"{IMG}a", exact=True).first.wait_for()
    listed.get_by_text(f"{IMG}<b>b", exact=True).first.wait_for()
    compared = open_tab(f"{server.url}compare?a=a&b=%3Cb%3Eb")
    wait_for_differences(compared)
    compared.get_by_text(IMG, exact=True).first.wait_for()
    for tab in (listed, compared):
        assert tab.locator("img[src=x]").count() == 0


def test_a_run_that_is_removed_leaves_the_list_and_one_in_its_place_is_shown(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    compress(None, **of_its_own(root / "same", run_name="old"))
    listed = open_tab(f"{server.url}runs")
    page = open_run(open_tab, listed, "old")
    wait_for(page, "scores() === 12")
    shutil.rmtree(root / "same")
    listed.get_by_text("No run has been found yet").wait_for()
    compress(None, names=("x", "y"), **of_its_own(root / "same", run_name="new"))
    wait_for(page, "model('header').text.includes('new') && scores() === 8")
    listed.get_by_role("link", name="new", exact=True).wait_for()


def test_the_command_says_where_the_pages_are_and_ends_on_ctrl_c(root: Path) -> None:
    port = free_port()
    line = [sys.executable, "-m", "aimet_hooks", "serve", str(root), "--port", str(port)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert lines[0] == f"All runs below {root}: http://{HOST}:{port}/runs\n"
    assert lines[1] == f"Live page: http://{HOST}:{port}/?&bokeh-session-id=compression\n"
    assert lines[4] == "Ctrl-C ends the server.\n"
    assert rest == ""
    note, end = errors.splitlines()
    assert note == f"note: {root} does not exist yet; runs are shown as soon as there are any"
    assert end == "The server has ended."


def test_a_port_that_is_taken_is_one_line() -> None:
    with PageServer() as server:
        line = [sys.executable, "-m", "aimet_hooks", "serve", "--port", str(server.port)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    (error,) = done.stderr.splitlines()
    assert f"cannot listen at {HOST}:{server.port}" in error
    assert "choose another --port" in error


def test_every_text_of_a_log_is_text_on_every_page(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    """Logs come from anywhere: each text of one is markup here, and TeX, which Bokeh would draw and run as well."""
    for number, evil in enumerate((IMG, "$$\\href{javascript:alert(1)}{x}$$", "\udcff broken")):
        directory = root / f"run{number}"
        directory.mkdir(parents=True)
        events = [_with_texts(event, evil) for event in page_runs.whole_run(["a", "b", "c"], 3)]
        (directory / "events.jsonl").write_bytes(
            b"".join(event_log.to_line(event).encode() + b"\n" for event in events)
        )
    listed = open_tab(f"{server.url}runs")
    listed.locator(".slick-row").nth(2).wait_for()
    tabs = [listed, *(open_tab(f"{server.url}run?run=run{number}") for number in range(3))]
    tabs.append(open_tab(f"{server.url}compare?a=run0&b=run1"))
    wait_for_differences(tabs[-1])
    for tab in tabs[1:-1]:
        wait_for(tab, "scores() === 9")
    for tab in tabs:
        assert tab.locator("img[src=x]").count() == 0
        assert tab.locator("a[href^=javascript]").count() == 0
        assert tab.locator("mjx-container").count() == 0


def _with_texts(event: Event, text: str) -> Event:
    """The event with every text of the user's side replaced."""
    texts = {
        RunStarted: ("run_name", "model_name", "scheme", "cost_metric"),
        LayerSkipped: ("reason",),
        RunFinished: (),
    }
    changed = dict.fromkeys(texts.get(type(event), ()), text)
    if isinstance(event, RunFinished):
        return dataclasses.replace(event, notes=(text,), metrics={text: 1.0})
    return dataclasses.replace(event, **changed) if changed else event


def test_a_run_in_a_directory_whose_name_is_no_text_is_listed_and_shown(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    directory = root / os.fsdecode(b"not \xff utf-8 & <b>")
    compress(None, **of_its_own(directory, run_name="strange place"))
    listed = open_tab(f"{server.url}runs")
    page = open_run(open_tab, listed, "strange place")
    wait_for(page, "scores() === 12")


def test_more_ratios_than_columns_that_become_known_while_the_page_is_open(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    run = RunningRun(None, **of_its_own(root / "many", run_name="many ratios", candidates=31))
    try:
        listed = open_tab(f"{server.url}runs")
        page = open_run(open_tab, listed, "many ratios")
        wait_for(page, "model('header').text.includes('many ratios')")
        run.gate.let(6)
        wait_for(page, "scores() >= 4")
        page.locator(".cell", has_text=re.compile(r"^0\.\d+$")).nth(3).wait_for()
    finally:
        run.finish()


def test_ticks_stay_with_runs_and_layers_when_rows_move(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    compress(None, **of_its_own(root / "a", run_name="first"))
    compress(None, **of_its_own(root / "b", run_name="second"))
    listed = open_tab(f"{server.url}runs")
    row = listed.locator(".slick-row", has=listed.get_by_role("link", name="first", exact=True))
    row.locator(".slick-cell.l0").click()
    listed.get_by_text("Tick another run").wait_for()
    compress(None, **of_its_own(root / "c", run_name="third"))  # which comes first in the list
    listed.get_by_role("link", name="third", exact=True).wait_for()
    listed.wait_for_function(
        "(() => { const s = Bokeh.documents[0].get_model_by_name('runs');"
        " return s.selected.indices.map((row) => s.data.name[row]).join() === 'first' })()"
    )


def test_score_columns_are_sorted_by_score_while_the_run_goes_on(
    server: PageServer, root: Path, open_tab: Callable[[str], Page]
) -> None:
    scores = iter([0.9, 0.9, 0.85, 0.8999, 0.2, 0.7, 0.89, 0.5, 0.6, 0.4, *[0.3] * 40])
    gate = Gate()

    def evaluate(model: object) -> float:
        gate(model)
        return next(scores)

    names = tuple("abcdefgh")
    running = threading.Thread(
        target=lambda: compress(None, evaluate, names=names, **of_its_own(root / "a", run_name="lettered"))
    )
    running.start()
    try:
        gate.let(10)  # the baseline twice, and the middle ratio of each layer
        listed = open_tab(f"{server.url}runs")
        page = open_run(open_tab, listed, "lettered")
        wait_for(page, "scores() === 8")
        page.locator(".slick-header-column", has_text=re.compile(r"^0\.6$")).click()
        gate.let(11)
        wait_for(page, "scores() === 9")
        page.wait_for_function(
            """() => {
              const model = (name) => Bokeh.documents[0].get_model_by_name(name)
              const order = Bokeh.index.find_one(model('score_table')).data.index
              const column = model('score_table').columns.find((column) => column.title === '0.6').field
              const shown = [...order].map((row) => Number.parseFloat(model('cells').data[column][row].split('|')[2]))
              const known = shown.filter((score) => !Number.isNaN(score))
              return known.length >= 8 && known.every((score, at) => at === 0 || known[at - 1] <= score)
            }"""
        )
    finally:
        gate.let(10**9)
        running.join()
