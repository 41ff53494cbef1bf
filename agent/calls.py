"""The calls of running functions that run in other workers: which are let through, and in what order they go.

Relies on the shell to run them. Who may call whom are the rules of `mee6.outflow`; for a runtime that is served
directly the agent keeps the gate too, as a proxy does for those in its worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from agent.peers import Peer
from agent.seats import Answer, Job, Seat
from agent.substrate.base import FunctionRecord
from mee6.errors import ProtocolError
from mee6.lane.messages import Call, Fault, Result
from mee6.outflow import Gate, refusal

OPEN_CALLS: Final = 10_000
OPEN_CALL_BYTES: Final = 64 << 20
"""Calls of one step that have not ended, and their arguments: what the agent keeps for it has a bound."""


class Calls:
    """What running functions have called, and has not ended.

    Args:
        jobs: all that is live, by id.
        submit: has a call run.
        timeout_s: of functions that do not say.
    """

    def __init__(self, jobs: Mapping[str, Job], submit: Callable[[Job], None], timeout_s: float) -> None:
        self._jobs = jobs
        self._submit = submit
        self._timeout_s = timeout_s

    def open_gate(self, seat: Seat) -> None:
        """Makes the gate of an invocation that begins, where its runtime is served directly and may call."""
        if seat.is_direct and seat.plan is not None and seat.plan.root.manifest.is_workflow:
            manifest = seat.plan.root.manifest
            seat.gate = Gate(manifest.outflows, manifest.max_parallelism, can_stay=False)

    def ask(self, seat: Seat, peer: Peer, call: Call) -> None:
        """Has a call of a running function run in another worker."""
        job = seat.job
        if job is None or peer is not seat.peer:
            return
        if not call.id.startswith(f"{job.id}."):
            raise ProtocolError(f"worker {seat.worker} makes a call {call.id!r} that is not {job.id!r}'s")
        if call.id in self._jobs or call.id in seat.held_calls:
            raise ProtocolError(f"worker {seat.worker} makes the call {call.id!r} twice")
        chain = call.chain or job.chain
        caller = job.plan.functions.get(chain[-1])
        if caller is None:
            raise ProtocolError(f"worker {seat.worker} calls for {chain[-1]!r}, which is not of its plan")
        lane_caller = seat.functions(_nowhere, _nowhere, self._timeout_s)[chain[-1]]
        if fault := refusal(lane_caller, chain, call.name, call.name in job.plan.functions):
            peer.send(Result(call.id, fault=fault))
            return
        if len(job.open_calls) >= OPEN_CALLS or job.open_bytes + len(call.arg) > OPEN_CALL_BYTES:
            why = (
                f"{job.name!r} has {len(job.open_calls)} calls under way, with {job.open_bytes >> 20} MiB of arguments"
            )
            limits = f"at most {OPEN_CALLS} and {OPEN_CALL_BYTES >> 20} MiB may be; wait for some of them first"
            peer.send(Result(call.id, fault=Fault("call_refused", f"{why}: {limits}", function=job.name)))
            return
        job.open_calls[call.id] = len(call.arg)
        job.open_bytes += len(call.arg)
        plan = job.plan.sub(call.name)
        timeout_s = plan.root.manifest.timeout_s or self._timeout_s
        now = time.monotonic_ns()
        nested = Job(
            id=call.id,
            user=job.user,
            plan=plan,
            arg=call.arg,
            content_type=call.content_type,
            chain=[*chain, call.name],
            timeout_s=timeout_s,
            accepted_ns=now,
            deadline=min(job.deadline, now + int(timeout_s * 1e9)),
            flow_of=seat.bound_flow,
            answer=lambda answer: self._answered(seat, peer, job, call.id, answer),
            parent=call.invocation,
            caller=job.id,
        )
        if seat.gate is None:
            self._submit(nested)
            return
        seat.held_calls[call.id] = nested
        self._let_go(seat, [call for call, _place in seat.gate.ask(call.id, call.name)])

    def _answered(self, seat: Seat, peer: Peer, job: Job, call: str, answer: Answer) -> None:
        job.open_bytes -= job.open_calls.pop(call, 0)
        peer.send(Result(call, answer.result, answer.content_type, answer.fault))
        if seat.gate is not None:
            self._let_go(seat, [call for call, _place in seat.gate.done(call)])

    def _let_go(self, seat: Seat, calls: list[str]) -> None:
        for call in calls:
            if nested := seat.held_calls.pop(call, None):
                self._submit(nested)


def _nowhere(_record: FunctionRecord) -> str:
    """The folder of a function that is only asked about."""
    return ""
