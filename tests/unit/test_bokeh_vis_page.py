"""What a page shows, as data: drawn step by step it is what it is drawn at once."""

from __future__ import annotations

import html
import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from bokeh.document import Document
from bokeh.models import Column, ColumnDataSource
from bokeh.models.annotations import BoxAnnotation
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.tables import DataTable

from aimet_hooks import recordings
from aimet_hooks.events import LayerSkipped
from aimet_hooks.run_state import RunState
from aimet_hooks.testing.sample_runs import (
    SAMPLE_RUNS,
    STRANGE_NAMES,
    finished_run,
    output_noise_run,
    run_of_strange_names,
    sensitivity_run,
    weight_ranges_run,
)
from bokeh_vis import page as pages
from bokeh_vis import score_table
from bokeh_vis.control import Claim
from bokeh_vis.page import Page
from bokeh_vis.parts import Parts
from tests import page_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimet_hooks.events import Event

SOURCES = ("cells", "choices", "skipped", "budget_measured", "budget_predicted", "weight_bits_rows")
TEXTS = (
    "header",
    "score_heading",
    "score_legend",
    "curves_heading",
    "choice_heading",
    "skipped_heading",
    "budget_heading",
    "weight_bits_heading",
)


OURS = Claim(owner="test")


def state_of(events: Sequence[Event]) -> RunState:
    run = RunState()
    for event in events:
        run.apply(event)
    return run


def drawn(events: Sequence[Event], columns: int = pages.COLUMNS) -> Page:
    run = state_of(events)
    page = pages.build(columns, clock=lambda: run.time)
    while page.draw(run, OURS):
        pass
    return page


def shown(page: Page) -> dict[str, Any]:
    """All data and texts by the names of their models."""
    found: dict[str, Any] = {}
    for name in SOURCES:
        source = page.root.select_one({"name": name})
        assert isinstance(source, ColumnDataSource)
        found[name] = {column: list(values) for column, values in source.data.items()}
    for name in TEXTS:
        text = page.root.select_one({"name": name})
        assert isinstance(text, Div)
        found[name] = text.text
    table = page.root.select_one({"name": "score_table"})
    found["columns"] = [(column.title, column.visible) for column in table.columns]  # type: ignore[union-attr]
    return found


def cells(page: Page) -> dict[str, list[str]]:
    return {name: column for name, column in shown(page)["cells"].items() if name.startswith("cell_")}


@pytest.mark.parametrize("events", SAMPLE_RUNS.values(), ids=SAMPLE_RUNS)
def test_a_page_drawn_step_by_step_is_the_page_drawn_at_once(events: Callable[[], list[Event]]) -> None:
    run = RunState()
    page = pages.build(clock=lambda: run.time)
    for number, event in enumerate(events(), start=1):
        run.apply(event)
        page.hear(event)
        page.draw(run, OURS)
        if number % 4 == 0 or number == len(events()):
            page.draw(run, OURS)
            at_once = shown(drawn(events()[:number]))
            step_by_step = shown(page)
            for name in (*SOURCES, "columns", *(text for text in TEXTS if text != "header")):
                assert step_by_step[name] == at_once[name], (name, number)
    assert shown(page)["header"] == shown(drawn(events()))["header"]


def test_a_second_run_on_the_same_models_leaves_nothing_of_the_first() -> None:
    page, run = pages.build(), RunState()
    second = page_runs.whole_run(page_runs.layer_names(2), 4, run_id="second")
    for event in [*page_runs.whole_run(page_runs.layer_names(5), 9), *second]:
        run.apply(event)
        page.hear(event)
        page.draw(run, OURS)
    assert shown(page) == shown(drawn(second))


def test_a_page_that_somebody_else_wrote_to_is_drawn_anew() -> None:
    page = drawn(finished_run())
    expected = shown(page)
    source = page.root.select_one({"name": "cells"})
    assert isinstance(source, ColumnDataSource)
    source.patch({"cell_0": [(0, "g7|0.1234")]})
    page.forget()
    run = state_of(finished_run())
    page.draw(run, OURS)
    assert shown(page) == expected


def test_rows_come_in_messages_of_bounded_size() -> None:
    layers, ratios = 5000, 20
    events = page_runs.whole_run(page_runs.layer_names(layers), ratios)
    run, page = state_of(events), pages.build()
    rows = []
    more = True
    while more:
        more = page.draw(run, OURS)
        rows.append(len(shown(page)["cells"]["layer"]))
    assert rows[-1] == layers
    most = score_table.CELLS_AT_ONCE // pages.COLUMNS
    assert all(after - before <= most for before, after in zip([0, *rows], rows, strict=False))
    assert sum(bool(re.match(r"\d", cell)) for column in cells(page).values() for cell in column) == layers * ratios


