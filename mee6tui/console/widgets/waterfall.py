"""The waterfall of one invocation, live: the widget around a `Sheet`, which holds what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.line_widget import LineWidget
from mee6tui.console.widgets.pieces import Piece
from mee6tui.console.widgets.waterfall_sheet import Sheet

if TYPE_CHECKING:
    from mee6.records import Handover, Invocation, Step


class Waterfall(LineWidget):
    """Steps under their callers with their spans as bars, which grow until they end.

    Above the rows stands a ruler, below them what there is to say of the cursor's step, and a legend.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="waterfall.up"),
        Binding("down,j", "move(1)", "down", show=False, id="waterfall.down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="waterfall.page_up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="waterfall.page_down"),
        Binding("home,g", "end(-1)", "first", show=False, id="waterfall.first"),
        Binding("end,G", "end(1)", "last", show=False, id="waterfall.last"),
        Binding("plus,equals_sign", "zoom(0.5)", "zoom in", key_display="+", id="waterfall.zoom_in"),
        Binding("minus", "zoom(2.0)", "zoom out", key_display="-", id="waterfall.zoom_out"),
        Binding("left", "pan(-0.25)", "earlier", show=False, id="waterfall.earlier"),
        Binding("right", "pan(0.25)", "later", show=False, id="waterfall.later"),
        Binding("0", "reset", "all", id="waterfall.reset"),
        Binding("f", "focus_step", "fit step", id="waterfall.fit"),
        Binding("space", "fold", "fold", id="waterfall.fold"),
        Binding("asterisk", "fold_all", "fold all", key_display="*", id="waterfall.fold_all"),
        Binding("tilde", "squeeze", "leave out idle time", key_display="~", id="waterfall.squeeze"),
        Binding("enter", "pick", "open", show=False, id="waterfall.open"),
    ]

    class Picked(Message):
        """A person wants to see more of a step."""

        def __init__(self, waterfall: Waterfall, step: str) -> None:
            super().__init__()
            self.waterfall = waterfall
            self.step = step

        @property
        def control(self) -> Waterfall:
            """The waterfall."""
            return self.waterfall

    def __init__(self, palette: Palette = DARK, **widget: Any) -> None:
        super().__init__(palette, **widget)
        self.sheet = Sheet(palette)
        self.clock_offset_ns = 0
        """What the agent's clock is ahead of the one that `flush` is given; 0 on one machine."""
        self._top = 0
        self._now = 0
        """On the agent's clock."""
        self._changed: set[str] = set()
        self._seen: object = None

    @property
    def selected(self) -> str:
        """The id of the cursor's step; empty where there is none."""
        return self.sheet.cursor

    def set_model(
        self, invocation: Invocation, steps: Mapping[str, Step], handovers: Mapping[str, Handover] | None = None
    ) -> None:
        """What is known by now; what is the same object as before costs nothing.

        Args:
            handovers: by the id of the step during which they happened.
        """
        shown = self.sheet.invocation
        if shown is not None and shown.id != invocation.id:
            self.sheet = Sheet(self.palette)
            self._top, self._changed, self._seen = 0, set(), None
        self._changed |= self.sheet.show(invocation, steps, handovers or {})

    def select(self, step: str) -> None:
        """Puts the cursor on a step, where it is shown."""
        self.sheet.cursor = step
        self._turn()

    def set_palette(self, palette: Palette) -> None:
        """Looks different from now on."""
        self.sheet.palette = palette
        super().set_palette(palette)

    def flush(self, now: float) -> None:
        """Draws what has changed.

        Args:
            now: seconds, monotonic.
        """
        self._now = int(now * 1e9) + self.clock_offset_ns
        self._measure()
        self._draw(self._now)

    def _draw(self, now: int) -> None:
        sheet = self.sheet
        sheet.textured = self.is_plain
        arranged = sheet.arrange(now)
        if arranged:
            self._reveal()
        seen = (sheet.seen(now), self.box)
        if arranged or seen != self._seen:
            self._seen = seen
            self._changed.clear()
            self.repaint_lines(range(self.box.height))
            return
        shown = range(self._top, min(len(sheet.rows), self._top + self._room))
        dirty = [1 + place - self._top for place in shown if self._is_dirty(sheet.rows[place].step.id)]
        if sheet.cursor in self._changed or sheet.is_live:
            dirty += range(self.box.height - self._below, self.box.height)
        self._changed.clear()
        self.repaint_lines(dirty)

    def _is_dirty(self, identity: str) -> bool:
        return identity in self._changed or self.sheet.times(identity, self._now).running

    @property
    def _below(self) -> int:
        """Lines below the rows."""
        return 5 if self.box.height >= 14 else 2 if self.box.height >= 6 else 0

    @property
    def _room(self) -> int:
        """Rows that are seen."""
        return max(0, self.box.height - 1 - self._below)

    def line(self, y: int) -> Strip:
        """The line at `y` from the top."""
        width, sheet = self.box.width, self.sheet
        if y == 0:
            return self.strip(sheet.ruler(self._now, width - 1), width)
        if y <= self._room:
            bar = self.scroll_bar(y - 1, self._top, self._room, len(sheet.rows))
            place = self._top + y - 1
            if place >= len(sheet.rows):
                return self.blank
            return self.strip([*sheet.row(place, self._now, width - 1), bar], width)
        return self.strip(self._foot(y - 1 - self._room, width), width)

    def _foot(self, place: int, width: int) -> list[Piece]:
        if self._below == 5:
            if place == 0:
                return [Piece(("-" if self.palette.ascii else "─") * width, "raised")]
            if place == 4:
                return self.sheet.legend()
            return self.sheet.detail(self._now, width)[place - 1]
        what, parts, last = self.sheet.detail(self._now, width)
        step = self.sheet.steps.get(self.sheet.cursor)
        return what if place == 0 else last if step is not None and step.error else parts

    def _reveal(self) -> None:
        """Scrolls as little as the cursor needs to be seen."""
        place, room = self.sheet.place, self._room
        self._top = max(0, min(self._top, place, len(self.sheet.rows) - room))
        if room and place >= self._top + room:
            self._top = place - room + 1

    def _turn(self) -> None:
        self.sheet.arrange(self._now)
        self._reveal()
        self.repaint_lines(range(self.box.height))

    def resized(self) -> None:
        """Its cursor stays in sight."""
        self._reveal()

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor there; on the sign of a fold, folds."""
        place = self._top + event.y - 1
        if 1 <= event.y <= self._room and place < len(self.sheet.rows):
            again = self.sheet.place == place
            self.sheet.move_to(place)
            fold = 3 + 2 * self.sheet.rows[place].depth
            if event.x in (fold, fold + 1):
                self.sheet.fold()
            elif again and event.chain == 2:
                self.action_pick()
            self._turn()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scrolls, or with ctrl shows more time."""
        self._wheel(3, 1.25, event)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scrolls, or with ctrl shows less time."""
        self._wheel(-3, 0.8, event)

    def _wheel(self, rows: int, factor: float, event: events.MouseEvent) -> None:
        event.stop()
        if event.ctrl:
            self.action_zoom(factor)
            return
        self._top = max(0, min(self._top + rows, len(self.sheet.rows) - self._room))
        self.repaint()

    def action_move(self, by: int) -> None:
        """Moves the cursor by rows."""
        self.sheet.move(by)
        self._turn()

    def action_page(self, by: int) -> None:
        """Moves the cursor by what is seen."""
        self.action_move(by * max(1, self._room - 1))

    def action_end(self, which: int) -> None:
        """Moves the cursor to the first or to the last row."""
        self.sheet.move_to(0 if which < 0 else len(self.sheet.rows) - 1)
        self._turn()

    def action_zoom(self, factor: float) -> None:
        """Shows `factor` times as much time."""
        self.sheet.zoom(factor, self._now)
        self._turn()

    def action_pan(self, part: float) -> None:
        """Shows earlier or later time."""
        self.sheet.pan(part, self._now)
        self._turn()

    def action_reset(self) -> None:
        """Shows all time."""
        self.sheet.reset()
        self._turn()

    def action_focus_step(self) -> None:
        """Shows the cursor's step as large as it goes."""
        self.sheet.focus(self._now)
        self._turn()

    def action_fold(self) -> None:
        """Hides or shows what the cursor's step called."""
        self.sheet.fold()
        self._turn()

    def action_fold_all(self) -> None:
        """Hides all but the first calls, or shows everything."""
        self.sheet.fold_all()
        self._turn()

    def action_squeeze(self) -> None:
        """Leaves out time in which nothing begins or ends, or shows it again."""
        self.sheet.squeeze()
        self._turn()

    def action_pick(self) -> None:
        """Asks for more of the cursor's step."""
        if self.selected:
            self.post_message(self.Picked(self, self.selected))
