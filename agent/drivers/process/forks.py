"""A fork that starts in a control group of version 2, and as pid 1 of a namespace: what `os.fork` cannot ask for.

By one call, as the C library's own fork makes it but for the flags. Where it cannot be had (an old kernel, a
filter in a container, a C library that does not tell) it is the plain one, and the child has to move.
For a process of one thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Sequence
from typing import Final

from agent.drivers.process import namespaces as ns

_SYS_CLONE3: Final = 435
_CLONE_CHILD_CLEARTID: Final = 0x00200000
_CLONE_CHILD_SETTID: Final = 0x01000000
_CLONE_INTO_CGROUP: Final = 0x200000000
_FLAGS: Final = _CLONE_CHILD_CLEARTID | _CLONE_CHILD_SETTID | _CLONE_INTO_CGROUP
_PR_GET_TID_ADDRESS: Final = 40

_python: Final = ctypes.PyDLL(None, use_errno=True)
"""The interpreter and the C library, called with the interpreter's lock held, as a fork has to be."""
_python.syscall.restype = ctypes.c_long


class _Arguments(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    )


def fork(groups: Sequence[int], *, new_pids: bool = False) -> tuple[int, bool]:
    """Forks this process; returns what `os.fork` does, and whether the child is in `groups`.

    Args:
        groups: descriptors of folders of version 2's tree, of which there is one; at most one, therefore.
        new_pids: the child is pid 1 of a new namespace.

    Raises:
        OSError: there is no room for another process.
    """
    if len(groups) == 1 and (address := _thread_id_address()):
        arguments = _Arguments(
            flags=_FLAGS | (ns.CLONE_NEWPID if new_pids else 0),
            child_tid=address,  # as the C library's own fork has it
            exit_signal=signal.SIGCHLD,
            cgroup=groups[0],
        )
        size = ctypes.c_size_t(ctypes.sizeof(arguments))
        _python.PyOS_BeforeFork()
        pid = int(_python.syscall(ctypes.c_long(_SYS_CLONE3), ctypes.byref(arguments), size))
        if pid == 0:
            _python.PyOS_AfterFork_Child()
        else:
            _python.PyOS_AfterFork_Parent()
        if pid >= 0:
            return pid, True
    return _plain(new_pids=new_pids), not groups


def procs(group: int) -> int:
    """Through this, a process moves itself into the group with that folder; a descriptor.

    Raises:
        OSError: the group is gone.
    """
    return os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=group)


def _plain(*, new_pids: bool) -> int:
    if not new_pids:
        return os.fork()
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    pid = -1
    try:
        ns.unshare(ns.CLONE_NEWPID)  # of the next child; this process itself stays where it is
        try:
            pid = os.fork()
        finally:
            if pid:
                ns.setns(own, ns.CLONE_NEWPID)
    finally:
        os.close(own)
    return pid


def _thread_id_address() -> int:
    """Where the C library keeps this thread's number, a child's too; 0 where the kernel does not tell."""
    address = ctypes.c_uint64()
    if _python.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) < 0 or not address.value:
        return 0
    kept = ctypes.c_int.from_address(address.value).value
    return address.value if kept == threading.get_native_id() else 0  # anything else is some other C library's idea
