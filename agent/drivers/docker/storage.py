"""What workers see of the agent's files: one tree of mounts on the host, which containers follow as slaves.

`STATE/mnt` is mounted on itself and shared. A worker's folder in it is a tmpfs of limited size, which its container
sees as `/act`; what is mounted below it later, code and another worker's `flow`, appears there too, paused or not.
The root of it is sticky and root's, so that a worker cannot put a link where a path of ours leads.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.drivers.emptiness import Emptiness
from agent.drivers.process import namespaces as ns
from agent.drivers.scratch import tmpfs_options
from mee6.lane.store import FOLDER
from mee6.trees import remove_tree

STORE: Final = FOLDER
_TRASH: Final = ".trash"
_ATTRIBUTES: Final = ns.ATTR_RDONLY | ns.ATTR_NOSUID | ns.ATTR_NODEV


class Storage:
    """All workers' folders.

    Args:
        base: where they are mounted; made when opened.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._bound: dict[str, dict[str, Path]] = {}
        self._flow_of: dict[str, str] = {}
        self._flows: dict[str, tuple[str, Emptiness]] = {}
        """Worker -> its own `flow`, and what is known of it."""

    def open(self) -> None:
        """Removes what is left of an earlier life, and gets ready.

        Raises:
            OSError: mounting is not allowed.
        """
        self._base.mkdir(parents=True, exist_ok=True)
        self.close()
        self._base.mkdir(exist_ok=True)
        ns.attach(ns.clone_mount(str(self._base)), str(self._base))
        ns.share(str(self._base))

    def close(self) -> None:
        """Unmounts and removes everything. Idempotent."""
        for place in reversed(_mounts_below(self._base)):
            with suppress(OSError):
                ns.unmount(place)
        if not _mounts_below(self._base):  # or what is shown there would be removed
            shutil.rmtree(self._base, ignore_errors=True)
        self._bound.clear()
        self._flow_of.clear()
        self._flows.clear()

    def folder(self, worker: str) -> Path:
        """The host's path of a worker's `/act`."""
        return self._base / worker

    def add(self, worker: str, size_bytes: int) -> None:
        """Makes a worker's folder."""
        place = self.folder(worker)
        place.mkdir()
        try:
            ns.mount("tmpfs", str(place), "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, tmpfs_options(size_bytes))
            for name, mode in (("rsc", 0o755), ("flow", 0o777), (STORE, 0o777), (_TRASH, 0o700)):
                (place / name).mkdir()
                (place / name).chmod(mode)
        except OSError:
            self.remove(worker)
            raise
        self._bound[worker] = {}
        self._flow_of[worker] = worker
        self._flows[worker] = str(place / "flow"), Emptiness()

    def remove(self, worker: str) -> None:
        """Removes a worker's folder; idempotent. For a thread: the kernel frees first what was stored there."""
        place = self.folder(worker)
        for mounted in reversed(_mounts_below(place)):
            with suppress(OSError):
                ns.unmount(mounted)
        with suppress(OSError):
            place.rmdir()
        self._bound.pop(worker, None)
        self._flow_of.pop(worker, None)
        self._flows.pop(worker, None)

    def bind(self, worker: str, code: Mapping[str, Path], flow_of: str) -> None:
        """See `Driver.bind`.

        Raises:
            OSError: it could not be mounted.
        """
        bound, rsc = self._bound[worker], self.folder(worker) / "rsc"
        for name in [name for name, bundle in bound.items() if code.get(name) != bundle]:
            ns.unmount(str(rsc / name))
            (rsc / name).rmdir()
            del bound[name]
        for name, bundle in code.items():
            if name not in bound:
                (rsc / name).mkdir(exist_ok=True)
                _show(str(bundle), str(rsc / name), _ATTRIBUTES)
                bound[name] = bundle
        if flow_of != self._flow_of[worker]:
            own, shared = self.folder(worker), ("flow", STORE)
            if self._flow_of[worker] != worker:
                for name in shared:
                    ns.unmount(str(own / name))
                self._flow_of[worker] = worker
            if flow_of != worker:
                for name in shared:
                    _show(str(self.folder(flow_of) / name), str(own / name), ns.ATTR_NOSUID | ns.ATTR_NODEV)
                self._flow_of[worker] = flow_of

    def empty_flow(self, worker: str) -> Coroutine[None, None, None] | None:
        """Takes what is in a worker's own `flow` away at once; returned is its removal, if there was anything.

        The folder is root's, in one that is root's and sticky: the worker can neither replace it nor set its times.
        Nothing is made for it: a function may have left no room for that.
        """
        path, emptiness = self._flows[worker]
        before = os.lstat(path)
        if emptiness.holds(before):
            return None
        trash, mark = self.folder(worker) / _TRASH, os.urandom(8).hex()
        taken: list[Path] = []
        flow = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for number, name in enumerate(os.listdir(flow)):  # noqa: PTH208  of a descriptor
                away = trash / f"{mark}-{number}"
                with suppress(FileNotFoundError):
                    os.rename(name, away, src_dir_fd=flow)
                    taken.append(away)
        finally:
            os.close(flow)
        if not taken:
            emptiness.found(before)
            return None
        return _remove_all(taken)


def _show(source: str, target: str, attributes: int) -> None:
    """Mounts `source` at `target`, restricted before it can be seen: later it would not reach the containers."""
    fd = ns.clone_mount(source, recursive=False)
    try:
        ns.restrict(fd, attributes)
    except OSError:
        os.close(fd)
        raise
    ns.attach(fd, target)


def _mounts_below(base: Path) -> list[str]:
    """Where something is mounted at `base` or below, outermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4].encode().decode("unicode_escape")  # a blank is written as \\040
        if place == str(base) or place.startswith(f"{base}/"):
            found.append(place)
    return found


async def _remove_all(taken: list[Path]) -> None:
    def remove() -> None:
        for path in taken:
            remove_tree(path)

    await asyncio.to_thread(remove)
