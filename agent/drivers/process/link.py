"""The agent's end of the launcher: starts it, sends it orders, hears from it.

Knows nothing of workers beyond their names; `driver` decides what the news mean.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from mee6.errors import Exhausted, Mee6Error
from mee6.lane import control as wire
from runtimes.catalog import Runtime

READY_TIMEOUT_S: Final = 15.0
_SEND_TIMEOUT_S: Final = 5.0
_EXIT_TIMEOUT_S: Final = 5.0
_PACKAGES: Final = ("mee6", "msgspec", "agent", "proxy", "runtimes")

_BOOTSTRAP: Final = """
import json, sys
sys.path += dict.fromkeys(json.loads(sys.argv[1]).values())
from agent.drivers.process.launcher import main
main(int(sys.argv[2]))
"""
"""Under -I and -S the interpreter sees the standard library alone; this is all that shows it our code."""


class Link:
    """One launcher process and the socket to it."""

    def __init__(self, on_packet: Callable[[wire.AnyPacket], None], on_end: Callable[[Link], None]) -> None:
        self.isolation = "none"
        self.flows: int | None = None
        """Descriptor of the folder of the workers' flow folders, where the launcher has made one."""
        self.alive = False
        self._on_packet = on_packet
        self._on_end = on_end
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The launcher's process, as started; 0 before."""
        return self._process.pid if self._process is not None else 0

    async def start(
        self,
        agent_id: str,
        state_dir: Path,
        lane_dir: Path,
        *,
        isolated: bool,
        entries: Iterable[str],
        programs: Iterable[str],
        extra_packages: Iterable[str],
    ) -> None:
        """Starts the launcher and waits until it can make workers.

        Raises:
            Mee6Error: it could not get ready; the message says why.
        """
        folders = package_folders((*_PACKAGES, *extra_packages))
        config = {
            "agent_id": agent_id,
            "state_dir": str(state_dir),
            "lane_dir": str(lane_dir),
            "isolated": isolated,
            "needed": needed_paths(folders, programs),
            "entries": list(entries),
            "folders": folders,
        }
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock = ours
        with theirs:
            command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, json.dumps(folders), str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: ASYNC220  a vfork; the wait for it is asynchronous
                command,
                cwd="/",
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "MEE6_AGENT_ID": agent_id},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.send(msgspec.json.encode(config))
        ours.setblocking(False)
        answer: asyncio.Future[tuple[wire.AnyPacket | None, list[int]]] = loop.create_future()

        def first() -> None:
            loop.remove_reader(ours)
            try:
                answer.set_result(wire.receive(ours))
            except OSError:
                answer.set_result((None, []))

        loop.add_reader(ours, first)
        try:
            packet, fds = await asyncio.wait_for(answer, READY_TIMEOUT_S)
        except TimeoutError as error:
            await self.close()
            raise Mee6Error(f"the launcher was not ready within {READY_TIMEOUT_S:g} s") from error
        except BaseException:
            await asyncio.shield(self.close())
            raise
        if not isinstance(packet, wire.Ready):
            await self.close()
            raise Mee6Error(packet.message if isinstance(packet, wire.Failed) else "the launcher ended at once")
        self.isolation = packet.isolation
        self.flows = fds[0] if fds else None
        self.alive = True
        loop.add_reader(ours, self._readable)

    def _readable(self) -> None:
        assert self._sock is not None
        while True:
            try:
                packet, _ = wire.receive(self._sock)
            except BlockingIOError:
                return
            except OSError:
                packet = None
            if packet is None:
                asyncio.get_running_loop().remove_reader(self._sock)
                self.alive = False
                self._on_end(self)
                return
            self._on_packet(packet)

    async def send(self, packet: wire.AnyPacket, fds: tuple[int, ...] = ()) -> None:
        """Sends an order, waiting while the launcher has many before it.

        Raises:
            Exhausted: it takes no more within a bounded time.
            Mee6Error: it is gone.
        """
        deadline = time.monotonic() + _SEND_TIMEOUT_S
        while self._sock is not None and self.alive:
            try:
                wire.send(self._sock, packet, fds)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Exhausted("the launcher of workers does not keep up; try again later") from None
                await asyncio.sleep(0.001)
            except OSError:
                break
            else:
                return
        raise Mee6Error("the launcher of workers has ended")

    async def close(self) -> None:
        """Ends the launcher, and with it what is left of its workers. Idempotent."""
        self.alive = False
        if self._sock is not None:
            with suppress(ValueError, OSError):
                asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
        if self.flows is not None:
            os.close(self.flows)
            self.flows = None
        if self._process is not None and self._process.returncode is None:
            self._process.kill()  # its child, the launcher proper, dies with it
            deadline = time.monotonic() + _EXIT_TIMEOUT_S
            while self._process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110  it says nothing
                await asyncio.sleep(0.001)


def package_folders(names: Iterable[str]) -> dict[str, str]:
    """Package -> the folder that holds it."""
    folders: dict[str, str] = {}
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folders[name] = str(Path(spec.origin).resolve().parent.parent)
    return folders


def needed_paths(folders: Mapping[str, str], programs: Iterable[str]) -> list[str]:
    """What a worker must see of the machine's file system, wherever it is."""
    # A virtual environment's own folders hold other packages, and nothing of the standard library.
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    standard = {sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")}
    resolved = [str(Path(program).resolve()) for program in programs]
    paths = {*standard, *programs, *resolved, str(Path(sys.executable).resolve())}
    paths |= {str(Path(folder, name)) for name, folder in folders.items()}
    names = Path("/etc/resolv.conf")
    if names.is_symlink():
        paths.add(str(names.resolve().parent))
    return sorted(paths)


def plan_of(runtime: Runtime) -> wire.RuntimePlan:
    """How a language of this machine is started."""
    if runtime.kind == "fork":
        return wire.RuntimePlan("fork", entry=runtime.entry)
    return wire.RuntimePlan("exec", argv=runtime.argv())


def why_ended(status: int) -> str:
    """How a worker's first process ended, by the status that the launcher reaped."""
    if status == 0:
        return "all of its processes have ended"
    if status < 0:
        return f"its first process was killed by {signal.Signals(-status).name}"
    return f"its first process ended with status {status}"
