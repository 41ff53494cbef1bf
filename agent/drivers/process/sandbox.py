"""What a worker sees of the machine: a root made once by the launcher, and what each worker adds to it.

The root shows the machine's own files read-only, so that languages and their libraries need no image, less
what is another's business: devices, other processes, sockets and temporary files, the agent's state.
Relies on `namespaces`; runs in the launcher and in the children that it forks, never in the agent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.drivers.process import namespaces as ns
from agent.drivers.scratch import tmpfs_options
from mee6.lane.control import Setup
from mee6.lane.store import FOLDER

ACT: Final = "/act"
CODE: Final = "/mee6/code"
DEPS: Final = "/mee6/deps"
LANE: Final = "/mee6/lane"
FLOWS: Final = "/mee6/flows"
"""Here each worker has a file system for its flow, of limited size: what one fills up is full for nobody else."""
FLOW: Final = "flow"
STORE: Final = "store"
"""Beside a flow: what its workflow's functions pass to each other; see `mee6.lane.store`."""
SPARE: Final = ".spare"
"""An empty folder that takes the place of a flow, whose function may have left no room to make one."""
TMP: Final = "/tmp"  # noqa: S108  the worker's own

HIDDEN: Final = frozenset({"proc", "sys", "dev", "tmp", "run", "mnt", "media", "boot", "act", "mee6", "lost+found"})
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_LINKS: Final = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_TMPFS: Final = ns.MS_NOSUID | ns.MS_NODEV


