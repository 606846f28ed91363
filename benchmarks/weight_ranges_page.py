"""What the pages of weight ranges cost for a network of ResNet-50's size: bytes, and seconds to write and open.

Run it from the repository; it takes half a minute::

    python benchmarks/weight_ranges_page.py
"""

from __future__ import annotations

import copy
import tempfile
import time
from typing import TYPE_CHECKING

import torch
from playwright.sync_api import sync_playwright
from weight_ranges import resnet50_layers

from aimet_hooks import (
    visualize_changes_after_optimization,
    visualize_relative_weight_ranges_to_identify_problematic_layers,
    visualize_weight_ranges,
)
from tests import chromium

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST = 4_000_000
READY = "window.Bokeh && Bokeh.documents[0]?.get_model_by_name('shown_channels_0').data.x.length > 0"


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    old = resnet50_layers()
    new = copy.deepcopy(old)
    with torch.no_grad():
        old[8].weight[5] *= 40
    pages: tuple[Callable[[str], Path], ...] = (
        lambda folder: visualize_weight_ranges(old, folder),
        lambda folder: visualize_relative_weight_ranges_to_identify_problematic_layers(old, folder),
        lambda folder: visualize_changes_after_optimization(old, new, folder),
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        for draw in pages:
            begin = time.perf_counter()
            path = draw(folder)
            drawn = time.perf_counter()
            tab = browser.new_page(viewport={"width": 1280, "height": 1000})
            tab.goto(path.as_uri())
            tab.wait_for_function(READY)
            opened = time.perf_counter()
            size = path.stat().st_size
            print(
                f"{path.name}: {size / 1e6:.2f} MB (required: below {LARGEST / 1e6:g}), "
                f"written in {drawn - begin:.1f} s, opened in {opened - drawn:.1f} s"
            )
            assert size < LARGEST
            tab.close()
        browser.close()


if __name__ == "__main__":
    main()
