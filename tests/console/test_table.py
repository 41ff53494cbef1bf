from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip

from mee6.errors import InvalidInput
from mee6tui.console import look
from mee6tui.console.widgets.columns import GROWN, Column, fitted
from mee6tui.console.widgets.pool_map import LINES_A_FRAME, PoolMap
from mee6tui.console.widgets.table import LiveTable

Row = tuple[str, int, str]
Table = LiveTable[str, Row]


pytestmark = pytest.mark.slow


def table(**settings: object) -> Table:
    columns: list[Column[Row]] = [
        Column("name", "NAME", 6, lambda row: row[0]),
        Column("size", "SIZE", 5, lambda row: str(row[1]), lambda row: row[1], right=True),
        Column("state", "STATE", 8, lambda row: row[2], priority=1, flashes=True),
    ]
    return LiveTable(columns, **settings)  # type: ignore[arg-type]


class Bench(App[None]):
    def __init__(self, widget: LiveTable[str, Row] | PoolMap[str]) -> None:
        super().__init__()
        self.widget = widget
        self.opened: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_mount(self) -> None:
        self.widget.focus()

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        self.opened.append(event.key)

    def on_pool_map_opened(self, event: PoolMap.Opened) -> None:
        self.opened.append(event.key)


@asynccontextmanager
async def shown(
    widget: LiveTable[str, Row] | PoolMap[str], size: tuple[int, int] = (30, 8)
) -> AsyncIterator[Pilot[None]]:
    app = Bench(widget)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


def fill(made: Table, *names: str) -> None:
    for place, name in enumerate(names):
        made.put(name, (name, 10 * place, "warm"))


def names(made: Table) -> list[str]:
    return [line[2:].split()[0] for line in made.text().splitlines()[1:] if line.strip()]


async def test_rows_are_sorted_and_a_title_click_sorts_by_its_column() -> None:
    made = table()
    async with shown(made) as pilot:
        fill(made, "b", "a", "c")
        made.flush(1)
        await pilot.pause()
        assert names(made) == ["a", "b", "c"]
        assert "NAME▲" in made.text()
        await pilot.click(made, offset=(12, 0))
        assert names(made) == ["b", "a", "c"]
        await pilot.click(made, offset=(12, 0))
        assert names(made) == ["c", "a", "b"]
        assert "SIZE▼" in made.text()


async def test_keys_choose_the_column_and_the_direction() -> None:
    made = table()
    async with shown(made) as pilot:
        fill(made, "b", "a", "c")
        made.flush(1)
        await pilot.press("greater_than_sign")
        assert made.sorted_by.key == "size"
        await pilot.press("s")
        assert names(made) == ["c", "a", "b"]
        await pilot.press("less_than_sign", "less_than_sign")
        assert made.sorted_by.key == "state"


async def test_the_cursor_stays_on_its_row_and_its_row_in_its_line_as_others_come() -> None:
    made = table()
    async with shown(made) as pilot:
        fill(made, *(f"m{number:02}" for number in range(30)))
        made.flush(1)
        await pilot.press(*["j"] * 10)
        made.flush(1)
        line = made.text().splitlines().index(next(line for line in made.text().splitlines() if "▌" in line))
        assert made.cursor == "m10"
        fill(made, *(f"a{number:02}" for number in range(20)))
        made.flush(5)
        await pilot.pause()
        assert made.cursor == "m10"
        assert "m10" in made.text().splitlines()[line]
        for number in range(20):
            made.drop(f"a{number:02}")
        made.flush(9)
        await pilot.pause()
        assert "m10" in made.text().splitlines()[line]


async def test_a_cursor_that_was_never_moved_stays_on_the_first_row() -> None:
    made = table()
    async with shown(made) as pilot:
        fill(made, "m", "n")
        made.flush(1)
        assert made.cursor == "m"
        fill(made, "a")
        made.flush(5)
        assert made.cursor == "a"
        await pilot.press("j")
        fill(made, "A")
        made.flush(9)
        assert made.cursor == "m"


