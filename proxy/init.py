"""The first process of a worker: starts the proxy and the runtimes, reaps, and holds the kill switch.

One thread, one blocking loop. It runs as pid 1 of the worker's pid namespace where there is one, and is
the parent of last resort of everything in the worker. It talks with the driver over `control` (see
`mee6.lane.control`) and with the proxy over a socket pair (see `proxy.spawner`); the end of `control`
means that the agent is gone, and then nothing of the worker may stay. It holds no state of any function,
so it outlives the proxy after a handover, and ends when the last process has.

Entry points, named by `Setup`: the proxy's is called as
`serve(lane_path, token, runtime, spawner, runtimes, spare)`, a `fork` runtime's as `serve(lane)`.
"""

from __future__ import annotations

import gc
import os
import resource
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NoReturn

import msgspec

from mee6.lane import control as wire
from mee6.lane.messages import Stream
from proxy import child, imports, processes, spawner, syscalls

# For the launcher, which imports nothing else of this package.
die_with_parent = child.die_with_parent
adopt_orphans = child.adopt_orphans
children_of = processes.children_of
Ours = child.Ours
import_all = imports.import_all
hide_ours = child.hide_ours
Entries = imports.Entries

LANE_FD: Final = 3
OUTPUT_BURST_BYTES: Final = 256 << 10
OUTPUT_BYTES_PER_S: Final = 64 << 10
"""What a worker may write past the SDK, to raw descriptors; the rest is read, counted and discarded."""
_CHUNK_BYTES: Final = 64 << 10
_PROXY_OOM: Final = 300
_RUNTIME_OOM: Final = 700
"""Of oom_score_adj: when memory is short, runtimes go before the proxy, and both before the agent."""
_STOP_TIMEOUT_S: Final = 1.0
_MAX_BACKLOG: Final = 256


