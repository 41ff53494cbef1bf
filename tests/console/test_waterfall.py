from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mee6.records import Stage as Told
from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.pieces import Piece, text_of, width_of
from mee6tui.console.widgets.waterfall import Waterfall
from mee6tui.console.widgets.waterfall_layout import (
    LETTERS,
    TONES,
    Axis,
    Bar,
    Window,
    axis_of,
    cells,
    critical,
    laid_over,
    quiet,
    roomy,
    ticks,
)
from mee6tui.console.widgets.waterfall_sheet import Sheet, covered
from mee6tui.steps import KINDS, in_call_order, times
from tests.console.made import MS, Stage, by_id, handover, invocation, step

ASCII = Palette("ascii", DARK.colors, ascii=True)
LIVE = by_id(
    step("i7", ("queued", 0, 1), ("start", 1, 60), ("load", 60, 91), ("run", 91, 0),
         function="pipeline", state="running", start="cold"),
    step("i7.1", ("load", 92, 110), ("run", 110, 140), function="clean", worker="w2"),
    step("i7.2", ("run", 140, 300), function="enrich", worker="w3"),
    step("i7.2.1", ("run", 141, 200), function="tax", worker="w4"),
    step("i7.2.2", ("run", 141, 170), function="price", worker="w5", state="failed",
         error="no price\x1b[31m for it\nmore"),
)  # fmt: skip


def drawn(pieces: list[Piece]) -> str:
    return text_of(pieces)


# -- the axis and the window


def test_every_kind_of_span_has_its_own_letter_and_tone() -> None:
    assert set(LETTERS) == set(TONES) == {*KINDS, "handover"}
    assert len(set(LETTERS.values())) == len(set(TONES.values())) == len(KINDS) + 1
    assert set(TONES.values()) <= set(DARK.colors)


def test_quiet_stretches_are_those_where_nothing_begins_or_ends() -> None:
    assert quiet([0, 10, 20, 1000, 1010]) == ((20, 1000),)
    assert quiet([0, 10, 20, 30]) == ((0, 10), (10, 20), (20, 30))
    assert quiet([0, 5]) == ()


def test_a_squeezed_axis_keeps_what_is_beside_the_gap_to_scale() -> None:
    axis = axis_of([0, 10, 20, 30, 40, 50, 60, 1060, 1070], 0, squeezed=True)
    assert axis.gaps == ((60, 1060),)
    assert axis.drawn(20) - axis.drawn(10) == 10
    assert axis.drawn(1070) - axis.drawn(1060) == pytest.approx(10)
    assert 0 < axis.drawn(1060) - axis.drawn(60) < 10


@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=30), st.integers(0, 12_000))
def test_an_axis_leads_back_to_the_same_time(edges: list[int], at: int) -> None:
    axis = axis_of(edges, min(edges), squeezed=True)
    assert axis.real(axis.drawn(max(at, min(edges)))) == pytest.approx(max(at, min(edges)), abs=1 + 0.002 * at)


@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=30), st.integers(0, 9_999))
def test_later_is_never_drawn_further_left(edges: list[int], at: int) -> None:
    axis = axis_of(edges, min(edges), squeezed=True)
    assert axis.drawn(at) <= axis.drawn(at + 1)


def test_zooming_keeps_what_is_pointed_at_where_it_is() -> None:
    whole = Window(0, 1_000_000)
    near = whole.zoomed(0.5, 250_000, whole)
    assert (near.low, near.high) == (125_000, 625_000)
    assert near.column(250_000, 100) == whole.column(250_000, 100) == 25
    assert near.zoomed(10, 250_000, whole) == whole


def test_panning_stops_at_both_ends() -> None:
    whole = Window(0, 1000)
    assert Window(0, 100).panned(-0.5, whole) == Window(0, 100)
    assert Window(850, 950).panned(1, whole) == Window(900, 1000)


@given(st.floats(0.01, 100), st.floats(0, 1e6), st.integers(0, 10))
def test_no_zoom_and_no_pan_leaves_the_whole(factor: float, around: float, pans: int) -> None:
    whole = Window(0, 1e6)
    window = whole
    for _ in range(pans):
        window = window.zoomed(factor, around, whole).panned(0.3, whole)
    assert whole.low <= window.low < window.high <= whole.high + 1e-6


def test_a_growing_length_changes_its_scale_seldom() -> None:
    scales = {roomy(length * MS) for length in range(1, 1000)}
    assert all(length * MS <= roomy(length * MS) for length in range(1, 1000))
    assert len(scales) < 40


def test_ticks_are_round_and_far_enough_apart_to_be_read() -> None:
    found = ticks(Axis(0), Window(0, 400 * MS), 60)
    assert [label for _, label in found] == ["0", "100ms", "200ms", "300ms"]
    assert all(b - a >= 11 for (a, _), (b, _) in pairwise(found))


