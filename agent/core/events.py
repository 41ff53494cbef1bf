"""What the scheduler is told, past tense, and what it asks for, imperative.

Structs of msgspec rather than dataclasses: several are made for each invocation, and these cost a tenth.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agent.core.settings import Settings
from agent.drivers.base import PoolKey
from mee6.lane.messages import Fault


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened outside of the core."""


class Submitted(Event, frozen=True, gc=False):
    """An invocation was accepted. Fields as in `agent.core.invocation.Invocation`."""

    id: str
    digest: str
    pool: PoolKey
    depth: int
    deadline: int
    caller: str = ""
    concurrency: int = 1


class CancelAsked(Event, frozen=True, gc=False):
    """Somebody called an invocation off."""

    id: str
    reason: str


class DeadlineLifted(Event, frozen=True, gc=False):
    """An invocation's result has begun to come in pieces: from now on its time is bounded by who takes them."""

    id: str


class WorkerConnected(Event, frozen=True, gc=False):
    """The worker's proxy (or, `direct`, its runtime) is there: it can be used."""

    worker: str
    direct: bool = False


class WorkerStartFailed(Event, frozen=True, gc=False):
    """The driver could not make the worker."""

    worker: str
    reason: str


class WorkerLost(Event, frozen=True, gc=False):
    """The worker has ended, or its lane has, without being told to."""

    worker: str
    fault: Fault


class FunctionLoaded(Event, frozen=True, gc=False):
    """The worker's peer reported the load; `fault` is None when it went well."""

    worker: str
    invocation: str
    fault: Fault | None
    handed_over: bool
    slots: int = 1
    """Invocations that the runtime takes at once."""


class Finished(Event, frozen=True, gc=False):
    """The worker's peer reported the outcome."""

    worker: str
    invocation: str
    ok: bool


class CalledOff(Event, frozen=True, gc=False):
    """What was called off in a worker that goes on for others has ended."""

    worker: str
    invocation: str


class PauseEnded(Event, frozen=True, gc=False):
    """A `Pause` was carried out; `error` is empty when it went well."""

    worker: str
    error: str = ""


class ResumeEnded(Event, frozen=True, gc=False):
    """A `Resume` was carried out; `error` is empty when it went well."""

    worker: str
    error: str = ""


class PauseAsked(Event, frozen=True, gc=False):
    """Somebody wants an idle worker frozen now."""

    worker: str


class ResumeAsked(Event, frozen=True, gc=False):
    """Somebody wants a paused worker thawed, though nobody needs it."""

    worker: str


class EvictAsked(Event, frozen=True, gc=False):
    """Somebody wants a worker ended, whatever it does."""

    worker: str


class HandoverAsked(Event, frozen=True, gc=False):
    """The proxy offers its runtime."""

    worker: str


class RuntimeConnected(Event, frozen=True, gc=False):
    """The runtime presented the handover's token."""

    worker: str


class ProxyLeft(Event, frozen=True, gc=False):
    """The proxy's lane has closed after the handover."""

    worker: str


class Retired(Event, frozen=True, gc=False):
    """A plan has been replaced or removed: no new invocation will ask for it."""

    digest: str


class DrainBegan(Event, frozen=True, gc=False):
    """The agent takes no more invocations: make no more workers for later."""


class DrainEnded(Event, frozen=True, gc=False):
    """The agent takes invocations again."""


class Measured(Event, frozen=True, gc=False):
    """What workers use; those not named are as before."""

    memory_bytes: Mapping[str, int]


class Configured(Event, frozen=True, gc=False):
    """Somebody changed the settings; `max_workers` stays what it was."""

    settings: Settings


class Tick(Event, frozen=True, gc=False):
    """Time went by."""


class Command(msgspec.Struct, frozen=True, gc=False):
    """Something that the shell shall do."""


class StartWorker(Command, frozen=True, gc=False):
    """Have the driver make it. Answered by `WorkerConnected`, `WorkerStartFailed` or `WorkerLost`."""

    worker: str
    pool: PoolKey


class StopWorker(Command, frozen=True, gc=False):
    """End it, whatever it does; no answer."""

    worker: str
    reason: str


class Pause(Command, frozen=True, gc=False):
    """Freeze it. Answered by `PauseEnded`."""

    worker: str


class Resume(Command, frozen=True, gc=False):
    """Thaw it, after any pause under way. Answered by `ResumeEnded`."""

    worker: str


class Load(Command, frozen=True, gc=False):
    """Bind and load the invocation's function. Answered by `FunctionLoaded`."""

    worker: str
    invocation: str


class Call(Command, frozen=True, gc=False):
    """Call the loaded function. Answered by `Finished`."""

    worker: str
    invocation: str


class CallOff(Command, frozen=True, gc=False):
    """Have the runtime end one of those it runs. Answered by `CalledOff`."""

    worker: str
    invocation: str


class GrantHandover(Command, frozen=True, gc=False):
    """Give the proxy a token for its runtime. Answered by `RuntimeConnected` or `FunctionLoaded`."""

    worker: str


class RefuseHandover(Command, frozen=True, gc=False):
    """Tell the proxy, which waits for the answer, that it keeps its runtime."""

    worker: str


class UndoHandover(Command, frozen=True, gc=False):
    """Forget the token that is out and the runtime that came with it: the proxy says that it serves on."""

    worker: str


class DismissProxy(Command, frozen=True, gc=False):
    """Say goodbye to it. Answered by `ProxyLeft`."""

    worker: str


class Complete(Command, frozen=True, gc=False):
    """Tell the caller that the invocation ended without an answer of the function."""

    invocation: str
    fault: Fault
