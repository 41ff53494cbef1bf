from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.geometry import Offset
from textual.selection import Selection

from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.log_line import SHOWN, body, facts, marked, pretty, wrapped
from mee6tui.console.widgets.log_page import LogPage
from mee6tui.console.widgets.log_ring import Filtered, Pattern, Ring, find
from mee6tui.console.widgets.log_view import LogView
from mee6tui.console.widgets.pieces import Piece, text_of, width_of
from tests.console.made import Stage

ASCII = Palette("ascii", DARK.colors, ascii=True)


def ring(*texts: str, capacity: int = 100) -> Ring:
    made = Ring(capacity)
    for text in texts:
        made.put(0, "w1", text)
    return made


def numbered(lines: int, capacity: int = 100) -> Ring:
    return ring(*(f"line {number}" for number in range(lines)), capacity=capacity)


def stepping(by: int = 1) -> Callable[[], int]:
    """A clock that goes on by each look at it."""
    ticks = count(0, by)
    return lambda: next(ticks)


# -- harmless text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("a\tb", "a   b"),
        ("over\rwritten\x00", "over␍written␀"),
        ("\x9b2J\u202eevil", "\ufffd2J\ufffdevil"),
        ("\udc80 half", "\ufffd half"),
        ("日本語 é", "日本語 é"),
        ("\x7f", "␡"),
    ],
)
def test_what_could_harm_a_terminal_is_shown_and_not_sent(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_no_control_character_and_no_surrogate_is_left(text: str) -> None:
    found = clean(text)
    found.encode()
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or char in "\u2028\u2029\u202e" for char in found)


# -- the ring


def test_the_ring_keeps_the_last_lines_and_their_numbers() -> None:
    found = numbered(250)
    assert (found.first, found.next, len(found)) == (150, 250, 100)
    assert found[150].text == "line 150"
    assert found[249].text == "line 249"
    for gone in (149, 250, -1):
        with pytest.raises(IndexError, match="there are 150 to before 250"):
            found[gone]


def test_what_was_written_at_once_is_split_into_lines() -> None:
    found = ring("one\r\ntwo\n\nfour\n")
    assert [found[number].text for number in range(found.next)] == ["one", "two", "", "four"]


@pytest.mark.parametrize("lines", [0, 3, 10, 25])
def test_a_cleared_ring_goes_on_counting(lines: int) -> None:
    found = numbered(lines, capacity=10)
    found.clear()
    assert len(found) == 0
    for number in range(12):
        found.put(0, "w1", f"new {number}")
    assert (found.first, found.next, len(found)) == (lines + 2, lines + 12, 10)
    assert [found[number].text for number in range(found.first, found.next)] == [f"new {n}" for n in range(2, 12)]


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 20))
def test_places_and_numbers_are_each_others_inverse(batches: list[int], capacity: int) -> None:
    found = Ring(capacity)
    for size in batches:
        for _ in range(size):
            found.put(0, "w", "x")
        assert [found.place(found.number(place)) for place in range(len(found))] == list(range(len(found)))
        assert len(found) == min(found.next, capacity)


# -- patterns and filters


@pytest.mark.parametrize(
    ("asked", "matching"),
    [
        ("error", ["Error: a", "no error"]),
        ("Error", ["Error: a"]),
        ("!error", ["fine (1)"]),
        ("^no", ["no error"]),
        ("[(]1", ["fine (1)"]),
        ("(", ["fine (1)"]),
        ("w7", ["no error"]),
    ],
)
def test_patterns_are_text_or_regular_expressions_and_can_be_turned_round(asked: str, matching: list[str]) -> None:
    found = ring("Error: a", "fine (1)")
    found.put(0, "w7", "no error")
    assert [found[n].text for n in range(3) if Pattern(asked)(found[n])] == matching


def test_a_filter_looks_at_a_slice_at_a_time_from_the_newest_back() -> None:
    found = numbered(2000, capacity=2000)
    filtered = Filtered(found, Pattern("7$"))
    filtered.advance(0, stepping())
    assert 0 < filtered.done < 1
    assert filtered.number(len(filtered) - 1) == 1997
    while filtered.done < 1:
        filtered.advance(0, stepping())
    assert [filtered.number(place) for place in range(len(filtered))] == list(range(7, 2000, 10))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=12), st.integers(1, 80), st.integers(0, 200))
