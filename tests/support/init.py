"""Stands for a worker's first process: starts a proxy, or runtimes on a test's request; reaps and reports.

Run as a program, `python -m tests.support.init FD RUNTIMES [LANE TOKEN RUNTIME]`. FD is a SEQPACKET socket that
speaks `proxy.spawner`. With a lane the proxy is forked and served, and FD only ends everything by closing;
without, whoever holds the other end of FD asks for runtimes itself. With the path of a socket in the place of FD,
it listens there, and is forked for each connection, whose first packet holds the other arguments.
"""

from __future__ import annotations

import gc
import os
import pkgutil
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from proxy import spawner as wire
from proxy.shell import serve as serve_proxy
from runtimes.catalog import LANE_FD, RUNTIMES


def main() -> None:
    if sys.argv[1].isdigit():
        serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
    listen(sys.argv[1])


def serve(control: socket.socket, arguments: list[str]) -> NoReturn:
    """Is one."""
    languages = arguments[0].split(",")
    for language in languages:
        if RUNTIMES[language].entry:
            pkgutil.resolve_name(RUNTIMES[language].entry)
    gc.freeze()
    _Init(control, _proxy(control, languages, *arguments[1:]) if len(arguments) > 1 else control).serve()


def listen(path: str) -> NoReturn:
    """Forks one for each connection."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, _reap_all)
    while True:
        control, _ = listener.accept()
        arguments = control.recv(4096).decode().split("\0")
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(control, arguments)
        control.close()


def _reap_all(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _proxy(control: socket.socket, languages: list[str], lane: str, token: str, language: str) -> socket.socket:
    requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        control.close()
        requests.close()
        _leave_after(lambda: serve_proxy(lane, token, language, theirs, languages))
    theirs.close()
    return requests


class _Init:
    def __init__(self, control: socket.socket, requests: socket.socket) -> None:
        self.control = control
        self.requests = requests
        self.children: set[int] = set()

    def serve(self) -> NoReturn:
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker)
        poll = select.poll()
        for fd in (self.control.fileno(), self.requests.fileno(), wake):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == wake:
                    os.read(wake, 100)
                    self.reap()
                elif fd == self.requests.fileno():
                    if not self.obey():
                        poll.unregister(fd)
                        self.requests.close()
                elif fd == self.control.fileno():
                    self.end()

    def obey(self) -> bool:
        """Does what the next packet asks; False when there will be none."""
        try:
            packet, fd = wire.receive(self.requests)
        except ConnectionResetError:  # the other end was closed with something unread
            packet, fd = None, None
        if isinstance(packet, wire.Spawn):
            assert fd is not None
            self.spawn(packet, fd)
        elif isinstance(packet, wire.Kill) and packet.pid in self.children:
            os.kill(packet.pid, signal.SIGKILL)
        elif packet is None and self.requests is self.control:
            self.end()
        return packet is not None

    def spawn(self, packet: wire.Spawn, fd: int) -> None:
        runtime = RUNTIMES.get(packet.runtime)
        if runtime is None:
            os.close(fd)
            wire.send(self.requests, wire.SpawnFailed(packet.id, f"no runtime {packet.runtime!r}"))
            return
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            self.requests.close()
            if runtime.kind == "exec":
                os.dup2(fd, LANE_FD, inheritable=True)
                argv = runtime.argv()
                _leave_after(lambda: os.execv(argv[0], argv))
            _leave_after(lambda: pkgutil.resolve_name(runtime.entry)(socket.socket(fileno=fd)))
        os.close(fd)
        self.children.add(pid)
        wire.send(self.requests, wire.Spawned(packet.id, pid))

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.children:
                self.children.discard(pid)
                with suppress(OSError):
                    wire.send(self.requests, wire.Exited(pid, os.waitstatus_to_exitcode(status)))

    def end(self) -> NoReturn:
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _leave_after(what: Callable[[], object]) -> NoReturn:
    try:
        what()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(70)
    os._exit(0)


if __name__ == "__main__":
    main()
