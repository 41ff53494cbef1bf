"""What of a workflow runs in which worker: the steps that share one, and how those elsewhere are sent there.

A group of steps that shares another worker is sent there as one call, or as few: a *part* begins when all that it
needs from outside is there, and answers when all of it has ended. So a worker that runs a part never waits for
another one beside it, and the rule of `agent.core.capacity`, which makes deadlock impossible, holds as it stands.

A part is made so that this delays nothing: whatever one of its steps needs from outside, all of its steps come after;
and whoever waits outside for one of its steps waits for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from mee6.declared.graph import Graph
from mee6.declared.rules import runs_again
from mee6.declared.shape import Shape
from mee6.declared.values import ARGS_NAME, Outcome, Value, names
from mee6.lane.messages import Fault

HERE = 0
"""The group of the worker that holds the workflow."""


class Part(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What another worker is told of a part."""

    steps: list[str]
    given: dict[str, Value | None]
    """What the steps outside came to that it waits for; null = skipped."""
    args: Value | None = None
    """The workflow's, where one of its steps wants them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the steps of one run are run."""

    graph: Graph
    groups: Mapping[str, int] = field(default_factory=dict)
    """Step -> the group whose worker it shares; a step that is not in it runs here if the worker is free, else
    elsewhere."""
    parts: tuple[tuple[str, ...], ...] = ()
    """What is sent elsewhere as one; in the order of the graph."""

    def outflow(self, step: str) -> str:
        """Where a step's calls run, in the words of `mee6.outflow`."""
        group = self.groups.get(step)
        return "optional:0" if group is None else "no" if group == HERE else "always"

    def part(self, steps: Sequence[str], known: Mapping[str, Outcome]) -> Part:
        """What the worker of a part is told; of a step that it only comes after, no more than whether it ran."""
        read = {name for step in steps for name in self.graph.nodes[step].names}
        given = {
            name: Value(b"", "") if known[name] is not None and name not in read else known[name]
            for name in sorted(needed(self.graph, steps))
        }
        return Part(list(steps), given, known[ARGS_NAME] if ARGS_NAME in read else None)

    def wanted(self, part: Collection[str]) -> list[str]:
        """Those of a part's steps whose outcomes others need."""
        output = names(self.graph.output)
        return [
            name for name in part if name in output or any(follower not in part for follower in self.graph.after[name])
        ]

    def runs_again(self, part: Iterable[str], fault: Fault, failures: int) -> bool:
        """Whether a part whose worker was lost runs again from its beginning: where each of its steps would."""
        if fault.code != "worker_lost":
            return False  # its steps ran again where they were
        steps = [self.graph.nodes[name].step for name in part]
        return all(
            step.is_switch or (step.retry is not None and runs_again(step.retry, fault, failures)) for step in steps
        )

    def of_part(self, part: Collection[str]) -> Layout:
        """The layout for the worker that runs a part: all of it there."""
        return Layout(self.graph, dict.fromkeys(part, HERE))


def layout_of(graph: Graph, groups: Mapping[str, int]) -> Layout:
    """The layout of a grouping; a part of a single call is no part, but an ordinary call elsewhere."""
    parts = [part for part in parts_of(graph, groups) if len(part) > 1]
    return Layout(graph, groups, tuple(parts))


def parts_of(graph: Graph, groups: Mapping[str, int]) -> list[tuple[str, ...]]:
    """The parts of all groups but the one here, each in the order of the graph, the earliest first."""
    shape = Shape(graph)
    members: dict[int, list[int]] = {}
    for n, name in enumerate(shape.names):
        if groups.get(name, HERE) != HERE:
            members.setdefault(groups[name], []).append(n)
    found = sorted(part for steps in members.values() for part in shape.parts(steps))
    return [tuple(shape.names[n] for n in part) for part in found]


def needed(graph: Graph, part: Sequence[str]) -> set[str]:
    """The steps outside that a part waits for."""
    return {one for name in part for one in graph.nodes[name].before if one not in part}