def test_a_filter_agrees_with_the_ring_however_lines_come_and_go(
    rounds: list[tuple[int, int]], capacity: int, wanted: int
) -> None:
    found = Ring(capacity)
    filtered = Filtered(found, Pattern("[05]$"))
    for lines, looks in rounds:
        for _ in range(lines):
            found.put(0, "s", f"l{found.next}")
        for _ in range(looks):
            filtered.advance(0, stepping())
    while filtered.advance(10**9, stepping()) or filtered.done < 1:
        pass
    expected = [number for number in range(found.first, found.next) if number % 5 == 0]
    assert [filtered.number(place) for place in range(len(filtered))] == expected
    assert filtered.place(wanted) == sum(number < wanted for number in expected)


def test_a_search_goes_around_the_end_in_both_directions() -> None:
    found = ring("a hit", "b", "c hit", "d")
    assert find(found, found, Pattern("hit"), 0, 1) == 2
    assert find(found, found, Pattern("hit"), 2, 1) == 0
    assert find(found, found, Pattern("hit"), 0, -1) == 2
    assert find(found, found, Pattern("miss"), 0, 1) is None


# -- one line


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [
        ('{"level":"warn","msg":"slow","ms":3}', "WARN", "slow"),
        ('{"severity":"CRITICAL","message":"down"}', "FATAL", "down"),
        ('{"level":50,"msg":"pino"}', "ERROR", "pino"),
        ("2026-11-30 ERROR it broke", "ERROR", "2026-11-30 ERROR it broke"),
        ("[warning] careful", "", "[warning] careful"),
        ("{not json}", "", "{not json}"),
        ('{"level":{},"msg":1}', "", ""),
        ("[1,2]", "", "[1,2]"),
        ("", "", ""),
    ],
)
def test_level_and_message_are_found(text: str, level: str, message: str) -> None:
    found = facts(text)
    assert (found.level, found.message) == (level, message)


def test_a_json_line_is_shown_as_its_message_and_its_fields() -> None:
    line = '{"ts":1,"level":"info","msg":"order","id":7,"total":{"eur":1},"who":"an\\u001b[31mn"}'
    assert text_of(body(facts(line))) == 'order id=7 total={"eur": 1} who=ann'


def test_very_long_lines_are_bounded() -> None:
    found = text_of(body(facts("x" * 50_000)))
    assert found == "x" * SHOWN + " … 49,000 more characters"
    assert facts("{" + "[" * 60_000 + "}").fields == {}


def test_one_json_line_is_laid_out() -> None:
    assert [text_of(line) for line in pretty('{"a":{"b":"\\u0007"}}')] == [
        "{",
        '  "a": {',
        '    "b": "\\u0007"',
        "  }",
        "}",
    ]
    assert [text_of(line) for line in pretty("plain")] == ["plain"]


@given(st.lists(st.text(), max_size=5), st.integers(2, 40))
def test_wrapping_loses_nothing_and_fits(texts: list[str], width: int) -> None:
    pieces = [Piece(clean(text)) for text in texts]
    found = wrapped(pieces, width)
    assert "".join(map(text_of, found)) == text_of(pieces)
    assert all(cell_len(text_of(line)) <= width for line in found)


@given(st.text("abé日 ", max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=3))
def test_marking_changes_no_text(text: str, spans: list[tuple[int, int]]) -> None:
    found = marked([Piece(text[:7]), Piece(text[7:])], [(min(span), max(span)) for span in spans], "error", "warm")
    assert text_of(found) == text
    inside = {at for first, last in spans for at in range(min(first, last), max(first, last))}
    shown = [piece.on == "warm" for piece in found for _ in piece.text]
    assert shown == [at in inside for at in range(len(text))]


# -- the page


def page(lines: int = 50, capacity: int = 100, palette: Palette = DARK) -> LogPage:
    return LogPage(numbered(lines, capacity), palette)


def said(of: LogPage, height: int = 5, width: int = 80) -> list[str]:
    return [text_of(row.body) for row in of.rows(height, width)]


def test_it_follows_the_end() -> None:
    found = page()
    found.ring.put(0, "w1", "new")
    assert said(found) == ["line 46", "line 47", "line 48", "line 49", "new"]


