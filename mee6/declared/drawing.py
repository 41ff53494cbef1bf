"""A graph as text, as Mermaid, and as SVG."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from mee6.declared.graph import Graph, Step
from mee6.declared.layers import Layers, Line, conditions, direct, layers_of, said_of

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_STROKES: Final = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
"""By which of the four ways a line goes on."""
_APART: Final = 3
"""Columns between boxes."""


def text_of(graph: Graph) -> str:
    """Boxes with their names and what they do, and lines between them, top to bottom."""
    layers = layers_of(graph)
    labels = {name: _label(graph, name) for name in graph.nodes}
    centres, width = _columns(layers, labels)
    lines: list[str] = []
    for n, row in enumerate(layers.rows):
        lines += _boxes(row, labels, centres, width)
        if n < len(layers.gaps):
            lines += _gap(layers.gaps[n], centres, width)
    return "\n".join(line.rstrip() for line in lines)


def _label(graph: Graph, name: str) -> list[str]:
    said = said_of(graph, name)
    lines = [name] if said == name else [name, said]
    if graph.nodes[name].step.is_switch:
        lines += [f"{when}: {target}" for target, when in conditions(graph, name).items()]
    return lines


def _columns(layers: Layers, labels: dict[str, list[str]]) -> tuple[dict[str, int], int]:
    """The middle column of each place, and the width of all."""
    widths = {name: max(map(len, lines)) + 4 for name, lines in labels.items()}
    spans = [sum(widths.get(name, 1) + _APART for name in row) - _APART for row in layers.rows]
    width = max(spans)
    centres: dict[str, int] = {}
    for row, span in zip(layers.rows, spans, strict=True):
        at = (width - span) // 2
        for name in row:
            size = widths.get(name, 1)
            centres[name] = at + size // 2
            at += size + _APART
    return centres, width + 2


def _boxes(row: tuple[str, ...], labels: dict[str, list[str]], centres: dict[str, int], width: int) -> list[str]:
    height = max(len(labels[name]) for name in row if name in labels) + 2
    canvas = [[" "] * width for _ in range(height)]
    for name in row:
        middle = centres[name]
        if name not in labels:
            for line in canvas:
                line[middle] = "│"
            continue
        lines = labels[name]
        inner = max(map(len, lines)) + 2
        left = middle - (inner + 2) // 2
        shown = [f"┌{'─' * inner}┐", *(f"│{line.center(inner)}│" for line in lines)]
        shown += [f"│{' ' * inner}│"] * (height - len(lines) - 2) + [f"└{'─' * inner}┘"]
        for line, piece in zip(canvas, shown, strict=True):
            line[left : left + len(piece)] = piece
    return ["".join(line) for line in canvas]


def _gap(gap: tuple[Line, ...], centres: dict[str, int], width: int) -> list[str]:
    """The lines between two rows: down from each place above, along a row of its own, down to those below."""
    sources = sorted(dict.fromkeys(line.above for line in gap), key=lambda name: centres[name])
    straight = {name for name in sources if _is_straight(name, gap, centres)}
    tracks = {
        name: n for n, name in enumerate(_in_order([one for one in sources if one not in straight], gap, centres))
    }
    height = max(len(tracks), 1) + (2 if tracks else 0)
    cells = [[0] * width for _ in range(height)]
    for name in sources:
        targets = _targets(name, gap, centres)
        column = centres[name]
        if name in straight:
            _down(cells, column, 0, height - 1)
            continue
        if not _passes(name):
            column = _exit(column, targets, gap, centres)
        track = tracks[name] + 1
        _down(cells, column, 0, track)
        for target in targets:
            low, high = min(column, target), max(column, target)
            for at in range(low, high + 1):
                cells[track][at] |= (_RIGHT if at < high else 0) | (_LEFT if at > low else 0)
            _down(cells, target, track, height - 1)
    return ["".join(_STROKES[cell] for cell in line) for line in cells]


def _passes(name: str) -> bool:
    """Whether a place is no step, but a line on its way further down: that leaves right below where it came in."""
    return " " in name


def _in_order(sources: list[str], gap: tuple[Line, ...], centres: dict[str, int]) -> list[str]:
    """Which line takes the upper rows: one that passes, before those that arrive in its column below it."""
    left, found = list(sources), []
    while left:
        name = next(
            (
                one
                for one in left
                if not any(
                    _passes(other) and other != one and centres[other] in _targets(one, gap, centres) for other in left
                )
            ),
            left[0],
        )
        left.remove(name)
        found.append(name)
    return found


def _targets(name: str, gap: tuple[Line, ...], centres: dict[str, int]) -> list[int]:
    """The columns in which a place's lines arrive."""
    return [centres[line.below] for line in gap if line.above == name]


def _is_straight(name: str, gap: tuple[Line, ...], centres: dict[str, int]) -> bool:
    """Whether the only line from a place is the only one to the place right below."""
    targets = [line.below for line in gap if line.above == name]
    if len(targets) != 1 or centres[targets[0]] != centres[name]:
        return False
    return sum(line.below == targets[0] for line in gap) == 1


