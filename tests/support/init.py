"""Stands for a worker's first process: starts a proxy, or runtimes on a test's request; reaps and reports.

Run as a program, `python -m tests.support.init FD RUNTIMES [LANE TOKEN RUNTIME]`. FD is a SEQPACKET socket that
speaks `proxy.spawner`. With a lane the proxy is forked and served, and FD only ends everything by closing;
without, whoever holds the other end of FD asks for runtimes itself.
"""

from __future__ import annotations

import gc
import os
import pkgutil
import select
import signal
import socket
import sys
from typing import NoReturn

from proxy import spawner as wire
from proxy.shell import serve as serve_proxy
from runtimes.catalog import LANE_FD, RUNTIMES


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    languages = sys.argv[2].split(",")
    for language in languages:
        if RUNTIMES[language].entry:
            pkgutil.resolve_name(RUNTIMES[language].entry)
    gc.freeze()
    children: set[int] = set()
    requests = control
    if len(sys.argv) > 3:
        requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            control.close()
            requests.close()
            _leave_after(lambda: serve_proxy(*sys.argv[3:6], theirs, languages))
        theirs.close()
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    poll = select.poll()
    for one in {control, requests}:
        poll.register(one, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if wake in ready:
            os.read(wake, 100)
            _reap(children, requests)
        if requests.fileno() in ready:
            packet, fd = wire.receive(requests)
            if packet is None:
                if requests is control:
                    _end(children)
                poll.unregister(requests)
                requests.close()
                requests = control
                continue
            if isinstance(packet, wire.Spawn):
                assert fd is not None
                _spawn(packet, fd, children, requests, [control, requests])
            elif isinstance(packet, wire.Kill) and packet.pid in children:
                os.kill(packet.pid, signal.SIGKILL)
        elif control.fileno() in ready:
            _end(children)


def _spawn(
    packet: wire.Spawn, fd: int, children: set[int], requests: socket.socket, close: list[socket.socket]
) -> None:
    runtime = RUNTIMES.get(packet.runtime)
    if runtime is None:
        os.close(fd)
        wire.send(requests, wire.SpawnFailed(packet.id, f"no runtime {packet.runtime!r}"))
        return
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for sock in close:
            sock.close()
        if runtime.kind == "exec":
            os.dup2(fd, LANE_FD, inheritable=True)
            argv = runtime.argv()
            _leave_after(lambda: os.execv(argv[0], argv))
        _leave_after(lambda: pkgutil.resolve_name(runtime.entry)(socket.socket(fileno=fd)))
    os.close(fd)
    children.add(pid)
    wire.send(requests, wire.Spawned(packet.id, pid))


def _leave_after(what: object) -> NoReturn:
    try:
        what()  # type: ignore[operator]
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(70)
    os._exit(0)


def _reap(children: set[int], requests: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in children:
            children.discard(pid)
            try:
                wire.send(requests, wire.Exited(pid, os.waitstatus_to_exitcode(status)))
            except OSError:
                continue


def _end(children: set[int]) -> NoReturn:
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
