"""Which steps of a graph never both run: those on different ways of a switch.

What a step may run under is told switch by switch: the cases of which one must have been chosen. Where two steps leave
no case in common, they exclude each other. It errs on one side: two steps of which this cannot be seen may both run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

from mee6.declared.graph import Graph, Node, named

Cases = Mapping[str, frozenset[int]]
"""Switch -> its cases under which a step may run, numbered, its `else` last; one that is missing tells nothing."""


def cases_of(graph: Graph) -> dict[str, Cases]:
    """What each step may run under."""
    found: dict[str, Cases] = {}
    for name, node in graph.nodes.items():
        chosen = [_both(found[one], {one: _choosing(graph.nodes[one], name)}) for one in sorted(node.switches)]
        # It is skipped where no switch chose it, and where all that it waits for was.
        ways = [_either(chosen), _either([found[one] for one in sorted(node.data)])]
        found[name] = _both(*ways)
    return found


def chances(graph: Graph) -> dict[str, float]:
    """How likely each function is called in a run: 1, unless switches choose; of theirs each way is as likely.

    Functions of a `catch` have none: they are called where something fails.
    """
    steps: dict[str, float] = {}
    for name, node in graph.nodes.items():
        switches = [(steps[one], graph.nodes[one]) for one in node.switches]
        ways = [chance * len(_choosing(one, name)) / (len(one.cases) + 1) for chance, one in switches]
        chosen = min(1.0, sum(ways)) if ways else 1.0
        steps[name] = min(chosen, max((steps[one] for one in node.data), default=1.0))
    functions = {node.step.function for node in graph.nodes.values()} - {""}
    return {
        function: max(steps[name] for name, node in graph.nodes.items() if node.step.function == function)
        for function in functions
    }


def exclude(one: Cases, other: Cases) -> bool:
    """Whether two steps that run under these never both do."""
    if len(one) > len(other):
        one, other = other, one
    return any(switch in other and cases.isdisjoint(other[switch]) for switch, cases in one.items())


def _choosing(switch: Node, target: str) -> frozenset[int]:
    """The cases of a switch that choose a step."""
    ways = [case.then for _condition, case in switch.cases] + [switch.step.otherwise]
    return frozenset(n for n, way in enumerate(ways) if target in named(way))


def _both(one: Cases, other: Cases) -> Cases:
    common = {switch: one[switch] & other[switch] for switch in one.keys() & other.keys()}
    return {**one, **other, **common}


def _either(ways: Iterable[Cases]) -> Cases:
    """Under which at least one of these holds; of none, anything."""
    ways = list(ways)
    if not ways:
        return {}
    shared = reduce(lambda found, way: found & way.keys(), ways[1:], set(ways[0]))
    return {switch: frozenset().union(*(way[switch] for way in ways)) for switch in sorted(shared)}
