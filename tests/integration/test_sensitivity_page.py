"""The page of an analysis in a real browser: what must be read there is not cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from aimet_hooks import analyze_sensitivity
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import RecordingPlugin
from bokeh_vis import report
from tests.integration.page_reading import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

NAMES = [f"block{number}_convolution_with_a_long_name" for number in range(1, 7)]

SHOWN = """selector => {
  const found = []
  const shown = (element) => {
    const text = document.createRange()
    text.selectNodeContents(element)
    const box = element.closest(".slick-cell, .slick-header-column").getBoundingClientRect()
    return [element.textContent.trim(), text.getBoundingClientRect().right > box.right, element.clientWidth]
  }
  const walk = (node) => {
    for (const child of [...(node.shadowRoot?.children ?? []), ...node.children]) {
      if (child.matches(selector)) found.push(shown(child))
      walk(child)
    }
  }
  walk(document.body)
  return found
}"""
"""The texts of all elements that match, whether they are cut off, and their width in pixels."""


def analysed(bitwidths: list[int]) -> RunState:
    network = nn.Sequential()
    for name in NAMES:
        network.add_module(name, nn.Linear(4, 4))
    recorded, x = RecordingPlugin(), torch.rand(8, 4)
    with torch.no_grad():
        expected = network(x)

    def closeness(model: Any) -> float:
        return -float((model(x) - expected).abs().mean()) / 100

    analyze_sensitivity(network, closeness, example_inputs=x, bitwidths=bitwidths, plugins=[recorded], console="off")
    run = RunState()
    for event in recorded.events:
        run.apply(event)
    return run


def test_nothing_is_cut_off_on_a_small_screen(browser: Browser, tmp_path: Path) -> None:
    report.write(analysed([2, 3, 4, 5, 6, 7, 8]), tmp_path / "page.html")
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto((tmp_path / "page.html").as_uri())
    wait_for(tab, "scores() === 42")
    tab.wait_for_timeout(500)  # until the columns fit
    titles = tab.evaluate(SHOWN, ".slick-column-name")
    cells = tab.evaluate(SHOWN, ".slick-cell > .cell")
    decibels = [shown for shown in tab.evaluate(SHOWN, ".slick-cell > span") if " · " in shown[0]]
    assert {"8 bits", "effective bits", "per channel", "widest channel", "SQNR, dB"} <= {text for text, *_ in titles}
    assert (len(cells), len(decibels)) == (7 * len(NAMES), len(NAMES))
    assert [text for text, is_cut, _ in [*titles, *cells, *decibels] if is_cut] == []
    assert [text for text, *_ in tab.evaluate(SHOWN, ".slick-cell > .name")] == NAMES * 2
    ends = tab.evaluate(SHOWN, ".slick-cell > .name > span")
    assert min(width for *_, width in ends) > 40  # the beginning and the end of a name are seen
    tab.close()
