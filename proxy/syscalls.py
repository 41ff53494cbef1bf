"""What a function's process may not ask of the kernel: a seccomp filter below whatever the driver has put there.

The filter names what only widens the way into the kernel and no function needs: new namespaces, mounts, eBPF,
io_uring, keys, other processes' memory. Each answers `EPERM`, so that a program can say what it was refused. It
is inherited, cannot be taken off, and stands on an engine's own profile where there is one: that of Docker 20.10
lets io_uring through, and the process driver has none. Without `no_new_privs` (no isolation was had, or wanted)
and on machines whose numbers are not here it does nothing, and `forbid` says so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

REFUSED: Final[dict[str, tuple[int, int]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
"""System call -> its number on x86_64, and on aarch64."""

_CLONE: Final = (56, 220)
_CLONE3: Final = 435
_NEW_NAMESPACES: Final = 0x7E020000
"""All of clone's flags that make a namespace but the one of time, which takes a clone3."""
_SOCKET: Final = (41, 198)
_FAMILIES: Final = (1, 2, 10, 16)
"""Of sockets: Unix, IP of both versions, netlink. The one to the machine's hypervisor is in no network namespace."""
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine -> its place in the pairs above, and AUDIT_ARCH."""
_X32: Final = 0x40000000

_PR_GET_NO_NEW_PRIVS: Final = 39
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_INSTRUCTION: Final = struct.Struct("=HBBI")

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid() -> bool:
    """Puts the filter on this process and all that come of it; False where it cannot be had."""
    code = _PROGRAM
    if code is None or _libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return False
    filter_ = _Program(len(code) // _INSTRUCTION.size, code)
    return bool(_libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filter_), 0, 0) == 0)


def program(machine: str) -> bytes | None:
    """The filter for a machine, as the kernel takes it; None for one that is not known here."""
    if machine not in _ARCHITECTURES:
        return None
    place, architecture = _ARCHITECTURES[machine]
    denied = sorted(numbers[place] for numbers in REFUSED.values())
    refuse, missing = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    allow = (_RETURN, 0, 0, _ALLOW)
    to_allow = len(_FAMILIES) + len(denied)
    families = [(_EQUAL, to_allow - at, 0, family) for at, family in enumerate(_FAMILIES)]
    # A jump's two numbers are how many instructions it skips when it holds, and when it does not.
    head = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        refuse,  # a 32-bit program's numbers mean other calls
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
        (_EQUAL, 0, 1, _CLONE3),
        missing,  # its flags are behind a pointer; libraries then use clone
        (_EQUAL, 0, 3, _CLONE[place]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_ANY_BIT, len(families) + 3, 0, _NEW_NAMESPACES),
        allow,
        (_EQUAL, 0, len(families) + 2, _SOCKET[place]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        *families,
        refuse,
    ]
    body = [(_EQUAL, len(denied) - at, 0, number) for at, number in enumerate(denied)]
    return b"".join(_INSTRUCTION.pack(*one) for one in [*head, *body, allow, refuse])


_PROGRAM: Final = program(os.uname().machine)
"""This machine's, made before any fork."""
