"""Where a call goes: into this worker, or through the agent into another one.

The rules of a workflow, without I/O, for whoever serves the running function: the proxy, or the agent
after a handover. Source: the first Mee6aaS's `pkg/activity` and README; `maxParallelism` does not count
the one call that stayed.

- `no` (or absent): this worker. Two such calls at once run one after the other: a worker never runs two
  steps of a workflow side by side, which is what keeps them from disturbing each other.
- `always`: another worker.
- `optional:n`: this worker if it is free and no other call of group n is running in parallel here,
  another one otherwise.
- At most `max_parallelism` calls of one invocation run elsewhere at once; the rest wait their turn, first
  come first served.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum

from mee6.lane.messages import Fault, Function

MAX_DEPTH = 16
"""Calls within calls; deeper is taken for a mistake."""
MAX_RECURSION = 8
"""How often one function may stand in its own chain of callers."""
DEFAULT_PARALLELISM = 8
"""Calls elsewhere at once where the manifest says nothing."""


class Place(StrEnum):
    """Where a call runs."""

    HERE = "here"
    ELSEWHERE = "elsewhere"


def refusal(caller: Function, chain: list[str], callee: str, known: bool) -> Fault | None:
    """Why `caller` may not make this call; None when it may.

    Args:
        chain: function names from the workflow's first down to the caller.
        known: whether the callee has been added.
    """
    if callee not in caller.dependencies:
        declared = ", ".join(sorted(caller.dependencies)) or "none"
        return _refused(
            caller,
            f"{caller.name!r} may not call {callee!r}: it is not among its dependencies ({declared}); "
            f"declare it in activity.json",
        )
    if not known:
        return _refused(
            caller, f"{caller.name!r} calls {callee!r}, which has not been added; add it with: mee6 act add DIR"
        )
    if len(chain) >= MAX_DEPTH:
        return _refused(caller, f"calls are {MAX_DEPTH} deep ({' > '.join(chain[-4:])} > {callee}): is it a cycle?")
    if chain.count(callee) >= MAX_RECURSION:
        return _refused(caller, f"{callee!r} stands {MAX_RECURSION} times in its own chain of callers: is it a cycle?")
    return None


def _refused(caller: Function, message: str) -> Fault:
    return Fault("call_refused", message, function=caller.name, error_type="CallRefused")


@dataclass(slots=True)
class Gate:
    """The calls of one invocation: which may go, where, and which wait.

    `ask` takes a call, `done` ends it; both return the calls that go now, with their place. Pure and
    synchronous; the caller carries them out.
    """

    outflows: dict[str, str]
    max_parallelism: int
    can_stay: bool
    """False where there is no worker of one's own to run in: after a handover."""
    _here: str | None = None
    _elsewhere: set[str] = field(default_factory=set)
    _waiting: dict[str, OrderedDict[str, int]] = field(default_factory=dict)
    """Kind of outflow -> the calls that wait, each with its turn: one of a kind may go when any of it may."""
    _turn: int = 0

    def ask(self, call: str, callee: str) -> list[tuple[str, Place]]:
        """Takes the call `call` to `callee`, which must be a declared dependency."""
        place = self._place(self.outflows[callee])
        if place is None:
            self._turn += 1
            self._waiting.setdefault(_kind(self.outflows[callee]), OrderedDict())[call] = self._turn
            return []
        self._let(call, place)
        return [(call, place)]

    def done(self, call: str) -> list[tuple[str, Place]]:
        """Ends `call`, wherever it ran or waited; a call that is not known is ignored."""
        if self._here == call:
            self._here = None
        elif call in self._elsewhere:
            self._elsewhere.remove(call)
        else:
            for queue in self._waiting.values():
                queue.pop(call, None)
        return self._admit() if self._waiting else []

    @property
    def running(self) -> int:
        """Calls that were let go and have not ended."""
        return len(self._elsewhere) + (self._here is not None)

    def _admit(self) -> list[tuple[str, Place]]:
        admitted: list[tuple[str, Place]] = []
        while True:
            heads = [
                (next(iter(queue.values())), kind, place)
                for kind, queue in self._waiting.items()
                if queue and (place := self._place(kind)) is not None
            ]
            if not heads:
                self._waiting = {kind: queue for kind, queue in self._waiting.items() if queue}
                return admitted
            _turn, kind, place = min(heads)
            call, _turn = self._waiting[kind].popitem(last=False)
            self._let(call, place)
            admitted.append((call, place))

    def _let(self, call: str, place: Place) -> None:
        if place is Place.HERE:
            self._here = call
        else:
            self._elsewhere.add(call)

    def _place(self, outflow: str) -> Place | None:
        may_leave = len(self._elsewhere) < (self.max_parallelism or DEFAULT_PARALLELISM)
        if outflow != "always" and self.can_stay and self._here is None:
            return Place.HERE
        if (outflow != "no" or not self.can_stay) and may_leave:
            return Place.ELSEWHERE
        return None


def _kind(outflow: str) -> str:
    return outflow.partition(":")[0]
