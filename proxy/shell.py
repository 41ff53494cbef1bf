"""Kyle's sockets: an epoll loop around `proxy.core`.

One process, one thread, no asyncio: a step's way through the proxy is two reads, two writes and no task. All
sockets but the spawner's are non-blocking, with what the peer does not take yet kept per lane, so that a slow
agent or runtime delays nobody else. The worker's first process (`proxy.init`) runs `serve` in a fork and starts
and reaps the runtimes.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic_ns
from types import FrameType
from typing import Final

from mee6.errors import ProtocolError
from mee6.lane.codec import Decoder, encode, room
from mee6.lane.messages import AnyMessage, Hello, Welcome
from mee6.lane.store import FOLDER, file_prefix, remove_files
from proxy import spawner as wire
from proxy.core import Proxy
from proxy.cores import Cores
from proxy.events import (
    AgentClosed,
    AgentSaid,
    Command,
    Connect,
    Exit,
    Kill,
    Pin,
    Release,
    RuntimeClosed,
    RuntimeDeaf,
    RuntimeExited,
    RuntimeNotSpawned,
    RuntimeSaid,
    RuntimeSpawned,
    SendAgent,
    SendRuntime,
    Spawn,
    Ticked,
    Unpin,
)

AGENT: Final = 0
"""The agent's number among the lanes; runtimes count from 1."""
CONNECT_S: Final = 5.0
FAREWELL_S: Final = 1.0
"""How long the agent may take to read what is left when the proxy leaves."""
UNREAD_BYTES: Final = 64 << 20
UNREAD_S: Final = 1.0
"""A peer that leaves more than this unread, and has taken nothing for so long, is cut off: what is kept for it
has a bound, and one that is merely behind with large results is not taken for one that has stopped."""
_GC_THRESHOLD: Final = 50_000
"""Steps leave no cycles behind; looking for them at Python's usual pace took a tenth of the proxy's time."""
_READ_BYTES: Final = 256 << 10
_HEARINGS: Final = 16
"""Reads of what others have said before an invocation's outcome: more than a function may print."""
_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT


def serve(
    lane_path: str,
    token: str,
    runtime: str,
    spawner: socket.socket,
    runtimes: Sequence[str],
    spare: socket.socket | None = None,
) -> None:
    """Runs the proxy until the agent sends it away or is gone, or SIGTERM comes.

    Args:
        lane_path: the agent's lane socket.
        token: the worker's, one-time.
        runtime: the worker's language.
        spawner: SEQPACKET, to the worker's first process; see `proxy.spawner`.
        runtimes: the languages that this worker can start.
        spare: the lane of a runtime of the worker's language that was started ahead, if one was.
    """
    shell = _Shell(lane_path, token, runtime, spawner, runtimes, spare)
    previous = signal.signal(signal.SIGTERM, _leave)
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    try:
        shell.run()
    except _Terminated:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
        shell.close()


class _Terminated(BaseException):
    """SIGTERM came."""


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


