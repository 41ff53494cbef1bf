"""The direct lanes between a worker's runtimes: who has one to whom, and what is told of the calls over them.

Without I/O. Two runtimes are introduced after the first call from one to the other: the callee is asked to await
its caller, then the caller is told where. From then on the proxy sees nothing of their calls until it is told:
of those that are over in batches, of one that goes on as soon as it takes long, prints, or calls somebody through
the proxy. Such a call is adopted: it becomes a step like any other, with a deadline and a runtime that is busy.

What is told comes over two lanes and may overtake: a caller makes one direct call at a time and counts them, so a
later call shows that the earlier has ended, and word of a call that has ended comes too late and is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mee6.lane.messages import Fault, Hop, Hops, Introduce, Introduced, Report, Result
from proxy.affinity import Affinity
from proxy.calls import Calls
from proxy.crew import MAX_IDLE, Crew
from proxy.events import Command, SendRuntime
from proxy.step import LocalStep, Trace
from proxy.table import Runtime, RuntimeState

DEATH_NS: Final = 500_000_000
"""How long the end of a callee is waited for whose lane has ended."""
LONG_NS: Final = 8_000_000
"""A call that takes longer computes; its caller tells of it after 10 ms."""
MAX_CALLEES: Final = MAX_IDLE - 1
"""Runtimes that may be called directly: they are not ended to make room, since they may be running."""
ADDRESS_BYTES: Final = 100
"""Of a socket's path; the kernel takes 107."""

_S = RuntimeState


class Lane:
    """One direct lane, from a caller to a callee."""

    __slots__ = ("address", "callee", "caller", "fate", "function", "number", "offered", "pid")

    def __init__(self, number: int, address: str, caller: Runtime, callee: Runtime) -> None:
        assert callee.function is not None
        self.number = number
        self.address = address
        self.caller = caller.id
        self.callee = callee.id
        self.function = callee.function
        self.pid = callee.pid
        self.offered = False
        """The caller has been told of it."""
        self.fate: Fault | None = None
        """What became of the callee; None while it lives."""


