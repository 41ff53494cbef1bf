"""The life of a worker as every driver of real processes sees it: known by name, heard of, cleaned up once.

A driver keeps its workers in `Lives` and gives it the one thing that differs: how all traces of a worker are removed.
What the worker's first process says on its control socket means the same whoever made it. All of it runs on the loop.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from agent.drivers.base import Hooks, WorkerSpec
from agent.drivers.process.group import Group
from mee6.errors import Conflict, Mee6Error, WorkerLost
from mee6.lane import control as wire
from mee6.lane.messages import Stream

_log: Final = logging.getLogger("mee6.agent")


@dataclass(slots=True, eq=False, kw_only=True)
class Life:
    """One worker, from the moment it is asked for until nothing of it is left."""

    spec: WorkerSpec
    up: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Its first process runs, and `pid` says which."""
    ended: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Nothing of it runs any more; why."""
    control: socket.socket | None = None
    """To its first process."""
    pid: int = 0
    """Its first process, by the agent's numbers."""
    group: Group | None = None
    stopping: bool = False
    """Somebody asked for its end, so that it is no news."""
    cleaning: asyncio.Task[None] | None = None
    decoders: dict[Stream, codecs.IncrementalDecoder] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The worker's name."""
        return self.spec.worker

    def fail(self, error: Mee6Error) -> None:
        """Has its start end with an error, unless it is up."""
        if not self.up.done():
            self.up.set_exception(error)
            self.up.exception()  # seen, also where the start was cancelled

    def decoded(self, stream: Stream, data: bytes) -> str:
        """What it wrote, as text; a character cut in two waits for its rest."""
        decoder = self.decoders.get(stream)
        if decoder is None:
            decoder = self.decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(data)

    @property
    def out_of_memory(self) -> str:
        """The cause of an end, for people."""
        limit = self.group.memory_limit if self.group is not None else self.spec.limits.memory_bytes
        return f"out of memory (limit {limit >> 20} MiB)"


L = TypeVar("L", bound=Life)


class Lives(Generic[L]):
    """A driver's workers.

    Args:
        remove: ends a worker and removes all that there is of it; called once for each.
    """

    def __init__(self, remove: Callable[[L], Coroutine[None, None, None]]) -> None:
        self.hooks: Hooks | None = None
        """Whom to tell; nobody before the driver is open, and after it is closed."""
        self._remove = remove
        self._lives: dict[str, L] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __getitem__(self, worker: str) -> L:
        return self._lives[worker]

    def __iter__(self) -> Iterator[L]:
        return iter(list(self._lives.values()))

    def __len__(self) -> int:
        return len(self._lives)

    def get(self, worker: str) -> L | None:
        """The worker, as long as anything of it is left."""
        return self._lives.get(worker)

    def known(self, worker: str) -> L:
        """The worker.

        Raises:
            WorkerLost: it has ended or is about to.
        """
        found = self._lives.get(worker)
        if found is None or found.cleaning is not None:
            raise WorkerLost(f"worker {worker} is gone")
        return found

    def add(self, life: L) -> None:
        """Takes a new one in.

        Raises:
            Conflict: its name is taken.
        """
        if life.id in self._lives:
            raise Conflict(f"there is a worker {life.id} already")
        self._lives[life.id] = life

    # Ends

    async def stop(self, worker: str) -> None:
        """Ends a worker, and returns when nothing of it is left. Idempotent."""
        found = self._lives.get(worker)
        if found is not None:
            found.stopping = True
            await asyncio.shield(self.clean(found))

    async def close(self, timeout_s: float | None = None) -> None:
        """Ends all workers, and waits for that and for what else is under way; beyond the time it is given up."""
        for life in self:
            life.stopping = True
            self.clean(life)
        deadline = asyncio.get_running_loop().time() + timeout_s if timeout_s is not None else None
        while self._tasks:
            left = max(0.0, deadline - asyncio.get_running_loop().time()) if deadline is not None else None
            await asyncio.wait(self._tasks, timeout=left)
            if left == 0.0:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def clean(self, life: L) -> asyncio.Task[None]:
        """Sees to it that nothing of the worker stays; one task does it, however many ask."""
        if life.cleaning is None:
            life.cleaning = self.in_background(self._cleaned(life))
        return life.cleaning

    async def _cleaned(self, life: L) -> None:
        try:
            await self._remove(life)
        finally:
            self._lives.pop(life.id, None)

    def in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Runs what nobody waits for, but `close`; a failure is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s", error)

    # News

    def heard(self, life: L, packet: wire.AnyPacket | None) -> None:
        """Takes in what its first process said that means the same for every driver."""
        if self.hooks is None:
            return
        match packet:
            case wire.Failed(message=message):
                life.fail(Mee6Error(f"worker {life.id} could not start: {message}"))
            case wire.Output(stream=stream, data=data, dropped_bytes=dropped):
                text = life.decoded(stream, data)
                note = f"[{dropped} bytes discarded: too much at once]\n" if dropped else ""
                if note or text:
                    self.hooks.on_output(life.id, stream, note + text)
            case wire.Ended(pid=pid, status=status):
                killed = status == -signal.SIGKILL and life.group is not None and life.group.new_ooms() > 0
                self.hooks.on_process_exit(life.id, pid, status, life.out_of_memory if killed else "")
            case _:
                pass

    def lost(self, life: L, why: str) -> None:
        """Tells that a worker ended by itself, once, and has it cleaned up."""
        if life.stopping or life.cleaning is not None:
            return
        self.clean(life)
        if self.hooks is not None:
            self.hooks.on_exit(life.id, why)


@contextmanager
def still_there(worker: str) -> Iterator[None]:
    """Says `WorkerLost` where the kernel says that a file of the worker's is gone."""
    try:
        yield
    except OSError as error:
        raise WorkerLost(f"worker {worker} is gone") from error
