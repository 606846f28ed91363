"""What a viewer may try on the page of a run: another target, locked layers; offline, in real Chromium."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from torch import nn

from aimet_hooks import (
    GreedySelection,
    KnapsackSelection,
    LayerOptions,
    ManualSelection,
    compress_model,
    demo,
    hookimpl,
    load_run,
)
from aimet_hooks.cli import main
from tests.integration.page_reading import data, visible_text, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from aimet_hooks.events import LayerCompressed
    from aimet_hooks.strategies import TableSelection
    from tests.integration.servers import PlainServer

RULES: dict[str, type[TableSelection]] = {"greedy": GreedySelection, "knapsack": KnapsackSelection}
WORDS = "model('what_if_words').text"


def compress_demo(results_dir: Path, selection: TableSelection | ManualSelection, **arguments: Any) -> None:
    compress_model(
        demo.model_path(),
        demo.accuracy(),
        input_shape=demo.INPUT_SHAPE,
        layers_to_ignore=[demo.HEAD],
        selection=selection,
        results_dir=results_dir,
        **({"plugins": ["bokeh"]} | arguments),
    )


@pytest.fixture(scope="module", params=RULES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's exploration by each rule."""
    path = tmp_path_factory.mktemp("what if") / "it's a run"
    compress_demo(path, RULES[request.param](target_comp_ratio=0.5))
    return path


@pytest.fixture
def tab(run: Path, browser: Browser) -> Iterator[Page]:
    """Its report, without a network."""
    context = browser.new_context(offline=True, viewport={"width": 1500, "height": 1000})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    errors: list[str] = []
    tab = context.new_page()
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((run / "report.html").as_uri())
    wait_for(tab, "data('curves').xs.length > 0")
    yield tab
    context.close()
    assert errors == []


def move(tab: Page, target: float) -> None:
    """Set the slider, as a viewer does by dragging it."""
    tab.evaluate(f"Bokeh.documents[0].get_model_by_name('what_if_slider').value = {target}")


def shown(tab: Page) -> dict[str, float | None]:
    """The ratios in the table of choices."""
    choices = data(tab, "choices")
    ratios = [None if ratio == 1 else ratio for ratio in choices["ratio"]]
    return dict(zip(choices["layer"], ratios, strict=True))


def outlined(tab: Page) -> dict[str, float | None]:
    """The outlined cells in the table of scores."""
    cells = data(tab, "cells")
    ratios: dict[str, float | None] = dict.fromkeys(cells["layer"])
    for place in range(9):
        for layer, cell in zip(cells["layer"], cells[f"cell_{place}"], strict=True):
            if "chosen" in cell.split("|")[1].split():
                assert ratios[layer] is None
                ratios[layer] = (place + 1) / 10
    return ratios


def lock(tab: Page, layer: str) -> None:
    """Tick a row of the table of choices."""
    rows = tab.locator(".slick-row").filter(has=tab.get_by_text(layer, exact=True))
    rows.filter(has=tab.locator(".ratio")).locator(".slick-cell.l0").click()


@pytest.mark.parametrize("target", [0.2, 0.35, 0.77, 0.99])
def test_the_slider_chooses_what_python_chooses(run: Path, tab: Page, target: float) -> None:
    move(tab, target)
    wait_for(tab, f"{WORDS}.includes('What if')")
    chosen = load_run(run).select(target_comp_ratio=target)
    assert shown(tab) == chosen.comp_ratios
    assert outlined(tab) == chosen.comp_ratios
    text = visible_text(tab)
    assert f"{chosen.achieved_comp_ratio:.3f} of the MACs" in text
    wait_for(tab, "data('budget_what_if').x.length === 1")
    (kept,), (score,) = (data(tab, "budget_what_if")[axis] for axis in "xy")
    assert kept == pytest.approx(chosen.achieved_comp_ratio)
    assert score == pytest.approx(chosen.predicted_score)
    assert f"{chosen.predicted_score:.4f}" in text
    assert "not measured" in text


