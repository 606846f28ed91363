"""Make the pictures of the README: a real run of the demo on a real server, in Chromium, light and dark.

::

    python scripts/make_screenshots.py docs/images
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy is imported

import contextlib
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from playwright.sync_api import Browser, Page, sync_playwright

from aimet_hooks import (
    GreedySelection,
    WeightSvd,
    compress_model,
    demo,
    discovery,
    visualize_changes_after_optimization,
    visualize_relative_weight_ranges_to_identify_problematic_layers,
)
from aimet_hooks.adapters.onnx_graph.session_options import with_threads
from tests import chromium

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WIDTH = 1440
SCHEMES = ("light", "dark")
WIDE_LAYER = "block1.conv1"
MOMENTS = {"start": 8, "middle": 41, "end": None}
"""Evaluations after which a picture is taken, the baseline's two among them."""

IS_DRAWN = """count => {
  if (!window.Bokeh || !Bokeh.documents.length || !Bokeh.documents[0].is_idle) return false
  const page = Bokeh.documents[0].get_model_by_name("header")
  const cells = Bokeh.documents[0].get_model_by_name("cells")
  if (count === null) return page.text.includes(">done<")
  const columns = Object.entries(cells.data).filter(([name]) => name.startsWith("cell_"))
  return columns.flatMap(([, column]) => column).filter(cell => /^\\d+\\|/.test(cell)).length >= count
}"""


IS_PAINTED = """() => Bokeh.documents[0].is_idle &&
  new Promise(painted => requestAnimationFrame(() => requestAnimationFrame(() => painted(true))))"""
"""A picture of a canvas that was resized and not painted since has streaks."""


class PausingAccuracy:
    """The demo's accuracy, which waits after so many evaluations until it is let on."""

    def __init__(self) -> None:
        self._accuracy = demo.accuracy()
        self._condition = threading.Condition()
        self._left = 0

    def let(self, evaluations: int) -> None:
        """Let so many more evaluations happen."""
        with self._condition:
            self._left += evaluations
            self._condition.notify_all()

    def __call__(self, session: Any) -> float:
        """Wait, then evaluate."""
        with self._condition:
            self._condition.wait_for(lambda: self._left > 0)
            self._left -= 1
        return self._accuracy(session)


def compress(evaluate: Any, **arguments: Any) -> None:
    """One run of the demo."""
    compress_model(
        demo.model_path(),
        evaluate,
        input_shape=demo.INPUT_SHAPE,
        layers_to_ignore=[demo.HEAD],
        plugins=["file", "bokeh"],
        console="off",
        session_options=with_threads(1),
        **arguments,
    )


def open_tabs(browser: Browser, address: str, width: int = WIDTH) -> dict[str, Page]:
    """The same address in a light and a dark tab, lower than any page: a picture is as high as its page."""
    tabs = {}
    for scheme in SCHEMES:
        context = browser.new_context(viewport={"width": width, "height": 300}, color_scheme=scheme)
        tabs[scheme] = context.new_page()
        tabs[scheme].goto(address)
    return tabs


def take(tabs: dict[str, Page], name: str, folder: Path) -> None:
    """A picture of the whole page in each tab."""
    for scheme, tab in tabs.items():
        tab.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True, animations="disabled")


def picture_run(browser: Browser, url: str, folder: Path, results_dir: Path) -> None:
    """The live page at the beginning, in the middle and at the end of a run."""
    tabs = open_tabs(browser, discovery.plugin("bokeh").page_address(url))
    evaluate, done = PausingAccuracy(), 0
    options: dict[str, Any] = {"results_dir": results_dir, "run_name": "digits demo", "visualization_url": url}
    run = threading.Thread(target=compress, args=(evaluate,), kwargs=options)
    run.start()
    for name, evaluations in MOMENTS.items():
        evaluate.let(10_000 if evaluations is None else evaluations - done)
        done = evaluations or done
        for tab in tabs.values():
            tab.wait_for_function(IS_DRAWN, arg=None if evaluations is None else evaluations - 2)
        if evaluations is None:
            run.join()
            tick(tabs.values(), ("block1.conv1", "block1.conv2", "block2.conv1", "block2.conv2"))
        take(tabs, f"page-{name}", folder)
    for tab in tabs.values():
        try_another_target(tab, 0.3, locked="block1.conv1")
    take(tabs, "page-what-if", folder)
    close(tabs)