def test_there_are_no_ticks_within_time_that_is_left_out() -> None:
    axis = axis_of([0, 10 * MS, 20 * MS, 900_000 * MS, 900_010 * MS], 0, squeezed=True)
    found = ticks(axis, Window(0, axis.drawn(900_010 * MS)), 80)
    assert len(found) < 8
    assert {label for _, label in found} <= {"0", "5.00ms", "10.0ms", "15.0ms", "20.0ms", "15m00s"}


# -- cells


def bar(start: float, end: float, kind: str = "run") -> Bar:
    return Bar(start, end, kind, TONES[kind])


def test_ends_are_drawn_to_an_eighth_of_a_cell() -> None:
    assert drawn(cells([bar(0, 2.5)], 4, textured=False)) == "██▌ "
    assert drawn(cells([bar(0, 0.125)], 2, textured=False)) == "▏ "


def test_a_bar_that_begins_within_a_cell_is_drawn_by_its_ground() -> None:
    first = cells([bar(0.5, 2)], 3, textured=False)[0]
    assert (first.text, first.tone, first.on) == ("▌", "background", "busy")


def test_two_kinds_share_the_cell_where_they_meet() -> None:
    found = cells([bar(0, 1.25, "load"), bar(1.25, 3)], 3, textured=False)
    assert [(piece.text, piece.tone, piece.on) for piece in found] == [
        ("█", "loading", ""), ("▎", "loading", "busy"), ("█", "busy", ""),
    ]  # fmt: skip


def test_a_wide_part_has_its_letter() -> None:
    assert drawn(cells([bar(0, 5, "start"), bar(5, 6)], 8, textured=False)) == "S    █  "


def test_without_colours_kinds_are_told_by_letters() -> None:
    bars = [bar(0, 2, "queued"), bar(2, 5, "load"), bar(5, 6, "handover"), bar(6, 9)]
    assert drawn(cells(bars, 10, textured=True, ascii_only=True)) == "Q-L--HR== "
    assert drawn(cells(bars, 10, textured=True)) == "Q░L▓▓H███ "


@given(
    st.lists(st.floats(-50, 150), min_size=2, max_size=12).map(sorted),
    st.integers(1, 80),
    st.booleans(),
    st.booleans(),
)
def test_bars_fill_their_room_exactly(edges: list[float], room: int, textured: bool, ascii_only: bool) -> None:
    kinds = list(KINDS) * 3
    bars = [Bar(a, b, kind, TONES[kind]) for a, b, kind in zip(edges, edges[1:], kinds, strict=False)]
    found = cells(bars, room, textured=textured, ascii_only=ascii_only and textured)
    assert width_of(found) == room
    if ascii_only and textured:
        assert drawn(found).isascii()


# -- the critical path


def test_the_critical_path_is_what_the_end_waited_for() -> None:
    steps = by_id(
        step("i", ("run", 0, 100)),
        step("i.1", ("run", 0, 40)),
        step("i.2", ("run", 0, 30)),
        step("i.3", ("run", 41, 99)),
        step("i.3.1", ("run", 50, 60)),
        step("i.4", ("run", 41, 45)),
    )
    placed = in_call_order(steps.values())
    found = critical(placed, {one.step.id: times(one.step, 100 * MS) for one in placed})
    assert found == {"i", "i.1", "i.3", "i.3.1"}


def test_a_critical_path_of_nothing_is_empty() -> None:
    assert critical([], {}) == frozenset()


def test_time_is_covered_once() -> None:
    assert covered([(0, 10), (5, 15), (20, 30), (21, 22)]) == 25


# -- the sheet


def sheet(palette: Palette = DARK, *, now: float = 400, **steps: object) -> Sheet:
    made = Sheet(palette, textured=palette.ascii)
    made.show(invocation(), LIVE)
    made.arrange(int(now * MS))
    return made


def rows(of: Sheet, now: float = 400, width: int = 80) -> list[str]:
    return [drawn(of.row(place, int(now * MS), width)) for place in range(len(of.rows))]


def test_steps_stand_under_their_callers_with_worker_and_time() -> None:
    lines = rows(sheet())
    assert [line[1:18].split() for line in lines] == [
        ["▶", "▾", "pipeline", "w1"],
        ["✓", "clean", "w2"],
        ["✓", "▾", "enrich", "w3"],
        ["✓", "tax", "w4"],
        ["✗", "price", "w5"],
    ]
    assert [line.index(word) for line, word in zip(lines, ("pipeline", "clean", "enrich", "tax"), strict=False)] == [
        5, 7, 7, 9,
    ]  # fmt: skip
    assert [line.split()[-1] for line in lines] == ["400ms…", "48.0ms", "160ms", "59.0ms", "29.0ms"]
    assert {len(line) for line in lines} == {80}