async def test_the_order_is_locked_while_the_cursor_moves_and_what_ended_stays_dimmed() -> None:
    made = table()
    async with shown(made) as pilot:
        fill(made, "a", "b", "c")
        made.flush(1)
        await pilot.press("j")
        made.flush(10.0)
        made.drop("c")
        fill(made, "A")
        made.flush(10.5)
        assert names(made) == ["a", "b", "c"]
        assert made.record("c") is not None
        made.flush(12.0)
        assert names(made) == ["A", "a", "b"]
        assert made.record("c") is None


async def test_the_order_is_made_anew_twice_a_second_at_most() -> None:
    made = table(sort="size")
    async with shown(made):
        fill(made, "a", "b")
        made.flush(10.0)
        made.put("a", ("a", 99, "warm"))
        made.flush(10.2)
        assert made.order == ["a", "b"]
        made.flush(10.5)
        assert made.order == ["b", "a"]


async def test_when_the_row_under_the_cursor_ends_the_next_one_takes_it() -> None:
    made = table()
    async with shown(made) as pilot:
        fill(made, "a", "b", "c")
        made.flush(1)
        await pilot.press("j")
        made.flush(1)
        made.drop("b")
        made.flush(5)
        assert made.cursor == "c"


async def test_marks_are_kept_by_key_and_end_with_their_row() -> None:
    made = table()
    async with shown(made) as pilot:
        fill(made, "a", "b", "c", "d")
        made.flush(1)
        await pilot.press("space", "j", "ctrl+@")
        assert list(made.selected) == ["a", "b", "c"]
        assert [line[0] for line in made.text().splitlines()[1:5]] == ["●", "●", "●", " "]
        made.drop("b")
        made.flush(9)
        assert list(made.selected) == ["a", "c"]
        await pilot.press("ctrl+backslash")
        assert list(made.selected) == ["c"]


async def test_a_filter_hides_rows_and_says_so_when_nothing_is_left() -> None:
    made = table()
    async with shown(made, (60, 8)) as pilot:
        fill(made, "a", "b")
        made.put("x", ("x", 5, "busy"))
        made.flush(1)
        made.set_filter("state=busy")
        await pilot.pause()
        assert names(made) == ["x"]
        made.set_filter("nowhere")
        assert "nothing matches 'nowhere'; 3 rows are hidden" in made.text()
        with pytest.raises(InvalidInput):
            made.set_filter("colour=red")
        made.set_filter("")
        assert len(made.order) == 3


async def test_columns_are_dropped_where_there_is_no_room() -> None:
    made = table()
    async with shown(made, (20, 6)) as pilot:
        fill(made, "a")
        made.flush(1)
        assert "STATE" not in made.text()
        await pilot.resize_terminal(40, 6)
        await pilot.pause()
        assert "STATE" in made.text()
        assert all(len(line) <= 40 for line in made.text().splitlines())


async def test_enter_and_a_double_click_open() -> None:
    made = table()
    async with shown(made) as pilot:
        fill(made, "a", "b")
        made.flush(1)
        await pilot.press("enter")
        await pilot.click(made, offset=(3, 2), times=2)
        assert isinstance(pilot.app, Bench)
        assert pilot.app.opened == ["a", "b"]


async def test_the_cell_under_the_cursor_is_what_is_copied() -> None:
    made = table()
    async with shown(made, (40, 8)) as pilot:
        fill(made, "a", "b")
        made.flush(1)
        await pilot.press("j", "right")
        assert made.cell_text == "10"


