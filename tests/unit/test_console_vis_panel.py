"""What the panel shows at any moment, at any size, to the byte."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from aimet_hooks.events import Progressed
from console_vis.glyphs import ASCII, UNICODE
from console_vis.panel import Panel
from console_vis.panel_table import window
from console_vis.watched_run import WatchedRun
from tests.unit.console_vis_runs import BEGIN, explored, failed, started, whole_run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimet_hooks.events import Event


def drawn(
    events: Iterable[Event],
    width: int = 60,
    height: int = 20,
    *,
    colours: bool = True,
    ascii_only: bool = False,
    later: float = 0.0,
) -> list[str]:
    watched = WatchedRun()
    for event in events:
        watched.apply(event)
    panel = Panel(watched, ASCII if ascii_only else UNICODE, colours=colours, now=watched.state.time + later)
    return [line.plain.rstrip() for line in panel.lines(width, height)]


def at_cell(number: int, **changes: object) -> list[Event]:
    return whole_run(**changes)[: 4 + number]


def test_an_exploration_shows_progress_the_latest_cell_and_the_table() -> None:
    assert drawn(at_cell(4)) == [
        "exploring  ━━━━━━━━────────────  4/9  1.0 evals/s  0:05 left",
        "baseline 0.9000 · latest stem at 0.5: 0.8900 (1.00 points lost)",
        "3 layers with 60% of the MACs · 1 skipped · 1 cell failed",
        "",
        "layer         .25    .5   .75     share",
        "stem         .500 ▸.890     ·     10.0%",
        "block.conv   .880     ·     ·     20.0%",
        "head         fail     ·     ·     30.0%",
        "",
        "points lost, up to  ≈0  .1  .5  1  2  5  10  >10   1 point = 0.01",
    ]


def test_the_legend_has_the_mark_where_there_is_room() -> None:
    assert drawn(at_cell(4), 74)[-1] == "points lost, up to  ≈0  .1  .5  1  2  5  10  >10   1 point = 0.01"
    assert drawn(at_cell(4), 75)[-1] == "points lost, up to  ≈0  .1  .5  1  2  5  10  >10   1 point = 0.01  ▸ latest"


def test_noise_is_among_the_facts_and_in_the_legend() -> None:
    events = at_cell(4)
    events[2] = replace(events[2], repeated_score=0.897)
    lines = drawn(events, 76)
    assert lines[2] == "3 layers with 60% of the MACs · 1 skipped · noise 0.3 points · 1 cell failed"
    assert lines[-1] == "points lost, up to  .3 (noise)  .5  1  2  5  10  >10   1 point = 0.01"
    assert drawn(events, 76, colours=False, ascii_only=True)[-1].startswith("points lost, up to _.3 (noise) :.5 -1")


def test_without_colours_signs_show_the_grades() -> None:
    lines = drawn(at_cell(4), colours=False)
    assert lines[5:8] == [
        "stem         .500█▸.890▄    ·     10.0%",
        "block.conv   .880▅    ·     ·     20.0%",
        "head         fail     ·     ·     30.0%",
    ]
    assert lines[-1] == "points lost, up to ▁≈0 ▂.1 ▃.5 ▄1 ▅2 ▆5 ▇10 █>10   1 point = 0.01"


def test_a_terminal_without_unicode_gets_ascii() -> None:
    lines = drawn(at_cell(4), colours=False, ascii_only=True)
    assert all(line.isascii() for line in lines)
    assert lines[5] == "stem         .500#>.890-    .     10.0%"


def test_colours_follow_the_drop_and_the_latest_cell_is_bold() -> None:
    watched = WatchedRun()
    for event in at_cell(4):
        watched.apply(event)
    line = Panel(watched, UNICODE, colours=True, now=BEGIN).lines(60, 20)[5]
    styles = {line.plain[span.start : span.end]: span.style for span in line.spans}
    assert styles[" .500 "] == "#ffffff on #870000"
    assert styles["▸.890 "] == "bold #000000 on #ffffd7"


def test_the_forecast_runs_down_between_two_cells() -> None:
    assert drawn(at_cell(4), later=2.0)[0].endswith("0:03 left")
    assert drawn(at_cell(4), later=99.0)[0].endswith("0:00 left")


def test_before_the_first_cell_the_forecast_comes_from_the_baseline() -> None:
    lines = drawn(at_cell(0))
    assert lines[0].endswith("0/9  0:04 left")
    assert lines[1] == "baseline 0.9000"


def test_a_better_and_an_equal_score_are_said_to_be() -> None:
    assert drawn(at_cell(7))[1].endswith("latest stem at 0.75: 0.9000 (as the baseline)")
    assert drawn(at_cell(8))[1].endswith("latest block.conv at 0.75: 0.9001 (0.01 points gained)")
    assert drawn(at_cell(3))[1].endswith("latest head at 0.25: failed")


@pytest.mark.parametrize(
    ("number", "phase"),
    [(0, "trying every layer  "), (2, "trying every layer  "), (4, "evaluating the original model  ")],
)
def test_before_the_baseline_the_phase_follows_the_trials(number: int, phase: str) -> None:
    steps = [Progressed(stage="preflight", completed=step, total=4) for step in range(1, number + 1)]
    lines = drawn([*whole_run()[:2], *steps])
    assert lines[0].startswith(phase)
    assert lines[3] == "skipped depthwise: depthwise convolution (group=8)"


def test_of_many_skipped_layers_the_last_are_shown() -> None:
    skipped = [replace(whole_run()[1], layer=f"layer{number}") for number in range(20)]
    lines = drawn([started(), *skipped])
    assert lines[3] == "skipped 14 more"
    assert lines[-1].startswith("skipped layer19: ")


def test_the_phases_after_the_exploration() -> None:
    events = whole_run()
    building = Progressed(stage="compression", completed=1, total=2)
    built = Progressed(stage="compression", completed=2, total=2)
    assert drawn(events[:4])[0].startswith("exploring  ")
    assert drawn(events[:13])[0].startswith("choosing ratios  ")
    assert drawn(events[:14])[0].startswith("compressing  ")
    assert drawn([*events[:15], building])[0].endswith("  1/2")
    assert drawn([*events[:16], built])[0].startswith("evaluating the compressed model  ")
    assert drawn(events)[0] == "finished  " + "━" * 50
    assert drawn([events[0], events[2]])[0].startswith("preparing the table  ")


def test_after_the_selection_the_chosen_cells_are_marked_and_stand_out() -> None:
    watched = WatchedRun()
    for event in whole_run()[:14]:
        watched.apply(event)
    lines = Panel(watched, UNICODE, colours=True, now=BEGIN).lines(80, 20)
    assert lines[1].plain == "baseline 0.9000 · chosen: 0.700 of the MACs kept · worst chosen cell 0.8990"
    assert lines[6].plain.rstrip() == "block.conv   .880 ◆.900  .900     20.0%"
    styles = [span.style for span in lines[6].spans]
    assert styles == ["dim", "bold #ffffff on #005faf", "dim", "dim"]
    assert lines[-1].plain.endswith("◆ chosen")


def test_the_end_shows_what_came_of_the_run() -> None:
    assert drawn(whole_run())[1] == "score 0.9000 → 0.8800 · 0.682 of the MACs, 0.813 of the weights kept"


def test_a_failure_keeps_the_table() -> None:
    lines = drawn([*at_cell(4), failed()])
    assert lines[0].startswith("failed  ")
    assert lines[1] == "baseline 0.9000 · ended in exploration"
    assert any("▸.890" in line for line in lines)


@pytest.mark.parametrize(
    ("error", "phase"), [("KeyboardInterrupt", "interrupted  ━"), ("TerminatedError", "terminated  ━")]
)
def test_a_run_that_was_interrupted_has_not_failed(error: str, phase: str) -> None:
    lines = drawn([*at_cell(4), failed(error, "")])
    assert lines[0].startswith(phase)
    assert lines[0].endswith("  4/9")
    assert lines[1] == "baseline 0.9000 · ended in exploration"


def test_more_layers_than_lines_show_those_around_the_latest_cell_and_count_the_others() -> None:
    names = [f"layer{number}" for number in range(50)]
    events = [started(names), *whole_run()[1:3], *explored(names, [[0.5] * 3] * 50)]
    lines = drawn(events[: 4 + 25], height=14)
    assert len(lines) == 14
    assert [line.split()[0] for line in lines[5:12]] == [f"layer{number}" for number in range(21, 28)]
    assert lines[12] == "▲ 21 more above   ▼ 22 more below"


def test_more_ratios_than_columns_are_shown_as_colours_alone() -> None:
    scores = [[0.9] * 19] * 3
    assert drawn([*whole_run()[:3], *explored(scores=scores)[:5]], width=60)[4:6] == [
        "layer        .05 .15 .25 .35 .45 .55 .65 .75 .85      share",
        "stem          ▸  · · · · · · · · · · · · · · · · ·    10.0%",
    ]
    assert drawn([*whole_run()[:3], *explored(scores=scores)[:5]], width=60, colours=False)[5:7] == [
        "stem         ▁▸▁ · · · · · · · · · · · · · · · · ·    10.0%",
        "block.conv   ▁ · · · · · · · · · · · · · · · · · ·    20.0%",
    ]


def test_more_ratios_than_even_that_leaves_room_for_are_counted() -> None:
    scores = [[0.9] * 99] * 3
    lines = drawn([*whole_run()[:3], *explored(scores=scores)[:5]], width=60)
    assert lines[8] == "75 more ratios"


def test_reused_cells_are_counted() -> None:
    events = at_cell(0)
    assert isinstance(events[3], type(explored()[0]))
    assert drawn([*events[:3], replace(events[3], reused=4)])[2].endswith("1 skipped · 4 cells known before")


def test_markup_and_escape_sequences_in_names_are_text_or_gone() -> None:
    lines = drawn(whole_run(("[red]a[/]", "\x1b[31mb\u202e", "c"))[:8])
    assert [line.split()[0] for line in lines[5:8]] == ["[red]a[/]", "b", "c"]


def test_a_run_that_begins_anew_starts_with_an_empty_panel() -> None:
    assert drawn([*whole_run(), started()]) == drawn([started()])


def test_nothing_is_drawn_where_there_is_no_room() -> None:
    assert drawn(at_cell(4), height=0) == []
    assert len(drawn(at_cell(4), height=2)) == 2


@given(st.integers(0, 60), st.integers(-3, 60), st.integers(0, 59))
def test_a_window_lies_inside_is_as_large_as_it_can_be_and_holds_its_position(total: int, room: int, at: int) -> None:
    first, end = window(total, room, min(at, max(total - 1, 0)))
    assert 0 <= first <= end <= total
    assert end - first == min(total, max(room, 0))
    assert end == first or first <= min(at, max(total - 1, 0)) < end


@settings(max_examples=60)
@given(st.integers(20, 200), st.integers(1, 60), st.integers(1, 40), st.integers(1, 30), st.integers(0, 100))
def test_the_table_never_leaves_its_size(width: int, height: int, layers: int, ratios: int, cells: int) -> None:
    names = [f"stage{number}.conv.with.a.long.name" for number in range(layers)]
    events = [started(names), *whole_run()[1:3], *explored(names, [[0.5] * ratios] * layers)[: cells + 1]]
    lines = drawn(events, width, height)
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines[4 : 4 + layers + 1] if line.startswith(("stage", "layer")))
