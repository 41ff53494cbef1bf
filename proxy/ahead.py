"""Functions that are loaded before they are called: which, when, and what became of it.

Without I/O. The agent tells by `Expect` what each function of the workflow will call, with what chance, when, and how
long its load takes. From the function that begins here the calls are followed on through those they make, as long
as the chance is worth it, and each is loaded so that it is ready when its call comes. A load that is under way when
the call comes is joined, not repeated; who waits for a runtime because of a call goes before all that is ahead.
What was not called by the end of its invocation was a wrong guess: it stays as what any idle runtime is.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from mee6.lane.messages import Expect, Fault, Function, Guess, Guessed, Next
from proxy.crew import MAX_FAILED_STARTS, MAX_IDLE, Crew
from proxy.events import Command, SendAgent
from proxy.plan import Plan
from proxy.step import LocalStep
from proxy.table import Runtime, RuntimeEvent, RuntimeState

WORTH: Final = 0.3
"""The least chance of a call that something is loaded for. Source: with a load of a few milliseconds of one core
against the same wait of a person, two in three may be wrong; the agent lets go of those that mostly are."""
MAX_DEPTH: Final = 16
"""Calls are not deeper anyway."""
MAX_PLANNED: Final = 32
"""Loads that wait for their time."""

_S, _E = RuntimeState, RuntimeEvent


class AheadLoad:
    """One function that is loaded, or to be loaded, ahead of its call by `caller`."""

    __slots__ = ("began_ns", "caller", "due_ns", "function", "id", "runtime", "took_ns")

    def __init__(self, number: str, caller: str, function: Function, due_ns: int) -> None:
        self.id = number
        self.caller = caller
        self.function = function
        self.due_ns = due_ns
        """When it shall begin."""
        self.began_ns = 0
        self.took_ns = 0
        """0 until it is loaded."""
        self.runtime: int | None = None

    def guess(self, *, used: bool, saved_ns: int = 0) -> Guess:
        """What the agent is told of it."""
        return Guess(self.caller, self.function.name, used, self.took_ns, saved_ns)


class Ahead:
    """All that is loaded ahead in a worker.

    Args:
        do: takes the commands.
    """

    def __init__(self, plan: Plan, crew: Crew, do: Callable[[Command], None]) -> None:
        self._plan = plan
        self._crew = crew
        self._do = do
        self._expected: dict[str, list[Next]] = {}
        self._at_once = 0
        self._runs = False
        """The invocation's first function runs. While it loads, one load beside it has to do: it is waited for."""
        self._planned: dict[str, AheadLoad] = {}
        """Function -> what waits for its time."""
        self._loads: dict[str, AheadLoad] = {}
        """Id -> what waits for a runtime or is being loaded."""
        self._ready: dict[int, AheadLoad] = {}
        """Runtime -> what was loaded into it and has not been called."""
        self._joined: dict[int, AheadLoad] = {}
        """Runtime -> what a step waits for."""
        self._guesses: list[Guess] = []
        self._failed: set[str] = set()
        """Functions that could not be loaded in this invocation: their calls will tell."""
        self._settled = True
        """Nothing is expected that no runtime holds: what a warm workflow pays is this look."""
        self._counter = 0
        crew.on_gone.append(self._gone)

    def expect(self, message: Expect) -> None:
        """Goes by other expectations from now on."""
        self._expected, self._at_once = {}, message.at_once
        for call in message.calls:
            self._expected.setdefault(call.caller, []).append(call)
        self._settled = False

    def forget(self) -> None:
        """Drops all, for another plan."""
        self._drop_plans()
        for load in list(self._loads.values()):
            if load.runtime is not None:
                self._crew.end(self._crew.runtimes[load.runtime])
        for number in self._ready:
            self._crew.runtimes[number].ahead = False
        self._ready.clear()
        self._guesses.clear()
        self._failed.clear()
        self._settled = False

    def began(self, function: Function, now_ns: int, *, runs: bool = True) -> None:
        """Takes note that a function begins to run, or is loaded for that: looks ahead from there."""
        self._runs = runs
        if self._settled or not self._at_once:
            return
        held = {r.function.name for r in self._crew.runtimes.values() if r.function is not None}
        held.update(load.function.name for load in self._loads.values())
        lacking = False
        seen = {function.name}
        far: list[tuple[int, int, str, str, float, int]] = []
        self._follow(far, function, now_ns, 1.0, 1)
        while far:
            at_ns, depth, name, caller, chance, lead_ns = heappop(far)
            if name in seen:
                continue
            seen.add(name)
            callee = self._plan.functions[name]
            if name not in held and name not in self._failed:
                lacking = True
                due_ns = at_ns - lead_ns
                planned = self._planned.get(name)
                if planned is not None:
                    planned.due_ns, planned.caller = due_ns, caller
                elif len(self._planned) < MAX_PLANNED:
                    self._counter += 1
                    self._planned[name] = AheadLoad(f"ahead/{self._counter}", caller, callee, due_ns)
            if depth < MAX_DEPTH:
                self._follow(far, callee, at_ns, chance, depth + 1)
        if lacking:
            self.go(now_ns)
        else:
            self._settled = self._plan.local.keys() <= held

    def _follow(
        self, far: list[tuple[int, int, str, str, float, int]], caller: Function, at_ns: int, chance: float, depth: int
    ) -> None:
        outflows = self._plan.outflows(caller)
        for call in self._expected.get(caller.name, ()):
            likely = chance * call.chance
            if likely >= WORTH and call.function in self._plan.functions and outflows.get(call.function) != "always":
                heappush(far, (at_ns + call.after_ns, depth, call.function, caller.name, likely, call.lead_ns))

    def go(self, now_ns: int) -> None:
        """Begins what is due, the soonest first, as far as it may."""
        while self._planned and self._may():
            load = min(self._planned.values(), key=lambda one: one.due_ns)
            if load.due_ns > now_ns:
                return
            del self._planned[load.function.name]
            load.began_ns = now_ns
            self._loads[load.id] = load
            runtime = self._crew.find(load.function)
            if runtime is None:
                self._crew.wait_ahead(load)
            elif runtime.state is _S.SPARE:
                self._crew.give(runtime, load)
            else:  # it has come to be held meanwhile
                del self._loads[load.id]

    def _may(self) -> bool:
        """Whether one more load may begin: it would push no runtime out, once all that load have come to be idle."""
        if len(self._loads) >= (self._at_once if self._runs else min(self._at_once, 1)):
            return False
        crew = self._crew
        kept = sum(r.state is _S.IDLE or r.state is _S.LOADING for r in crew.runtimes.values())
        kept += len(crew.waiting) + len(crew.waiting_ahead)
        return kept < MAX_IDLE and crew.failed_starts < MAX_FAILED_STARTS

    def due_ns(self) -> int:
        """When the next one shall begin; 0 = nothing waits for its time."""
        if not self._planned or not self._may():
            return 0
        return max(1, min(load.due_ns for load in self._planned.values()))

    # Calls ----------------------------------------------------------------------------------------------

    def used(self, runtime: Runtime) -> None:
        """Takes note that a function is called that was loaded ahead."""
        runtime.ahead = False
        load = self._ready.pop(runtime.id, None)
        if load is not None:
            self._guesses.append(load.guess(used=True, saved_ns=load.took_ns))

    def join(self, step: LocalStep, now_ns: int) -> Runtime | None:
        """Makes a load ahead that is under way the step's.

        Returns:
            The runtime that loads it; None where none has been given to it. `step.start` says whether there is one.
        """
        self._planned.pop(step.function.name, None)
        load = next((one for one in self._loads.values() if one.function == step.function), None)
        if load is None:
            return None
        step.start = "ahead"
        del self._loads[load.id]
        if load.runtime is None:  # the step waits in its place; the runtime that was asked for is the step's
            self._crew.stop_waiting(load)
            self._guesses.append(load.guess(used=True, saved_ns=now_ns - load.began_ns))
            return None
        runtime = self._crew.runtimes[load.runtime]
        self._joined[runtime.id] = load
        load.due_ns = now_ns  # from now on somebody waits
        runtime.joined, runtime.step = load.id, step.id
        step.runtime = runtime.id
        return runtime

    def arrived(self, runtime: Runtime, now_ns: int) -> None:
        """Takes note that a step has its runtime, whose load it joined."""
        runtime.joined = ""
        load = self._joined.pop(runtime.id)
        load.took_ns = now_ns - load.began_ns
        self._guesses.append(load.guess(used=True, saved_ns=load.due_ns - load.began_ns))
        self.go(now_ns)

    def loaded(self, runtime: Runtime, fault: Fault | None, now_ns: int) -> None:
        """Takes note that a load ahead has ended, one way or the other."""
        load = self._loads.pop(runtime.step or "")
        if fault is not None:
            self._failed.add(load.function.name)
            self._crew.end(runtime)
            self._guesses.append(load.guess(used=False))
        else:
            load.took_ns = now_ns - load.began_ns
            runtime.step = None
            runtime.take(_E.LOADED)
            runtime.used_ns = now_ns
            runtime.ahead = True
            self._ready[runtime.id] = load
            if len(self._crew.runtimes) > MAX_IDLE:
                self._crew.evict()
        self.go(now_ns)

    def is_loading(self, runtime: Runtime) -> bool:
        """Whether a runtime loads something that nobody has called yet."""
        return runtime.step in self._loads

    def ended(self) -> None:
        """Takes note that the invocation has ended: tells what came of the guesses, and lets go of the others."""
        if not (self._guesses or self._planned or self._loads or self._ready):
            return
        self._drop_plans()
        for number, load in self._ready.items():
            self._crew.runtimes[number].ahead = False
            self._guesses.append(load.guess(used=False))
        self._ready.clear()
        if self._guesses:
            self._do(SendAgent(Guessed(self._guesses)))
            self._guesses = []
        self._failed.clear()

    def drop_waiting(self) -> None:
        """Lets go of those for which no runtime can be started."""
        for load in [one for one in self._loads.values() if one.runtime is None]:
            self._crew.stop_waiting(load)
            del self._loads[load.id]

    def _drop_plans(self) -> None:
        """Lets go of all that has not been given a runtime. What loads goes on: it is nearly done."""
        self._planned.clear()
        self.drop_waiting()

    def _gone(self, runtime: Runtime, _was: RuntimeState) -> None:
        """Takes note of a runtime that is no more."""
        self._settled = False
        load = self._ready.pop(runtime.id, None) or self._joined.pop(runtime.id, None)
        if load is None and self._loads.get(runtime.step or "") is not None:
            load = self._loads.pop(runtime.step or "")
            self._failed.add(load.function.name)
        if load is not None:
            self._guesses.append(load.guess(used=False))

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        runtimes = self._crew.runtimes
        for load in self._loads.values():
            waits = load in self._crew.waiting_ahead
            assert waits == (load.runtime is None), f"{load.id} neither waits nor has a runtime"
            assert load.runtime is None or runtimes[load.runtime].step == load.id
        assert set(self._crew.waiting_ahead) <= set(self._loads.values()), "what waits ahead is a load ahead"
        for runtime in runtimes.values():
            ahead = runtime.state is _S.LOADING and (runtime.step or "").startswith("ahead/")
            assert not ahead or runtime.step in self._loads, "who loads ahead is known"
        for number, load in self._ready.items():
            assert runtimes[number].ahead, "what was loaded ahead and not called is known as such"
            assert runtimes[number].function == load.function
        for number in self._joined:
            assert runtimes[number].joined, "a load that was joined is known as such"
            assert runtimes[number].state is _S.LOADING
