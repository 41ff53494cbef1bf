"""The first process of a container: learns from the agent which worker it is, and becomes its `proxy.init`.

It connects to the control socket in the agent's lane folder, which is mounted into the container, and proves
itself with a one-time token out of its environment. It runs as an ordinary user, and closes itself to
processes of that same user, functions among them; so does the proxy, its fork.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pkgutil
import socket
import sys
from pathlib import Path
from typing import Final, NoReturn

from mee6.lane import control as wire
from proxy import child, init

CONTROL: Final = "/mee6/lane/control.sock"
TOKEN: Final = "MEE6_CONTROL_TOKEN"  # noqa: S105  a variable's name
_HOME: Final = Path(__file__).parents[1]
_ANSWER_S: Final = 20.0


def main() -> NoReturn:
    """Runs until the worker has ended, or the agent has."""
    child.close_to_its_own()
    token = _taken(TOKEN)
    given = dict(os.environ)  # what the image's base sets: its path, where its libraries are
    packages = [entry.name for entry in _HOME.iterdir() if entry.is_dir() and entry.name != "__pycache__"]
    folders = {name: str(_HOME) for name in packages}
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        init.import_all(folders, [])
        control.settimeout(_ANSWER_S)
        control.connect(CONTROL)
        wire.send(control, wire.Claim(token))
        packet, _ = wire.receive(control)
    except OSError as error:
        sys.exit(f"the agent cannot be reached: {error}")
    if not isinstance(packet, wire.Start):
        sys.exit("the agent does not know this container")
    setup = packet.setup
    control.settimeout(None)
    try:
        wanted = [setup.proxy, *(plan.entry for plan in setup.runtimes.values() if plan.kind == "fork")]
        entries = {entry: pkgutil.resolve_name(entry) for entry in wanted}
    except (ImportError, AttributeError) as error:
        wire.send(control, wire.Failed(str(error)))
        sys.exit(1)
    os.chdir(setup.act)
    init.hide_ours()
    gc.collect()
    init.run(setup, control, entries, environment=given)


def _taken(variable: str) -> str:
    """A variable's value, which nothing that is forked from here can read any more."""
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    place = libc.getenv(variable.encode())
    value = os.environ.pop(variable, "")
    if place:  # /proc/PID/environ shows the memory that the program was started with, whatever is unset later
        ctypes.memset(place, 0, len(value))
    return value
