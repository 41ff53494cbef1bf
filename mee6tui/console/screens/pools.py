"""The landing page: every worker of every node at a glance, with what goes in, what waits and what is used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.widget import Widget

from mee6.records import Node, Worker
from mee6tui.cli.units import age
from mee6tui.console import look
from mee6tui.console.commands import Key, Selection
from mee6tui.console.look import bytes_, clock_time, count, milliseconds, rate
from mee6tui.console.meter import SECONDS, Gauge, Meter, quantiles
from mee6tui.console.screens.page import Page
from mee6tui.console.store import Changes, Store
from mee6tui.console.widgets.line import WIDE, Line, Lines
from mee6tui.console.widgets.pool_map import PoolMap, natural
from mee6tui.console.widgets.sparkline import area, bar, sparkline

FIGURES_S: Final = 0.5
"""How often the figures are made anew."""
FIGURES_WIDTH: Final = 80
"""What the figures take beside the graph with the narrowest charts, where all of them are there and long."""


class Pools(Page):
    """The pool map."""

    NAME, TITLE, KEY = "pools", "pools", "1"
    HELP = (
        "Each cell is a worker, its letter and colour its state; a group is a language's pool on a node. "
        "Move with the arrows, enter opens the worker under the cursor."
    )
    DEFAULT_CSS: ClassVar[str] = """
    Pools > #figures { height: 4; }
    Pools.-wide > #figures { height: 6; }
    Pools > #legend { height: 1; }
    Pools > #describe { height: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.figures = Lines(ground="panel", id="figures")
        self.map: PoolMap[Key] = PoolMap()
        self.legend = Lines(id="legend")
        self.describe = Lines(ground="panel", id="describe")
        self._changes: Changes | None = None
        self._figured_at = float("-inf")
        self._groups: set[tuple[str, str]] = set()

    def compose(self) -> ComposeResult:
        """Figures above, the map, what its letters mean, and the worker that is pointed at."""
        yield self.figures
        yield self.map
        yield self.legend
        yield self.describe

    @property
    def is_old(self) -> bool:
        """Once all agents are away."""
        return self.store.all_away

    @property
    def main(self) -> Widget | None:
        """The map."""
        return self.map

    def show_store(self, store: Store) -> None:
        """Draws the map anew."""
        self._changes = store.changes("worker")
        self._groups.clear()
        self.map.clear()
        self._figured_at = float("-inf")

    def leave(self) -> None:
        """Looks away."""
        self._changes = None

    def flush(self, now: float) -> None:
        """Hands what has changed to the map; the figures twice a second."""
        store = self.store
        if self._changes:
            workers, signs, change = store.workers, look.WORKERS, self.map.change
            new = []
            for key in self._changes.take():
                worker = workers.get(key)
                if worker is None:
                    self.map.drop(key)
                elif not change(key, (key[0], worker.pool), signs.get(worker.state, look.UNKNOWN)):
                    new.append(key)
            for key in sorted(new, key=natural):  # in their order
                worker = workers[key]
                self.map.put(key, self._group(key[0], worker.pool), signs.get(worker.state, look.UNKNOWN))
        if now - self._figured_at >= FIGURES_S:
            self._figured_at = now
            self._show_figures(store)
        self.map.flush(now)
        self.describe.show([self._described(store)])

    def selection(self) -> Selection | None:
        """The worker under the cursor."""
        return Selection("worker", (self.map.cursor,)) if self.map.cursor else None

    def cli(self) -> str:
        """The list of workers."""
        return "mee6 worker ls"

    def heading(self) -> str:
        """Its name."""
        return "pools"

    def on_pool_map_opened(self, event: PoolMap.Opened) -> None:
        """Goes to the worker."""
        event.stop()
        self.console.open_thing(Selection("worker", (event.key,)))

    def on_resize(self) -> None:
        """Takes the wide form where there is room."""
        self.set_class(self.size.width >= WIDE and self.size.height >= 20, "-wide")
        self._figured_at = float("-inf")

    # The map

    def _group(self, source: str, pool: str) -> tuple[str, str]:
        name = (source, pool)
        if name not in self._groups:
            self._groups.add(name)
            self.map.group(name, [(f"{source} ", "quiet"), (pool, "*text")])
        return name

    def _title_groups(self, store: Store, states: Counter[tuple[str, str, str]]) -> None:
        for source, pool in self._groups:
            here = {state: number for (s, p, state), number in states.items() if (s, p) == (source, pool)}
            total = sum(number for state, number in here.items() if state != "gone")
            line = [(f"{source} ", "quiet"), (pool, "*text"), (f"  {total:,}", "text")]
            if (away := store.away_since(source)) is not None:
                ago_ns = int((self.console.now() - away) * 1e9)
                line.append((f"  as of {clock_time(self.console.wall_ns() - ago_ns)}", "*warning"))
            node = store.nodes.get(source)
            kept = next((kept for kept in node.pools if kept.name == pool), None) if node else None
            if kept is not None:
                line.append((f"  {kept.ready} of {kept.floor} kept ready", "quiet"))
                if kept.ceiling:
                    line.append((f", {kept.ceiling} at most", "quiet"))
                if kept.failure:
                    line.append((f"  ✗ {kept.failure}", "error"))
            self.map.group((source, pool), line)

    def _described(self, store: Store) -> Line:
        key = self.map.pointed
        worker = store.workers.get(key) if key else None
        if key is None or worker is None:
            return [("  ", "quiet")]
        sign = look.WORKERS.get(worker.state, look.UNKNOWN)
        line = [
            (f"  {worker.id} ", "*text"),
            (self.map.palette.word(sign), sign.tone),
            (f" {self._ago(store, key[0], worker.since_ns)}", "quiet"),
        ]
        if worker.function:
            line += [("  ", "text"), (worker.function, "text"), (f" v{worker.version}", "quiet")]
        line += [(text, "quiet") for text in _facts(worker)]
        return line

    def _ago(self, store: Store, source: str, at_ns: int) -> str:
        return age((store.agent_now(source, self.console.moment) - at_ns) / 1e9)

    # The figures

    def _show_figures(self, store: Store) -> None:
        states = store.worker_states
        self._title_groups(store, states)
        by_state: Counter[str] = Counter()
        for (_source, _pool, state), number in states.items():
            by_state[state] += number
        self.legend.show([_legend(by_state, self.size.width)])
        now = _Now(store, self.console.moment)
        width, ascii_only = self.size.width, self.map.palette.ascii
        if self.has_class("-wide"):
            self.figures.show(_wide(now, by_state, width, ascii_only=ascii_only))
        else:
            self.figures.show(_narrow(now, by_state, width, ascii_only=ascii_only))