def run(
    setup: wire.Setup,
    control: socket.socket,
    entries: Entries,
    proc: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> NoReturn:
    """Serves until the last process of the worker has ended, or the agent has.

    Args:
        setup: what to start.
        control: the socket towards the driver; SEQPACKET.
        entries: those that `setup` names.
        proc: descriptor of a writable /proc, where the visible one is read-only.
        environment: what functions find besides what is theirs in every worker.
    """
    child.run_and_exit(lambda: _Init(setup, control, entries, proc, environment or {}).serve())


class _Init:
    def __init__(
        self,
        setup: wire.Setup,
        control: socket.socket,
        entries: Entries,
        proc: int | None,
        environment: Mapping[str, str],
    ) -> None:
        self._entries = entries
        self._given = environment
        self._setup = setup
        self._control = control
        self._proc = proc
        self._proxy: socket.socket | None = None
        self._children: dict[int, str] = {}
        """Processes started here: pid -> `proxy`, or the runtime's name."""
        self._asked: set[int] = set()
        """Those of them that the proxy asked for, and is told of."""
        self._ahead = 0
        """The runtime that was started before the proxy was, and has yet to be asked for; 0 for none."""
        self._backlog: deque[wire.AnyPacket] = deque()
        self._pumps: dict[int, _Pump] = {}
        self._selector = selectors.DefaultSelector()
        self._ending = False

    def serve(self) -> None:
        gc.freeze()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        open_files = self._setup.open_files if most == resource.RLIM_INFINITY else min(self._setup.open_files, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))  # more than the agent has cannot be given
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self._setup.data_bytes:
            resource.setrlimit(resource.RLIMIT_DATA, (self._setup.data_bytes, self._setup.data_bytes))
        child.adopt_orphans()
        wire.send(self._control, wire.Up())
        packet, _ = wire.receive(self._control)
        if not isinstance(packet, wire.Go):
            return
        self._watch()
        self._start_proxy()
        while self._children:
            self._turn()
        self._drain()

    def _watch(self) -> None:
        for name, fd in (("out", 1), ("err", 2)):
            reader, writer = os.pipe()
            os.dup2(writer, fd)
            os.close(writer)
            os.set_blocking(reader, False)
            self._pumps[reader] = _Pump(reader, "out" if name == "out" else "err")
            self._selector.register(reader, selectors.EVENT_READ)
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_reader, False)
        os.set_blocking(wake_writer, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        self._wake = wake_reader
        self._selector.register(wake_reader, selectors.EVENT_READ)
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ)

    def _turn(self) -> None:
        waits = [pump.due_s() for pump in self._pumps.values() if pump.dropped]
        if self._backlog:
            waits.append(0.05)
        for key, _ in self._selector.select(min(waits, default=None)):
            if key.fd in self._pumps:
                self._pump(self._pumps[key.fd])
            elif key.fileobj is self._control:
                self._from_driver()
            elif key.fileobj is self._proxy:
                self._from_proxy()
        self._reap()
        for pump in self._pumps.values():
            if pump.dropped and pump.due_s() == 0:
                self._tell(wire.Output(pump.stream, b"", pump.take_dropped()))
        self._flush()

    # Towards the driver

    def _tell(self, packet: wire.AnyPacket) -> None:
        if isinstance(packet, wire.Output) and len(self._backlog) >= _MAX_BACKLOG:
            return  # an agent that does not read costs bounded memory; exits are few and are kept
        self._backlog.append(packet)
        self._flush()

    def _flush(self) -> None:
        while self._backlog:
            try:
                wire.send(self._control, self._backlog[0])
            except BlockingIOError:
                return
            except OSError:
                self._end()
            self._backlog.popleft()

    def _from_driver(self) -> None:
        try:
            packet, _ = wire.receive(self._control)
        except BlockingIOError:
            return
        except OSError:
            packet = None
        match packet:
            case wire.Stop():
                self._tell(wire.Done(processes.stop_all(_STOP_TIMEOUT_S)))
            case wire.Continue():
                processes.signal_all(signal.SIGCONT)
                self._tell(wire.Done(0))
            case _:
                self._end()

    def _end(self) -> NoReturn:
        processes.kill_all(_STOP_TIMEOUT_S)
        os._exit(0)

    # Towards the proxy

    def _start_ahead(self) -> socket.socket | None:
        """Starts a runtime of the worker's language, which gets ready while the proxy does; its lane, if it could be.

        Where it could not, the proxy asks for one, and is told why.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            answer = self._spawn(0, self._setup.runtime, theirs.fileno())
        if not isinstance(answer, spawner.Spawned):
            ours.close()
            return None
        self._ahead = answer.pid
        self._asked.remove(answer.pid)
        return ours

    def _start_proxy(self) -> None:
        spare = self._start_ahead()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            child.run_and_exit(lambda: self._be_proxy(parent, ours, theirs, spare))
        theirs.close()
        if spare is not None:
            spare.close()
        self._children[pid] = "proxy"
        self._proxy = ours
        self._selector.register(ours, selectors.EVENT_READ)

    def _be_proxy(self, parent: int, ours: socket.socket, theirs: socket.socket, spare: socket.socket | None) -> None:
        ours.close()
        self._let_go()
        lanes = [theirs] if spare is None else [theirs, spare]
        child.forget_parent(parent, [lane.fileno() for lane in lanes], _PROXY_OOM, self._proc)
        setup = self._setup
        self._entries[setup.proxy](setup.lane, setup.token, setup.runtime, theirs, list(setup.runtimes), spare)
        os.nice(19)  # its end takes the kernel a millisecond, which the runtime that it handed over is not to wait for

    def _from_proxy(self) -> None:
        assert self._proxy is not None
        try:
            packet, fd = spawner.receive(self._proxy)
        except (OSError, msgspec.MsgspecError):
            packet, fd = None, None
        match packet:
            case spawner.Spawn(id=number, runtime=runtime) if fd is not None:
                self._answer(self._spawn(number, runtime, fd))
            case spawner.Spawn(id=number):
                self._answer(self._started_ahead(number))
            case spawner.Kill(pid=pid):
                if pid in self._asked:
                    processes.kill_group(pid)
            case _:
                self._selector.unregister(self._proxy)
                self._proxy.close()
                self._proxy = None
        if fd is not None:
            os.close(fd)

    def _answer(self, packet: spawner.Packet) -> None:
        if self._proxy is not None:
            with suppress(OSError):  # a proxy that has gone is noticed by its end of stream
                spawner.send(self._proxy, packet)

    def _started_ahead(self, number: int) -> spawner.Packet:
        pid, self._ahead = self._ahead, 0
        if pid not in self._children:
            return spawner.SpawnFailed(number, "the runtime that was started ahead has ended")
        self._asked.add(pid)
        return spawner.Spawned(number, pid)

    def _spawn(self, number: int, runtime: str, lane: int) -> spawner.Packet:
        plan = self._setup.runtimes.get(runtime)
        if plan is None:
            return spawner.SpawnFailed(number, f"this worker has no runtime {runtime!r}")
        parent = os.getpid()
        try:
            gc.freeze()
            pid = os.fork()
        except OSError as error:
            return spawner.SpawnFailed(number, f"cannot start a process for {runtime!r}: {error.strerror}")
        if pid == 0:
            be = self._be_fork if plan.kind == "fork" else self._be_exec
            child.run_and_exit(lambda: be(parent, plan, lane))
        self._children[pid] = runtime
        self._asked.add(pid)
        return spawner.Spawned(number, pid)

    def _be_fork(self, parent: int, plan: wire.RuntimePlan, lane: int) -> None:
        self._let_go()
        child.open_to_its_own()
        child.forget_parent(parent, [lane], _RUNTIME_OOM, self._proc)
        os.environ.clear()
        os.environ.update(self._environment())
        syscalls.forbid()
        self._entries[plan.entry](socket.socket(fileno=lane))

    def _be_exec(self, parent: int, plan: wire.RuntimePlan, lane: int) -> None:
        self._let_go()
        os.dup2(lane, LANE_FD, inheritable=True)
        child.open_to_its_own()
        child.forget_parent(parent, [LANE_FD], _RUNTIME_OOM, self._proc)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        syscalls.forbid()
        os.execve(plan.argv[0], plan.argv, self._environment())  # noqa: S606  no shell wanted

    def _environment(self) -> dict[str, str]:
        setup = self._setup
        mark = {"MEE6_AGENT_ID": setup.agent_id} if setup.agent_id else {}
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **self._given,
            "HOME": setup.act,
            "TMPDIR": setup.tmp,
            "LANG": "C.UTF-8",
            **mark,
        }

    def _let_go(self) -> None:
        """In a child: closes what has a Python object, whose later end would close another's descriptor."""
        self._selector.close()
        self._control.close()
        if self._proxy is not None:
            self._proxy.close()

    # Processes and their output

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            what = self._children.get(pid)
            if what is not None:
                # While it is not reaped its number names no other group: what it left behind goes with it.
                processes.kill_group(pid)
            _, status = os.waitpid(pid, 0)
            if what is None:
                continue
            del self._children[pid]
            exit_code = os.waitstatus_to_exitcode(status)
            self._drain()
            self._tell(wire.Ended(pid, what, exit_code))
            if pid in self._asked:
                self._asked.remove(pid)
                self._answer(spawner.Exited(pid, exit_code))

    def _pump(self, pump: _Pump) -> None:
        packet = pump.read()
        if packet is not None:
            self._tell(packet)

    def _drain(self) -> None:
        """Reads what is in the pipes, so that output comes before the news of its writer's end."""
        for pump in self._pumps.values():
            self._pump(pump)
        self._flush()


class _Pump:
    """One stream's way to the driver: a bucket of bytes that fills with time."""

    def __init__(self, fd: int, stream: Stream) -> None:
        self.stream: Stream = stream
        self.dropped = 0
        self._fd = fd
        self._budget = float(OUTPUT_BURST_BYTES)
        self._filled = time.monotonic()

    def read(self) -> wire.Output | None:
        """What the pipe holds, as far as the budget goes; None when nothing is to be sent."""
        try:
            data = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        self._fill()
        if len(data) > self._budget:
            self.dropped += len(data)
            return None
        self._budget -= len(data)
        return wire.Output(self.stream, data, self.take_dropped())

    def take_dropped(self) -> int:
        """The bytes discarded since the last time."""
        dropped, self.dropped = self.dropped, 0
        return dropped

    def due_s(self) -> float:
        """Seconds until the loss should be told even if nothing more is written."""
        self._fill()
        return max(0.0, (_CHUNK_BYTES - self._budget) / OUTPUT_BYTES_PER_S)

    def _fill(self) -> None:
        now = time.monotonic()
        self._budget = min(OUTPUT_BURST_BYTES, self._budget + (now - self._filled) * OUTPUT_BYTES_PER_S)
        self._filled = now
