"""Where the other end of a test's lane runs: on this machine as a process, or in a container of a runtime's image.

A place starts `tests.support.init` with arguments, hands over its control socket, and knows its processes by the
numbers that they have themselves. A container is made once and serves one after the other: what is in it is the
image's, the user and the rights are a worker's, and only the folder of the test is shown to it, where it is here.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from agent import images
from agent.images import WORKER_USER
from tests.support.agents import alive, number_inside

WAIT_S: Final = 30.0
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Started:
    """A `tests.support.init`."""

    control: socket.socket
    pid: int
    """0 where it is no child of ours."""
    wait: Callable[[], object]
    """Waits for its end, once `control` is closed."""


class Place(Protocol):
    """See the module."""

    def start(self, *arguments: str) -> Started:
        """Starts one."""
        ...

    def folder(self, otherwise: Path) -> Path:
        """A folder for one test that is seen there under the same path; `otherwise` where everything is."""
        ...

    def number_here(self, pid: int) -> int:
        """This machine's number of a process that is `pid` there; 0 when it has ended."""
        ...


class Here:
    """This machine."""

    def start(self, *arguments: str) -> Started:
        """See `Place.start`."""
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.init", str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
            )
        return Started(control, process.pid, lambda: process.wait(WAIT_S))

    def folder(self, otherwise: Path) -> Path:
        """See `Place.folder`."""
        return otherwise

    def number_here(self, pid: int) -> int:
        """See `Place.number_here`."""
        return pid if alive(pid) else 0


class Container:
    """A container of a runtime's image; removed at the end of the `with`."""

    def __init__(self, runtime: str) -> None:
        self._runtime = runtime
        self._id = ""

    def __enter__(self) -> Self:
        self._base = Path(tempfile.mkdtemp(prefix="m6c"))
        self._base.chmod(0o777)
        self._socket = self._base / "init.sock"
        with images.connect() as api:
            host = api.create_host_config(
                binds=[f"{self._base}:{self._base}", f"{ROOT / 'tests'}:{ROOT / 'tests'}:ro"],
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                tmpfs={"/tmp": "rw,nosuid,nodev,mode=1777"},
            )
            self._id = api.create_container(
                images.image_name(self._runtime),
                entrypoint=["python3", "-B", "-m", "tests.support.init", str(self._socket)],
                command=[],
                user=WORKER_USER,
                environment={"PYTHONPATH": f"{images.INSIDE}:{ROOT}"},
                labels={"mee6.test": "conformance"},
                host_config=host,
                network_disabled=True,
            )["Id"]
            api.start(self._id)
        return self

    def __exit__(self, *error: object) -> None:
        with images.connect() as api:
            api.remove_container(self._id, force=True)
        shutil.rmtree(self._base)

    def start(self, *arguments: str) -> Started:
        """See `Place.start`."""
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._until_it_listens(control)
        control.send("\0".join(arguments).encode())
        return Started(control, 0, lambda: None)

    def _until_it_listens(self, control: socket.socket) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                return control.connect(str(self._socket))
            except OSError:
                assert time.monotonic() < deadline, self._log()
                time.sleep(0.01)

    def _log(self) -> str:
        with images.connect() as api:
            return str(api.logs(self._id).decode())

    def folder(self, otherwise: Path) -> Path:
        """See `Place.folder`."""
        folder = Path(tempfile.mkdtemp(dir=self._base))
        folder.chmod(0o777)
        return folder

    def number_here(self, pid: int) -> int:
        """See `Place.number_here`."""
        with images.connect() as api:
            found = [int(row[1]) for row in api.top(self._id)["Processes"]]
        return next((one for one in found if alive(one) and number_inside(one) == pid), 0)
