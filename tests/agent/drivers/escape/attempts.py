"""How an attempt is made: in a runtime forked as a function's is, inside a container of the docker driver.

`Function.deed` answers a value, or what kept it from one; a body that did not run fails the test. `natively`
runs the same body in a process of this machine that nothing confines: where it succeeds there, or fails
otherwise, what was met inside was the sandbox.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any, Final

from agent.drivers.base import WorkerLimits
from tests.agent.drivers.contract import Rig, Talk
from tests.agent.drivers.test_docker import MIB

REFUSED: Final = {
    "PermissionError",
    "OSError",
    "FileNotFoundError",
    "ProcessLookupError",
    "BlockingIOError",
    "ConnectionRefusedError",
}
LIMITS: Final = WorkerLimits(memory_bytes=128 * MIB, pids=40, scratch_bytes=16 * MIB)

SYSCALL: Final = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *args):
    ctypes.set_errno(0)
    got = libc.syscall(number, *[ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args])
    if got >= 0:
        return got
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""
"""Defines `syscall(number, *args)`, for a deed to begin with."""

_NATIVE: Final = """
import json, os, socket, subprocess, sys, time, ctypes
from pathlib import Path
def deed():
{body}
try:
    got = deed()
except Exception as error:
    got = {{"error": type(error).__name__, "text": str(error)}}
print(json.dumps(got, default=str))
"""


class Function:
    """A runtime's process in a worker of its own."""

    def __init__(self, talk: Talk, pid: int) -> None:
        self.talk = talk
        self.pid = pid

    async def deed(self, text: str) -> Any:
        """Runs a function's body, and returns what it returned: seen to run, or the test fails."""
        code = f"import ctypes, subprocess\ndef deed():\n{_body(text)}\nsys.modules['sys'].got = deed()\n"
        done = await self.talk.ask("ask", 0, ["exec", "sys.modules['sys'].got = 'did not run'\n" + code])
        if done is not None:
            return done
        got = await self.talk.ask("ask", 0, ["eval", "sys.got"])
        assert got != "did not run"
        return got

    async def is_refused(self, text: str) -> str:
        """Asserts that the deed was tried, and that the system said no; returns its words."""
        got = await self.deed(text)
        assert isinstance(got, dict), f"it was done: {got!r}"
        assert got["error"] in REFUSED, got
        return str(got["text"])


async def function(rig: Rig, worker: str = "w1", limits: WorkerLimits = LIMITS) -> Function:
    talk = await rig.start(worker, limits)
    return Function(talk, await talk.spawn())


def natively(text: str) -> Any:
    """What the deed comes to outside of every sandbox, as the user that runs the tests."""
    code = _NATIVE.format(body=_body(text))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    return json.loads(done.stdout)


def number_of(pair: tuple[int, int]) -> int:
    """Of a system call's numbers, this machine's."""
    return pair[0] if os.uname().machine == "x86_64" else pair[1]


def _body(text: str) -> str:
    return textwrap.indent(textwrap.dedent(text), "    ")
