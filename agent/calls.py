"""The calls of running functions that run in other workers: which are let through, and in what order they go.

Relies on the shell to run them. Who may call whom are the rules of `mee6.outflow`; for a runtime that is served
directly the agent keeps the gate too, as a proxy does for those in its worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from agent.fanout import FanOut
from agent.peers import Peer
from agent.seats import Answer, Job, Seat
from agent.substrate.base import FunctionRecord
from mee6.errors import ProtocolError
from mee6.lane.messages import Call, Fault, Function, Result
from mee6.outflow import Gate, refusal


class Calls:
    """What running functions have called, and has not ended.

    Args:
        jobs: all that is live, by id.
        submit: has a call run.
        timeout_s: of functions that do not say.
        most: of one workflow's calls that run at once, at each depth.
    """

    def __init__(self, jobs: Mapping[str, Job], submit: Callable[[Job], None], timeout_s: float, most: int) -> None:
        self._jobs = jobs
        self._submit = submit
        self._timeout_s = timeout_s
        self._most = most
        self.fan_outs: dict[str, FanOut[Job]] = {}
        """Of workflows that have called, by their first invocation."""

    def open_gate(self, job: Job) -> None:
        """Makes the gate of a job that begins, whose runtime is served directly and may call."""
        manifest = job.plan.root.manifest
        job.gate = Gate(manifest.outflows, manifest.max_parallelism, can_stay=False)

    def ask(self, seat: Seat, peer: Peer, call: Call) -> None:
        """Has a call of a running function run in another worker."""
        if peer is seat.peer:
            self.run(seat, peer.send, call)

    def run(self, seat: Seat, send: Callable[..., None], call: Call) -> None:
        """Has a call of a seat's job run in another worker; `send` takes its outcome, once."""
        job = seat.job_of(call.invocation)
        if job is None or not call.id.startswith(f"{job.id}."):  # a thread's, on its way as its invocation ended
            why = f"invocation {call.invocation} has ended and can call nothing any more"
            send(Result(call.id, fault=Fault("call_refused", why)))
            return
        if call.id in job.open_calls:
            raise ProtocolError(f"worker {seat.worker} makes the call {call.id!r} twice")
        chain = call.chain or job.chain
        caller = job.plan.functions.get(chain[-1])
        if caller is None:
            raise ProtocolError(f"worker {seat.worker} calls for {chain[-1]!r}, which is not of its plan")
        if fault := refusal(_asking(seat, caller, call), chain, call.name, call.name in job.plan.functions):
            send(Result(call.id, fault=fault))
            return
        fan_out = self._fan_out(job)
        if fan_out is None:
            return  # its workflow has ended, and its worker is about to
        if why := fan_out.refuses(len(call.arg)):
            send(Result(call.id, fault=Fault("call_refused", f"{job.chain[0]!r} {why}", function=job.name)))
            return
        fan_out.opened(len(call.arg))
        group = f"{job.id}:{call.group}" if call.group else ""  # what a worker says counts within its own invocation
        fan_out.together.asked(group)
        job.open_calls[call.id] = len(call.arg)
        plan = job.plan.sub(call.name)
        limit_s = plan.root.manifest.timeout_s or self._timeout_s
        timeout_s = min(call.timeout_s or limit_s, limit_s)
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
            # Of several invocations in one worker none has its storage for itself: what they call brings its own.
            flow_of=seat.bound_flow if job.plan.root.manifest.concurrency == 1 else "",
            answer=lambda answer: self._answered(send, job, nested, answer, group),
            stored=call.stored,
            room=call.room,
            parent=call.invocation,
            caller=job.id,
            step=call.step,
            part=call.part,
        )
        if job.gate is None:
            self._go(nested)
            return
        job.held_calls[call.id] = nested
        self._let_go(job, [call for call, _place in job.gate.ask(call.id, call.name)])
        if call.id in job.held_calls:
            nested.held_by = "parallelism"

    def ended(self, job: Job) -> None:
        """Forgets what a job that has ended still had called; with a workflow's first, the workflow."""
        fan_out = self.fan_outs.get(job.root)
        if fan_out is None:
            return
        if not job.parent:
            del self.fan_outs[job.root]
            return
        if job.open_calls:
            for size in job.open_calls.values():
                fan_out.ended(size)
            job.open_calls.clear()
            fan_out.drop(lambda call: call.caller == job.id)

    def _fan_out(self, job: Job) -> FanOut[Job] | None:
        """That of a job's workflow; None when that has ended."""
        if job.root not in self._jobs:
            return None
        found = self.fan_outs.get(job.root)
        if found is None:
            found = self.fan_outs[job.root] = FanOut(self._most)
        return found

    def _go(self, nested: Job) -> None:
        """Has a call run, or wait while its workflow has too many running."""
        fan_out = self.fan_outs.get(nested.root)
        if fan_out is None:
            return
        if fan_out.ask(len(nested.chain), nested):
            self._start(nested)
        else:
            nested.held_by = "fan-out"

    def _start(self, nested: Job) -> None:
        if nested.held_by:
            nested.held_ns = time.monotonic_ns() - nested.accepted_ns
        self._submit(nested)

    def _answered(self, send: Callable[..., None], job: Job, nested: Job, answer: Answer, group: str) -> None:
        result, kind = answer.result, answer.content_type
        results = [Result(nested.id, result, kind, answer.fault, put_back=True, stored=answer.stored)]
        fan_out = self.fan_outs.get(job.root)
        if fan_out is not None:
            if (size := job.open_calls.pop(nested.id, None)) is not None:
                fan_out.ended(size)
            if (next_one := fan_out.done(len(nested.chain))) is not None:
                self._start(next_one)
            results = fan_out.together.ended(group, results[0])
        if results:
            send(*results)
        if job.gate is not None:
            self._let_go(job, [call for call, _place in job.gate.done(nested.id)])

    def _let_go(self, job: Job, calls: list[str]) -> None:
        for call in calls:
            if nested := job.held_calls.pop(call, None):
                self._go(nested)


def _asking(seat: Seat, caller: FunctionRecord, call: Call) -> Function:
    """Who makes a call, for the rules; a declared workflow may have parts of itself run."""
    outflows = caller.manifest.outflows
    if call.part:
        if call.name != caller.name or caller.manifest.declaration is None:
            raise ProtocolError(f"worker {seat.worker} asks for a part of {call.name!r}, which it does not run")
        outflows = {call.name: "always"}
    return Function(caller.name, caller.version, caller.manifest.runtime, "", outflows)