def _facts(worker: Worker) -> list[str]:
    found = [f"  {worker.via}" if worker.via else "", _runs(worker.invocations)]
    found.append(f"  {bytes_(worker.memory_bytes)}" if worker.memory_bytes else "")
    found.append(f"  {worker.reason}" if worker.reason else "")
    return [text for text in found if text]


def _runs(number: int) -> str:
    return "" if not number else "  1 run" if number == 1 else f"  {number:,} runs"


def _legend(by_state: Counter[str], width: int) -> Line:
    """What the letters mean; those that are seen first, where there is no room for all."""
    line: list[tuple[str, str]] = [("  ", "text")]
    signs = sorted(look.WORKERS.values(), key=lambda sign: not by_state.get(sign.word, 0))
    texts = {sign.word: f"{sign.word} {by_state.get(sign.word, 0) or ''}".rstrip() for sign in signs}
    kept: list[str] = []
    room = width - 2
    for sign in signs:
        room -= len(texts[sign.word]) + 4
        if room >= 0:
            kept.append(sign.word)
    for word in [word for word in look.WORKERS if word in kept]:
        sign = look.WORKERS[word]
        line += [(sign.letter, f"*{sign.tone}"), (f" {texts[word]}  ", "text" if by_state.get(word, 0) else "faint")]
    return line


@dataclass(frozen=True)
class _Now:
    """The figures of all nodes together at a moment."""

    store: Store
    moment: float

    def series(self, seconds: int, what: str = "ended") -> list[float]:
        """Invocations of each of the last seconds."""
        columns = [
            meter.series(self.store.agent_now(source, self.moment), seconds, what)
            for source, meter in self.store.meters.items()
        ]
        return [sum(column) for column in zip(*columns, strict=True)] if columns else [0.0] * seconds

    def rate(self, what: str = "ended") -> float:
        """A second, over the last five."""
        return sum(self.series(5, what)) / 5

    def quantiles(self) -> tuple[float, float, int]:
        """p50, p99 in milliseconds of the last minute, and of how many."""
        meters: dict[str, Meter] = self.store.meters
        return quantiles(list(meters.values()), [self.store.agent_now(source, self.moment) for source in meters])

    def gauge(self, name: str, seconds: int) -> list[float]:
        """A node's field over the last seconds, of all nodes together."""
        columns = [
            self.store.gauges.get((source, name), Gauge()).series(
                self.store.agent_now(source, self.moment) / 1e9, seconds
            )
            for source in self.store.nodes
        ]
        return [sum(column) for column in zip(*columns, strict=True)] if columns else [0.0] * seconds

    def sum(self, name: str) -> int:
        """A field of the nodes, added up."""
        return sum(int(getattr(node, name)) for node in self.store.nodes.values())

    @property
    def nodes(self) -> list[Node]:
        """All of them."""
        return list(self.store.nodes.values())

    @property
    def queued(self) -> int:
        """Invocations that wait now."""
        return sum(1 for key in self.store.running if self.store.invocations[key].state == "queued")