def test_it_shows_what_a_run_to_that_target_shows(run: Path, tab: Page, browser: Browser, tmp_path: Path) -> None:
    rule = load_run(run).select(target_comp_ratio=0.3).rule
    compress_demo(tmp_path / "again", RULES[rule](target_comp_ratio=0.3, saved_eval_scores=run))
    other = browser.new_page()
    other.goto((tmp_path / "again" / "report.html").as_uri())
    wait_for(other, "data('curves').xs.length > 0")
    move(tab, 0.3)
    wait_for(tab, f"{WORDS}.includes('What if')")
    wait_for(
        tab, f"JSON.stringify(data('steps')) === {json.dumps(json.dumps(data(other, 'steps'), separators=(',', ':')))}"
    )
    assert data(tab, "choices") == data(other, "choices")
    other.close()


def test_locked_layers_stay_and_going_back_forgets_them(run: Path, tab: Page) -> None:
    before, cells = data(tab, "choices"), outlined(tab)
    lock(tab, "block1.conv1")
    locked = {"block1.conv1": shown(tab)["block1.conv1"]}
    move(tab, 0.3)
    wait_for(tab, f"{WORDS}.includes('1 locked')")
    assert shown(tab) == load_run(run).select(target_comp_ratio=0.3, locked=locked).comp_ratios
    move(tab, 0.1)
    wait_for(tab, f"{WORDS}.includes('cannot be reached with 1 locked: the lowest is 0.')")
    lock(tab, "block1.conv1")
    wait_for(tab, f"{WORDS}.includes('7 of 8') || {WORDS}.includes('8 of 8')")
    assert shown(tab) == load_run(run).select(target_comp_ratio=0.1).comp_ratios
    tab.get_by_role("button", name="Back to the run's choice").click()
    wait_for(tab, f"{WORDS}.includes('Move the slider')")
    assert outlined(tab) == cells
    assert data(tab, "choices") == before
    wait_for(tab, "data('budget_what_if').x.length === 0")


