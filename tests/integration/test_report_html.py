"""The page in one file: without a network it shows what the live page showed."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from aimet_hooks import recordings
from aimet_hooks.run_state import RunState
from bokeh_vis import report
from tests import page_runs
from tests.integration.page_reading import data, header, tick_layer, visible_text, wait_for
from tests.integration.servers import wait_until
from tests.integration.small_runs import compress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.integration.servers import PlainServer

CELLS = "12"


def test_it_shows_what_the_live_page_showed(
    plain_server: PlainServer, open_tab: Callable[[str], Page], browser: Browser, tmp_path: Path
) -> None:
    compress(plain_server.url, results_dir=tmp_path / "run", run_name="twice shown")
    live = open_tab(plain_server.page)
    wait_for(live, f"scores() === {CELLS} && data('choices').ratio.length === 3")
    offline = browser.new_context(offline=True, viewport={"width": 1500, "height": 1000})
    requests: list[str] = []
    saved = offline.new_page()
    saved.on("request", lambda request: requests.append(request.url))
    saved.goto((tmp_path / "run" / "report.html").as_uri())
    wait_for(saved, f"scores() === {CELLS} && data('curves').xs.length === 3")
    for name in ("cells", "choices", "skipped", "curves", "curve_points", "curve_marks"):
        assert data(saved, name) == data(live, name), name
    assert header(saved) == header(live)
    tick_layer(saved, "second")
    wait_for(saved, "data('curves').name.join() === 'second'")
    assert "No update" not in visible_text(saved)
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    offline.close()


def test_it_is_small(tmp_path: Path) -> None:
    run = RunState()
    for event in page_runs.whole_run(page_runs.layer_names(200), 9):
        run.apply(event)
    report.write(run, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 4_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


PROGRAM = """
import sys
from aimet_hooks.cli import main
sys.exit(main(["compress", sys.argv[1], "--eval", sys.argv[2] + ":evaluate", "-o", sys.argv[3] + "/out.onnx",
               "--results-dir", sys.argv[3] + "/run", "--console", "off"]))
"""

EVALUATION = """
import time
calls = 0
def evaluate(session):
    global calls
    calls += 1
    if calls > 6:
        time.sleep(60)
    return 0.9
"""


def test_it_is_written_when_the_run_is_terminated(tmp_path: Path) -> None:
    from aimet_hooks import demo

    (tmp_path / "evaluation.py").write_text(EVALUATION)
    line = [sys.executable, "-c", PROGRAM, str(demo.model_path()), str(tmp_path / "evaluation.py"), str(tmp_path)]
    log = tmp_path / "run" / "events.jsonl"
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: log.exists() and log.read_text().count('"eval_score"') >= 4, "the first cells")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    text = (tmp_path / "run" / "report.html").read_text()
    assert "terminated" in text
    assert any(event.name == "run_failed" for event in recordings.read(tmp_path / "run"))