def try_another_target(tab: Page, target: float, *, locked: str) -> None:
    """Lock a layer in the table of choices, move the slider, and ask why a layer has its ratio."""
    rows = tab.locator(".slick-row", has=tab.locator(".ratio"))
    row = rows.filter(has=tab.get_by_text(locked, exact=True))
    row.locator(".slick-cell.l0").click()
    tab.evaluate(f"Bokeh.documents[0].get_model_by_name('what_if_slider').value = {target}")
    tab.wait_for_function("Bokeh.documents[0].get_model_by_name('what_if_words').text.includes('What if')")
    row.locator(".ratio").click()
    tab.mouse.move(5, 5)


def tick(tabs: Iterable[Page], layers: Iterable[str]) -> None:
    """Tick layers in the table of scores."""
    for tab in tabs:
        for layer in layers:
            row = tab.locator(".slick-row", has=tab.locator(".slick-cell.l0 label"))
            named = row.filter(has=tab.get_by_text(layer, exact=True), has_not=tab.locator(".ratio"))
            named.locator(".slick-cell.l0").click()
        tab.mouse.move(5, 5)


def picture_runs(browser: Browser, url: str, folder: Path, runs: Path) -> None:
    """The list of runs, and two of them side by side."""
    accuracy = PausingAccuracy()
    accuracy.let(10_000)
    for name, scheme, target in (("spatial-0.3", None, 0.3), ("weight-0.3", WeightSvd(), 0.3)):
        options = {} if scheme is None else {"compress_scheme": scheme}
        selection = GreedySelection(target_comp_ratio=target)
        compress(accuracy, results_dir=runs / name, run_name=name, selection=selection, **options)
    tabs = open_tabs(browser, f"{url}runs")
    for tab in tabs.values():
        tab.get_by_text("weight-0.3").first.wait_for()
        tab.locator(".slick-row").nth(2).wait_for()
    take(tabs, "runs", folder)
    close(tabs)
    tabs = open_tabs(browser, f"{url}compare?a=digits-demo&b=weight-0.3")
    for tab in tabs.values():
        tab.locator(".slick-row").nth(7).wait_for()
    take(tabs, "comparison", folder)
    close(tabs)


def picture_weights(browser: Browser, folder: Path) -> None:
    """The demo's weight ranges with a channel that is 40 times as wide as the others, and what repairing it changed."""
    sound = onnx.load(demo.model_path())
    wide = onnx.load(demo.model_path())
    node = next(node for node in wide.graph.node if node.name == WIDE_LAYER)
    tensor = next(tensor for tensor in wide.graph.initializer if tensor.name == node.input[1])
    weight = onnx.numpy_helper.to_array(tensor).copy()
    weight[5] *= 40 / (np.ptp(weight[5]) / np.median(np.ptp(weight.reshape(len(weight), -1), axis=1)))
    tensor.CopyFrom(onnx.numpy_helper.from_array(weight, tensor.name))
    with tempfile.TemporaryDirectory() as temporary:
        pages = {
            "weight-ranges": visualize_relative_weight_ranges_to_identify_problematic_layers(wide, temporary),
            "weight-changes": visualize_changes_after_optimization(wide, sound, temporary),
        }
        for name, path in pages.items():
            tabs = open_tabs(browser, path.as_uri(), width=1280)
            for tab in tabs.values():
                tab.get_by_text("channels ·").first.wait_for()
                height = tab.evaluate("document.documentElement.scrollHeight")
                tab.set_viewport_size({"width": 1280, "height": height})
                tab.wait_for_function(IS_PAINTED)
            take(tabs, name, folder)
            close(tabs)


def close(tabs: dict[str, Page]) -> None:
    """Close tabs of one address."""
    for tab in tabs.values():
        tab.context.close()


@contextlib.contextmanager
def page_server(root: Path) -> Iterator[str]:
    """``aimet-hooks serve`` as a process of its own; its address."""
    line = [sys.executable, "-m", "aimet_hooks", "serve", str(root), "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            first_line = "" if process.stdout is None else process.stdout.readline()
            yield first_line.split()[-1].removesuffix("runs")
        finally:
            process.terminate()


def main() -> None:
    """Make all pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        runs = Path(temporary) / "runs"
        runs.mkdir()
        with page_server(runs) as url:
            browser = chromium.launch(playwright, "--hide-scrollbars")
            picture_run(browser, url, folder, runs / "digits-demo")
            picture_runs(browser, url, folder, runs)
            picture_weights(browser, folder)
            browser.close()


if __name__ == "__main__":
    main()
