"""The handover theatre: a worker's agent, proxy and runtime, and how the proxy leaves the path between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.strip import Strip

from mee6.records import Handover, Worker
from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.line_widget import LineWidget
from mee6tui.console.widgets.pieces import Piece
from mee6tui.console.widgets.theatre_picture import lines
from mee6tui.console.widgets.theatre_story import Player, Story, Told

_PULSE_S: Final = 1.2
"""How long a call's dot takes there and back."""


class Theatre(LineWidget):
    """Shows one worker: live as its records come, or again from the beginning."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "play/stop", id="theatre.play"),
        Binding("left,comma", "step(-1)", "back", id="theatre.back"),
        Binding("right,full_stop", "step(1)", "step", id="theatre.step"),
        Binding("plus,equals_sign", "speed(2.0)", "faster", key_display="+", id="theatre.faster"),
        Binding("minus", "speed(0.5)", "slower", key_display="-", id="theatre.slower"),
        Binding("0,home", "again", "from the beginning", key_display="0", id="theatre.again"),
        Binding("end,G", "last", "to the end", show=False, id="theatre.last"),
    ]

    def __init__(self, palette: Palette = DARK, **widget: Any) -> None:
        super().__init__(palette, **widget)
        self.worker = ""
        self.player = Player(Story())
        self._drawn: list[list[Piece]] = []
        self._seen: tuple[object, ...] = ()

    def set_story(self, worker: str, told: Sequence[Told], *, play: bool = True) -> None:
        """Shows a worker by what has been told of it.

        Args:
            told: when, nanoseconds on the agent's clock, and what.
            play: from the beginning; else how it stands now, and what comes is played as it comes.
        """
        self.worker = worker
        self.player = Player(Story(told))
        if not play:
            self.player.position = self.player.end

    def put(self, at_ns: int, what: Handover | Worker) -> None:
        """Takes what happened now; it is played once what came before has been."""
        at_end = self.player.is_at_end
        self.player.story.tell(at_ns, what)
        if at_end and not self.player.is_at_end:
            self.player.playing = True

    def flush(self, now: float) -> None:
        """Moves on.

        Args:
            now: seconds, monotonic.
        """
        player = self.player
        player.tick(now)
        self._measure()
        width, height = self.box
        pulse = now % _PULSE_S / _PULSE_S
        worker = player.story.scene(player.position).worker
        seen: tuple[object, ...] = (player, player.position, player.playing, player.speed, player.story.told, self.box)
        seen += (pulse,) if worker is not None and worker.state == "busy" else ()
        if seen == self._seen:
            return
        self._seen = seen
        drawn = lines(self.player, self.worker, width, height, pulse=pulse, palette=self.palette)
        before, self._drawn = self._drawn, drawn
        if len(before) == len(drawn):
            self.repaint_lines([y for y in range(height) if y >= len(drawn) or before[y] != drawn[y]])
        else:
            self.repaint()

    def line(self, y: int) -> Strip:
        """The line at `y` from the top."""
        return self.strip(self._drawn[y] if y < len(self._drawn) else (), self.box.width)

    def resized(self) -> None:
        """Draws for another size."""
        self._drawn = lines(self.player, self.worker, *self.box, palette=self.palette)

    def set_palette(self, palette: Palette) -> None:
        """Looks different from now on."""
        self._drawn, self._seen = [], ()
        super().set_palette(palette)

    def action_play(self) -> None:
        """Stops or goes on; at the end, begins again."""
        self.player.toggle()

    def action_step(self, by: int) -> None:
        """Goes on by one beat, or back."""
        self.player.step(by)

    def action_speed(self, factor: float) -> None:
        """Plays faster or slower."""
        self.player.faster(factor)

    def action_again(self) -> None:
        """Plays from the beginning."""
        self.player.position, self.player.playing = 0.0, True

    def action_last(self) -> None:
        """Shows how it stands."""
        self.player.position = self.player.end
