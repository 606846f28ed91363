"""The real browser that tests, benchmarks and pictures of the page use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

PATH = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Without a sandbox and a GPU, which containers lack, and without calls to hosts on the internet."""


def launch(playwright: Playwright, *flags: str) -> Browser:
    """Start it."""
    return playwright.chromium.launch(executable_path=PATH, args=[*FLAGS, *flags])
