"""The worker's runtimes: who is spare, who holds what, who is asked for, who is ended, who waits for one.

Without I/O. It moves runtimes along `proxy.table` and asks for the processes; what a runtime is wanted for, an
agent's load or a step, is the same to it. Why a runtime ended, and whom that concerns, is `proxy.core`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from mee6.lane.messages import Function, Load
from proxy.events import Command, Kill, Release, SendRuntime, Spawn
from proxy.plan import Plan
from proxy.table import Runtime, RuntimeEvent, RuntimeState

MAX_IDLE: Final = 8
"""Loaded runtimes kept; the one that was not used for longest goes first."""
MAX_FAILED_STARTS: Final = 3
"""Runtimes in a row that ended before they loaded anything; then whoever waits for one is told."""

_S, _E = RuntimeState, RuntimeEvent


class Job(Protocol):
    """What wants a runtime that holds a function: the agent's load, or a step."""

    runtime: int | None

    @property
    def id(self) -> str: ...  # noqa: D102 - of a step or a load

    @property
    def function(self) -> Function: ...  # noqa: D102 - what the runtime must hold


class Crew:
    """All runtimes of a worker.

    Args:
        language: the worker's; while nothing is loaded, a spare of it is kept.
        do: takes the commands.
    """

    def __init__(self, language: str, plan: Plan, do: Callable[[Command], None]) -> None:
        self.runtimes: dict[int, Runtime] = {}
        self.waiting: list[Job] = []
        """Those for whom no runtime was there."""
        self.waiting_ahead: list[Job] = []
        """Loads ahead for which none was there: after all others."""
        self.failed_starts = 0
        self.wants_spares = True
        """False once a runtime was handed over: then nothing is left to do here."""
        self.on_gone: list[Callable[[Runtime, RuntimeState], None]] = []
        """Are told of each runtime that is no more, and in what state it was."""
        self.is_called: Callable[[int], bool] = lambda _runtime: False
        """Whether a runtime that is idle may be running all the same."""
        self._language = language
        self._plan = plan
        self._do = do
        self._counter = 0

    def find(self, function: Function) -> Runtime | None:
        """The idle runtime that holds a function, the one used last; else a spare of its language; else None."""
        found: Runtime | None = None
        spare: Runtime | None = None
        for runtime in self.runtimes.values():
            if runtime.due_ns:
                continue
            if runtime.state is _S.IDLE and runtime.function == function:
                if found is None or runtime.used_ns > found.used_ns:
                    found = runtime
            elif runtime.state is _S.SPARE and runtime.language == function.runtime:
                spare = runtime
        return found or spare

    def give(self, runtime: Runtime, job: Job) -> None:
        """Has a spare load a job's function."""
        runtime.take(_E.GIVEN)
        runtime.function = job.function
        runtime.step = job.id
        job.runtime = runtime.id
        self._do(SendRuntime(runtime.id, Load(job.id, job.function)))
        self.supply()

    def wait(self, job: Job) -> None:
        """Has a job wait for the next runtime of its language to connect."""
        self.waiting.append(job)
        self.supply()

    def wait_ahead(self, job: Job) -> None:
        """Has a load ahead wait for a runtime of its language that nobody else waits for."""
        self.waiting_ahead.append(job)
        self.supply()

    def stop_waiting(self, job: Job) -> None:
        """Forgets a job that may wait."""
        for line in (self.waiting, self.waiting_ahead):
            if job in line:
                line.remove(job)

    def next_for(self, runtime: Runtime) -> Job | None:
        """The job that has waited longest for a runtime like this, which waits no longer."""
        for line in (self.waiting, self.waiting_ahead):
            for job in line:
                if job.function.runtime == runtime.language:
                    line.remove(job)
                    return job
        return None

    def hand_over(self, runtime: Runtime) -> None:
        """Lets go of a runtime that is the agent's now."""
        runtime.step = None
        runtime.take(_E.HANDED_OVER)
        self.wants_spares = False
        self._forget(runtime, Release(runtime.id))

    def lose(self, runtime: Runtime) -> None:
        """Takes note that a runtime's process has ended."""
        was = runtime.state
        if was in (_S.SPAWNING, _S.SPARE):
            self.failed_starts += 1
        runtime.take(_E.LOST)
        self._forget(runtime, Release(runtime.id))
        for tell in self.on_gone:
            tell(runtime, was)

    def end(self, runtime: Runtime) -> None:
        """Ends a runtime's process."""
        was = runtime.state
        runtime.take(_E.LOST)
        self._forget(runtime, Kill(runtime.id))
        for tell in self.on_gone:
            tell(runtime, was)

    def _forget(self, runtime: Runtime, command: Kill | Release) -> None:
        del self.runtimes[runtime.id]
        self._do(command)

    def end_strangers(self) -> None:
        """Ends the idle runtimes that hold what the plan does not know."""
        for runtime in [r for r in self.runtimes.values() if r.state is _S.IDLE]:
            if runtime.id in self.runtimes and runtime.function not in self._plan.functions.values():
                self.end(runtime)

    def evict(self) -> None:
        """Ends the idle runtime that was not used for longest, if there are too many."""
        idle = [r for r in self.runtimes.values() if r.state is _S.IDLE]
        if len(idle) > MAX_IDLE:
            self.end(min((r for r in idle if not self.is_called(r.id)), key=lambda r: r.used_ns))

    def supply(self) -> None:
        """Asks for runtimes: one for each job that waits, and a spare of each language still needed."""
        wanted: dict[str, int] = {}
        for job in (*self.waiting, *self.waiting_ahead):
            wanted[job.function.runtime] = wanted.get(job.function.runtime, 0) + 1
        if self.failed_starts < MAX_FAILED_STARTS:
            for language in self._spares():
                wanted[language] = wanted.get(language, 0) + 1
        if not wanted:
            return
        for runtime in self.runtimes.values():
            if runtime.state in (_S.SPAWNING, _S.SPARE) and not runtime.due_ns and runtime.language in wanted:
                wanted[runtime.language] -= 1
        for language, count in wanted.items():
            for _ in range(count):
                self._counter += 1
                self.runtimes[self._counter] = Runtime(self._counter, language)
                self._do(Spawn(self._counter, language))

    def _spares(self) -> set[str]:
        """Languages of which a spare is wanted: those of functions that run here and that no runtime holds."""
        if not self.wants_spares:
            return set()
        if self._plan.root is None:
            return {self._language}
        held = {r.function.name for r in self.runtimes.values() if r.function is not None}
        held.update(job.function.name for job in (*self.waiting, *self.waiting_ahead))
        coming = {job.function.runtime for job in self.waiting_ahead}  # whoever is called before that gets it
        return {language for name, language in self._plan.local.items() if name not in held} - coming

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        for runtime in self.runtimes.values():
            assert runtime.state is not _S.GONE, "a runtime that is gone is forgotten"
            working = runtime.state in (_S.LOADING, _S.BUSY, _S.CALLING)
            assert working == (runtime.step is not None), f"{runtime.state} with step {runtime.step}"
            assert (runtime.function is None) == (runtime.state in (_S.SPAWNING, _S.SPARE)), runtime.state
        spares = {r.language for r in self.runtimes.values() if r.state is _S.SPARE and not r.due_ns}
        waiting = {job.function.runtime for job in (*self.waiting, *self.waiting_ahead)}
        assert not spares & waiting, "nobody waits beside a spare"
        assert sum(r.state is _S.IDLE for r in self.runtimes.values()) <= MAX_IDLE
        assert sum(r.state is _S.BUSY for r in self.runtimes.values()) <= 1, "one step runs at a time"
