"""The live page in real tabs, on plain servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.page_reading import data, header, row_of, tick_layer, visible_text, wait_for
from tests.integration.small_runs import RunningRun, compress

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.integration.servers import PlainServer

OpenTab = "Callable[[str], Page]"
IMG = "<img src=x onerror=alert(1)>"
DEMO_CELLS = 72


COLUMNS_FIT = """(table) => {
  const meant = new Map(table.columns.map((column) => [column.field, column.width]))
  const columns = Bokeh.index.find_one(table).grid.getColumns().filter((column) => meant.has(column.field))
  const shares = columns.map((column) => column.width / meant.get(column.field))
  return Math.max(...shares) < 1.25 * Math.min(...shares)
}"""
"""Whether the columns of a table are in proportion: they drift with every layout that Bokeh makes by itself."""


def run_demo(url: str) -> subprocess.Popen[str]:
    """The demo of the package, as a user starts it, kept alive at its end like a notebook."""
    program = (
        "from aimet_hooks import *; from aimet_hooks import demo\n"
        "compress_model(demo.model_path(), demo.accuracy(), input_shape=demo.INPUT_SHAPE, layers_to_ignore=[demo.HEAD],"
        f"    visualization_url={url!r}, run_name='digits demo', console='off')\n"
        "print('done', flush=True)\n"
        "input()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_complete(tab: Page) -> None:
    """The whole table, curves and ratios of the demo."""
    wait_for(tab, f"model('header').text.includes('>done<') && scores() === {DEMO_CELLS}")
    wait_for(tab, "data('curves').xs.length === 5 && data('choices').ratio.length === 8")
    text = visible_text(tab)
    for shown in ("digits demo", "block1.conv1", "0.9972", "block3.depthwise", "ignored", "Score by ratio"):
        assert shown in text
    chosen = [cell for name, column in data(tab, "cells").items() if name.startswith("cell_") for cell in column]
    ratios = [ratio for ratio in data(tab, "choices")["ratio"] if ratio < 1]
    assert len([cell for cell in chosen if "chosen" in cell]) == len(ratios) == 7
    assert all(len(xs) == 9 for xs in data(tab, "curves")["xs"])


def test_tabs_opened_before_in_the_middle_and_after_show_everything(
    plain_server: PlainServer, open_tab: Callable[[str], Page]
) -> None:
    before = open_tab(plain_server.page)
    with run_demo(plain_server.url) as demo:
        wait_for(before, "scores() > 0")
        middle = open_tab(plain_server.page)
        assert demo.stdout
        assert demo.stdout.readline() == "done\n"
        after = open_tab(plain_server.page)
        for tab in (before, middle, after):
            assert_complete(tab)
        _, errors = demo.communicate("\n")
        assert "stay blank" in errors  # the tab was there first: its session's token is short, which is said
        assert "Traceback" not in errors


def test_a_second_run_takes_the_place_of_the_first_in_open_tabs(
    plain_server: PlainServer, open_tab: Callable[[str], Page]
) -> None:
    compress(plain_server.url, run_name="first run")
    tab, other = open_tab(plain_server.page), open_tab(plain_server.page)
    for page in (tab, other):
        wait_for(page, "model('header').text.includes('first run') && scores() === 12")
        page.evaluate("window.was_not_reloaded = true")
    compress(plain_server.url, names=("a", "b"), candidates=9, run_name="second run")
    for page in (tab, other):
        wait_for(page, "model('header').text.includes('second run') && model('header').text.includes('>done<')")
        wait_for(page, "scores() === 16 && data('choices').ratio.length === 2")
        assert data(page, "cells")["layer"] == ["a", "b"]
        assert page.evaluate("window.was_not_reloaded")
        wait_for(page, f"['score_table', 'choice_table'].every((name) => ({COLUMNS_FIT})(model(name)))")
        assert page.locator(".slick-header-column:visible", has_text="0.8889").count() == 1


def test_ticked_layers_have_curves_in_one_tab_only(plain_server: PlainServer, open_tab: Callable[[str], Page]) -> None:
    run = RunningRun(plain_server.url)
    try:
        run.gate.let(6)
        tab = open_tab(plain_server.page)
        wait_for(tab, "scores() === 4 && data('curves').name.length === 1")
        other = open_tab(plain_server.page)
        wait_for(other, "scores() === 4 && data('curves').name.length === 1")
        tick_layer(tab, "first")
        tick_layer(tab, "third")
        wait_for(tab, "data('curves').name.join() === 'first,third'")
        run.gate.let(10)
        wait_for(tab, "scores() === 8 && data('curves').xs[0].length >= 2")
        assert data(tab, "curves")["name"] == ["first", "third"]
        wait_for(other, "scores() === 8 && data('curves').name.length === 1")
    finally:
        run.finish()
    wait_for(tab, "data('curve_marks').x.length >= 1 && data('curves').name.length === 2")
    wait_for(other, "data('curves').name.length === 3")


def test_a_table_is_sorted_by_a_click_on_its_heading(
    plain_server: PlainServer, open_tab: Callable[[str], Page]
) -> None:
    compress(plain_server.url, names=("b", "c", "a"))
    tab = open_tab(plain_server.page)
    wait_for(tab, "scores() === 12")
    first_row = tab.locator(".slick-row").first.locator(".slick-cell.l2")
    tab.locator(".slick-header-column", has_text="layer").first.click()
    first_row.filter(has_text="a").wait_for()
    tab.locator(".slick-header-column", has_text="layer").first.click()
    first_row.filter(has_text="c").wait_for()


def test_more_ratios_than_the_page_has_columns_for(plain_server: PlainServer, open_tab: Callable[[str], Page]) -> None:
    compress(plain_server.url)
    tab = open_tab(plain_server.page)
    wait_for(tab, "scores() === 12")
    compress(plain_server.url, candidates=31)
    wait_for(tab, "scores() > 40 && model('score_table').columns.filter((column) => column.visible).length > 25")


def test_a_layer_name_with_markup_is_text_everywhere(
    plain_server: PlainServer, open_tab: Callable[[str], Page], tmp_path: Path
) -> None:
    names = (IMG, "\"'><script>alert(2)</script>", "<%= alert(3) %>")
    directory = tmp_path / "run"
    compress(plain_server.url, names=names, run_name=IMG, results_dir=directory, layers_to_ignore=[names[1]])
    for address in (plain_server.page, (directory / "report.html").as_uri()):
        tab = open_tab(address)
        dialogs: list[str] = []
        tab.on("dialog", lambda dialog, found=dialogs: (found.append(dialog.message), dialog.dismiss()))
        wait_for(tab, "scores() === 8 && data('choices').ratio.length === 2")
        tick_layer(tab, IMG)
        wait_for(tab, f"data('curves').name.join() === {f'{IMG[:11]}…{IMG[-12:]}'!r}")
        name = row_of(tab, IMG).locator(".slick-cell.l2 .name")
        name.hover()
        assert name.get_attribute("title") == IMG
        assert visible_text(tab).count(IMG) >= 3
        assert tab.evaluate("document.querySelectorAll('img[src=x]').length") == 0
        assert tab.locator("img[src=x]").count() == 0
        assert dialogs == []
        assert names[1] in visible_text(tab)


def test_the_page_is_complete_again_after_the_server_was_killed_and_restarted(
    plain_server: PlainServer, open_tab: Callable[[str], Page]
) -> None:
    run = RunningRun(plain_server.url)
    try:
        tab = open_tab(plain_server.page)
        run.gate.let(7)
        wait_for(tab, "scores() === 5")
        tick_layer(tab, "second")
        plain_server.kill()
        tab.get_by_text("The server is gone").wait_for()
        run.gate.let(10)
        plain_server.start()
        wait_for(tab, "scores() === 8", seconds=35)
        wait_for(tab, "data('curves').name.join() === 'second'")  # ticked before
    finally:
        run.finish()
    wait_for(tab, "scores() === 12 && model('header').text.includes('>done<')")


HANGS = """
import sys
sys.path.insert(0, ".")
from tests.integration.small_runs import Gate, compress
evaluate = Gate()
evaluate.let(6)
compress(sys.argv[1], evaluate, run_name="hanging run")
"""


def test_a_tab_says_when_the_process_behind_its_page_is_gone(
    plain_server: PlainServer, open_tab: Callable[[str], Page]
) -> None:
    with subprocess.Popen([sys.executable, "-c", HANGS, plain_server.url]) as process:
        tab = open_tab(plain_server.page)
        wait_for(tab, "scores() === 4")
        assert "No update" not in visible_text(tab)
        process.kill()
    tab.get_by_text("No update for").wait_for()
    assert header(tab).startswith("hanging run")