@pytest.mark.parametrize("rule", RULES)
def test_tied_layers_and_costs_of_ones_own(rule: str, tmp_path: Path, open_tab: Callable[[str], Page]) -> None:
    compress_demo(
        tmp_path,
        RULES[rule](target_comp_ratio=0.5, use_monotonic_fit=True),
        layer_options={
            "block1.*": LayerOptions(tie="block 1"),
            "block2.conv*": LayerOptions(tie="2", min_comp_ratio=0.3),
        },
        cost_metric=lambda layer, rank: len(layer) * 0.37 * (64 if rank is None else 10 + (rank // 4) * 4),
    )
    tab = open_tab((tmp_path / "report.html").as_uri())
    wait_for(tab, "data('curves').xs.length > 0")
    for target in (0.55, 0.61, 0.8):
        move(tab, target)
        wait_for(tab, f"{WORDS}.includes('What if')")
        assert shown(tab) == load_run(tmp_path).select(target_comp_ratio=target).comp_ratios
    assert shown(tab)["block1.conv1"] == shown(tab)["block1.conv2"]


def test_the_choice_can_be_taken_along(
    run: Path, tab: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock(tab, "block1.conv1")
    move(tab, 0.3)
    wait_for(tab, f"{WORDS}.includes('1 locked')")
    tab.get_by_role("button", name="Copy this choice").click()
    wait_for(tab, "model('what_if_copy').label === 'Copied'")
    copied = str(tab.evaluate("navigator.clipboard.readText()"))
    code = "\n".join(line for line in copied.splitlines() if not line.startswith("#"))
    names: dict[str, Any] = {"ManualSelection": ManualSelection}
    exec(code, names)  # noqa: S102 -- it is what a user pastes
    assert dict(names["selection"].comp_ratios) == shown(tab)
    select, apply = (shlex.split(line[2:]) for line in copied.splitlines() if line.startswith("# aimet-hooks"))
    monkeypatch.chdir(tmp_path)
    assert main(select[1:]) == 0
    assert json.loads((tmp_path / "ratios.json").read_text()) == shown(tab)
    said = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(said) == apply
    apply[apply.index("MODEL.onnx")] = str(demo.model_path())
    assert main(apply[1:]) == 0
    assert (tmp_path / "OUT.onnx").exists()


def test_the_runs_own_choice_can_be_taken_along(run: Path, tab: Page, tmp_path: Path) -> None:
    tab.get_by_role("button", name="Copy this choice").click()
    wait_for(tab, "model('what_if_copy').label === 'Copied'")
    copied = str(tab.evaluate("navigator.clipboard.readText()"))
    (apply,) = (shlex.split(line[2:]) for line in copied.splitlines() if line.startswith("# aimet-hooks"))
    apply[apply.index("MODEL.onnx")] = str(demo.model_path())
    apply[apply.index("OUT.onnx")] = str(tmp_path / "out.onnx")
    assert main(apply[1:]) == 0


def test_a_click_on_a_layer_says_why_it_has_its_ratio(tab: Page) -> None:
    tab.locator(".slick-cell").filter(has=tab.locator(".ratio")).first.click()
    wait_for(tab, "model('choice_why').text.includes('one step cheaper, at ratio')")
    sentence = str(tab.evaluate("Bokeh.documents[0].get_model_by_name('choice_why').text"))
    assert "of the model's MACs, this layer alone." in sentence


def test_steps_are_the_next_cheaper_cells_sorted_by_what_they_cost(run: Path, tab: Page) -> None:
    state = load_run(run).state
    assert state.baseline
    assert state.selection
    prices = {}
    for layer, ratio in state.selection.comp_ratios.items():
        row = state.scores[layer]
        cost = state.cost(layer) if ratio is None else row[ratio].macs
        score = state.baseline.score if ratio is None else row[ratio].score
        cheaper = [cell for cell in row.values() if (cell.macs or 0) < (cost or 0)]
        if cheaper:
            after = max(cheaper, key=lambda cell: (cell.macs or 0, -cell.comp_ratio))
            points = 100 * ((score or 0) - (after.score or 0))
            prices[layer] = points / (100 * ((cost or 0) - (after.macs or 0)) / state.total_cost)
    steps = data(tab, "steps")
    assert dict(zip(steps["name"], steps["right"], strict=True)) == pytest.approx(prices)
    assert steps["right"] == sorted(steps["right"])


def test_on_a_live_page_every_viewer_tries_for_himself(
    plain_server: PlainServer, open_tab: Callable[[str], Page], tmp_path: Path
) -> None:
    mine = open_tab(plain_server.page)
    compress_demo(tmp_path, GreedySelection(target_comp_ratio=0.5), visualization_url=plain_server.url)
    other = open_tab(plain_server.page)
    for tab in (mine, other):
        wait_for(tab, "data('curves').xs.length > 0 && model('header').text.includes('>done<')")
    before = shown(other)
    move(mine, 0.3)
    wait_for(mine, f"{WORDS}.includes('What if')")
    assert shown(mine) == load_run(tmp_path).select(target_comp_ratio=0.3).comp_ratios
    third = open_tab(plain_server.page)
    wait_for(third, "data('curves').xs.length > 0")
    assert shown(other) == shown(third) == before


class Pausing:
    """A plugin that keeps the run at its first compressed layer until it is let go."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    @hookimpl
    def on_layer_compressed(self, event: LayerCompressed) -> None:
        self.reached.set()
        self.go.wait(60)


def test_a_try_outlives_what_the_run_draws_and_ends_with_the_next_run(
    plain_server: PlainServer, open_tab: Callable[[str], Page], tmp_path: Path
) -> None:
    tab, pausing = open_tab(plain_server.page), Pausing()
    options: dict[str, Any] = {"visualization_url": plain_server.url, "plugins": ["bokeh", pausing]}
    run = threading.Thread(
        target=compress_demo, args=(tmp_path / "a", GreedySelection(target_comp_ratio=0.5)), kwargs=options
    )
    run.start()
    assert pausing.reached.wait(60)
    wait_for(tab, "data('choices').layer.length === 8")
    lock(tab, "stem")
    move(tab, 0.3)
    wait_for(tab, f"{WORDS}.includes('1 locked')")
    tried = shown(tab)
    pausing.go.set()
    run.join()
    wait_for(tab, "model('header').text.includes('>done<')")
    assert shown(tab) == outlined(tab) == tried
    compress_demo(tmp_path / "b", KnapsackSelection(target_comp_ratio=0.4), **options)
    wait_for(tab, f"model('header').text.includes('>done<') && {WORDS}.includes('Move the slider')")
    wait_for(tab, "data('budget_what_if').x.length === 0 && model('choices').selected.indices.length === 0")
    assert shown(tab) == load_run(tmp_path / "b").select(target_comp_ratio=0.4).comp_ratios
    assert "What if:" not in visible_text(tab)


def test_what_is_copied_is_what_is_shown_after_a_refusal_and_after_a_lock(run: Path, tab: Page) -> None:
    move(tab, 0.9)
    wait_for(tab, f"{WORDS}.includes('What if')")
    locked = ("block1.conv1", "block1.conv2", "block2.conv1")
    for layer in locked:
        lock(tab, layer)
    wait_for(tab, f"{WORDS}.includes('3 locked')")
    move(tab, 0.2)
    wait_for(tab, f"{WORDS}.includes('cannot be reached with 3 locked')")
    tab.get_by_role("button", name="Copy this choice").click()
    wait_for(tab, "model('what_if_copy').label === 'Copied'")
    select, _ = (line for line in str(tab.evaluate("navigator.clipboard.readText()")).splitlines() if "# aimet" in line)
    assert "--target 0.9 " in select
    ratios = {layer: shown(tab)[layer] for layer in locked}
    assert shown(tab) == load_run(run).select(target_comp_ratio=0.9, locked=ratios).comp_ratios
    tab.get_by_role("button", name="Back to the run's choice").click()
    wait_for(tab, f"{WORDS}.includes('Move the slider')")
    lock(tab, "block1.conv1")
    wait_for(tab, "!model('what_if_reset').disabled")


def test_the_reason_follows_the_ratio(tab: Page) -> None:
    rows = tab.locator(".slick-row", has=tab.locator(".ratio"))
    rows.filter(has=tab.get_by_text("block1.conv2", exact=True)).locator(".ratio").click()
    wait_for(tab, "model('choice_why').text.includes('at ratio')")
    before = tab.evaluate("Bokeh.documents[0].get_model_by_name('choice_why').text")
    move(tab, 0.9)
    wait_for(tab, f"model('choice_why').text !== {json.dumps(before)}")


def test_names_with_line_breaks_stay_on_their_line(tmp_path: Path, browser: Browser) -> None:
    name = "new\nimport os"
    model = nn.Sequential()
    model.add_module(name, nn.Conv2d(8, 8, 3))
    compress_model(
        model,
        lambda module: 0.9,
        input_shape=(1, 8, 8, 8),
        selection=GreedySelection(target_comp_ratio=0.6),
        results_dir=tmp_path,
        plugins=["bokeh"],
    )
    context = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    wait_for(tab, "data('curves').xs.length > 0")
    move(tab, 0.8)
    wait_for(tab, f"{WORDS}.includes('What if')")
    tab.locator(".slick-row", has=tab.locator(".ratio")).locator(".slick-cell.l0").click()
    wait_for(tab, f"{WORDS}.includes('1 locked')")
    tab.get_by_role("button", name="Copy this choice").click()
    wait_for(tab, "model('what_if_copy').label === 'Copied'")
    copied = str(tab.evaluate("navigator.clipboard.readText()"))
    names: dict[str, Any] = {"ManualSelection": ManualSelection}
    exec(copied, names)  # noqa: S102 -- it is what a user pastes
    assert list(names["selection"].comp_ratios) == [name]
    (select,) = (line for line in copied.splitlines() if line.startswith("# aimet-hooks select"))
    locks = "printf '%s|' " + select.partition("--lock ")[2]
    words = subprocess.run(["bash", "-c", locks], capture_output=True, text=True, check=True).stdout
    assert words.startswith(f"{name}=0.")
    context.close()


def test_there_is_no_slider_without_a_table(tmp_path: Path, open_tab: Callable[[str], Page]) -> None:
    compress_demo(tmp_path, ManualSelection({"stem": 0.5}))
    tab = open_tab((tmp_path / "report.html").as_uri())
    wait_for(tab, "data('choices').layer.length > 0")
    assert not tab.evaluate("Bokeh.documents[0].get_model_by_name('what_if').visible")
