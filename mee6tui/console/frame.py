"""What stands around the page: the header, the banner for what is out of the ordinary, and the hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mee6tui.console import look
from mee6tui.console.commands import key_name
from mee6tui.console.look import bytes_, clock_time, count
from mee6tui.console.source import LinkState
from mee6tui.console.widgets.line import Line, Lines, Span

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp
    from mee6tui.console.replay import Tape

HINTS_NARROW: Final = 6


class Frame:
    """Header, banner and hints of a console."""

    def __init__(self, app: ConsoleApp) -> None:
        self.app = app
        self.header = Lines(ground="panel", id="header")
        self.banner = Lines(ground="raised", id="banner")
        self.hints = Lines(ground="panel", id="hints")
        self.internals = False
        """Whether the banner says how the console itself is doing."""

    def show(self, now: float, *, asking: bool) -> None:
        """Paints what has changed of them.

        Args:
            asking: the prompt is open, in the place of the hints.
        """
        self.header.show([self._head()])
        line = self._banner_line(now)
        self.banner.set_class(bool(line), "-on")
        self.banner.show([line])
        self.hints.set_class(asking, "-off")
        self.hints.show([self._hint_line()])

    def _head(self) -> Line:
        width = self.app.size.width
        left: list[Span] = [(" mee6 ", "*background", "accent"), (f" {self.app.page.heading()}", "*text")]
        links = [*self._mode_spans(), *self._link_spans(width)]
        time_ = clock_time(self.app.wall_ns())
        used = sum(len(span[0]) for span in left) + sum(len(span[0]) for span in links) + len(time_) + 2
        gap = max(1, width - used)
        return [*left, (" " * gap, "text"), *links, (f" {time_} ", "quiet")]

    def _mode_spans(self) -> list[tuple[str, str]]:
        """What is out of the ordinary: nothing can be done, or all is written to a file."""
        spans = (
            [(" read-only ", "warning")]
            if self.app.clients and self.app.clients.keys() <= self.app.read_only.keys()
            else []
        )
        spans += [(f" adding {name}, {how_far} ", "accent") for name, how_far in self.app.under_way.items()]
        if self.app.recorder is not None:
            stopped = self.app.recorder.stopped
            said = f" rec stopped: {stopped} " if stopped else f" rec {bytes_(self.app.recorder.bytes)} "
            spans.append((said, "error" if stopped else "accent"))
        return spans

    def _link_spans(self, width: int) -> list[tuple[str, str]]:
        links = self.app.store.links
        spans: list[tuple[str, str]] = []
        if len(links) <= (2 if width < 100 else 4):
            for name, link in links.items():
                sign = look.LINKS[link.state]
                spans += [(f" {self.app.palette.glyph(sign)} ", sign.tone), (look.short(name), "text")]
                if link.state != LinkState.LIVE:
                    spans.append((f" {link.state}", sign.tone))
                if link.away_since is not None:
                    spans.append((f", as of {self._time_at(link.away_since, self.app.now())}", "*warning"))
                spans.append((" ", "text"))
            return spans
        states = [link.state for link in links.values()]
        for sign in look.LINKS.values():
            if number := states.count(sign.word):
                spans.append((f" {self.app.palette.glyph(sign)} {number} {sign.word} ", sign.tone))
        return spans

    def _banner_line(self, now: float) -> Line:
        if self.app.frozen:
            behind = max(0.0, now - self.app.moment)
            return [
                ("  replay stands still" if self.app.tape else "  frozen", "*warning"),
                (f" at {self._time_at(self.app.moment, now)}, {behind:,.0f} s ago", "text"),
                (f"  {count(self.app.new)} new", "quiet"),
                ("  , . second  { } event  F goes on", "quiet"),
            ]
        if self.internals:
            return self._internal_line()
        if self.app.tape is not None:
            return _tape_line(self.app.tape)
        for name, link in self.app.store.links.items():
            if link.state == LinkState.LIVE:
                continue
            if not link.error:
                continue
            wait = f"again in {max(0.0, link.retry_at - now):.0f} s" if link.retry_at > now else ""
            tries = f"attempt {link.attempt}" if link.attempt else ""
            line: list[Span] = [("  ", "text")]
            if len(self.app.store.links) > 1:  # of one, the header says it
                line.append((f"{look.short(name)} {link.state}  ", f"*{look.LINKS[link.state].tone}"))
            return [
                *line,
                (" ".join(link.error.split()), "text"),
                ("  " + ", ".join(filter(None, (wait, tries))), "quiet"),
            ]
        return []

    def _internal_line(self) -> Line:
        figures = self.app.clock.figures
        oldest = self.app.history.oldest
        past = f"{self.app.now() - oldest:.0f} s in {bytes_(self.app.history.bytes)}" if oldest is not None else "none"
        said = (
            f"  {figures.fps:.0f} fps  {figures.frame_ms:.1f} ms a frame  {figures.skipped} left out"
            f"  loop late {figures.lag_ms:.1f} ms  {count(self.app.store.numbered)} events  past {past}"
        )
        return [(said, "accent")]

    def _time_at(self, moment: float, now: float) -> str:
        return clock_time(self.app.wall_ns() - int((now - moment) * 1e9))

    def _hint_line(self) -> Line:
        context, width = self.app.context(), self.app.size.width
        hints = sorted(
            (c for c in self.app.registry.here(context.page, context.selection) if c.hint and c.when(context) is None),
            key=lambda command: command.hint,
        )
        said = {c.id: (f" {key_name(c.keys[0])} ", f"{c.short or c.title.lower()} ") for c in hints}
        room, places = width - 2, HINTS_NARROW if width < 100 else len(said)
        kept: set[str] = set()
        for name in sorted(said, key=lambda name: name != "help"):  # whoever knows no other key needs this one
            room -= sum(map(len, said[name])) + 1
            if room < 0 or len(kept) == places:
                break
            kept.add(name)
        line: list[tuple[str, str]] = [(" ", "text")]
        for name, (keys, words) in said.items():
            if name in kept:
                line += [(keys, "*accent"), (words, "quiet")]
        return line


def _tape_line(tape: Tape) -> Line:
    how = "ended" if tape.ended else "all at once" if tape.speed == 0 else f"{tape.speed:g} times as fast"
    return [
        (f"  replay of {look.short(tape.name)}", "*accent"),
        (f"  {tape.now():.1f} s of {tape.length_s:.1f} s, {how}", "text"),
        ("   F stands still   :at SECONDS   :speed TIMES", "quiet"),
    ]