def test_cells_that_arrive_while_rows_are_missing_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_table, "CELLS_AT_ONCE", 2 * pages.COLUMNS)
    events = page_runs.whole_run(page_runs.layer_names(7), 3)
    page, run = pages.build(), RunState()
    for event in events:
        run.apply(event)
        page.hear(event)
        page.draw(run, OURS)
    while page.draw(run, OURS):
        pass
    assert shown(page)["cells"] == shown(drawn(events))["cells"]


def test_few_document_events_whatever_the_number_of_changes() -> None:
    events = page_runs.whole_run(page_runs.layer_names(200))
    page, run, document = pages.build(), RunState(), Document()
    document.add_root(page.root)
    counts: list[int] = []
    document.on_change(lambda _: counts.append(1))
    for at, event in enumerate(events):
        run.apply(event)
        page.hear(event)
        if at in (10, 11, 700, 1700, len(events) - 1):
            counts.clear()
            page.draw(run, OURS)
            assert len(counts) <= 24 or at == 10


def test_columns_are_lists_of_json_values_for_browsers_that_reconnect() -> None:
    page = drawn(run_of_strange_names())
    for source in page.root.select({"type": ColumnDataSource}):
        assert all(type(column) is list for column in source.data.values()), source.name
        json.dumps(dict(source.data), allow_nan=False)


def test_no_viewer_changes_what_the_others_see() -> None:
    assert not any(model.syncable for model in pages.build().root.references())


def test_ids_of_two_pages_never_meet() -> None:
    ids = [{model.id for model in pages.build().root.references()} for _ in range(2)]
    assert not ids[0] & ids[1]
    assert all(len(identity) > 20 for identity in ids[0])


def test_a_page_is_found_in_a_document_and_drawn_on() -> None:
    document = Document()
    assert pages.find(document) is None
    document.add_root(drawn(finished_run()).root)
    found = pages.find(document)
    assert found is not None
    assert shown(found) == shown(drawn(finished_run()))


def test_a_page_of_another_version_or_a_damaged_one_is_not_drawn_on() -> None:
    document = Document()
    other = pages.build()
    other.root.tags = ["page 0"]
    document.add_root(other.root)
    document.add_root(Column(name=pages.NAME, tags=[pages.SCHEMA]))
    assert pages.find(document) is None


def test_control_tells_whose_page_it_is() -> None:
    page = pages.build()
    assert page.control.claim == Claim()
    claim = Claim(owner="a", since=12.5, run_name="run", phase="exploring")
    page.control.beat(claim, current=3)
    page.control.reload_tabs()
    assert Page(page.root).control.claim == claim


def test_what_comes_from_outside_is_escaped_in_every_text() -> None:
    names = [*STRANGE_NAMES, "<img src=x onerror=alert(1)>"]
    page = drawn(finished_run(names, skipped="<script>"))
    for name in TEXTS:
        text = str(shown(page)[name])
        assert "<script" not in text
        assert "<img" not in text
    assert html.escape("<img src=x onerror=alert(1)>") not in shown(page)["cells"]["layer"]
    assert "<img src=x onerror=alert(1)>" in shown(page)["cells"]["layer"]


def test_a_finished_run_says_what_came_of_it() -> None:
    text = shown(drawn(finished_run()))["header"]
    for part in (
        "sample",
        ">done<",
        "0.9000 → 0.8125",
        "8.75 points worse",
        "most cells score better",
        "1 cell failed",
    ):
        assert part in text


def test_a_waiting_page_says_how_a_run_is_started() -> None:
    page = pages.build()
    text = shown(page)["header"]
    assert "compress_model(model, eval_callback, ..., visualization_url=" in text
    assert "analyze_sensitivity(model, eval_callback, ..., visualization_url=" in text
    page.draw(RunState(), OURS)
    assert shown(page)["header"] == text


