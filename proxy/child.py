"""What a forked child does before it is the proxy or a runtime: forget its parent.

Called between fork and the child's own work, in a single-threaded process. It relies on nothing of the
parent's but the descriptors named to it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.abc
import importlib.machinery
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36

FUNCTION_SEES: Final = frozenset({"mee6", "msgspec"})
"""Packages besides the standard library that a function can import from us."""

_forgotten: Final[list[ModuleType]] = []
"""Modules that are imported no more. Freeing them would write to 1 MB of pages that all workers share."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Has the kernel kill this process when the thread that made it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Becomes the parent of descendants whose own parent ends."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def close_to_its_own() -> None:
    """Keeps processes of the same user from tracing it or reading its memory."""
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def open_to_its_own() -> None:
    """Undoes `close_to_its_own`, which a fork inherits."""
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


class Ours(importlib.abc.MetaPathFinder):
    """Finds the named packages in their own folders, and no neighbour of theirs.

    This takes the place of `sys.path` entries, which would show everything that is installed beside them.
    """

    def __init__(self, folders: Mapping[str, str]) -> None:
        self.folders = dict(folders)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The package's spec when it is one of the named; None leaves it to the other finders."""
        del path  # the named ones are all top-level
        folder = self.folders.get(fullname)
        if folder is None:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [folder], target)


def hide_ours(sees: frozenset[str] = FUNCTION_SEES) -> None:
    """Leaves of our packages only those in `sees` importable: a function's own `agent.py` must be the function's."""
    hidden: set[str] = set()
    for finder in sys.meta_path:
        if isinstance(finder, Ours):
            hidden |= finder.folders.keys() - sees
            finder.folders = {name: folder for name, folder in finder.folders.items() if name in sees}
    for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
        _forgotten.append(sys.modules.pop(name))
    sys.modules["__main__"] = ModuleType("__main__")
    sys.dont_write_bytecode = True  # a function's folder is not its own to write
    sys.argv = [""]


def forget_parent(parent: int, keep: Sequence[int], oom_score_adj: int, proc: int | None) -> None:
    """Gives up what a fork inherits: descriptors, signal handlers, session, place before the memory killer.

    Args:
        parent: the process that forked this one; if it has gone already, this one ends too.
        keep: descriptors to keep, besides 0, 1 and 2.
        oom_score_adj: how readily the kernel kills this process when memory is short, 0 to 1000.
        proc: descriptor of a writable /proc where the visible one is read-only.
    """
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    with suppress(OSError):
        os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with suppress(OSError):
        path = "/proc/self/oom_score_adj" if proc is None else "self/oom_score_adj"
        fd = os.open(path, os.O_WRONLY, dir_fd=proc)
        os.write(fd, str(oom_score_adj).encode())
        os.close(fd)
    close_all_but(keep)


def close_all_but(keep: Sequence[int]) -> None:
    """Closes every descriptor from 3 up that is not in `keep`."""
    top = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    highest = max(top if 0 < top < 1 << 20 else 1 << 20, *keep, 3)
    low = 3
    for fd in sorted(fd for fd in keep if fd >= 3):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, highest + 1)


def run_and_exit(work: Callable[[], object]) -> NoReturn:
    """Runs the child's work and ends the process, without going back into any frame of the parent's."""
    status = 1
    try:
        gc.enable()
        work()
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status & 0xFF)