class Sandbox:
    """The root that all workers share, and the way into a worker's own.

    Args:
        state_dir: the agent's; nothing of it is seen but `code` and `deps`.
        lane_dir: holds the agent's lane socket.
        needed: folders and files that languages need, wherever they are; those outside of the hidden
            parts of the machine are seen anyway.
    """

    def __init__(self, state_dir: Path, lane_dir: Path, needed: Iterable[str]) -> None:
        self._state_dir = state_dir
        self._lane_dir = lane_dir
        self._needed = hidden_ones(needed)

    def build(self) -> int:
        """Makes the root and moves into it, in this process's own mount namespace.

        Returns:
            A descriptor of the folder of flow folders, for whoever cannot see it by name.
        """
        root = str(self._state_dir / "workers")
        shared = {CODE: self._state_dir / "code", DEPS: self._state_dir / "deps"}
        mounts = {place: ns.clone_mount(str(folder)) for place, folder in shared.items()}
        for fd in mounts.values():
            ns.restrict(fd, ns.ATTR_RDONLY | ns.ATTR_NOSUID | ns.ATTR_NODEV)
        show_machine(root, self._state_dir, self._needed)
        for folder in (ACT, CODE, DEPS, LANE, FLOWS, TMP, "/proc", "/sys"):
            Path(root + folder).mkdir(parents=True, exist_ok=True)
        for place, fd in mounts.items():
            ns.attach(fd, root + place)
        ns.bind_read_only(str(self._lane_dir), root + LANE)
        ns.mount("tmpfs", root + FLOWS, "tmpfs", _TMPFS, "mode=755,size=4k")
        # Inside a user namespace a worker may mount its own /proc only where one can be seen already.
        ns.mount("proc", f"{root}/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
        ns.set_read_only(root)
        ns.change_root(root)
        ns.share(FLOWS)
        return os.open(FLOWS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def add_flow(self, worker: str, size_bytes: int) -> None:
        """Makes room for a worker's flow, of its own size, which all workers see; before the worker is forked."""
        place = f"{FLOWS}/{worker}"
        os.mkdir(place)  # noqa: PTH102  on the way to a fork
        try:
            ns.mount("tmpfs", place, "tmpfs", _TMPFS, tmpfs_options(size_bytes, 0o755))
            for name in (FLOW, STORE, SPARE):
                os.mkdir(f"{place}/{name}")  # noqa: PTH102  as above
        except OSError:
            self.remove_flow(worker)
            raise

    def remove_flow(self, worker: str) -> None:
        """Removes that; whoever still has files open there keeps them until then. Idempotent."""
        with suppress(OSError):
            ns.unmount(f"{FLOWS}/{worker}")
        with suppress(OSError):
            os.rmdir(f"{FLOWS}/{worker}")  # noqa: PTH106  after every worker

    def enter(self, setup: Setup) -> int:
        """Makes this process, pid 1 of its namespace, a worker: its own mounts, name, network, no privileges.

        Returns:
            A descriptor of a writable /proc: the visible one is read-only, since what stands there beside
            the processes belongs to the machine.
        """
        own = ns.CLONE_NEWNS | ns.CLONE_NEWIPC | ns.CLONE_NEWUTS
        ns.unshare(own | (0 if setup.network == "bridge" else ns.CLONE_NEWNET))
        if setup.network != "bridge":
            ns.bring_loopback_up()
        ns.set_hostname(setup.worker)
        below_tmp = [path for path in self._needed if Path(path).is_relative_to(TMP)]
        kept = [(path, Path(path).is_dir(), ns.clone_mount(path)) for path in below_tmp]
        ns.follow(FLOWS)
        ns.set_read_only(FLOWS)  # and none below it
        options = tmpfs_options(setup.scratch_bytes)
        for folder in (ACT, TMP, "/dev/shm"):  # noqa: S108  the worker's own
            ns.mount("tmpfs", folder, "tmpfs", _TMPFS, options)
        for path, is_folder, fd in kept:
            place(path, is_folder=is_folder)
            ns.attach(fd, path)
        ns.mount("proc", "/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
        proc = ns.clone_mount("/proc", recursive=False)
        ns.set_read_only("/proc")
        make_act(Path(ACT), f"{FLOWS}/{setup.worker}/{FLOW}")
        os.chdir(ACT)
        ns.drop_privileges()
        return proc


def show_machine(root: str, state_dir: Path, needed: Iterable[str], hidden: frozenset[str] = HIDDEN) -> None:
    """Mounts, at `root`, the machine's files read-only and a few devices; `root` itself stays writable.

    Args:
        state_dir: the agent's, which is not shown.
        needed: what of the hidden parts is shown nevertheless; see `hidden_ones`.
        hidden: names in the machine's root that are not shown.
    """
    ns.mount("tmpfs", root, "tmpfs", _TMPFS, "mode=755,size=1m")
    _show_entries(root, hidden)
    hidden_state = f"{root}{state_dir}"
    if Path(hidden_state).is_dir():
        ns.mount("tmpfs", hidden_state, "tmpfs", _TMPFS, "mode=755,size=4k,nr_inodes=1")
        ns.set_read_only(hidden_state)
    for path in needed:
        _show(path, f"{root}{path}")
    _make_devices(root)


def hidden_ones(paths: Iterable[str], hidden: frozenset[str] = HIDDEN) -> list[str]:
    """Those of the paths that exist, in hidden parts of the machine; none is inside another."""
    return _outermost(path for path in paths if Path(path).exists() and Path(path).parts[1] in hidden)


def make_act(act: Path, flow: str) -> None:
    """Lays out a worker's storage; `flow` must be a path as seen from inside."""
    (act / "rsc").mkdir(parents=True)
    store = Path(flow).parent / STORE
    for folder in (Path(flow), store):
        folder.mkdir(exist_ok=True)
    (act / "flow").symlink_to(flow)
    (act / FOLDER).symlink_to(store)


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths that are not inside another of them."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(Path(path).is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def _show_entries(root: str, hidden: frozenset[str]) -> None:
    for entry in os.scandir("/"):
        target = f"{root}/{entry.name}"
        if entry.name in hidden:
            if entry.name not in {"act", "mee6", "lost+found"}:
                Path(target).mkdir()
        elif entry.is_symlink():
            Path(target).symlink_to(Path(entry.path).readlink())
        elif entry.is_dir() or entry.is_file():
            with suppress(PermissionError):
                _show(entry.path, target)
    var_run = f"{root}/var/run"
    if Path(var_run).is_dir() and not Path(var_run).is_symlink():
        ns.mount("tmpfs", var_run, "tmpfs", _TMPFS, "mode=755,size=4k")


def _show(source: str, target: str) -> None:
    place(target, is_folder=Path(source).is_dir())
    ns.bind_read_only(source, target)


def place(target: str, *, is_folder: bool) -> None:
    """Makes what a mount can be put on."""
    place = Path(target)
    if is_folder:
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _make_devices(root: str) -> None:
    for name in _DEVICES:
        target = Path(root, "dev", name)
        target.touch()
        # Not read-only: that is about files; and the device itself must stay usable through the mount.
        ns.attach(ns.clone_mount(f"/dev/{name}"), str(target))
    for name, target_of in _LINKS.items():
        Path(root, "dev", name).symlink_to(target_of)
    Path(root, "dev", "shm").mkdir()
