"""The kernel's means of setting processes apart, by ctypes: namespaces, mounts, capabilities.

Only what the process driver needs, each a function that does it or raises OSError with the call's name.
Nothing here decides anything. `os.unshare` and `os.setns` exist only from Python 3.12 on.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_MS_SLAVE: Final = 1 << 19
_MS_SHARED: Final = 1 << 20
_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8

ATTR_RDONLY: Final = 1
ATTR_NOSUID: Final = 2
ATTR_NODEV: Final = 4

_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4

# The same numbers on every architecture: these calls are younger than the common table.
_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_MOUNT_SETATTR: Final = 442
_SYS_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41, "riscv64": 41}.get(platform.machine(), -1)

_PR_SET_PDEATHSIG: Final = 1
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x20080522

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _syscall(what: str, number: int, *args: object) -> int:
    if number < 0:
        raise OSError(38, f"{what}: not known for {platform.machine()}")
    return _check(_libc.syscall(ctypes.c_long(number), *args), what)


def unshare(flags: int) -> None:
    """Leaves the namespaces in `flags` for new ones."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def setns(fd: int, kind: int) -> None:
    """Joins the namespace behind `fd`."""
    _check(_libc.setns(fd, kind), "setns")


def enter_user_namespace(extra: int) -> None:
    """Makes a user namespace in which this user is root, and the namespaces `extra` owned by it."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | extra)
    with suppress(FileNotFoundError):
        Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mounts a new file system."""
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    _check(done, f"mount {kind} on {target}")


def make_private() -> None:
    """Keeps later mounts in this namespace from reaching any other, and the other way round."""
    done = _libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
    _check(done, "mount --make-rprivate /")


def share(path: str) -> None:
    """Has whoever holds a copy of the mount at `path` see what is mounted below it later."""
    done = _libc.mount(None, os.fsencode(path), None, ctypes.c_ulong(_MS_REC | _MS_SHARED), None)
    _check(done, f"mount --make-rshared {path}")


def follow(path: str) -> None:
    """Lets what is mounted below `path` later, where this copy of it came from, appear here; and nothing go back."""
    done = _libc.mount(None, os.fsencode(path), None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None)
    _check(done, f"mount --make-rslave {path}")


def unmount(path: str) -> None:
    """Takes the mount at `path` away; who still uses it keeps it until then."""
    _check(_libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW), f"umount {path}")


def clone_mount(path: str, *, recursive: bool = True) -> int:
    """A detached copy of what is mounted at `path`, as a descriptor."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return _syscall(f"open_tree {path}", _SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags))


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def restrict(fd: int, attributes: int, *, recursive: bool = True) -> None:
    """Adds `attributes` to the mount behind `fd`."""
    wanted = _MountAttr(attr_set=attributes)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    _syscall("mount_setattr", _SYS_MOUNT_SETATTR, fd, b"", ctypes.c_uint(flags), ctypes.byref(wanted), size)


def attach(fd: int, target: str) -> None:
    """Puts the detached mount behind `fd` at `target` and closes `fd`."""
    try:
        _syscall(
            f"move_mount to {target}",
            _SYS_MOVE_MOUNT,
            fd,
            b"",
            _AT_FDCWD,
            os.fsencode(target),
            ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
        )
    finally:
        os.close(fd)


def bind_read_only(source: str, target: str) -> None:
    """Shows `source`, and what is mounted below it, read-only at `target`; read-only before it can be seen."""
    fd = clone_mount(source)
    try:
        restrict(fd, ATTR_RDONLY | ATTR_NOSUID)
    except OSError:
        os.close(fd)
        raise
    attach(fd, target)


def set_read_only(path: str) -> None:
    """Makes the mount at `path`, and none below it, read-only."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        restrict(fd, ATTR_RDONLY | ATTR_NOSUID, recursive=False)
    finally:
        os.close(fd)


def change_root(path: str) -> None:
    """Makes the mount at `path` the root, and lets go of the old one."""
    os.chdir(path)
    _syscall("pivot_root", _SYS_PIVOT_ROOT, b".", b".")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount the old root")
    os.chdir("/")


def set_hostname(name: str) -> None:
    """Names this UTS namespace."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), "sethostname")


def bring_loopback_up() -> None:
    """Makes 127.0.0.1 work in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def drop_privileges() -> None:
    """Gives up all capabilities, also those that a program could bring back."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # past the last one that this kernel knows
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_libc.capset(ctypes.byref(header), nothing), "capset")
    forbid_new_privileges()


def die_with_parent() -> None:
    """Has the kernel kill this process when the thread that made it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def forbid_new_privileges() -> None:
    """Makes set-user-id programs run without it, from here on down."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
