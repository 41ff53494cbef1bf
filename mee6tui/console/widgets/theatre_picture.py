"""The theatre's picture: agent, proxy and runtime as boxes, lanes between them, and what runs along these. Pure.

A canvas of cells, each a character and a tone, drawn for a `Scene` at any size that holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from mee6tui.cli.units import duration
from mee6tui.console.look import DARK, HANDOVERS, UNKNOWN, WORKERS, Palette, count
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.pieces import Piece, fit
from mee6tui.console.widgets.theatre_story import KINDS, Player, Scene, Story

_BOX_HEIGHT: Final = 6
_PLAIN: Final = str.maketrans("╭╮╰╯┗┛│─┄┆●○✓▶━┃", "++++++|-.:*ov>=|")
_LANE_Y: Final = 2
_SHARE: Final = 0.86
"""The part of a beat in which something moves; then the picture rests."""


@dataclass
class Canvas:
    """Cells to draw on."""

    width: int
    height: int
    cells: list[list[tuple[str, str, bool]]] = field(init=False)

    def __post_init__(self) -> None:
        self.cells = [[(" ", "text", False)] * self.width for _ in range(self.height)]

    def put(self, x: int, y: int, text: str, tone: str = "text", *, strong: bool = False) -> None:
        """Writes, as far as there is room."""
        if 0 <= y < self.height:
            for place, char in enumerate(text):
                if 0 <= x + place < self.width:
                    self.cells[y][x + place] = (char, tone, strong)

    def pieces(self, y: int) -> list[Piece]:
        """A line."""
        return [
            Piece("".join(cell[0] for cell in cells), tone, strong=strong)
            for (tone, strong), cells in groupby(self.cells[y], key=lambda cell: cell[1:])
        ]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a part stands."""

    x: int
    y: int
    width: int
    height: int = _BOX_HEIGHT

    @property
    def right(self) -> int:
        """The column of its right side."""
        return self.x + self.width - 1

    @property
    def middle(self) -> int:
        """The column of its middle."""
        return self.x + self.width // 2