def test_looks_of_cells() -> None:
    exploring = cells(drawn(finished_run()[:-9]))
    assert exploring["cell_1"][1] == "|failed|failed|RuntimeError: out of memory"
    finished = cells(drawn(finished_run()))
    assert finished["cell_1"][0].startswith("4998500|g7 chosen|0.7500|rank ")
    third = [column[2].split("|")[1:3] for column in finished.values()]
    assert third[:4] == [["g7", "0.6875"], ["g7", "0.7500"], ["g6", "0.8125"], []]
    looks = [cell.split("|")[1] for column in exploring.values() for cell in column if cell]
    assert sum("last" in look for look in looks) == 1
    assert sum("last" in cell for column in finished.values() for cell in column) == 0


BANDS = ("curve_band", "budget_band")


def test_noise_is_a_band_the_first_colour_and_said() -> None:
    page = drawn(page_runs.whole_run(page_runs.layer_names(10), noise=0.003))
    for name in BANDS:
        band = page.root.select_one({"name": name})
        assert isinstance(band, BoxAnnotation)
        assert band.visible
        assert (band.bottom, band.top) == (pytest.approx(0.7582), pytest.approx(0.7642))
    texts = shown(page)
    assert "band: noise, two evaluations of the original model differ by 0.003" in texts["curves_heading"]
    assert '<b class="g0">.3 (noise)</b> <b class="g2">.5</b>' in texts["score_legend"]
    assert (
        "<b>Noise:</b> the original model scores 0.7612, and 0.7582 when evaluated again (0.3 points); at ratio 0.9 "
    ) in texts["header"]
    assert "under 0.3 points lost" in texts["header"]
    grades = {cell.split("|")[1][:2] for column in cells(page).values() for cell in column if cell}
    assert "g0" in grades
    assert "g1" not in grades


@pytest.mark.parametrize("noise", [0.0, 1e-12])
def test_without_noise_there_is_no_band(noise: float) -> None:
    page = drawn(page_runs.whole_run(page_runs.layer_names(10), noise=0.003))
    for event in page_runs.whole_run(page_runs.layer_names(10), noise=noise, run_id="second"):
        page.hear(event)
    page.draw(state_of(page_runs.whole_run(page_runs.layer_names(10), noise=noise, run_id="second")), OURS)
    assert [page.root.select_one({"name": name}).visible for name in BANDS] == [False, False]  # type: ignore[union-attr]
    texts = shown(page)
    assert "noise" not in texts["curves_heading"] + texts["budget_heading"] + texts["score_legend"]
    assert "evaluated again" not in texts["header"]


def test_noise_of_more_than_a_point_is_in_sight() -> None:
    page = drawn(page_runs.whole_run(page_runs.layer_names(10), noise=0.02))
    span = page.root.select_one({"name": "curve_span"})
    assert isinstance(span, ColumnDataSource)
    assert span.data["y"] == [pytest.approx(0.7412), pytest.approx(0.7812)]


def test_silence_and_forecast_while_exploring() -> None:
    events = page_runs.whole_run(page_runs.layer_names(10))[:60]
    run = state_of(events)
    now = run.time + 300
    page = pages.build(clock=lambda: now)
    page.draw(run, OURS)
    text = shown(page)["header"]
    assert "nothing new for 5:00" in text
    assert "left" not in text  # a forecast that nothing bears out
    assert ">exploring<" in text
    now = run.time + 1
    page.draw(run, OURS)
    assert "left" in shown(page)["header"]
    assert "nothing new" not in shown(page)["header"]


def test_a_run_of_which_only_the_log_is_known_and_that_is_silent_is_doubted() -> None:
    run = state_of(page_runs.whole_run(page_runs.layer_names(10))[:60])
    page = pages.build(clock=lambda: run.time + 300)
    page.draw(run, OURS, follows_log=True)
    assert ">quiet since " in shown(page)["header"]
    assert "its process is gone" in shown(page)["header"]


def test_a_recording_does_not_age() -> None:
    run = state_of(page_runs.whole_run(page_runs.layer_names(10))[:60])
    page = pages.build(clock=lambda: run.time + 300)
    page.draw(run, OURS, goes_on=False)
    assert "nothing new" not in shown(page)["header"]
    assert page.control.claim.phase == "finished"
    bare = pages.build()
    bare.draw(state_of(recordings.from_tables(name="bare", table={"a": {0.5: 0.9}})), OURS)
    assert "nothing new" not in shown(bare)["header"]


def test_cells_sort_as_their_scores_do_however_they_look() -> None:
    columns = cells(drawn(page_runs.whole_run(page_runs.layer_names(200), minimize=True)))
    for column in columns.values():
        scores = [float(cell.split("|")[2]) for cell in sorted(column) if cell]
        assert all(after >= before - 0.01 for before, after in itertools.pairwise(scores))  # four digits are shown


