"""Real servers, a real browser, and a small network for tests of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, sync_playwright

from bokeh_vis import view_thread
from tests import chromium
from tests.integration.servers import PlainServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser


@pytest.fixture(autouse=True)
def _let_pages_go() -> Iterator[None]:
    """A process holds its pages to its end; a test only to its own."""
    yield
    view_thread.close_all()


@pytest.fixture
def plain_server() -> Iterator[PlainServer]:
    """A ``bokeh serve`` process without an application."""
    with PlainServer() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with sync_playwright() as playwright:
        launched = chromium.launch(playwright)
        yield launched
        launched.close()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens tabs; any error of a page fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1500, "height": 1000})

    def open_one(url: str) -> Page:
        tab = context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(url)
        return tab

    yield open_one
    context.close()
    assert errors == []