def _exit(column: int, targets: list[int], gap: Iterable[Line], centres: dict[str, int]) -> int:
    """The column in which a place's line leaves: not where one arrives that is not its own."""
    arrivals = {centres[line.below] for line in gap} - set(targets)
    return next(at for at in (column, column + 1, column - 1, column + 2) if at not in arrivals)


def _down(cells: list[list[int]], column: int, first: int, last: int) -> None:
    end = len(cells) - 1
    for at in range(first, last + 1):
        cells[at][column] |= (_DOWN if at < last or at == end else 0) | (_UP if at > first or at == 0 else 0)


# Mermaid and SVG ---------------------------------------------------------------------------------------------


def mermaid_of(graph: Graph) -> str:
    """A Mermaid flowchart."""
    number = {name: f"s{n}" for n, name in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    for name in graph.nodes:
        label = "<br/>".join(escape(line, {'"': "&quot;"}) for line in dict.fromkeys((name, said_of(graph, name))))
        opening, closing = ("{", "}") if graph.nodes[name].step.is_switch else ("[", "]")
        lines.append(f'  {number[name]}{opening}"{label}"{closing}')
    for name in graph.nodes:
        for one in graph.nodes:
            if one not in direct(graph, name):
                continue
            when = conditions(graph, one).get(name, "") if graph.nodes[one].step.is_switch else ""
            label = "|" + '"' + escape(when, {'"': "&quot;"}) + '"' + "|" if when else ""
            lines.append(f"  {number[one]} -->{label} {number[name]}")
    return "\n".join(lines)


_CHAR: Final = 7.3
_LINE: Final = 17
_SPACE: Final = 28
_BETWEEN: Final = 46


def svg_of(graph: Graph) -> str:
    """A picture that stands alone, in the reader's colours."""
    layers = layers_of(graph)
    labels = {name: _label(graph, name) for name in graph.nodes}
    sizes = {name: (max(map(len, lines)) * _CHAR + 24, len(lines) * _LINE + 14) for name, lines in labels.items()}
    spans = [sum(sizes.get(name, (8, 0))[0] + _SPACE for name in row) - _SPACE for row in layers.rows]
    width = max(spans) + 2 * _SPACE
    places: dict[tuple[int, str], tuple[float, float, float]] = {}
    top = float(_SPACE)
    boxes: list[str] = []
    for n, row in enumerate(layers.rows):
        left = (width - spans[n]) / 2
        tall = max(sizes[name][1] for name in row if name in sizes)
        for name in row:
            wide, high = sizes.get(name, (8, tall))
            places[n, name] = (left + wide / 2, top, top + high)
            if name in labels:
                boxes.append(_box(labels[name], left, top, wide, high))
            left += wide + _SPACE
        top += tall + _BETWEEN
    lines = [
        _curve(places[n, line.above], places[n + 1, line.below], to_box=line.below in labels)
        for n, gap in enumerate(layers.gaps)
        for line in gap
    ]
    passing = [place for (_n, name), place in places.items() if name not in labels]
    lines += [f'<path d="M{x:.1f} {start:.1f}V{end:.1f}"/>' for x, start, end in passing]
    height = top - _BETWEEN + _SPACE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="ui-monospace, monospace" font-size="12">\n'
        "<style>svg{color:#1f2328;background:#fff}text{text-anchor:middle;fill:currentColor}"
        ".box{fill:none;stroke:currentColor}"
        "@media(prefers-color-scheme:dark){svg{color:#e6edf3;background:#0d1117}}</style>\n"
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>\n'
        f'<g fill="none" stroke="currentColor" opacity=".6">{"".join(lines)}</g>\n'
        f"{''.join(boxes)}\n</svg>\n"
    )


def _box(lines: list[str], left: float, top: float, wide: float, high: float) -> str:
    shown = f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="6" class="box"/>'
    for n, line in enumerate(lines):
        faded = ' opacity=".7"' if n else ' font-weight="600"'
        y = top + 19 + n * _LINE
        shown += f'<text x="{left + wide / 2:.1f}" y="{y:.1f}"{faded}>{escape(line)}</text>'
    return shown


def _curve(above: tuple[float, float, float], below: tuple[float, float, float], *, to_box: bool) -> str:
    (x1, _top, y1), (x2, y2, _bottom) = above, below
    middle = (y1 + y2) / 2
    marker = ' marker-end="url(#a)"' if to_box else ""
    return f'<path d="M{x1:.1f} {y1:.1f}C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}"{marker}/>'


def facts_of(graph: Graph) -> list[dict[str, object]]:
    """The steps in an order in which they could run, for scripts."""
    levels = graph.levels
    return [
        {"name": name, "function": node.step.function, "level": levels[name], "after": sorted(node.before)}
        | _said(node.step)
        for name, node in graph.nodes.items()
    ]


def _said(step: Step) -> dict[str, object]:
    """What else a manifest says of a step."""
    unsaid = msgspec.to_builtins(Step()) | {"function": step.function, "after": step.after}
    said = {key: value for key, value in msgspec.to_builtins(step).items() if key not in unsaid or value != unsaid[key]}
    if step.switch:
        said["switch"] = [
            {key: of for key, of in case.items() if of is not None or key == "is"} for case in said["switch"]
        ]
    return said
