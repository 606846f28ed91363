"""The pages of weight ranges in a real browser: from a file without a network, and on a plain Bokeh server."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import torch
from bokeh.client import push_session
from bokeh.document import Document
from bokeh.models.widgets.markups import Div
from torch import nn

from aimet_hooks import (
    AimetHooksError,
    visualize_changes_after_optimization,
    visualize_relative_weight_ranges_to_identify_problematic_layers,
    visualize_weight_ranges,
)
from aimet_hooks.quantization import QuantizationPage
from bokeh_vis import live_layout
from tests.integration.page_reading import MODEL, data, visible_text
from tests.integration.servers import PageServer, wait_until
from tests.integration.small_runs import compress
from tests.unit.quantization.networks import WIDE, equalized, torch_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.integration.servers import PlainServer, ServerProcess

RELATIVE = visualize_relative_weight_ranges_to_identify_problematic_layers


@pytest.fixture(autouse=True)
def _let_pages_go() -> Iterator[None]:
    yield
    live_layout.close_all()


@pytest.fixture
def open_offline(browser: Browser) -> Iterator[Callable[[Path], Page]]:
    """Opens files as wide as the contract says; an error of a page or a request to anywhere fails the test."""
    errors: list[str] = []
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 1600})

    def open_one(path: Path) -> Page:
        tab = context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("dialog", lambda dialog: errors.append(dialog.message))
        tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or errors.append(request.url))
        tab.goto(path.as_uri())
        wait_for(tab, "shown(0).length > 0")
        return tab

    yield open_one
    context.close()
    assert errors == []


def page_of(server: ServerProcess) -> str:
    return f"{server.url}?&bokeh-session-id=quantization"


def wait_for(tab: Page, condition: str, seconds: float = 30) -> None:
    """Wait for a condition in JavaScript; ``shown`` has the channels of a plot, ``words`` what is said of them."""
    tab.wait_for_function(
        f"""() => {{
          if (!window.Bokeh || !Bokeh.documents[0] || !{MODEL}("layers")) return false
          const shown = (number) => {MODEL}(`shown_channels_${{number}}`).data.x
          const words = (number) => {MODEL}(`channel_words_${{number}}`).text
          return {condition}
        }}""",
        timeout=1000 * seconds,
    )


def row_of(tab: Page, layer: str) -> Any:
    return tab.locator(".slick-row", has=tab.get_by_text(layer, exact=True)).filter(has=tab.locator("input"))


def height(tab: Page, figure: str) -> float:
    return float(tab.evaluate(f"Bokeh.index.find_one({MODEL}({json.dumps(figure)})).frame.bbox.height"))


def test_a_file_shows_the_layer_with_the_wide_channel_and_others_by_a_click(
    open_offline: Callable[[Path], Page], tmp_path: Path
) -> None:
    tab = open_offline(visualize_weight_ranges(torch_network(wide=40), tmp_path))
    text = visible_text(tab)
    assert "1 layer would break" in text
    assert "Channel 5 is 40 times as wide as the median channel" in text
    assert "equalize it with '5'" in text
    assert "NaN" not in text
    assert height(tab, "channel_figure_0") > 200
    assert data(tab, "channel_marks_0")["text"] == ["channel 5: 40 times the median range"]
    assert len(data(tab, "shown_channels_0")["x"]) == 24
    row_of(tab, "9").locator(".l4").click()
    wait_for(tab, "shown(0).length === 10 && words(0).includes('>9<')")
    row_of(tab, "5").locator(".l0").click()
    wait_for(tab, "shown(1).length > 0 && words(0).includes('>9<') && words(1).includes('>5<')")
    assert height(tab, "channel_figure_1") > 200


def test_what_became_of_a_layer_is_never_cut_off(open_offline: Callable[[Path], Page], tmp_path: Path) -> None:
    before, after = torch_network(wide=40), torch_network(wide=40)
    with torch.no_grad():
        after[9].weight[3] *= 40
    tab = open_offline(visualize_changes_after_optimization(before, after, tmp_path))
    states = {}
    for state in tab.locator(".state").all():
        states[state.inner_text()] = state.evaluate("cell => cell.scrollWidth <= cell.clientWidth")
    assert states == {"still breaks": True, "made worse": True, "sound": True}


def test_hovering_tells_the_numbers_of_a_channel(open_offline: Callable[[Path], Page], tmp_path: Path) -> None:
    model = torch_network(wide=40)
    tab = open_offline(visualize_weight_ranges(model, tmp_path))
    point = tab.evaluate(
        f"""() => {{
          const view = Bokeh.index.find_one({MODEL}("channel_figure_0"))
          const {{left, top}} = view.el.getBoundingClientRect()
          return [left + view.frame.x_scale.compute({WIDE}), top + view.frame.y_scale.compute(0.5)]
        }}"""
    )
    for step in (2, 0):
        tab.mouse.move(point[0] + step, point[1])
    tab.get_by_text("largest weight").last.wait_for()
    shown = visible_text(tab)
    assert f"{float(model[3].weight[WIDE].detach().max()):.4g}" in shown
    assert "range / median range" in shown


def test_what_stands_out_can_be_cut_off(open_offline: Callable[[Path], Page], tmp_path: Path) -> None:
    tab = open_offline(visualize_weight_ranges(torch_network(wide=40), tmp_path))
    end = f"{MODEL}('channel_figure_0').y_range.end"
    assert tab.evaluate(end) > 3
    tab.get_by_text("Cut off channels").click()
    tab.wait_for_function(f"{end} < 0.2")


def test_a_click_on_the_plot_of_all_layers_shows_a_layer(open_offline: Callable[[Path], Page], tmp_path: Path) -> None:
    tab = open_offline(RELATIVE(torch_network(wide=40), tmp_path))
    assert height(tab, "strips_figure") > 250
    point = tab.evaluate(
        f"""() => {{
          const view = Bokeh.index.find_one({MODEL}("strips_figure"))
          const {{left, top}} = view.el.getBoundingClientRect()
          return [left + view.frame.x_scale.compute(4), top + view.frame.y_scale.compute(1)]
        }}"""
    )
    tab.mouse.click(*point)
    wait_for(tab, "shown(0).length === 10 && words(0).includes('>9<')")


def test_both_states_and_what_cannot_be_compared_are_shown(
    open_offline: Callable[[Path], Page], tmp_path: Path
) -> None:
    old, new = torch_network(wide=40), equalized(torch_network(wide=40))
    new[0] = nn.Sequential(nn.Conv2d(3, 4, (3, 1)), nn.Conv2d(4, 16, (1, 3)))
    tab = open_offline(visualize_changes_after_optimization(old, new, tmp_path))
    text = visible_text(tab)
    assert "1 layer repaired" in text
    assert "was replaced: Conv2d (16, 3, 3, 3) became Conv2d (4, 3, 3, 1) and Conv2d (16, 4, 1, 3)" in text
    shown = data(tab, "shown_channels_0")
    assert shown["old_max"][WIDE] > 30 * shown["new_max"][WIDE]
    assert height(tab, "channel_figure_0") > 200


@pytest.mark.parametrize("visualize", [visualize_weight_ranges, RELATIVE, None])
def test_hostile_names_are_text(open_offline: Callable[[Path], Page], tmp_path: Path, visualize: Any) -> None:
    names = ["<img src=x onerror=alert(1)>", "$$\\href{javascript:alert(1)}{x}$$", "<%= alert(1) %>"]
    model, wide = torch_network(), torch_network(wide=40)
    hostile = nn.Sequential()
    for name, layer in zip(names, (wide[3], model[3], model[5]), strict=True):
        hostile.add_module(name, layer)
    hostile.add_module("gone", nn.Linear(2, 2))
    if visualize is None:
        new = nn.Sequential()
        new.add_module(names[0], model[3])
        tab = open_offline(visualize_changes_after_optimization(hostile, new, tmp_path))
    else:
        tab = open_offline(visualize(hostile, tmp_path))
    text = visible_text(tab)
    assert all(name in text for name in names)
    assert tab.locator("img").count() == 0
    assert tab.locator("a[href^=javascript]").count() == 0


@pytest.mark.parametrize("visualize", [visualize_weight_ranges, RELATIVE, visualize_changes_after_optimization])
def test_as_many_channels_as_resnet_50_has_are_a_small_file_that_opens(
    open_offline: Callable[[Path], Page], tmp_path: Path, visualize: Any
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(4, 492) for _ in range(54)))
    arguments = (model, model) if visualize is visualize_changes_after_optimization else (model,)
    path = visualize(*arguments, tmp_path)
    assert path.stat().st_size < 4_000_000
    tab = open_offline(path)
    row_of(tab, tab.evaluate(f"{MODEL}('layers').data.layer[3]")).locator(".l4").click()
    wait_for(tab, "words(0).includes(`>${" + MODEL + "('layers').data.layer[3]}<`)")


def test_undefined_weights_are_gaps(open_offline: Callable[[Path], Page], tmp_path: Path) -> None:
    model = torch_network(wide=40)
    with torch.no_grad():
        model[3].weight[1, 0, 0, 0] = float("inf")
    tab = open_offline(visualize_weight_ranges(model, tmp_path))
    text = visible_text(tab)
    assert "Gaps in the plot: 1 with weights that are NaN or infinite." in text
    assert not {"nan", "NaN", "inf", "Infinity", "null"} & set(text.replace("NaN or infinite", "").split())


def test_a_plain_server_shows_it_to_tabs_opened_before_and_after(
    plain_server: PlainServer, open_tab: Callable[[str], Page], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = open_tab(page_of(plain_server))
    before.wait_for_function("window.Bokeh && Bokeh.documents.length > 0")
    page = visualize_weight_ranges(torch_network(wide=40), tmp_path, plain_server.url)
    assert isinstance(page, QuantizationPage)
    assert page.address == page_of(plain_server)
    assert page.path == tmp_path / "visualize_weight_ranges.html"
    after = open_tab(page.address)
    for tab in (before, after):
        wait_for(tab, "shown(0).length === 24 && words(0).includes('Channel 5')")
        assert tab.title() == "weight ranges · aimet-hooks"
    row_of(before, "9").locator(".l4").click()
    wait_for(before, "shown(0).length === 10")
    assert len(data(after, "shown_channels_0")["x"]) == 24
    (said,) = caplog.messages
    assert "will stay blank, because a tab was there before this page" in said


def test_a_page_server_shows_it_to_tabs_opened_before_and_after(open_tab: Callable[[str], Page]) -> None:
    with PageServer() as server:
        before = open_tab(page_of(server))
        before.get_by_text("visualization_url").first.wait_for()
        with visualize_weight_ranges(torch_network(wide=40), None, server.url) as page:
            for tab in (before, open_tab(page.address)):
                wait_for(tab, "shown(0).length === 24 && words(0).includes('Channel 5')")


def test_the_session_of_a_run_is_left_alone(plain_server: PlainServer) -> None:
    compress(plain_server.url)
    with pytest.raises(AimetHooksError, match="'compression' already shows something else; choose another"):
        visualize_weight_ranges(torch_network(), None, f"{plain_server.url}?bokeh-session-id=compression")


def test_the_newest_page_replaces_the_older_one_in_open_tabs(
    plain_server: PlainServer, open_tab: Callable[[str], Page]
) -> None:
    with visualize_weight_ranges(torch_network(wide=40), None, plain_server.url) as first:
        tabs = [open_tab(first.address), open_tab(first.address)]
        for tab in tabs:
            wait_for(tab, "shown(0).length === 24")
        with visualize_changes_after_optimization(
            torch_network(wide=40), equalized(torch_network(wide=40)), None, plain_server.url
        ):
            for tab in tabs:
                wait_for(tab, "words(0).includes('After: it keeps enough bits')")


def test_a_tab_keeps_the_page_when_its_server_is_gone_and_has_it_from_the_next_server(
    plain_server: PlainServer, open_tab: Callable[[str], Page], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "bokeh_vis"):
        page = visualize_weight_ranges(torch_network(wide=40), None, plain_server.url)
        tab = open_tab(page.address)
        wait_for(tab, "shown(0).length === 24")
        tab.evaluate("Bokeh.documents[0].on_event('connection_lost', () => window.is_lost = true)")
        plain_server.kill()
        tab.wait_for_function("window.is_lost")
        wait_until(lambda: caplog.records, "the warning")
        row_of(tab, "9").locator(".l4").click()
        wait_for(tab, "shown(0).length === 10")
        plain_server.start()
        tab.wait_for_function("window.is_lost === undefined")
        for shown in (tab, open_tab(page.address)):
            wait_for(shown, "shown(0).length === 24 && words(0).includes('Channel 5')")
    assert [record.message for record in caplog.records] == [
        f"the page at {page.address} is lost: it has closed the connection; look whether it still runs; "
        "it comes back when the server does"
    ]


def test_a_page_that_comes_back_replaces_none_that_came_meanwhile(
    plain_server: PlainServer, open_tab: Callable[[str], Page], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "bokeh_vis"):
        visualize_weight_ranges(torch_network(wide=40), None, plain_server.url)
        plain_server.kill()
        wait_until(lambda: any("is lost" in message for message in caplog.messages), "the warning")
        live_layout._held.clear()  # as in another process, which does not know of it
        plain_server.start()
        newer = RELATIVE(torch_network(wide=40), None, plain_server.url)
        wait_until(lambda: any("shows something newer" in message for message in caplog.messages), "giving it up")
    tab = open_tab(newer.address)
    wait_for(tab, "shown(0).length === 24")
    assert tab.title() == "relative weight ranges · aimet-hooks"


def test_a_session_of_somebody_else_is_left_alone(plain_server: PlainServer) -> None:
    document = Document()
    document.add_root(Div(text="mine"))
    with ThreadPoolExecutor(1) as elsewhere:  # this thread already runs the loop of the browser
        arguments = {"session_id": "quantization", "url": plain_server.url}
        theirs = elsewhere.submit(push_session, document, **arguments).result()
        with pytest.raises(AimetHooksError, match="'quantization' already shows something else; choose another"):
            visualize_weight_ranges(torch_network(), None, plain_server.url)
        page = visualize_weight_ranges(torch_network(), None, f"{plain_server.url}?bokeh-session-id=other")
        assert page.address.endswith("?&bokeh-session-id=other")
        elsewhere.submit(theirs.close).result()
