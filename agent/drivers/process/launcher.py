"""The template of all workers: a process with everything imported, that forks itself for each of them.

Started by `link` with an isolated interpreter, so that neither the caller's folder nor its environment
or installed packages leak into functions. Where the machine allows it is two processes: the first keeps
the second, which is pid 1 of a namespace, so that whatever ends either of them ends all workers at once.
Single-threaded, since it forks; it forgets a worker as soon as it has been reaped.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from agent.drivers.process import forks
from agent.drivers.process import namespaces as ns
from agent.drivers.process.sandbox import Sandbox, make_act
from mee6.lane import control as wire
from proxy import init


class Config(msgspec.Struct, frozen=True):
    """What the driver tells its launcher: its first packet, as JSON."""

    agent_id: str
    state_dir: str
    lane_dir: str
    isolated: bool
    """False: do not even try namespaces."""
    needed: list[str]
    """Files and folders that the languages need."""
    entries: list[str]
    """`module:callable` of the proxy and the fork runtimes: imported before the first fork."""
    folders: dict[str, str]
    """Package -> the folder it is in."""


def main(fd: int) -> NoReturn:
    """Serves the driver at the other end of `fd`; the bootstrap in `link` calls it."""
    init.die_with_parent()
    control = socket.socket(fileno=fd)
    config = msgspec.json.decode(control.recv(wire.MAX_PACKET_BYTES), type=Config)
    try:
        if config.isolated:
            _isolate()
        launcher = _Launcher(config, control)
        launcher.prepare()
    except (OSError, ImportError, AttributeError) as error:
        wire.send(control, wire.Failed(str(error)))
        os._exit(1)
    launcher.serve()
    os._exit(0)


def _isolate() -> None:
    """Goes on as pid 1 of a new pid namespace, with its own mounts; leaves its first self to wait for it."""
    extra = ns.CLONE_NEWNS | ns.CLONE_NEWPID
    if os.geteuid() == 0:
        ns.unshare(extra)
    else:
        ns.enter_user_namespace(extra)
    pid = os.fork()
    if pid:
        os.closerange(3, 1024)
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    init.die_with_parent()
    ns.make_private()


class _Launcher:
    def __init__(self, config: Config, control: socket.socket) -> None:
        self._config = config
        self._control = control
        self._inits: dict[int, str] = {}
        """Workers' first processes."""
        self._ended: list[wire.Reaped] = []
        """Not told yet: something of theirs is still there."""
        self._sandbox: Sandbox | None = None
        self._entries: init.Entries = {}

    def prepare(self) -> None:
        """Makes everything that workers share, and tries it out.

        Raises:
            OSError: this machine does not allow a worker's namespaces.
        """
        init.adopt_orphans()
        config = self._config
        self._entries = init.import_all(config.folders, config.entries)
        init.hide_ours()
        flows: tuple[int, ...] = ()
        if config.isolated:
            sandbox = Sandbox(Path(config.state_dir), Path(config.lane_dir), config.needed)
            flows = (sandbox.build(),)
            self._sandbox = sandbox
            self._try_sandbox()
        else:
            ns.forbid_new_privileges()
        gc.collect()
        gc.freeze()
        wire.send(self._control, wire.Ready("namespaces" if config.isolated else "none"), flows)
        for fd in flows:
            os.close(fd)

    def serve(self) -> None:
        """Makes workers until the agent is gone."""
        wake_reader, wake_writer = os.pipe()
        for fd in (wake_reader, wake_writer):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(wake_reader, selectors.EVENT_READ)
        selector.register(self._control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._control:
                    packet, fds = wire.receive(self._control)
                    if packet is None:
                        return
                    self._handle(packet, fds)
                else:
                    with suppress(BlockingIOError):
                        os.read(wake_reader, 4096)
            self._reap()

    def _try_sandbox(self) -> None:
        """Makes a worker that ends at once; what fails in it comes back as its error."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        setup = wire.Setup(
            worker="probe", token="", runtime="", lane="", act="", tmp="", proxy="", runtimes={}, scratch_bytes=1 << 20
        )
        with ours, theirs:
            pid = self._fork(setup, theirs.fileno())
            theirs.close()
            packet, _ = wire.receive(ours)
        os.waitpid(pid, 0)
        assert self._sandbox is not None
        self._sandbox.remove_flow("probe")
        if isinstance(packet, wire.Failed):
            raise OSError(packet.message)

    def _handle(self, packet: wire.AnyPacket, fds: list[int]) -> None:
        match packet:
            case wire.Start(setup=setup, folders=folders) if fds:
                try:
                    pid = self._fork(setup, fds[0], fds[1 : 1 + folders], fds[1 + folders :])
                except OSError as error:
                    wire.send(self._control, wire.Refused(setup.worker, error.strerror or str(error)))
                else:
                    self._inits[pid] = setup.worker
            case wire.End(worker=worker):
                for pid in [pid for pid, name in self._inits.items() if name == worker]:
                    os.kill(pid, signal.SIGKILL)
            case _:
                pass
        for fd in fds:
            os.close(fd)

    def _fork(self, setup: wire.Setup, fd: int, groups: Sequence[int] = (), doors: Sequence[int] = ()) -> int:
        """Forks a worker into version 2 `groups`, with the `tasks` of others for it to enter; returns its pid."""
        if self._sandbox is None:
            pid, is_in = forks.fork(groups)
        else:
            self._sandbox.add_flow(setup.worker, setup.scratch_bytes)
            try:
                pid, is_in = forks.fork(groups, new_pids=True)
            except OSError:
                self._sandbox.remove_flow(setup.worker)
                raise
        if pid == 0:
            self._become_worker(setup, fd, () if is_in else groups, doors)
        return pid

    def _become_worker(self, setup: wire.Setup, fd: int, groups: Sequence[int], doors: Sequence[int]) -> NoReturn:
        """The child's side of the fork: its groups first, then the sandbox, then the worker's first process."""
        control = socket.socket(fileno=fd)
        try:
            init.die_with_parent()
            for door in (*map(forks.procs, groups), *doors):
                os.write(door, b"0")
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.closerange(3, fd)
            os.closerange(fd + 1, 1024)
            proc = None
            if self._sandbox is None:
                make_act(Path(setup.act), str(Path(setup.act).parent / "flow"))
                os.chdir(setup.act)
            else:
                proc = self._sandbox.enter(setup)
        except OSError as error:
            wire.send(control, wire.Failed(str(error)))
            os._exit(1)
        init.run(setup, control, self._entries, proc)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            worker = self._inits.pop(pid, None)
            if worker is not None:
                if self._sandbox is not None:
                    self._sandbox.remove_flow(worker)
                self._ended.append(wire.Reaped(worker, os.waitstatus_to_exitcode(status)))
        if self._ended and not self._end_orphans():
            for packet in self._ended:
                wire.send(self._control, packet)
            self._ended.clear()

    def _end_orphans(self) -> bool:
        """Kills what a worker's first process left behind; the signal of its end leads back to `_reap`.

        With pid namespaces there is nothing left; elsewhere it can only be a child that is nobody's init.
        """
        if self._sandbox is not None:
            return False
        orphans = init.children_of(os.getpid()) - self._inits.keys()
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(orphans)