async def test_only_the_rows_in_view_that_changed_are_painted() -> None:
    made = table()
    painted: list[str] = []
    original = Table._row

    async with shown(made, (40, 12)) as pilot:
        made.replace({f"r{number:05}": (f"r{number:05}", number, "warm") for number in range(10_000)})
        made.flush(1)
        await pilot.pause()

        def counted(self: Table, key: str, width: int, ground: str) -> object:
            painted.append(key)
            return original(self, key, width, ground)

        made._row = counted.__get__(made)  # type: ignore[method-assign]
        for number in range(10_000):
            made.put(f"r{number:05}", (f"r{number:05}", number, "warm" if number % 5 else "busy"))
        made.flush(1.2)
        await pilot.pause()
        assert set(painted) <= {f"r{number:05}" for number in range(11)}
        assert "r00005" in painted
        painted.clear()
        made.put("r09000", ("r09000", 1, "busy"))
        made.flush(1.3)
        await pilot.pause()
        assert painted == []


async def test_a_changed_state_lights_its_row_up_for_a_second() -> None:
    made = table()
    async with shown(made, (40, 6)) as pilot:
        fill(made, "a", "b")
        made.flush(1)
        made._dirty.update(made.rows)
        made.flush(1.1)
        made.put("b", ("b", 10, "busy"))
        made.flush(1.2)
        await pilot.pause()
        flash = look.DARK.style("text", "flash").bgcolor
        grounds = {segment.style.bgcolor for segment in made.render_line(2) if segment.style}
        assert grounds == {flash}
        made.flush(2.5)
        assert flash not in {segment.style.bgcolor for segment in made.render_line(2) if segment.style}


async def test_rows_that_only_change_are_not_put_in_order_again_where_that_cannot_be_another() -> None:
    columns: list[Column[Row]] = [
        Column("name", "NAME", 8, lambda row: row[0], steady=True),
        Column("size", "SIZE", 5, lambda row: str(row[1]), lambda row: row[1]),
    ]
    made: Table = LiveTable(columns)
    ordered: list[None] = []
    original = made.reorder
    made.reorder = lambda: ordered.append(original())  # type: ignore[method-assign]
    async with shown(made) as pilot:

        async def orderings(at: float) -> int:
            ordered.clear()
            made.put_all({"a": ("a", int(at), "warm"), "b": ("b", -int(at), "warm")})
            made.flush(at)
            await pilot.pause()
            return len(ordered)

        assert await orderings(1) == 1, "they are new"
        assert await orderings(11) == 0
        made.put("c", ("c", 0, "warm"))
        assert await orderings(21) == 1, "one is new"
        made.set_filter("size=-31")
        assert await orderings(31) == 1, "another one may match"
        assert names(made) == ["b"]
        made.set_filter("")
        made.sort("size")
        assert await orderings(41) == 1
        assert names(made) == ["b", "c", "a"]


def pools(made: PoolMap[str], number: int, state: str = "warm") -> None:
    made.group("python", [("desk python", "text")])
    for place in range(number):
        made.put(f"w{place}", "python", look.WORKERS[state])


async def test_a_map_is_letters_under_a_title_and_goes_from_tiles_to_bare_letters() -> None:
    made: PoolMap[str] = PoolMap()
    async with shown(made, (40, 6)) as pilot:
        pools(made, 3, "busy")
        made.flush(1)
        await pilot.pause()
        assert made.text().splitlines()[0] == "  desk python"
        assert made.text().splitlines()[1] == "  [B]  B   B"
        pools(made, 60)
        made.flush(2)
        await pilot.pause()
        assert made.text().splitlines()[1] == "  " + " ".join("W" * 18)
        pools(made, 2000)
        made.flush(3)
        await pilot.pause()
        assert set(made.text().splitlines()[1].strip()) == {"W"}
        assert made.virtual_size.height > 6


async def test_a_cell_keeps_its_place_and_a_hole_is_filled_by_the_next() -> None:
    made: PoolMap[str] = PoolMap()
    async with shown(made, (60, 6)) as pilot:
        pools(made, 4)
        made.flush(1)
        made.drop("w1")
        made.flush(2)
        await pilot.pause()
        assert made.text().splitlines()[1] == "  [W]      W   W"
        made.put("w9", "python", look.WORKERS["paused"])
        made.flush(3)
        await pilot.pause()
        assert made.text().splitlines()[1] == "  [W]  Z   W   W"


