"""Which invocations called which, of those that this agent dispatches; and for how long callers waited for a start.

A caller's end ends what it called. Its time counts without that in which something below it had no worker that
runs: neither it nor a worker of its function's works then. No clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.core.invocation import Invocation


@dataclass(slots=True)
class Kinship:
    """Callers and their callees.

    Args:
        invocations: those that have not ended, by id.
    """

    invocations: Mapping[str, Invocation]
    callees: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Caller -> the calls that it has out; nothing in it while nobody calls."""

    def made(self, invocation: Invocation) -> None:
        """A call was accepted."""
        self.callees[invocation.caller].add(invocation.id)

    def ended(self, invocation: Invocation, now: int) -> set[str]:
        """An invocation has ended; the calls that it still has out."""
        self.goes_on(invocation, now)
        if invocation.caller in self.callees:
            self.callees[invocation.caller].discard(invocation.id)
        return self.callees.pop(invocation.id, set())

    def waits(self, invocation: Invocation, now: int) -> None:
        """A call has no worker that runs it, from now on."""
        if invocation.caller and not invocation.stalls_callers:
            invocation.stalls_callers = True
            for caller in self.callers(invocation):
                if not caller.stalls:
                    caller.stalled_since = now
                caller.stalls += 1

    def goes_on(self, invocation: Invocation, now: int) -> None:
        """It runs now, or has ended."""
        if invocation.stalls_callers:
            invocation.stalls_callers = False
            for caller in self.callers(invocation):
                caller.stalls -= 1
                if not caller.stalls:
                    caller.stalled += now - caller.stalled_since

    def callers(self, invocation: Invocation) -> Iterator[Invocation]:
        """Its caller, the caller of that, and so on."""
        caller = self.invocations.get(invocation.caller)
        while caller is not None:
            yield caller
            caller = self.invocations.get(caller.caller)