def test_names_that_mean_something_to_tex_are_never_read_as_that() -> None:
    for div in pages.build().root.select({"type": Div}):
        assert div.disable_math


def test_the_budget_curve_has_what_was_measured_and_apart_from_it_what_was_predicted() -> None:
    page = drawn(finished_run())
    measured, predicted = (
        page.root.select_one({"name": name}).data
        for name in ("budget_measured", "budget_predicted")  # type: ignore[union-attr]
    )
    assert list(zip(measured["x"], measured["y"], measured["what"], strict=True)) == [
        (0.4375, 0.8125, "measured"),
        (0.4375, 0.8125, "the result"),
        (1.0, 0.9, "the original model"),
    ]
    assert predicted["y"] == [0.71875, 0.9]
    words = page.root.select_one({"name": "budget_heading"}).text  # type: ignore[union-attr]
    assert "optimistic" in words
    assert page.root.select_one({"name": "budget_figure"}).visible  # type: ignore[union-attr]


def test_without_measured_models_there_is_no_budget_curve() -> None:
    page = drawn(finished_run()[:12])
    assert not page.root.select_one({"name": "budget_figure"}).visible  # type: ignore[union-attr]
    assert "measured after the exploration" in page.root.select_one({"name": "budget_heading"}).text  # type: ignore[union-attr]


def visible(page: Page, name: str) -> bool:
    found = page.root.select_one({"name": name})
    assert found is not None
    return bool(found.visible)  # type: ignore[attr-defined]


def test_layers_by_bit_widths_are_on_the_page_of_layers_by_ratios() -> None:
    page = drawn(sensitivity_run())
    found = shown(page)
    assert [column for column in found["columns"] if column[1]][-2:] == [("4 bits", True), ("8 bits", True)]
    assert found["cells"]["layer"] == ["conv1", "layer1.0.conv1", "fc"]
    assert found["cells"]["cell_0"][0] == "4999688|g5|0.8688|SQNR of what the layer gives: 24.0 dB"
    assert found["cells"]["cell_1"][2].split("|")[1:] == ["failed", "failed", "RuntimeError: out of memory"]
    assert "Scores with one layer quantized" in found["score_heading"]
    assert "3 layers by 2 bit widths" in found["score_heading"]
    assert "Score by bit width" in found["curves_heading"]
    assert "down to the bit width" in found["header"]
    assert "<b>Sacred</b> (over 5 points lost, already at the bit width): none" in found["header"]
    assert visible(page, "table")
    assert not visible(page, "decision")
    assert not visible(page, "budget_card")


def test_the_weights_of_layers_that_will_break_come_first_with_cause_and_remedy() -> None:
    page = drawn(weight_ranges_run())
    found = shown(page)
    rows = found["weight_bits_rows"]
    assert rows["layer"] == ["fc", "conv1"]
    assert (rows["bits"][0], rows["bits"][1], rows["bits_bar"][1]) == (None, 2.75, 34.4)
    assert rows["widest"][:2] == ["", "17, 40.5 times"]
    assert rows["what"][1].startswith("Channel 17 is 40.5 times as wide")
    assert "on 8 bits: 2 layers will break" in found["weight_bits_heading"]
    assert visible(page, "weight_bits")
    assert not visible(page, "table")
    assert visible(page, "skipped_layers")
    assert not visible(drawn(finished_run()), "weight_bits")


def test_noise_without_scores_is_beside_the_weights() -> None:
    def titles(page: Page) -> list[str | None]:
        return [
            column.title for column in Parts(page.root).get("weight_bits_table", DataTable).columns if column.visible
        ]

    page = drawn(output_noise_run())
    assert shown(page)["weight_bits_rows"]["sqnr"] == ["23.0 · 47.0", "24.0 · 48.0"]
    assert "example inputs with its weights quantized to 4 and 8 bits" in shown(page)["weight_bits_heading"]
    assert not visible(page, "table")
    assert "SQNR, dB" in titles(page)
    assert "SQNR, dB" not in titles(drawn(weight_ranges_run()))


def test_an_analysis_that_skips_nothing_has_no_card_for_it() -> None:
    page = drawn([event for event in weight_ranges_run() if not isinstance(event, LayerSkipped)])
    assert not visible(page, "skipped_layers")
    compressed = drawn([event for event in finished_run() if not isinstance(event, LayerSkipped)])
    assert visible(compressed, "skipped_layers")