def test_it_holds_its_lines_while_others_come_and_old_ones_go() -> None:
    found = page(100)
    found.scroll(-10, 5, 80)
    before = said(found)
    for _ in range(50):
        found.ring.put(0, "w1", "new")
    assert said(found) == before == ["line 85", "line 86", "line 87", "line 88", "line 89"]
    for _ in range(60):
        found.ring.put(0, "w1", "new")
    assert said(found) == ["new"] * 5  # they have left the ring
    assert "110 older dropped" in text_of(found.status())


def test_scrolled_to_the_end_it_follows_again() -> None:
    found = page()
    found.scroll(-3, 5, 80)
    assert not found.follows
    found.scroll(3, 5, 80)
    assert found.follows


@given(st.lists(st.integers(-7, 7), max_size=12), st.integers(1, 9), st.booleans())
def test_scrolling_always_fills_the_screen(moves: list[int], height: int, wraps: bool) -> None:
    found = LogPage(ring(*("word " * (number % 40) for number in range(30))))
    found.wraps = wraps
    for by in moves:
        found.scroll(by, height, 60)
        assert len(found.rows(height, 60)) == height


def test_every_wrapped_line_can_be_reached() -> None:
    found = LogPage(ring(*(f"{number} " + "word " * 40 for number in range(20))))
    found.wraps = True
    seen: set[int] = set()
    found.go(0)
    for _ in range(60):
        seen |= {row.number for row in found.rows(9, 60)}
        found.scroll(1, 9, 60)
    assert seen == set(range(20))
    assert found.follows


def test_the_cursor_begins_at_the_last_line_and_leaves_past_the_end() -> None:
    found = page()
    found.move(-1, 5, 80)
    assert [found.chosen, found.follows] == [49, False]
    for _ in range(6):
        found.move(-1, 5, 80)
    assert found.chosen == 43
    assert said(found)[0] == "line 43"
    for _ in range(7):
        found.move(1, 5, 80)
    assert [found.chosen, found.follows] == [None, True]


def test_time_source_stream_and_level_stand_before_the_line() -> None:
    found = LogPage(Ring())
    found.note_source("checkout/w3")
    found.ring.put(0, "checkout/w3", "ERROR broken", is_stderr=True)
    row = found.rows(5, 100)[0]
    assert text_of(row.head)[12:] == " checkout/w3 » ERROR "
    found.shows_times = False
    assert text_of(found.rows(5, 100)[0].head) == "checkout/w3 » ERROR "
    assert width_of(found.rows(5, 30)[0].head) == 2


def test_hits_are_gone_to_and_marked() -> None:
    found = page()
    found.search("line 1")
    assert found.step(-1, 5, 80)
    assert found.hit == 19
    assert "line 19" in said(found)
    assert next(piece.on for row in found.rows(5, 80) for piece in row.body if row.number == 19) == "warm"
    found.step(1, 5, 80)
    assert found.hit == 1
    found.search("nowhere")
    assert not found.step(1, 5, 80)


def test_a_filtered_page_says_of_how_many() -> None:
    found = page()
    found.filter("9$")
    found.advance(10**9, stepping())
    assert said(found) == ["line 9", "line 19", "line 29", "line 39", "line 49"]
    assert "5 lines of 50 with '9$'" in text_of(found.status())
    found.filter("")
    assert said(found)[-2:] == ["line 48", "line 49"]


def test_lost_bytes_are_counted_visibly() -> None:
    found = page()
    found.ring.put(0, "w1", "after", lost_bytes=4096)
    assert "4,096 bytes lost at the agent" in text_of(found.status())


def test_copied_lines_are_whole_and_parts_are_what_is_shown() -> None:
    long, data = "y" * 5000, '{"msg":"order","id":7}'
    found = LogPage(ring("first", long, data, "last"))
    assert found.copied(None, None) == f"first\n{long}\n{data}\nlast"
    assert found.copied((0, 2), (1, SHOWN)) == f"rst\n{long}"
    assert found.copied((1, 10), (1, 20)) == "y" * 10
    assert found.copied((2, 0), (2, 5)) == "order"
    assert found.copied((2, 0), (2, 99)) == data