class _Lane:
    """A non-blocking socket with what is half read and half written."""

    __slots__ = ("decoder", "fd", "number", "out", "sock", "taken_ns")

    def __init__(self, number: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.number = number
        self.sock = sock
        self.fd = sock.fileno()
        self.decoder = Decoder()
        self.out = bytearray()
        self.taken_ns = 0
        """When the peer last took some of what it had left unread."""


class _Shell:
    """The loop and its sockets."""

    def __init__(
        self,
        lane_path: str,
        token: str,
        runtime: str,
        spawner: socket.socket,
        runtimes: Sequence[str],
        spare: socket.socket | None,
    ) -> None:
        self._spare = spare
        self._lane_path = lane_path
        self._token = token
        self._runtime = runtime
        self._spawner = spawner
        self._core = Proxy(runtime, frozenset(runtimes))
        self._epoll = select.epoll()
        self._lanes: dict[int, _Lane] = {}
        self._by_fd: dict[int, _Lane] = {}
        self._pids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._condemned: set[int] = set()
        """Runtimes to be killed as soon as their pid is known."""
        self._deaf: list[int] = []
        """Lanes cut because their peers do not read; the core has yet to hear of it."""
        self._corked: dict[int, bytearray] | None = None
        """Frames for each lane, while a read of several messages is handled."""
        self._leaving = False
        self._store = self._worker = ""
        """The folder of the workflow's store, and the worker's name; empty until they are known."""
        self._cores = Cores()
        self._buffer = room(_READ_BYTES)
        """For all reads: a buffer of this size for each costs more than the rest of a step."""

    def run(self) -> None:
        """Serves until an `Exit`."""
        spawner_fd = self._spawner.fileno()
        self._epoll.register(spawner_fd, _IN)
        core, by_fd, poll = self._core, self._by_fd, self._epoll.poll
        self._carry_out(core.start())
        ticked = 0
        while not self._leaving:
            wait_ns = core.tick_after_ns()
            for fd, events in poll(wait_ns / 1e9 if wait_ns else None):
                if fd == spawner_fd:
                    self._hear_spawner()
                    continue
                lane = by_fd.get(fd)
                if lane is None:
                    continue
                if events & _OUT:
                    self._write(lane)
                if events & ~_OUT:
                    self._read(lane)
            while self._deaf:
                number = self._deaf.pop()
                cut = RuntimeDeaf(number) if number else AgentClosed()
                self._carry_out(core.handle(cut, monotonic_ns()))
            if wait_ns:
                now = monotonic_ns()
                if now >= ticked + wait_ns:  # of this turn: what is due sooner does not wait for a longer one
                    ticked = now
                    self._carry_out(core.handle(Ticked(), now))

    def close(self) -> None:
        """Closes all sockets; what the agent has not read yet gets a moment."""
        agent = self._lanes.get(AGENT)
        if agent is not None and agent.out:
            agent.sock.settimeout(FAREWELL_S)
            with suppress(OSError):
                agent.sock.sendall(agent.out)
        for lane in self._lanes.values():
            lane.sock.close()
        self._epoll.close()
        self._spawner.close()

    # In -------------------------------------------------------------------------------------------------

    def _read(self, lane: _Lane) -> None:
        try:
            size = lane.sock.recv_into(self._buffer)
            messages = lane.decoder.feed(self._buffer[:size]) if size else None
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            messages = None
        core, number = self._core, lane.number
        if messages is None:
            self._drop(number)
            event = RuntimeClosed(number) if number else AgentClosed()
            self._carry_out(core.handle(event, monotonic_ns()))
            return
        if len(messages) > 1:
            self._corked = {}
        for message in messages:
            if isinstance(message, Welcome) and not number:
                self._store, self._worker = f"{message.act}/{FOLDER}", message.worker
            if number and core.comes_last(number, message):
                self._uncork()
                self._hear_others(lane)
            said = RuntimeSaid(number, message) if number else AgentSaid(message)
            self._carry_out(core.handle(said, monotonic_ns()))
        self._uncork()

    def _hear_others(self, but: _Lane) -> None:
        """Reads what the other runtimes have said until now; of one that does not stop, enough."""
        for _ in range(_HEARINGS):
            lanes = [self._by_fd[fd] for fd, _events in self._epoll.poll(0) if fd in self._by_fd]
            others = [lane for lane in lanes if lane is not but and lane.number != AGENT]
            if not others:
                return
            for lane in others:
                if self._lanes.get(lane.number) is lane:
                    self._read(lane)

    def _hear_spawner(self) -> None:
        try:
            packet, fd = wire.receive(self._spawner)
        except OSError:
            packet, fd = None, None
        if fd is not None:
            os.close(fd)
        now = monotonic_ns()
        if packet is None:
            self._leaving = True
        elif isinstance(packet, wire.Spawned):
            self._pids[packet.id] = packet.pid
            self._numbers[packet.pid] = packet.id
            if packet.id in self._condemned:
                self._kill(packet.id)
            self._carry_out(self._core.handle(RuntimeSpawned(packet.id, packet.pid), now))
        elif isinstance(packet, wire.SpawnFailed):
            self._carry_out(self._core.handle(RuntimeNotSpawned(packet.id, packet.message), now))
        elif isinstance(packet, wire.Exited):
            number = self._numbers.pop(packet.pid, None)
            if number is not None:
                self._pids.pop(number, None)
                self._condemned.discard(number)
                if self._store:  # what it called with is nobody's any more
                    remove_files(self._store, file_prefix(self._worker, packet.pid))
                self._carry_out(self._core.handle(RuntimeExited(number, packet.status), now))

    # Out ------------------------------------------------------------------------------------------------

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, SendRuntime):
                self._send(command.runtime, command.message)
            elif isinstance(command, SendAgent):
                self._send(AGENT, command.message)
            elif isinstance(command, Spawn):
                self._spawn(command.runtime, command.language)
            elif isinstance(command, Kill):
                self._drop(command.runtime)
                self._kill(command.runtime)
            elif isinstance(command, Release):
                self._drop(command.runtime)
            elif isinstance(command, Pin):
                pids = self._pids_of(command.runtimes)
                if pids:
                    proxy = os.getpid()
                    self._cores.pin(pids[0], [*pids, proxy] if command.proxy else pids, beside=proxy)
            elif isinstance(command, Unpin):
                self._cores.unpin([*self._pids_of(command.runtimes), os.getpid()])
            elif isinstance(command, Connect):
                self._connect()
            elif isinstance(command, Exit):
                self._leaving = True

    def _send(self, number: int, message: AnyMessage) -> None:
        lane = self._lanes.get(number)
        if lane is None:
            return
        if self._corked is not None:
            self._corked.setdefault(number, bytearray()).extend(encode(message))
        else:
            self._put(lane, encode(message))

    def _uncork(self) -> None:
        """Sends what was kept back: one write for each lane of what one read brought about."""
        corked, self._corked = self._corked, None
        for number, frames in (corked or {}).items():
            if (lane := self._lanes.get(number)) is not None:
                self._put(lane, frames)

    def _put(self, lane: _Lane, frame: bytearray) -> None:
        number = lane.number
        if lane.out:
            lane.out += frame
            if len(lane.out) > UNREAD_BYTES and monotonic_ns() - lane.taken_ns > UNREAD_S * 1e9:
                self._drop(number)
                self._deaf.append(number)
            return
        try:
            sent = lane.sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            return
        if sent < len(frame):
            del frame[:sent]
            lane.out = frame
            lane.taken_ns = monotonic_ns()
            self._epoll.modify(lane.fd, _IN | _OUT)

    def _write(self, lane: _Lane) -> None:
        try:
            sent = lane.sock.send(lane.out)
        except BlockingIOError:
            return
        except OSError:
            sent = len(lane.out)
        lane.taken_ns = monotonic_ns()
        del lane.out[:sent]
        if not lane.out:
            self._epoll.modify(lane.fd, _IN)

    def _spawn(self, number: int, language: str) -> None:
        spare = self._spare
        if spare is not None and language == self._runtime:
            self._spare = None
            self._add(_Lane(number, spare))
            wire.send(self._spawner, wire.Spawn(number, language))
            return
        ours, theirs = socket.socketpair()
        self._add(_Lane(number, ours))
        with theirs:
            wire.send(self._spawner, wire.Spawn(number, language), theirs.fileno())

    def _kill(self, number: int) -> None:
        pid = self._pids.get(number)
        if pid is None:
            self._condemned.add(number)
        else:
            wire.send(self._spawner, wire.Kill(pid))

    def _pids_of(self, numbers: list[int]) -> list[int]:
        return [pid for number in numbers if (pid := self._pids.get(number))]

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(CONNECT_S)
        sock.connect(self._lane_path)
        self._add(_Lane(AGENT, sock))
        self._send(AGENT, Hello(self._token, "proxy", self._runtime, os.getpid(), store=True))

    def _add(self, lane: _Lane) -> None:
        self._lanes[lane.number] = lane
        self._by_fd[lane.fd] = lane
        self._epoll.register(lane.fd, _IN)

    def _drop(self, number: int) -> None:
        if self._corked and number in self._corked and number in self._lanes:
            self._put(self._lanes[number], self._corked.pop(number))
        lane = self._lanes.pop(number, None)
        if lane is not None:
            del self._by_fd[lane.fd]
            self._epoll.unregister(lane.fd)
            lane.sock.close()
