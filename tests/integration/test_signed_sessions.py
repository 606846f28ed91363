"""Servers that sign sessions: only who has the key draws, only who has the whole address looks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.page_reading import visible_text, wait_for
from tests.integration.servers import PageServer, PlainServer, ServerProcess
from tests.integration.small_runs import compress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

KEY = {"BOKEH_SIGN_SESSIONS": "yes", "BOKEH_SECRET_KEY": "the key of this test, as long as Bokeh wants it"}
REFUSED = "403: Invalid token or session ID"


@pytest.fixture(params=[PlainServer, PageServer])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerProcess]:
    """A server of either kind that signs sessions."""
    with monkeypatch.context() as environment:
        for name, value in KEY.items():
            environment.setenv(name, value)
        signing: ServerProcess = request.param()
    with signing:
        yield signing


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "run"
    compress(None, results_dir=path, plugins=["file"])
    return path


def show(path: Path, url: str, *, key: dict[str, str]) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "aimet_hooks", "show", str(path), "--visualization-url", url]
    environment = {**os.environ, **key}
    return subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL, env=environment
    )


def test_the_page_is_drawn_with_the_key_and_seen_at_the_signed_address_only(
    server: ServerProcess, recorded: Path, open_tab: Callable[[str], Page]
) -> None:
    done = show(recorded, server.url, key=KEY)
    assert done.returncode == 0, done.stderr
    page = done.stdout.split()[-1]
    assert re.fullmatch(re.escape(server.page) + r"\.[\w-]{43}", page)
    wait_for(open_tab(page), "scores() === 12")
    assert visible_text(open_tab(server.page)) == REFUSED


def test_nobody_draws_without_the_key(server: ServerProcess, recorded: Path) -> None:
    done = show(recorded, server.url, key={})
    assert done.returncode == 1
    assert "if it signs sessions, set BOKEH_SIGN_SESSIONS=yes and its BOKEH_SECRET_KEY" in done.stderr


def test_a_server_of_pages_hands_the_signed_address_to_who_started_it_and_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch, open_tab: Callable[[str], Page]
) -> None:
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    with PageServer() as server:
        found = re.search(r"Live page: (\S+)", server.output)
        assert found
        wait_for(open_tab(found[1]), "model('header').text.includes('Waiting for a run')")
        tab = open_tab(server.url)
        tab.get_by_text("Open the address that the server printed.").wait_for()
        assert tab.url == server.url


def parsed(name: str, *, key: dict[str, str]) -> str:
    """The id of a session of this name, or the error, in a process of its own: Bokeh reads the key once."""
    code = "import sys; from bokeh_vis import address; print(address.parse(sys.argv[1]).session_id)"
    line = [sys.executable, "-c", code, f"http://localhost:5006/?bokeh-session-id={name}"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **key})
    return done.stdout.strip() or done.stderr.splitlines()[-1]


def test_names_are_signed_once_and_only_where_the_environment_asks_for_it() -> None:
    assert parsed("my.page", key={}) == "my.page"
    signed = parsed("mine", key=KEY)
    assert signed.startswith("mine.")
    assert parsed(signed, key=KEY) == signed
    assert "'my.page' cannot be signed because of its dot; choose a name without one" in parsed("my.page", key=KEY)