def boxes(width: int) -> dict[str, Box]:
    """Agent, proxy and runtime, for a picture of a width."""
    each = max(12, min(22, (width - 4) // 5))
    left, right = 2, max(2 * each + 6, width - each - 2)
    return {"agent": Box(left, 1, each), "proxy": Box((left + right) // 2, 1, each), "runtime": Box(right, 1, each)}


def lane(name: str, places: dict[str, Box]) -> list[tuple[int, int]]:
    """The cells that something passes on its way, in order: `agent>proxy`, `runtime>agent`."""
    source, _, target = name.partition(">")
    if {source, target} == {"agent", "runtime"}:
        agent, runtime = places["agent"], places["runtime"]
        bottom = agent.y + agent.height
        path = [(agent.middle, bottom), (agent.middle, bottom + 1)]
        path += [(x, bottom + 1) for x in range(agent.middle + 1, runtime.middle)]
        path += [(runtime.middle, bottom + 1), (runtime.middle, bottom)]
        return path if source == "agent" else path[::-1]
    first, second = sorted((places[source], places[target]), key=lambda box: box.x)
    path = [(x, first.y + _LANE_Y) for x in range(first.right + 1, second.x)]
    return path if first is places[source] else path[::-1]


def along(path: Sequence[tuple[int, int]], progress: float) -> tuple[int, int]:
    """The cell at a share of a way."""
    return path[min(len(path) - 1, max(0, int(progress * len(path))))]


def picture(scene: Scene, story: Story, width: int, *, pulse: float = 0.0, palette: Palette = DARK) -> Canvas:
    """The boxes and lanes of a scene.

    Args:
        pulse: where calls that pass are on their way, 0 to 1.
    """
    canvas = Canvas(width, _BOX_HEIGHT + 5)
    places = boxes(width)
    state, moving = scene.handover, scene.progress < _SHARE
    is_new = scene.beat is not None and scene.beat.kind.handover == state and moving
    has_left = state == "alone"
    calls_direct = state in ("direct", "alone") and not (is_new and state == "direct")
    worker = scene.worker
    is_gone = worker is not None and worker.state == "gone"
    _lanes(canvas, places, state, is_new=is_new, calls_direct=calls_direct, is_gone=is_gone)
    sign = WORKERS.get(worker.state, UNKNOWN) if worker else UNKNOWN
    _box(canvas, places["agent"], "agent", ["the node", _calls(scene.proxied + scene.direct)], "accent", real=True)
    proxy_words = ["has left"] if has_left else ["is done"] if state == "direct" else ["relays"]
    _box(canvas, places["proxy"], "proxy", proxy_words, "faint" if has_left else "warm", real=not has_left)
    loaded = clean(worker.function) if worker and worker.function else "nothing loaded"
    pid = f"pid {story.pid}" if story.pid else ""
    words = [palette.word(sign) if worker else "", loaded, pid]
    _box(canvas, places["runtime"], "runtime", words, sign.tone, real=not is_gone)
    if scene.beat is not None and moving and scene.beat.kind.moves:
        moves = scene.beat.kind.moves
        at = scene.progress / _SHARE * len(moves)
        canvas.put(*along(lane(moves[min(int(at), len(moves) - 1)], places), at % 1), "●", "text", strong=True)
    elif worker is not None and worker.state == "busy":
        way = ["agent>runtime"] if calls_direct else ["agent>proxy", "proxy>runtime"]
        path = [cell for name in way for cell in lane(name, places)]
        there = pulse < 0.5
        canvas.put(*along(path if there else path[::-1], pulse * 2 % 1), "●" if there else "○", "busy", strong=True)
    return canvas


def _calls(number: int) -> str:
    return f"{count(number)} call{'s' * (number != 1)}"


def _lanes(
    canvas: Canvas, places: dict[str, Box], state: str, *, is_new: bool, calls_direct: bool, is_gone: bool
) -> None:
    for name in ("agent>proxy", "proxy>runtime"):
        open_ = state != "alone" and not is_gone and not (name == "proxy>runtime" and state == "direct")
        carries = open_ and not calls_direct
        char, tone = ("─", "warm") if carries else ("┄", "quiet") if open_ else (" ", "faint")
        for x, y in lane(name, places):
            canvas.put(x, y, char, tone)
    if state in ("connected", "direct", "alone") and not is_gone:
        tone = "good" if calls_direct else "accent"
        across, down = ("━", "┃") if calls_direct else ("─", "│")
        if is_new and state == "connected":
            across, down, tone = "┄", "┆", "quiet"
    elif state == "granted" and not is_gone:
        across, down, tone = "┄", "┆", "faint"
    else:
        return
    path = lane("agent>runtime", places)
    for x, y in path:
        canvas.put(x, y, down if (x, y) in (path[0], path[-1]) else across, tone)
    canvas.put(*path[1], "┗" if calls_direct else "╰", tone)
    canvas.put(*path[-2], "┛" if calls_direct else "╯", tone)
    words = "direct lane" if calls_direct else "a lane is offered" if state == "granted" else "new lane"
    canvas.put((path[1][0] + path[-2][0] - len(words)) // 2 + 1, path[1][1] + 1, words, tone)


def _box(canvas: Canvas, box: Box, title: str, words: Sequence[str], tone: str, *, real: bool) -> None:
    across, down = ("─", "│") if real else ("┄", "┆")
    canvas.put(box.x, box.y, "╭" + across * (box.width - 2) + "╮", tone)
    for y in range(box.y + 1, box.y + box.height - 1):
        canvas.put(box.x, y, down + " " * (box.width - 2) + down, tone)
    canvas.put(box.x, box.y + box.height - 1, "╰" + across * (box.width - 2) + "╯", tone)
    canvas.put(box.x + 2, box.y + 1, fit(title, box.width - 4), tone, strong=real)
    for place, word in enumerate(words):
        canvas.put(box.x + 2, box.y + 2 + place, fit(word, box.width - 4), "text" if real else "faint")


def heading(player: Player, name: str, palette: Palette = DARK) -> list[Piece]:
    """The line above: which worker, its handover, and how it is played."""
    story = player.story
    scene = story.scene(player.position)
    sign = HANDOVERS.get(scene.handover, UNKNOWN)
    beats = len(story.beats)
    mode = "shown" if player.is_at_end else "playing" if player.playing else "stopped"
    at = min(int(player.position) + 1, beats)
    return [
        Piece(f" {name or 'no worker'} ", "text", strong=True),
        Piece(f" {palette.word(sign)}", sign.tone, strong=True),
        Piece(f"   {mode} {at} of {beats}, {player.speed:g}x", "quiet"),
    ]


def stages(player: Player, width: int, palette: Palette = DARK) -> list[list[Piece]]:
    """A line for each beat: done, going on or yet to come; what it is, and how long it took."""
    story, position = player.story, player.position
    made: list[list[Piece]] = []
    for place, (beat, wait) in enumerate(zip(story.beats, story.waits(), strict=True)):
        now = place <= position < place + 1
        sign, tone = ("▶", "accent") if now else ("✓", "good") if position >= place + 1 else ("○", "faint")
        took = f"+{duration(wait)}" if place else ""
        words = beat.kind.words + (f": {clean(beat.reason)}" if beat.reason else "")
        bright = "text" if now else "quiet" if position >= place + 1 else "faint"
        made.append(
            [
                Piece(f" {sign} ", tone),
                Piece(fit(beat.name, 10), tone if now else bright, strong=now),
                Piece(f"{took:>9}  ", "loading" if now else "quiet"),
                Piece(fit(words, max(0, width - 24)), bright),
            ]
        )
    made += [
        [Piece(" ○ ", "faint"), Piece(fit(name, 21), "faint"), Piece(KINDS[name].words, "faint")]
        for name in story.missing()
    ]
    return [_plain(line, palette) for line in made]


def counters(scene: Scene, width: int, palette: Palette = DARK) -> list[list[Piece]]:
    """Two lines: calls through the proxy, and direct ones."""
    most = max(scene.proxied, scene.direct, 1)
    room = max(1, width - 34)
    made = []
    for words, number, tone in (("through the proxy", scene.proxied, "warm"), ("direct", scene.direct, "good")):
        length = round(number * room / most) if number else 0
        bar = ("━" * max(length, 1)) if number else ""
        made.append([Piece(f" calls {words:<18}"), Piece(f"{count(number):>6} "), Piece(bar, tone)])
    return [_plain(line, palette) for line in made]


def _plain(line: Sequence[Piece], palette: Palette) -> list[Piece]:
    if not palette.ascii:
        return list(line)
    return [piece._replace(text=palette.plain(piece.text.translate(_PLAIN))) for piece in line]


def lines(
    player: Player, name: str, width: int, height: int, *, pulse: float = 0.0, palette: Palette = DARK
) -> list[list[Piece]]:
    """All lines, at most `height`; what does not fit is left out from the middle of the list of beats."""
    scene = player.story.scene(player.position)
    canvas = picture(scene, player.story, width, pulse=pulse, palette=palette)
    drawn = [heading(player, name, palette)]
    drawn += [_plain(canvas.pieces(y), palette) for y in range(canvas.height)]
    below = counters(scene, width, palette)
    listed = stages(player, width, palette)
    room = max(0, height - len(drawn) - len(below) - 1)
    if len(listed) > room:  # the beat that is shown stays in sight
        first = min(max(0, int(player.position) - room // 2), len(listed) - room)
        listed = listed[first : first + room]
    blank: list[list[Piece]] = [[]] * max(0, height - len(drawn) - len(below) - len(listed) - 1)
    return [*drawn, *listed, *blank, [], *below][:height] if height > len(drawn) else drawn[:height]
