"""How fast the live page follows a large run: 1,000 layers by 9 ratios, a plain ``bokeh serve``, one tab in Chromium.

Cells are announced at a steady rate. The tab records when it has painted how many cells; the lag of a cell is from its
announcement to the first painting that has it. Printed are the lag, whether every cell arrived, the JavaScript heap,
the CPU share of the view's thread and how long the tab's main thread was blocked at a stretch. About a minute::

    python benchmarks/live_page.py
    python benchmarks/live_page.py --layers 5000 --ratios 19 --rate 400
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from aimet_hooks import discovery, start_bokeh_server_session
from aimet_hooks.announcer import Announcer
from aimet_hooks.events import EvalScored, RatiosSelected
from aimet_hooks.hooks import Hooks
from aimet_hooks.run_settings import RunSettings
from tests import chromium, page_runs

RECORDER = """
() => {
  window.painted = [];
  window.blocked = 0;
  let last = performance.now();
  const frame = () => {
    const now = performance.now();
    window.blocked = Math.max(window.blocked, now - last);
    last = now;
    const document_ = Bokeh.documents[0];
    const control = document_ && document_.get_model_by_name("control");
    if (control && control !== window.seen_control) {
      window.seen_control = control;
      control.properties.data.change.connect(() => requestAnimationFrame(() => {
        const data = document_.get_model_by_name("cells").data;
        let count = 0;
        for (const [name, column] of data instanceof Map ? data : Object.entries(data))
          if (name.startsWith("cell_")) for (const cell of column) if (/^\\d+\\|/.test(cell)) count += 1;
        window.painted.push([performance.timeOrigin + performance.now(), count]);
      }));
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}
"""


def announce(url: str, layers: int, ratios: int, rate: float, ready: threading.Event) -> list[float]:
    """Announce a run's cells at a rate; the time of each, seconds since the epoch."""
    plugins = discovery.select(["bokeh"])
    settings = RunSettings(visualization_url=url, run_name="benchmark")
    announcer = Announcer("benchmark", Hooks(plugins, {name: settings for name, _ in plugins}))
    times: list[float] = []
    for event in page_runs.whole_run(page_runs.layer_names(layers), ratios):
        if isinstance(event, RatiosSelected):
            break
        if isinstance(event, EvalScored):
            if not times:
                ready.wait()
                begin = time.perf_counter()
            time.sleep(max(0.0, begin + len(times) / rate - time.perf_counter()))
            times.append(time.time())
        announcer.announce(event)
    return times


def cpu_of_threads() -> dict[int, float]:
    """CPU seconds of each thread of this process by its id."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found[int(task.name)] = (int(fields[11]) + int(fields[12])) / tick
    return found


def heap(tab: Page) -> float:
    """MB of the tab's JavaScript heap after a collection."""
    client = tab.context.new_cdp_session(tab)
    client.send("HeapProfiler.collectGarbage")
    return float(tab.evaluate("performance.memory.usedJSHeapSize")) / 1e6


def watch(url: str, arguments: argparse.Namespace) -> None:
    """Run, watch it in a tab and print what was measured."""
    ready = threading.Event()
    times: list[float] = []
    view: dict[int, float] = {}

    def run() -> None:
        before = threading.enumerate()
        found = announce(url, arguments.layers, arguments.ratios, arguments.rate, ready)
        cpu = cpu_of_threads()
        view.update({t.native_id: cpu[t.native_id] for t in threading.enumerate() if t not in before and t.native_id})
        times.extend(found)

    announcing = threading.Thread(target=run)
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright, "--enable-precise-memory-info")
        tab = browser.new_page(viewport={"width": 1600, "height": 1000})
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        announcing.start()
        tab.goto(f"{url}?&bokeh-session-id=compression")
        tab.wait_for_function(
            "n => Bokeh.documents.length && (Bokeh.documents[0].get_model_by_name('cells')?.data.layer?.length == n)",
            arg=arguments.layers,
        )
        tab.evaluate(f"({RECORDER})()")
        first_heap = heap(tab)
        ready.set()
        announcing.join()
        total = arguments.layers * arguments.ratios
        tab.wait_for_function("n => window.painted.length && window.painted.at(-1)[1] >= n", arg=total, timeout=60_000)
        painted, blocked = tab.evaluate("[window.painted, window.blocked]")
        last_heap = heap(tab)
        browser.close()
    lags = []
    drawings = iter(painted)
    at, count = next(drawings)
    for number, announced in enumerate(times, start=1):
        while count < number:
            at, count = next(drawings)
        lags.append(at / 1000 - announced)
    duration = times[-1] - times[0]
    print(f"{arguments.layers} layers x {arguments.ratios} ratios, {arguments.rate:g} cells a second, {duration:.0f} s")
    print(f"cells arrived: {painted[-1][1]} of {total}; page errors: {len(errors)}")
    middle, late, worst = statistics.median(lags), statistics.quantiles(lags, n=20)[-1], max(lags)
    print(f"change to painted: median {middle:.2f} s (required: within 1), 95 % {late:.2f} s, worst {worst:.2f} s")
    print(f"paintings: {len(painted) / duration:.1f} a second; longest time between two frames {blocked:.0f} ms")
    print(f"JavaScript heap: {first_heap:.0f} MB before the first cell, {last_heap:.0f} MB at the end")
    print(f"CPU of the view's thread: {100 * sum(view.values()) / duration:.1f} % of one core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=1000)
    parser.add_argument("--ratios", type=int, default=9)
    parser.add_argument("--rate", type=float, default=200, help="cells a second")
    arguments = parser.parse_args()
    url, server = start_bokeh_server_session()
    try:
        watch(url, arguments)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
