"""All processes below this one, seen through /proc: for stopping and killing a whole tree.

As pid 1 of a pid namespace, one `kill(-1)` reaches them; elsewhere the tree is walked, again and again
until nothing new turns up, since processes fork while one looks.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

GONE = frozenset({"Z", "X"})
_STOPPED = frozenset({"T", "t"})


def below(root: int, *, deep: bool = True) -> dict[int, str]:
    """The descendants of `root` with their states as /proc gives them (`R`, `S`, `T`, ...).

    Args:
        deep: False for its children alone.
    """
    facts: dict[int, tuple[int, str]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  names are wanted, not paths
        if name.isdigit():
            with suppress(OSError), Path(f"/proc/{name}/stat").open("rb") as file:
                fields = file.read().rpartition(b") ")[2].split(None, 2)
                facts[int(name)] = int(fields[1]), fields[0].decode()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in facts.items():
        children.setdefault(parent, []).append(pid)
    found: dict[int, str] = {}
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), ()):
            found[pid] = facts[pid][1]
            if deep:
                todo.append(pid)
    return found


def children_of(root: int) -> set[int]:
    """The processes whose parent is `root`, ended ones that nobody has waited for included."""
    return set(below(root, deep=False))


def signal_all(number: int) -> None:
    """Sends a signal to every descendant once."""
    if os.getpid() == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, number)
        return
    for pid in below(os.getpid()):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def stop_all(timeout_s: float) -> int:
    """Stops every descendant; returns how many still run at the end of the time."""
    return _repeat(signal.SIGSTOP, _STOPPED | GONE, timeout_s)


def kill_all(timeout_s: float) -> int:
    """Kills every descendant; returns how many are still there at the end of the time."""
    return _repeat(signal.SIGKILL, GONE, timeout_s)


def kill_group(pid: int) -> None:
    """Kills a process and its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _repeat(number: int, wanted: frozenset[str], timeout_s: float) -> int:
    deadline = time.monotonic() + timeout_s
    pause_s = 0.0
    while True:
        signal_all(number)
        left = sum(state not in wanted for state in below(os.getpid()).values())
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(pause_s)
        pause_s = min(0.01, pause_s + 0.0005)