def test_what_goes_on_grows_until_now_and_has_a_marker() -> None:
    before, after = rows(sheet(), 370)[0], rows(sheet(), 385)[0]
    assert before.index("▶", 3) < after.index("▶", 3)
    assert "385ms…" in after


def test_an_error_is_said_in_words_beside_its_bar_and_is_harmless() -> None:
    line = rows(sheet(), width=120)[4]
    assert "✗ no price for it" in line
    assert "\x1b" not in line


def test_ascii_is_ascii() -> None:
    found = sheet(ASCII)
    now = 400 * MS
    lines = [*rows(found), drawn(found.ruler(now, 80)), drawn(found.legend()), *map(drawn, found.detail(now, 80))]
    assert all(line.isascii() for line in lines)
    assert "S-----" in lines[0]
    assert "L---R=" in lines[0]


def test_a_handover_is_drawn_over_the_parts_beside_which_it_goes_on() -> None:
    shown = Sheet()
    cold = step("i7", ("load", 0, 40), ("run", 40, 100))
    stages = (Told("requested", 20 * MS), Told("granted", 21 * MS), Told("connected", 38 * MS))
    left = replace(handover("connected", stages=stages), invocation="i7")
    assert shown.show(invocation(ended=100), by_id(cold), {"i7": left}) == {"i7"}
    shown.arrange(100 * MS)
    assert "handover 80.0ms: granted 1.00ms, connected 17.0ms" in drawn(shown.detail(100 * MS, 100)[1])
    over = replace(left, stages=(*stages, Told("confirmed", 42 * MS), Told("gone", 60 * MS)))
    assert shown.show(invocation(ended=100), by_id(cold), {"i7": over}) == {"i7"}
    assert shown.show(invocation(ended=100), by_id(cold), {"i7": over}) == set()
    assert "handover 40.0ms: granted" in drawn(shown.detail(100 * MS, 100)[1])
    bars = [piece for piece in shown.row(0, 100 * MS, 120) if "accent" in (piece.tone, piece.on)]
    assert any(piece.text.startswith("H") for piece in bars)
    assert width_of(shown.row(0, 100 * MS, 120)) == 120


def test_what_is_laid_over_bars_hides_only_what_is_below() -> None:
    bars = [bar(0, 4, "load"), bar(4, 9)]
    over = bar(3, 6, "handover")
    assert laid_over(bars, over) == [bar(0, 3, "load"), over, bar(6, 9)]
    assert laid_over([bar(0, 9)], over) == [bar(0, 3), over, bar(6, 9)]
    assert laid_over([bar(4, 5)], over) == [over]


def test_a_cold_start_is_broken_into_its_parts() -> None:
    what, parts, last = (drawn(line) for line in sheet().detail(400 * MS, 100))
    assert what == " ▶ running  400ms so far  i7  pipeline v1  in w1  cold start  via direct  pid 7"
    assert parts == " queued 1.00ms → start 59.0ms → load 31.0ms → run 309ms   ran after 91.0ms"
    assert last == " ◆ on the critical path; 2 calls took 208ms, itself 101ms"


def test_the_cursor_stays_on_its_step_as_others_come() -> None:
    found = sheet()
    found.move_to(4)
    found.show(invocation(), {**LIVE, "i7.1.1": step("i7.1.1", ("run", 120, 130))})
    found.arrange(410 * MS)
    assert (found.cursor, found.place) == ("i7.2.2", 5)


def test_folding_hides_what_a_step_called_and_keeps_the_cursor_in_sight() -> None:
    found = sheet()
    found.move_to(2)
    found.fold()
    found.arrange(400 * MS)
    assert [row.step.function for row in found.rows] == ["pipeline", "clean", "enrich"]
    assert "▸ enrich" in rows(found)[2]
    assert "2 calls took 59.0ms" in drawn(found.detail(400 * MS, 100)[2])
    found.fold()
    found.arrange(400 * MS)
    found.move_to(4)
    found.fold_all()
    found.arrange(400 * MS)
    assert found.cursor == "i7.2"


def test_zooming_is_around_the_cursor_and_can_be_taken_back() -> None:
    found, now = sheet(), 400 * MS
    found.move_to(1)
    found.zoom(0.5, now)
    seen = found.seen(now)
    assert seen.low <= 92 * MS < 140 * MS <= seen.high
    assert "2x" in drawn(found.ruler(now, 80))
    found.pan(9.0, now)
    assert found.seen(now).high == pytest.approx(found.whole(now).high)
    found.focus(now)
    assert found.seen(now).low == pytest.approx(92 * MS, rel=0.1)
    found.reset()
    assert found.window is None


