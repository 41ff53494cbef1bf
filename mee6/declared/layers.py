"""Where the steps of a graph stand in a picture: in layers from top to bottom, so that few lines cross.

A step stands in the layer after the last that it waits for; a line that passes a layer has a place in it, as a step
has. Within a layer the order follows what each hangs from, and then what hangs from it, a few times over
(Sugiyama's barycentres).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from mee6.declared.graph import Graph, named

_SWEEPS: Final = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of a line between two layers."""

    above: str
    below: str


@dataclass(frozen=True, slots=True)
class Layers:
    """The places. A name that is no step is a line that passes."""

    rows: tuple[tuple[str, ...], ...]
    gaps: tuple[tuple[Line, ...], ...]
    """Below each row but the last, the lines to the next."""


def layers_of(graph: Graph) -> Layers:
    """The places of a graph's steps; the same for the same graph."""
    level = graph.levels
    rows: list[list[str]] = [[] for _ in range(max(level.values()) + 1)]
    for name, at in level.items():
        rows[at].append(name)
    gaps: list[list[Line]] = [[] for _ in rows[1:]]
    for name in graph.nodes:
        for one in sorted(direct(graph, name), key=list(graph.nodes).index):
            above = one
            for at in range(level[one], level[name] - 1):
                # Lines from one step share a place while they pass.
                passing = f"{one} {at + 1}"  # no step's name has a space
                if passing not in rows[at + 1]:
                    rows[at + 1].append(passing)
                    gaps[at].append(Line(above, passing))
                above = passing
            gaps[level[name] - 1].append(Line(above, name))
    for sweep in range(_SWEEPS):
        if sweep % 2 == 0:
            for at in range(1, len(rows)):
                _sort(rows[at], rows[at - 1], {line.below: [] for line in gaps[at - 1]}, gaps[at - 1], down=True)
        else:
            for at in range(len(rows) - 2, -1, -1):
                _sort(rows[at], rows[at + 1], {line.above: [] for line in gaps[at]}, gaps[at], down=False)
    return Layers(tuple(tuple(row) for row in rows), tuple(tuple(gap) for gap in gaps))


def direct(graph: Graph, name: str) -> frozenset[str]:
    """The steps that one waits for, without those that others of them wait for: what a picture has to show."""
    before = graph.nodes[name].before
    return frozenset(one for one in before if not any(one in graph.ancestors[other] for other in before))


def _sort(row: list[str], beside: list[str], near: dict[str, list[int]], gap: list[Line], *, down: bool) -> None:
    place = {name: n for n, name in enumerate(beside)}
    for line in gap:
        mine, other = (line.below, line.above) if down else (line.above, line.below)
        near[mine].append(place[other])
    own = {name: n for n, name in enumerate(row)}
    row.sort(key=lambda name: sum(near[name]) / len(near[name]) if near.get(name) else own[name])


def said_of(graph: Graph, name: str) -> str:
    """What a step does, in a few words."""
    step = graph.nodes[name].step
    if step.is_switch:
        return "switch"
    words = [step.function] if step.function != name or not step.is_foreach else []
    if step.is_foreach:
        most = f", {step.concurrency} at once" if step.concurrency else ""
        words.append(f"each of {step.foreach if isinstance(step.foreach, str) else 'a list'}{most}")
    if step.retry is not None:
        words.append(f"up to {step.retry.attempts} times")
    if step.timeout_s is not None:
        words.append(f"{step.timeout_s:g} s")
    if step.catch is not None:
        words.append(f"else {step.catch.function or 'a value'}")
    return ", ".join(words)


def conditions(graph: Graph, name: str) -> Mapping[str, str]:
    """Of a switch: step -> when it is chosen."""
    found: dict[str, list[str]] = {}
    step = graph.nodes[name].step
    for case in step.switch:
        tests = [
            f"is {_short(case.equals)}" if case.equals is not msgspec.UNSET else "",
            f"in {_short(case.among)}" if case.among is not None else "",
            f"above {case.above:g}" if case.above is not None else "",
            f"below {case.below:g}" if case.below is not None else "",
        ]
        said = " ".join([_short(case.condition).strip('"'), *(test for test in tests if test)])
        for target in named(case.then):
            found.setdefault(target, []).append(said)
    for target in named(step.otherwise):
        found.setdefault(target, []).append("else")
    return {target: " or ".join(said) for target, said in found.items()}


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 24 else text[:23] + "…"
