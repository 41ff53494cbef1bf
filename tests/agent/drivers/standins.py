"""A proxy and a runtime that do what a test tells them over the lane, in the place of the real ones.

The proxy connects to the lane path, sends a line `hello <token> <runtime>`, and then answers each line
with one line: JSON in both directions. A runtime does the same over the descriptor that it got.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxy import spawner


def proxy(
    lane: str,
    token: str,
    runtime: str,
    spawner_socket: socket.socket,
    runtimes: list[str],
    spare: socket.socket | None,
) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(lane)
    sock.sendall(f"hello {token} {runtime} {os.getpid()}\n".encode())
    kept: list[socket.socket] = []

    def spawn(language: str) -> Any:
        nonlocal spare
        if spare is not None and language == runtime:
            ours, spare = spare, None
            spawner.send(spawner_socket, spawner.Spawn(1, language))
        else:
            ours, theirs = socket.socketpair()
            spawner.send(spawner_socket, spawner.Spawn(1, language), theirs.fileno())
            theirs.close()
        answer, _ = spawner.receive(spawner_socket)
        kept.append(ours)
        return [type(answer).__name__, getattr(answer, "pid", None) or getattr(answer, "message", "")]

    def ask(index: int, request: Any) -> Any:
        kept[index].sendall(json.dumps(request).encode() + b"\n")
        return json.loads(kept[index].makefile("rb").readline() or b'"closed"')

    def kill(pid: int) -> Any:
        spawner.send(spawner_socket, spawner.Kill(pid))
        return None

    def exited() -> Any:
        answer, _ = spawner.receive(spawner_socket)
        return [type(answer).__name__, getattr(answer, "pid", 0), getattr(answer, "status", 0)]

    _serve(sock, {"spawn": spawn, "ask": ask, "kill": kill, "exited": exited, "runtimes": lambda: runtimes})


def runtime(lane: socket.socket) -> None:
    _serve(lane, {})
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _serve(sock: socket.socket, extra: dict[str, Callable[..., Any]]) -> None:
    words: dict[str, Callable[..., Any]] = {"eval": _evaluate, "exec": _execute, **extra}
    for line in sock.makefile("rb"):
        word, *args = json.loads(line)
        try:
            answer = words[word](*args)
        except Exception as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        sock.sendall(json.dumps(answer, default=str).encode() + b"\n")


def _evaluate(text: str) -> Any:
    return eval(text, {"os": os, "sys": sys, "time": time, "socket": socket, "Path": Path})


def _execute(text: str) -> Any:
    exec(text, {"os": os, "sys": sys, "time": time, "socket": socket, "Path": Path})
    return None