def test_idle_time_can_be_left_out_and_is_marked() -> None:
    found = Sheet()
    steps = by_id(step("i7", ("run", 0, 1)), step("i8", ("run", 9000, 9001)), step("i9", ("run", 9001, 9002)))
    found.show(invocation(ended=9002), steps)
    found.squeeze()
    found.arrange(9002 * MS)
    assert "≈" in drawn(found.ruler(9002 * MS, 80))
    assert "┊" in rows(found, 9002)[0]
    assert rows(found, 9002)[1].count("█") > 10


def test_a_declared_step_has_its_own_name_beside_its_function() -> None:
    found = Sheet()
    found.show(
        invocation(), by_id(step("i7", ("run", 0, 9)), step("i7.1", ("run", 1, 2), function="enrich", name="order"))
    )
    found.arrange(9 * MS)
    first, second = rows(found, 9)
    assert "work " in first
    assert "order: enrich " in second


def test_many_steps_are_arranged_now_and_then_only_but_drawn_as_they_are() -> None:
    found = Sheet()
    steps = {f"i{n}": step(f"i{n}", ("run", n, n + 1)) for n in range(1000)}
    found.show(invocation(), steps)
    assert found.arrange(0)
    steps["new"] = step("new", ("run", 1, 2))
    found.show(invocation(), steps)
    assert not found.arrange(1 * MS)
    assert found.arrange(250 * MS)
    assert len(found.rows) == 1001


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_lines_are_as_wide_as_asked_for(width: int) -> None:
    found = sheet()
    assert {len(line) for line in rows(found, width=width)} == {max(width, 36)}  # the widget cuts what is too wide


# -- the widget


async def test_the_widget_draws_and_is_driven_by_keys() -> None:
    widget = Waterfall()
    app = Stage(widget)
    async with app.run_test(size=(80, 20)) as pilot:
        widget.set_model(invocation(), LIVE)
        widget.flush(0.4)
        assert "until now" in app.lines[0]
        assert "pipeline" in app.lines[1]
        await pilot.press("down", "down")
        assert widget.selected == "i7.2"
        await pilot.press("space")
        assert "▸ enrich" in app.lines[3]
        assert "tax" not in "\n".join(app.lines)
        await pilot.press("space", "end", "plus")
        assert widget.selected == "i7.2.2"
        assert "2x" in app.lines[0]
        await pilot.press("0")
        assert widget.sheet.window is None
        assert "failed" in app.lines[-4]


async def test_a_frame_repaints_only_what_is_different(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = Waterfall()
    app = Stage(widget)
    async with app.run_test(size=(80, 20)):
        widget.set_model(invocation(), LIVE)
        widget.flush(0.4)
        painted: list[int] = []
        monkeypatch.setattr(widget, "refresh", lambda *regions, **_: painted.extend(region.y for region in regions))
        widget.flush(0.41)
        assert 1 in painted  # it runs
        assert not {2, 3, 4, 5} & set(painted)  # these have ended
        painted.clear()
        widget.set_model(invocation(ended=410), LIVE)
        widget.flush(0.5)


async def test_another_invocation_is_another_sheet() -> None:
    widget = Waterfall()
    app = Stage(widget)
    async with app.run_test(size=(80, 20)) as pilot:
        widget.set_model(invocation(), LIVE)
        widget.flush(0.4)
        await pilot.press("end")
        widget.set_model(invocation(identity="i8"), by_id(step("i8", ("run", 0, 1), function="other")))
        widget.flush(0.5)
        assert widget.selected == "i8"
        assert "pipeline" not in "\n".join(app.lines)


async def test_a_trace_without_steps_says_so() -> None:
    widget = Waterfall()
    app = Stage(widget)
    async with app.run_test(size=(80, 20)):
        widget.set_model(invocation(), {})
        widget.flush(0.4)
        assert "no steps: it has not started" in "\n".join(app.lines)


async def test_ten_thousand_steps_scroll_with_the_cursor() -> None:
    widget = Waterfall()
    app = Stage(widget)
    async with app.run_test(size=(80, 20)) as pilot:
        steps = {f"i7.{n}": step(f"i7.{n}", ("run", n, n + 5), function=f"f{n}") for n in range(10_000)}
        widget.set_model(invocation(ended=10_005), steps)
        widget.flush(10)
        await pilot.press("end")
        assert "f9999" in app.lines[14]
        assert app.lines[14].endswith("┃")
        await pilot.press("pageup")
        assert widget.selected == "i7.9986"


async def test_a_click_puts_the_cursor_there_and_folds() -> None:
    widget = Waterfall()
    app = Stage(widget)
    async with app.run_test(size=(80, 20)) as pilot:
        widget.set_model(invocation(), LIVE)
        widget.flush(0.4)
        await pilot.click(offset=(30, 4))
        assert widget.selected == "i7.2.1"
        await pilot.click(offset=(5, 3))
        assert "▸ enrich" in app.lines[3]