async def test_the_maps_cursor_goes_by_cells_and_lines_and_the_mouse_points() -> None:
    made: PoolMap[str] = PoolMap()
    async with shown(made, (20, 8)) as pilot:
        pools(made, 12)
        made.flush(1)
        await pilot.pause()
        await pilot.press("right", "down")
        assert made.cursor == "w5"
        await pilot.press("G")
        assert made.cursor == "w11"
        await pilot.hover(made, offset=(3, 1))
        assert made.pointed == "w0"
        await pilot.press("up", "enter")
        assert isinstance(pilot.app, Bench)
        assert pilot.app.opened == ["w7"]


async def test_ten_thousand_cells_change_without_being_laid_out_again() -> None:
    made: PoolMap[str] = PoolMap()
    async with shown(made, (200, 50)) as pilot:
        pools(made, 10_000)
        made.flush(1)
        await pilot.pause()
        layouts: list[None] = []
        original = made._lay_out
        made._lay_out = lambda: layouts.append(original())  # type: ignore[method-assign]
        pools(made, 10_000, "busy")
        made.flush(2)
        await pilot.pause()
        assert layouts == []
        assert set(made.text().splitlines()[1].strip()) == {"B"}


async def test_a_map_that_was_cleared_is_laid_out_anew_at_once_also_while_time_stands_still() -> None:
    made: PoolMap[str] = PoolMap()
    async with shown(made, (40, 6)) as pilot:
        pools(made, 3)
        made.flush(1)
        await pilot.pause()
        made.clear()
        made.repaint()
        assert "W" not in made.text()
        pools(made, 1, "busy")
        made.flush(1)
        await pilot.pause()
        assert made.text().splitlines()[1] == "  [B]"


def test_a_column_that_grows_stays_near_the_next_and_the_last_takes_the_rest() -> None:
    name: Column[Row] = Column("name", "NAME", 6, lambda row: row[0], grows=True)
    size: Column[Row] = Column("size", "SIZE", 5, lambda row: str(row[1]), right=True)
    state: Column[Row] = Column("state", "STATE", 8, lambda row: row[2], priority=1, grows=True)
    assert [width for _column, width in fitted([name, size], 40)] == [33, 5]
    assert [width for _column, width in fitted([name, size], 200)] == [GROWN, 5]
    assert [width for _column, width in fitted([name, size, state], 60)] == [24, 5, 27]
    assert [width for _column, width in fitted([name, size, state], 200)] == [GROWN, 5, 200 - GROWN - 5 - 4]
    assert [width for _column, width in fitted([name, size, state], 15)] == [8, 5]


@pytest.mark.slow
async def test_a_frame_paints_a_bounded_number_of_the_maps_lines_and_none_waits_longer_than_the_others() -> None:
    made: PoolMap[str] = PoolMap()
    async with shown(made, (200, 50)) as pilot:
        pools(made, 10_000)
        made.flush(1)
        await pilot.pause()
        painted: list[int] = []
        original = made._paint

        def paint(line: int, width: int) -> Strip:
            painted.append(line)
            return original(line, width)

        made._paint = paint  # type: ignore[method-assign]
        frames = -(-49 // LINES_A_FRAME)
        for frame in range(2 * frames):  # all cells change from each frame to the next
            pools(made, 10_000, "busy" if frame % 2 == 0 else "paused")
            made.flush(2 + frame)
            await pilot.pause()
            assert len(painted) <= LINES_A_FRAME * (frame + 1)
        assert {painted.count(line) for line in range(1, 50)} == {2, 3}
        for frame in range(frames):
            made.flush(20 + frame)
            await pilot.pause()
        assert set("".join(made.text().split("\n")[1:]).replace(" ", "")) == {"Z"}