class Lanes:
    """All direct lanes of a worker.

    Args:
        do: takes the commands.
    """

    def __init__(
        self, crew: Crew, calls: Calls, trace: Trace, affinity: Affinity, do: Callable[[Command], None]
    ) -> None:
        self.act = ""
        """The worker's storage, where addresses are; empty = nobody is introduced."""
        self._lanes: dict[int, Lane] = {}
        self._met: set[tuple[int, int]] = set()
        """Runtimes that need not be introduced: they have been, or could not reach each other."""
        self._counter = 0
        self._crew = crew
        self._runtimes = crew.runtimes
        self._calls = calls
        self._trace = trace
        self._affinity = affinity
        self._do = do
        crew.on_gone.append(self._gone)
        crew.is_called = self.is_called
        calls.on_called = self._called

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._lanes)

    def is_called(self, runtime: int) -> bool:
        """Whether others may be calling a runtime without the proxy's knowledge."""
        return any(lane.callee == runtime for lane in self._lanes.values())

    def _called(self, step: LocalStep, callee: Runtime, now_ns: int) -> None:
        """Takes note of a call through the proxy that has ended, and introduces its caller to its callee."""
        caller = self._runtimes.get(step.runtime or 0)
        if caller is not None:
            self._affinity.called(caller.id, callee.id, now_ns, direct=False)
        function = callee.function
        if not self.act or caller is None or function is None or (caller.id, callee.id) in self._met:
            return
        ready = callee.state is _S.IDLE and not callee.due_ns and not caller.due_ns
        if not ready or not caller.direct or not callee.direct or function.name in step.chain:
            return
        lanes = self._lanes.values()
        if any(lane.caller == caller.id and lane.function.name == function.name for lane in lanes):
            return
        called = {lane.callee for lane in lanes}
        address = f"{self.act}/.lane-{self._counter + 1}"
        if len(address.encode()) > ADDRESS_BYTES or (callee.id not in called and len(called) >= MAX_CALLEES):
            return
        self._counter += 1
        self._met.add((caller.id, callee.id))
        self._lanes[self._counter] = Lane(self._counter, address, caller, callee)
        self._do(SendRuntime(callee.id, Introduce(self._counter, address)))

    def answered(self, runtime: Runtime, message: Introduced) -> None:
        """Takes a runtime's word on a lane: its caller may connect, or it is of no use."""
        lane = self._lanes.get(message.lane)
        if lane is None or runtime.id not in (lane.caller, lane.callee):
            return
        if message.ready and runtime.id == lane.callee and not lane.offered:
            lane.offered = True
            self._do(SendRuntime(lane.caller, Introduce(lane.number, lane.address, lane.function.name)))
        elif not message.ready:
            del self._lanes[lane.number]
            other = lane.callee if runtime.id == lane.caller else lane.caller
            if lane.fate is None and (other == lane.callee or lane.offered):
                self._do(SendRuntime(other, Introduce(lane.number)))

    # Calls ----------------------------------------------------------------------------------------------

    def told(self, runtime: Runtime, message: Hops, now_ns: int) -> None:
        """Takes what a runtime tells of direct calls."""
        for hop in message.hops:
            lane = self._lanes.get(hop.lane)
            if lane is None:
                continue
            if hop.end_ns:
                self._ended(lane, hop, now_ns)
            else:
                self._began(lane, hop, now_ns)
        if message.lost and message.hops:
            self._cut(runtime, message.hops[-1], now_ns)

    def _began(self, lane: Lane, hop: Hop, now_ns: int) -> None:
        """Adopts a call that goes on, unless it is known or over."""
        caller, count = self._caller(lane, hop)
        callee = self._runtimes.get(lane.callee)
        if caller is None or callee is None or count <= caller.passed or hop.id in self._calls.steps:
            return
        for earlier in [step for number in caller.open if (step := self._calls.steps.get(number)) and step.lane]:
            self._calls.set_aside(earlier, now_ns)
        caller.passed = count - 1
        if now_ns - hop.start_ns > LONG_NS:
            self._affinity.spread(now_ns)
        if callee.state is _S.IDLE:
            self._calls.adopt(caller, callee, lane.number, hop, now_ns)

    def _ended(self, lane: Lane, hop: Hop, now_ns: int) -> None:
        caller, count = self._caller(lane, hop)
        if caller is not None:
            caller.passed = max(caller.passed, count)
        fault = Fault(hop.code, hop.error) if hop.code else None
        step = self._calls.steps.get(hop.id)
        if step is None:
            self._record(lane, hop, fault, now_ns)
        elif step.lane == lane.number and not step.over:
            assert step.runtime is not None
            step.over = True
            step.end_span(max(min(hop.end_ns, now_ns), step.spans[-1][1]))
            self._calls.reported(step, self._runtimes[step.runtime], Report(hop.id, fault=fault), now_ns)

    def _caller(self, lane: Lane, hop: Hop) -> tuple[LocalStep | None, int]:
        """The step that makes a call, where it is known here and runs where the lane begins; and the call's count."""
        parent, _, count = hop.id.rpartition(".")
        caller = self._calls.steps.get(parent)
        if caller is None or caller.runtime != lane.caller or not count.isdecimal() or len(count) > 9:
            return None, 0
        return (None, 0) if caller.held is not None else (caller, int(count))

    def _record(self, lane: Lane, hop: Hop, fault: Fault | None, now_ns: int) -> None:
        """Puts a call into the trace that is over before the proxy knew of it."""
        step = LocalStep(hop.id, hop.id.rpartition(".")[0], lane.function, b"", "", [])
        step.lane, step.pid, step.start = lane.number, lane.pid, "warm"
        step.conclude(fault)
        step.spans.append(("run", hop.start_ns, hop.end_ns))
        if step.parent:
            self._trace.note(step, now_ns)
        if hop.end_ns - hop.start_ns < LONG_NS and {lane.caller, lane.callee} <= self._runtimes.keys():
            self._affinity.called(lane.caller, lane.callee, now_ns, direct=True)

    def _cut(self, caller: Runtime, hop: Hop, now_ns: int) -> None:
        """Answers a caller whose callee has gone in the middle of a call, as far as that is known already."""
        lane = self._lanes.get(hop.lane)
        if lane is not None and lane.caller != caller.id:
            return
        step = self._calls.steps.get(hop.id)
        if step is not None:  # its process will be found to have ended, or is ended
            runtime = self._runtimes.get(step.runtime or 0)
            if step.lane == hop.lane and runtime is not None and not runtime.due_ns:
                runtime.due_ns = now_ns + DEATH_NS
            return
        parent, _, count = hop.id.rpartition(".")
        calling = self._calls.steps.get(parent)
        if calling is None or calling.runtime != caller.id or not count.isdecimal() or int(count[:9]) <= calling.passed:
            return  # it has been answered
        calling.passed = int(count[:9])
        fault = lane.fate if lane is not None else None
        fault = fault or Fault("function_exited", "the process of the function that was called has ended")
        self._do(SendRuntime(caller.id, Result(hop.id, fault=fault)))
        if lane is not None:
            self._record(lane, Hop(hop.lane, hop.id, hop.start_ns, now_ns), fault, now_ns)

    # Ends -----------------------------------------------------------------------------------------------

    def explain(self, runtime: Runtime, fault: Fault) -> None:
        """Takes note of how a runtime ended."""
        for lane in self._lanes.values():
            if lane.callee == runtime.id:
                lane.fate = fault

    def _gone(self, runtime: Runtime, was: RuntimeState) -> None:
        """Takes a runtime's lanes away, and ends what it may have had running over them."""
        self._affinity.gone(runtime.id)
        may_run = was is _S.BUSY or (was is _S.IDLE and bool(self._calls.steps) and self.is_called(runtime.id))
        running = self._reachable(runtime.id) if may_run else []
        for lane in list(self._lanes.values()):
            if lane.caller == runtime.id:
                del self._lanes[lane.number]
                if lane.callee in self._runtimes:
                    self._do(SendRuntime(lane.callee, Introduce(lane.number)))
            elif lane.callee == runtime.id and not lane.offered:
                del self._lanes[lane.number]
            elif lane.callee == runtime.id:
                name = lane.function.name
                lane.fate = Fault("function_exited", f"the process of {name!r} was ended", function=name)
                self._do(SendRuntime(lane.caller, Introduce(lane.number)))
        self._met = {pair for pair in self._met if runtime.id not in pair}
        for callee in running:
            if callee.id in self._runtimes:
                self._crew.end(callee)

    def _reachable(self, caller: int) -> list[Runtime]:
        """The idle runtimes that may be running for a caller, directly or through each other."""
        found: list[Runtime] = []
        todo = [caller]
        while todo:
            number = todo.pop()
            for lane in self._lanes.values():
                callee = self._runtimes.get(lane.callee)
                if lane.caller == number and callee is not None and callee.state is _S.IDLE and callee not in found:
                    found.append(callee)
                    todo.append(callee.id)
        return found

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        for lane in self._lanes.values():
            assert lane.caller in self._runtimes, "a lane has a caller"
            assert lane.callee in self._runtimes or lane.fate is not None, "a lane has a callee, or it is known why not"
            assert (lane.caller, lane.callee) in self._met or lane.fate is not None
        assert len({lane.callee for lane in self._lanes.values() if lane.fate is None}) <= MAX_CALLEES
        for step in self._calls.steps.values():
            assert not step.lane or step.parent, "a direct call has a caller"
