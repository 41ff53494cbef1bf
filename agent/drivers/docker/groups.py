"""A container's control groups: the engine makes them, and the agent freezes, measures and limits by their files.

Found by the container's first process, and never without its id in their path: a process may have ended, and its number
be anybody else's by now.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.drivers.process.cgroups import Cgroups, Hierarchy, hierarchies
from agent.drivers.process.group import Freezer, Group

_PROC: Final = Path("/proc")


def probe(agent_id: str) -> tuple[str, str]:
    """By which groups containers can be frozen and limited here, found by trying on one of our own; empty for none."""
    cgroups = Cgroups(agent_id)
    cgroups.probe()
    cgroups.close()
    return cgroups.pause, cgroups.limits


def find_group(worker: str, pid: int, container: str, memory_limit: int) -> Group | None:
    """The groups of a container; None where they cannot be seen.

    Args:
        pid: its first process, by the agent's numbers.
    """
    # Version 2 first: its freezer leaves tasks killable.
    trees = sorted((tree for tree in _trees(pid) if container in str(tree.own)), key=lambda tree: -tree.version)
    if not trees:
        return None
    files: dict[str, tuple[int, Path]] = {}
    for tree in trees:
        names = _controllers_of(tree.own) if tree.version == 2 else tree.controllers
        for name in names:
            files.setdefault(name, (tree.version, tree.own))
    freezer = None
    if "freezer" in files:
        with suppress(OSError):
            freezer = Freezer(*files["freezer"])
    unified = next((tree.own for tree in trees if tree.version == 2), None)
    cpu_file = None
    if "cpuacct" in files:
        cpu_file = files["cpuacct"][1] / "cpuacct.usage"
    elif unified is not None:
        cpu_file = unified / "cpu.stat"
    return Group(
        worker=worker,
        folders=(),
        freezer=freezer,
        kill_file=unified / "cgroup.kill" if unified is not None and (unified / "cgroup.kill").exists() else None,
        memory=files.get("memory"),
        pids=files["pids"][1] if "pids" in files else None,
        cpu_file=cpu_file,
        memory_limit=memory_limit,
        cpu=files.get("cpu"),
    )


def engines_freezer(pid: int, container: str) -> Path | None:
    """The group by which the engine itself freezes a container, where control groups are of version 1."""
    trees = (tree for tree in _trees(pid) if "freezer" in tree.controllers and container in str(tree.own))
    return next((tree.own for tree in trees), None)


def is_in(pid: int, container: str) -> bool:
    """Whether a process belongs to a container."""
    if not container:
        return False
    try:
        return container in (_PROC / str(pid) / "cgroup").read_text()
    except OSError:
        return False


def thaw(freezer: Path | None) -> None:
    """Thaws what the engine froze, so that a signal reaches it."""
    if freezer is not None:
        with suppress(OSError):
            (freezer / "freezer.state").write_text("THAWED")


def _trees(pid: int) -> list[Hierarchy]:
    try:
        return hierarchies((_PROC / "self/mountinfo").read_text(), (_PROC / str(pid) / "cgroup").read_text())
    except OSError:
        return []


def _controllers_of(folder: Path) -> set[str]:
    found = {name for name in ("memory", "cpu", "pids") if (folder / f"{name}.max").exists()}
    return found | ({"freezer"} if (folder / "cgroup.freeze").exists() else set())