def test_ascii_is_ascii_to_the_last_row() -> None:
    found = LogPage(ring("日本 \x1b[2J", '{"msg":"é"}'), ASCII)
    rows = found.rows(5, 80)
    assert all(text_of(row.head + row.body).isascii() for row in rows)
    assert text_of(found.status()).isascii()


# -- the widget


async def test_the_widget_follows_and_holds() -> None:
    view = LogView(clock=stepping())
    app = Stage(view)
    async with app.run_test(size=(80, 6)) as pilot:
        view.flush(0)
        assert app.lines[0] == " nothing has been written yet"
        for number in range(20):
            view.put(number, "f/w1", f"line {number}")
        view.flush(0)
        assert "line 19" in app.lines[4]
        await pilot.press("up", "up")
        assert "holds" in app.lines[5]
        view.put(99, "f/w1", "new")
        view.flush(0)
        assert "line 19" in app.lines[4]
        await pilot.press("G")
        assert "new" in app.lines[4]
        assert "follows" in app.lines[5]


async def test_a_search_and_a_filter_are_typed_at_the_bottom() -> None:
    view = LogView(clock=stepping())
    app = Stage(view)
    async with app.run_test(size=(80, 8)) as pilot:
        for number in range(30):
            view.put(number, "f/w1", f"line {number}")
        view.flush(0)
        await pilot.press("slash", *"line x", "backspace", "3")
        assert "search: line 3" in app.lines[7]
        await pilot.press("enter")
        assert view.page.hit == 3
        await pilot.press("escape", "ampersand", *"5$", "enter")
        view.flush(0)
        assert [line.split("│")[-2 if "┃" in line else 1].strip() for line in app.lines[:3]] == [
            "line 5",
            "line 15",
            "line 25",
        ]
        await pilot.press("escape")
        assert "line 6" in "\n".join(app.lines)


async def test_enter_opens_one_line_and_esc_goes_back() -> None:
    view = LogView(clock=stepping())
    app = Stage(view)
    async with app.run_test(size=(80, 8)) as pilot:
        view.put(0, "f/w1", json.dumps({"msg": "order", "id": 7}))
        view.flush(0)
        await pilot.press("enter")
        assert [line.strip() for line in app.lines[:4]] == ["{", '"msg": "order",', '"id": 7', "}"]
        await pilot.press("c")
        assert app.copied == '{"msg": "order", "id": 7}'
        await pilot.press("escape")
        assert "order id=7" in app.lines[0]


async def test_text_is_selected_by_mouse_and_copied() -> None:
    view = LogView(clock=stepping())
    app = Stage(view)
    async with app.run_test(size=(80, 8)) as pilot:
        view.page.shows_times = False
        for number in range(4):
            view.put(0, "w1", f"line {number}")
        view.flush(0)
        start = app.lines[1].index("line")
        await pilot.mouse_down(offset=(start + 2, 1))
        await pilot.hover(offset=(start + 3, 2))
        await pilot.mouse_up(offset=(start + 3, 2))
        assert app.screen.get_selected_text() == "ne 1\nline"  # the cell under the mouse is one of them
        assert not view.page.follows


async def test_a_selection_stays_with_its_lines() -> None:
    view = LogView(capacity=10, clock=stepping())
    app = Stage(view)
    async with app.run_test(size=(80, 8)):
        for number in range(10):
            view.put(0, "w1", f"line {number}")
        view.flush(0)
        selection = Selection(Offset(0, 5), Offset(4, 6))
        assert view.get_selection(selection) == ("line 5\nline", "\n")
        for _ in range(5):
            view.put(0, "w1", "new")
        assert view.get_selection(selection) == ("line 5\nline", "\n")
        view.put(0, "w1", "new")
        assert view.get_selection(selection) == ("line", "\n")


async def test_only_new_rows_are_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    view = LogView(clock=stepping())
    app = Stage(view)
    async with app.run_test(size=(80, 8)):
        view.put(0, "w1", "one")
        view.flush(0)
        painted: list[int] = []
        monkeypatch.setattr(view, "refresh", lambda *regions, **_: painted.extend(region.y for region in regions))
        view.flush(0)
        assert painted == []
        view.put(0, "w1", "two")
        view.flush(0)
        assert painted == [1, 7]
