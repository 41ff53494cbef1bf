"""A proxy's core played by hand: what a test's agent, runtimes and first process say, and what it commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mee6.lane.messages import (
    AnyMessage,
    AskHandover,
    Call,
    Function,
    Handover,
    Hello,
    Invoke,
    Load,
    Report,
    Result,
    Welcome,
)
from proxy.core import Proxy
from proxy.events import (
    AgentSaid,
    Command,
    Event,
    Kill,
    RuntimeClosed,
    RuntimeExited,
    RuntimeSaid,
    RuntimeSpawned,
    SendAgent,
    SendRuntime,
    Spawn,
    Ticked,
)
from proxy.table import RuntimeState

M = TypeVar("M", bound=AnyMessage)
MS = 1_000_000


def function(
    name: str = "f",
    calls: Mapping[str, str] | None = None,
    *,
    runtime: str = "python",
    timeout_s: float = 60.0,
    most: int = 0,
    **more: str,
) -> Function:
    """A function; `calls` and further keywords are its dependencies with their outflow."""
    return Function(name, 1, runtime, f"/act/rsc/{name}", {**(calls or {}), **more}, most, timeout_s)


class Play:
    """A core with its surroundings; invariants are checked after every event."""

    def __init__(
        self, language: str = "python", languages: Sequence[str] = ("python", "nodejs"), *, direct: bool = False
    ) -> None:
        self.direct = direct
        self.core = Proxy(language, frozenset(languages))
        self.now = 1_000
        self.spawned: list[Spawn] = []
        self.all: list[Command] = []
        self.last: list[Command] = []
        self._take(self.core.start())

    def _take(self, commands: list[Command]) -> list[Command]:
        self.last = commands
        self.all += commands
        self.spawned += [command for command in commands if isinstance(command, Spawn)]
        return commands

    def event(self, event: Event) -> list[Command]:
        commands = self._take(self.core.handle(event, self.now))
        self.core.check()
        return commands

    def agent(self, message: AnyMessage) -> list[Command]:
        return self.event(AgentSaid(message))

    def runtime(self, number: int, message: AnyMessage) -> list[Command]:
        return self.event(RuntimeSaid(number, message))

    def after(self, ms: float) -> list[Command]:
        self.now += int(ms * MS)
        return self.event(Ticked())

    def connect(self, number: int | None = None) -> int:
        """A runtime that was asked for connects; the oldest that has not, unless named."""
        number = number or min(r.id for r in self.core.runtimes.values() if r.state is RuntimeState.SPAWNING)
        self.event(RuntimeSpawned(number, 100 + number))
        language = self.core.runtimes[number].language
        self.runtime(number, Hello("", "runtime", language, 100 + number, direct=self.direct))
        return number

    def connect_all(self) -> None:
        while any(r.state is RuntimeState.SPAWNING for r in self.core.runtimes.values()):
            self.connect()

    def load(self, root: Function, *others: Function, refuse: bool = True) -> int:
        """Loads a function in the spare; the runtime that holds it."""
        self.agent(Load("load", root, {one.name: one for one in (root, *others)}))
        if refuse and any(isinstance(message, AskHandover) for message in self.to_agent()):
            self.agent(Handover("", ""))
        holder = self.holder("load")
        self.runtime(holder, Report("load"))
        return holder

    def ready(self, root: Function, *others: Function) -> int:
        """A worker from nothing to loaded, with spares connected."""
        self.connect()
        self.agent(Welcome("w1"))
        holder = self.load(root, *others)
        self.connect_all()
        return holder

    def invoke(self, number: str = "i", *chain: str) -> list[Command]:
        assert self.core.plan.root is not None
        return self.agent(Invoke(number, b"arg", "text/plain", list(chain) or [self.core.plan.root.name]))

    def call(self, runtime: int, number: str, name: str, invocation: str = "i") -> list[Command]:
        return self.runtime(runtime, Call(number, invocation, name, b"x", "text/plain"))

    def holder(self, step: str) -> int:
        """The runtime that works for a step or a load."""
        return next(r.id for r in self.core.runtimes.values() if r.step == step)

    def dies(self, runtime: int, status: int = -9) -> None:
        self.event(RuntimeExited(runtime, status))
        self.event(RuntimeClosed(runtime))

    def to_agent(self) -> list[AnyMessage]:
        return [command.message for command in self.last if isinstance(command, SendAgent)]

    def to_runtime(self, runtime: int) -> list[AnyMessage]:
        return [c.message for c in self.last if isinstance(c, SendRuntime) and c.runtime == runtime]

    def sent(self, kind: type[M]) -> list[M]:
        """All messages of a kind that were ever commanded, in order."""
        messages = [c.message for c in self.all if isinstance(c, SendAgent | SendRuntime)]
        return [message for message in messages if isinstance(message, kind)]

    def killed(self) -> list[int]:
        return [command.runtime for command in self.all if isinstance(command, Kill)]

    def state(self, runtime: int) -> RuntimeState:
        found = self.core.runtimes.get(runtime)
        return RuntimeState.GONE if found is None else found.state

    def result_for(self, runtime: int) -> Result:
        found = [message for message in self.to_runtime(runtime) if isinstance(message, Result)]
        assert len(found) == 1, self.last
        return found[0]
