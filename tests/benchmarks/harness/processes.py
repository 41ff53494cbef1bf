"""What runs for a worker, whatever made it, and the memory that it holds; looked for from outside, with root's eyes."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from agent import images
from agent.drivers.process.cgroups import hierarchies
from tests.support.agents import Agent, Inside, parent_of

_PROXY_OOM: Final = 300
"""Of oom_score_adj: how a proxy is marked, and a container's first process."""
_SOCKET: Final = "/var/run/docker.sock"
_CREDENTIALS: Final = struct.Struct("3i")


def inside(agent: Agent, driver: str, worker: str) -> Inside:
    """The worker's processes by what they are."""
    if driver != "docker":
        return agent.inside(worker)
    with images.connect() as api:
        labels = [f"mee6.agent={agent.id}", f"mee6.worker={worker}"]
        (container,) = api.containers(filters={"label": labels})
        init = int(api.inspect_container(container["Id"])["State"]["Pid"])
    proxy, runtimes, others = 0, [], []
    for child in psutil.Process(init).children(recursive=True):
        if parent_of(child.pid) != init:
            others.append(child.pid)
        elif int(Path(f"/proc/{child.pid}/oom_score_adj").read_text()) == _PROXY_OOM:
            proxy = child.pid
        else:
            runtimes.append(child.pid)
    return Inside(init, proxy, runtimes, others)


def parts(agent: Agent, driver: str, worker: str) -> dict[str, list[int]]:
    """What a worker consists of, with the engine's process beside a container; empty lists left out."""
    found = inside(agent, driver, worker)
    shim = [parent_of(found.init)] if driver == "docker" else []
    named = {
        "containerd-shim": shim,
        "init": [found.init],
        "proxy": [found.proxy] if found.proxy else [],
        "runtime": found.runtimes,
    }
    return {name: pids for name, pids in named.items() if pids}


def engine() -> dict[str, int]:
    """The engine's own processes, name -> pid: the one that made its socket, and its children; empty where unknown."""
    path = os.environ.get("DOCKER_HOST", _SOCKET).removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        pid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
    daemon = psutil.Process(pid)
    if daemon.name() != "dockerd":  # whoever made it on its behalf
        return {}
    return {process.name(): process.pid for process in (daemon, *daemon.children())}


def cpu_ns(pid: int) -> int:
    """What a process has used of processors so far, all its threads together."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def page_faults(pids: Iterable[int]) -> int:
    """Pages that the processes had made, copied or mapped so far, and children of theirs that have ended."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        total += int(fields[7]) + int(fields[8])
    return total


def pss_bytes(pid: int) -> int:
    """Memory of a process, shared pages counted by shares."""
    return int(psutil.Process(pid).memory_full_info().pss)


def group_bytes(pid: int) -> int:
    """Memory that the kernel accounts to the process's control group, page cache and tmpfs included; 0 = unknown."""
    membership = Path(f"/proc/{pid}/cgroup").read_text()
    for tree in hierarchies(Path("/proc/self/mountinfo").read_text(), membership):
        file = tree.own / ("memory.current" if tree.version == 2 else "memory.usage_in_bytes")
        if (tree.version == 2 or "memory" in tree.controllers) and file.exists():
            return int(file.read_text())
    return 0