def _narrow(now: _Now, by_state: Counter[str], width: int, *, ascii_only: bool) -> list[Line]:
    p50, p99, _number = now.quantiles()
    failed = now.rate("failed")
    running = len(now.store.running)
    queued = now.queued
    memory = now.sum("memory_bytes")
    budget = now.sum("memory_budget_bytes")
    chart = max(8, min(40, width - (74 if budget else 62)))  # the rest is the memory's line, with or without a budget
    alive = sum(number for state, number in by_state.items() if state != "gone")
    most = now.sum("max_workers")
    calls: list[tuple[str, str]] = [
        ("  calls    ", "quiet"),
        (sparkline(now.series(chart), chart, ascii_only=ascii_only), "busy"),
        (f" {rate(now.rate()):>5}", "*text"),
        ("/s", "quiet"),
        ("   p50 ", "quiet"),
        (f"{milliseconds(p50) or '-':<7}", "text"),
        (" p99 ", "quiet"),
        (f"{milliseconds(p99) or '-':<7}", "text"),
    ]
    if failed:
        calls.append((f" failed {rate(failed)}/s", "error"))
    waits: list[tuple[str, str]] = [
        ("  waiting  ", "quiet"),
        (sparkline(now.gauge("queued", chart), chart, ascii_only=ascii_only), "queued"),
        (f" {count(queued):>5}", "*text"),
        ("  ", "quiet"),
        ("   running ", "quiet"),
        (f"{count(running - queued):<5}", "text"),
        (" cold ", "quiet"),
        (f"{rate(now.rate('cold'))}/s", "text"),
    ]
    part = memory / budget if budget else 0.0
    uses: list[tuple[str, str]] = [("  memory   ", "quiet")]
    if budget:
        uses += [(bar(part, chart, ascii_only=ascii_only), "paused"), (f" {bytes_(memory)}", "*text")]
        uses += [(f" of {bytes_(budget)}", "quiet")]
    else:
        series = now.gauge("memory_bytes", chart)
        uses += [(sparkline(series, chart, ascii_only=ascii_only), "paused"), (f" {bytes_(memory)}", "*text")]
    uses += [("   agent ", "quiet"), (bytes_(now.sum("rss_bytes")), "text")]
    nodes = now.nodes
    if any(node.cores for node in nodes):
        used = sum(node.cpu_percent * node.cores for node in nodes) / max(1, sum(node.cores for node in nodes))
        uses += [("   cpu ", "quiet"), (f"{used:.0f}%", "text"), (f" of {sum(n.cores for n in nodes)} cores", "quiet")]
    full = alive / most if most else 0.0
    holds: list[tuple[str, str]] = [
        ("  workers  ", "quiet"),
        (bar(full, chart, ascii_only=ascii_only), "prewarmed"),
        (f" {count(alive):>5}", "*text"),
        (f" of {most:,}", "quiet"),
    ]
    return [calls, waits, holds, uses]


def _wide(now: _Now, by_state: Counter[str], width: int, *, ascii_only: bool) -> list[Line]:
    left = min((width - 8) // 2, width - FIGURES_WIDTH - 2)  # rather a shorter graph than figures cut off
    lines: list[list[tuple[str, str]]] = [[("  ", "quiet")] for _ in range(6)]
    narrow = _narrow(now, by_state, width - left, ascii_only=ascii_only)
    series = now.series(min(left, SECONDS - 5))
    peak = max(series, default=0.0)
    title = f"calls a second, last {len(series)} s, peak {count(peak)}"
    lines[0] += [(title.ljust(left), "quiet")]
    chart = ["", "", "", sparkline(series, left, ascii_only=True)] if ascii_only else area(series, left, 4)
    for line, cells in zip(lines[1:5], chart, strict=True):
        line.append((cells.ljust(left), "busy"))
    lines[5].append(("".ljust(left), "quiet"))
    for line, more in zip(lines[1:5], narrow, strict=True):
        line += [(span[0], span[1]) for span in more]
    return list(lines)
