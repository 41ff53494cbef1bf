"""What README promises: each figure, where it is measured, and what it is to be at most, or at least.

The aims stand here and nowhere else. They were set before anything was measured, for the machine that README names,
and stay as they were where they are missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Promise:
    """One row of README's table.

    Args:
        question: which benchmark has it.
        row: the benchmark's name for it; of rows of the same name the last.
        title: README's.
        p50, p99: what they are to be, in the row's unit: at most, of rates (`1/s`) at least; None for no aim.
    """

    question: str
    row: str
    title: str
    p50: float | None = None
    p99: float | None = None

    def aims(self) -> str:
        """As README says them; empty for none."""
        named = [(name, aim) for name, aim in (("p50", self.p50), ("p99", self.p99)) if aim is not None]
        return ", ".join(f"{number(aim)}{'' if name == 'p50' else ' (p99)'}" for name, aim in named)

    def verdict(self, row: dict[str, Any]) -> str:
        """`met`, `missed`, or which of both is missed; empty where there is no aim."""
        aims = {name: aim for name, aim in (("p50", self.p50), ("p99", self.p99)) if aim is not None}
        rate = row["unit"] == "1/s"
        missed = [name for name, aim in aims.items() if (row[name] < aim if rate else row[name] > aim)]
        if not missed:
            return "met" if aims else ""
        return "missed" if len(missed) == len(aims) else f"{missed[0]} missed"


def number(value: float) -> str:
    """With three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


TAIL: Final = 5
"""How many times its median a step's 99th percentile may be."""

P = Promise
PROMISES: Final = (
    P("step", "python -> python", "a warm step in a workflow, Python calls Python", 15, 15 * TAIL),
    P("step", "python -> nodejs", "the same, Python calls Node.js", 60, 60 * TAIL),
    P("step", "nodejs -> nodejs", "the same, Node.js calls Node.js", 60, 60 * TAIL),
    P(
        "direct", "python -> python, proxy, as placed",
        "the same, Python calls Python, through the proxy, on both cores", 45, 45 * TAIL,
    ),
    P("step", "floor: msgspec, one core", "*floor*: request and reply between two processes on one core"),
    P("step", "floor: msgspec, two cores", "*floor*: the same on two cores"),
    P("warm", "python, agent's part: begin to outcome", "a warm invocation within the agent, Python"),
    P("http", "python, HTTP", "the same from outside, over HTTP", 90, 250),
    P("http", "nodejs, HTTP", "the same, Node.js"),
    P("http", "floor: the door's own answer", "*floor*: an answer of the agent's over HTTP that asks no function"),
    P("http", "python, a chain of two, HTTP", "a warm workflow of two steps from outside, over HTTP", 160),
    P("warm", "python, stream", "a warm invocation from outside, on a gRPC stream", 200),
    P("warm", "floor: grpc stream", "*floor*: an echo on a gRPC stream, without mee6"),
    P("warm", "python, unary", "the same from outside, unary"),
    P("warm", "floor: grpc unary", "*floor*: a unary echo, without mee6"),
    P("http", "8 connections, a second", "warm invocations over HTTP, 8 connections", 20_000),
    P("http", "8 connections, latency", "their latency meanwhile", None, 3000),
    P("http", "32 connections, a second", "the same, 32 connections", 20_000),
    P("http", "32 connections, latency", "their latency meanwhile", None, 3000),
    P("http", "2 of that rate, open: taken", "at twice that load with `--http-late 5ms`, those that are not refused"),
    P("http", "2 of that rate, open: refused", "*beside it*: those that are, at once"),
    P("cold", "python, prewarmed, paused", "a function's first invocation, from a paused prewarmed worker, Python", 5),
    P("cold", "nodejs, prewarmed, paused", "the same, Node.js", 10),
    P("cold", "python, no worker", "the same with nothing made ahead, Python", 15),
    P("cold", "nodejs, no worker", "the same, Node.js"),
    P("fanout", "8 calls out and back", "8 calls in 8 other workers and back", 0.4),
    P("pause", "python, paused to reply", "the reply of a paused worker, on a gRPC stream", 500),
    P("pause", "python, thaw to answer", "thaw a paused worker and have its answer, without gRPC"),
    P("pause", "python, the driver's pause", "freeze a worker"),
    P("memory", "python, warm: whole worker", "memory of a warm Python worker that idles (PSS)", 6),
    P("memory", "python, prewarmed: whole worker", "memory of a prewarmed Python worker (PSS)"),
    P("memory", "agent, RSS", "memory of the agent (RSS), after 2000 invocations"),
    P("memory", "agent, RSS, with 1,000 functions", "the same with 1,000 functions", 80),
    P("add", "Client.add", "add a small function: packed, sent, on disk"),
    P("start", "mee6 --help: wall", "`mee6 --help`", 120),
    P("start", "mee6 act invoke: wall", "`mee6 act invoke`, a warm function", 250),
    P("start", "mee6 console: first paint: wall", "`mee6 console`, to its first paint"),
    P("console", "pools at load: CPU of a frame, painted", "the processor's part of a console's frame, at load", 5),
    P("console", "event to screen", "from event to screen in a console, where nothing else comes"),
    P("console", "event to screen, at load", "the same at 50,000 events a second"),
    P("console", "idle: CPU of a second", "processor of an idle console, a second", 10),
    P("docker", "warm, docker", "a warm invocation on a gRPC stream, in a container", 200),
    P("docker", "warm, process", "*beside it*: by the process driver"),
    P("docker", "warm within the agent, docker", "the same within the agent, in a container"),
    P("docker", "warm within the agent, process", "*beside it*: by the process driver"),
    P("docker", "paused to reply, docker", "the reply of a paused container, thawed directly", 500),
    P("docker", "paused to reply, docker by API", "*beside it*: unpaused through the engine's API"),
    P("docker", "paused to reply, process", "*beside it*: by the process driver"),
    P("docker", "resume to answer, docker", "thaw a container and have its answer, without gRPC"),
    P("docker", "resume to answer, docker by API", "*beside it*: through the engine's API"),
    P("docker", "pause, docker", "freeze a container"),
    P("docker", "pause, docker by API", "*beside it*: through the engine's API"),
    P(
        "docker", "first, docker, paused",
        "a function's first invocation, from a paused prewarmed container, Python", 25,
    ),
    P("docker", "first, docker by API, awake", "the same, left awake for want of a direct freezer"),
    P("docker", "first, docker by API, paused", "the same, paused and unpaused through the engine's API"),
    P("docker", "refill, docker", "containers made ready again after a burst of 8 leases"),
    P("docker", "memory of a prewarmed worker, docker", "memory of a prewarmed container, with its shim (PSS)"),
    P(
        "docker", "its control group, docker",
        "its control group: what counts against its limit, page cache included",
    ),
)  # fmt: skip

APART: Final = frozenset({"console"})
"""Questions that take minutes of their own: without their answers, README's table does without their rows."""


def questions() -> list[str]:
    """Those that README's table needs answers to, in the order of the table."""
    return [name for name in dict.fromkeys(one.question for one in PROMISES) if name not in APART]
