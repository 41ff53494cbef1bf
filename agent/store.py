"""The agent's part in the stores of its workflows: how much each may hold, and who has left one.

What passes through a store is allocated by those who call (`mee6.lane.store`); the agent hands references on, reads
for peers that know none, and never maps anything. How much a workflow may keep in memory follows FaaSFlow's rule: what
its functions' workers were given and do not use, less a reserve. Source: FaaSFlow (ASPLOS'22), and
`src/grouping/grouping.py` of its artefact: `(1 - 0.2 - mem_usage) * 256 MB * split_ratio`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from agent.plan import Plan
from agent.seats import Job, Seat
from mee6.errors import Mee6Error
from mee6.lane.messages import Fault, Invoke, Stored
from mee6.lane.store import copied, file_prefix, remove_files

RESERVED: Final = 0.2
"""Of a worker's memory, left alone. Source: RESERVED of FaaSFlow's artefact."""
ASSUMED: Final = 0.5
"""Of a worker's memory, taken to be used by a function that was never seen."""
OF_FLOW: Final = 0.5
"""Of the room of `flow`, which the store is in: the rest stays for files."""

_MOST: Final = 1 << 62
"""Of any count; it has to fit into 64 bits."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one function's worker has, and what of it the function was seen to use at most. Bytes."""

    memory_bytes: int
    peak_bytes: int
    width: int = 1
    """Workers of it that one workflow has at once, as far as it is declared: FaaSFlow's Map."""

    @property
    def unused(self) -> int:
        """What it gives to the store of its workflow."""
        return max(self.memory_bytes - self.peak_bytes - int(self.memory_bytes * RESERVED), 0) * self.width


def quota(uses: Iterable[Use]) -> int:
    """Bytes that the store of a workflow with these functions may hold."""
    return sum(use.unused for use in uses)


def shares(root: str, callees: Mapping[str, Iterable[str]], uses: Mapping[str, Use]) -> dict[str, int]:
    """How a workflow's quota is parted among those who call, each of whom has a region of its own.

    A function's unused memory is its callers', in equal parts, since it is for what they pass to it and get from
    it; the first one's is its own. So all parts together are the quota, and who calls nobody has none.

    Args:
        root: the workflow's first function.
        callees: function -> those it may call; all are in `uses`.
    """
    found = {name: uses[name].unused if name == root else 0 for name, below in callees.items() if list(below)}
    for name, use in uses.items():
        callers = [caller for caller in found if name in callees[caller] and name != root]
        for caller in callers:
            found[caller] += use.unused // len(callers)
    return found


@dataclass(slots=True)
class Passed:
    """What went through stores since the agent started."""

    blocks: int = 0
    size: int = 0
    """Bytes."""
    over: int = 0
    """Arguments and results that would have, had there been room: they went over the lanes."""


class Stores:
    """All stores of one node.

    Args:
        path: the folder of a worker's own; see `Driver.store_path`.
        enabled: whether there are any.
    """

    def __init__(self, path: Callable[[str], str], *, enabled: bool) -> None:
        self._path = path
        self._enabled = enabled
        self._peaks: dict[str, int] = {}
        """SHA-256 of a function's code -> memory that a worker of it used at most."""
        self.passed = Passed()
        self.of_function: dict[tuple[str, str], Passed] = {}
        """(user, a workflow's first function) -> the same of its workflows."""

    def measured(self, seat: Seat) -> None:
        """Takes note of what a worker uses."""
        if seat.plan is None or not seat.used.memory_bytes:
            return
        used = seat.used.memory_bytes
        if self._enabled and seat.plan.root.manifest.is_workflow:
            used = max(used - self._held(seat.worker), 0)  # the store is no part of what is to be kept free of it
        key = seat.plan.root.sha256
        self._peaks[key] = max(self._peaks.get(key, 0), used)

    def _held(self, worker: str) -> int:
        """Bytes that a worker's own store has in memory."""
        try:
            return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in os.scandir(self._path(worker)))
        except (Mee6Error, OSError):
            return 0

    def allowed(self, plan: Plan, seat: Seat) -> dict[str, int]:
        """Function -> `Function.store_bytes`, of a worker that is to serve the plan."""
        if not self._enabled or not plan.root.manifest.is_workflow or plan.root.manifest.concurrency > 1:
            return {}  # of several invocations in one process none could tell whose values are done with
        limits = seat.worker_limits
        uses: dict[str, Use] = {}
        callees: dict[str, list[str]] = {}
        for name, record in plan.functions.items():
            memory = limits.narrowed(record.manifest.limits).memory_bytes
            wide = [
                caller.manifest.max_parallelism
                for caller in plan.functions.values()
                if caller.manifest.outflows.get(name, "no") != "no"
            ]
            width = max(1, *wide) if wide else 1
            uses[name] = Use(memory, self._peaks.get(record.sha256, int(memory * ASSUMED)), width)
            callees[name] = [callee for callee in record.manifest.outflows if callee in plan.functions]
        most = int(limits.scratch_bytes * OF_FLOW)
        return {name: min(share, most) for name, share in shares(plan.root.name, callees, uses).items()}

    def referring(self, seat: Seat, job: Job, invoke: Invoke) -> Invoke | Fault:
        """The task of a job whose argument or result may lie in the store, with the bytes for a peer that knows none.

        Returns:
            A fault where they are not there any more, or too many to be sent.
        """
        manifest = job.plan.root.manifest
        if seat.has_store and manifest.concurrency == 1 and not manifest.steps:  # whose proxy looks at what it is given
            return structs.replace(invoke, stored=job.stored, room=job.room)
        job.room = None
        if job.stored is None:
            return invoke
        if job.stored.size > seat.limits.result_bytes:
            why = f"of {job.stored.size} bytes is over the limit of {seat.limits.result_bytes} for its runtime"
            return Fault("invalid_input", f"the argument {why}", function=job.name)
        try:
            return structs.replace(invoke, arg=copied(self._path(job.flow_of), job.stored))
        except (Mee6Error, OSError) as error:  # a function has been here
            return Fault("invalid_input", f"the argument cannot be read: {error}", function=job.name)

    def left(self, seat: Seat) -> None:
        """A worker takes part in a workflow no more: what its processes made in another's store goes."""
        if seat.bound_flow not in ("", seat.worker):
            try:
                folder = self._path(seat.bound_flow)
            except Mee6Error:  # whose it was has gone, and its store with it
                return
            remove_files(folder, file_prefix(seat.worker))

    def told(self, job: Job | None, stored: Stored) -> None:
        """Counts what an invocation passed; None for one that has been called off."""
        if job is None:
            return
        key = job.user, job.chain[0]
        for passed in (self.passed, self.of_function.setdefault(key, Passed())):
            passed.blocks = _added(passed.blocks, stored.blocks)
            passed.size = _added(passed.size, stored.size)
            passed.over = _added(passed.over, stored.over)


def _added(count: int, more: int) -> int:
    """A count and what a function says is to be added to it."""
    return min(count + max(more, 0), _MOST)
