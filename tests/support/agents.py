"""A real agent as a process of its own, on a free port, with a state folder of its own; and what it leaves behind.

`Agent.start` returns once it listens; `close` ends it the way a person would and asserts that nothing is left:
no process, control group, mount, socket, or temporary file of it. What runs of a worker is found from outside,
by control groups and the process table, never by asking the agent.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeVar, overload

import psutil

from agent.drivers.process.cgroups import hierarchies
from agent.drivers.process.sandbox import FLOWS
from mee6.client import Client
from mee6.errors import InvocationNotFound

T = TypeVar("T")
WAIT_S: Final = 40.0
_CGROUPS: Final = Path("/sys/fs/cgroup")
_PROXY_OOM: Final = 300
"""Of oom_score_adj: how `proxy.init` marks a proxy."""

_SERVE: Final = """
import json, sys
from pathlib import Path
from agent.config import AgentConfig
from agent.main import run
from mee6.errors import Mee6Error
settings = json.loads(sys.argv[1])
settings["state_dir"] = Path(settings["state_dir"])
try:
    sys.exit(run(AgentConfig(**settings), lambda address: print(address, flush=True)))
except Mee6Error as error:
    print(error.message, file=sys.stderr)
    sys.exit(error.exit)
"""


HELD: Final = """
import time, mee6
def main(arg):
    while not (mee6.flow / "go").exists():
        time.sleep(0.005)
    return "rested"
"""
"""A function that runs until `Agent.let_go`."""


class StartFailed(Exception):
    """The agent ended before it listened."""

    def __init__(self, agent: Agent, code: int, said: str) -> None:
        super().__init__(f"exit {code}: {said}")
        self.agent = agent
        self.code = code
        self.said = said


def temporary_state() -> Path:
    """A new state folder; its path is short, since sockets live in it."""
    return Path(tempfile.mkdtemp(prefix="m6e"))


class Agent:
    """One agent's process.

    Args:
        state: kept between lives of an agent; `close` removes it.
        isolation: `MEE6_PROCESS_ISOLATION`; empty = the best that the machine has.
        settings: of `AgentConfig`, as JSON holds them.
        env: what its environment has besides this process's.
    """

    killed_init: ClassVar[str] = "its first process was killed by SIGKILL"
    """What an error says of a worker whose first process was killed."""

    def __init__(
        self, state: Path, isolation: str, settings: dict[str, Any], env: Mapping[str, str] | None = None
    ) -> None:
        self.state = state
        self.isolation = isolation
        self.settings = settings
        self.env = dict(env or {})
        self.address = ""
        self._seen: dict[int, float] = {}
        self._log = (state / "stderr.log").open("a+")
        told_so = {"MEE6_PROCESS_ISOLATION": isolation, "TMPDIR": str(state / "scratch")}
        environment = {**os.environ, **told_so, **self.env}
        (state / "scratch").mkdir(exist_ok=True)
        below = settings.pop("state_dir_suffix", "")  # a state folder that cannot be, with the log still kept
        told = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0", **settings, "state_dir": str(state / below)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, json.dumps(told)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    @classmethod
    def start(
        cls,
        state: Path | None = None,
        *,
        isolation: str = "",
        env: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Self:
        """Starts one and waits until it listens.

        Raises:
            StartFailed: it ended instead.
        """
        agent = cls(state or temporary_state(), isolation, settings, env)
        assert agent._process.stdout is not None
        agent.address = agent._process.stdout.readline().strip()
        if not agent.address:
            code = agent._process.wait(WAIT_S)
            said = agent.log()
            agent._log.close()
            agent._process.stdout.close()
            raise StartFailed(agent, code, said.strip())
        return agent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def id(self) -> str:
        """Its name for groups and marks."""
        path = self.state / "agent.id"
        return path.read_text().strip() if path.exists() else "never started"

    @property
    def http(self) -> str:
        """The URL of its front door."""
        return f"http://{json.loads((self.state / 'agent.json').read_text())['http']}"

    def client(self, user: str = "default") -> Client:
        """A client of it."""
        return Client(self.address, user=user)

    def log(self) -> str:
        """What it wrote to standard error, in all its lives."""
        return (self.state / "stderr.log").read_text()

    def rss_bytes(self) -> int:
        """Resident memory."""
        return int(psutil.Process(self.pid).memory_info().rss)

    # Its end

    def kill(self) -> None:
        """kill -9."""
        self._note_processes()
        self._process.kill()
        self._process.wait(WAIT_S)
        self._release()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self._note_processes()
        self._process.terminate()
        code = self._process.wait(WAIT_S)
        self._release()
        return code

    def close(self) -> None:
        """Ends it, unless it has ended, asserts that nothing is left, and removes its state folder."""
        try:
            if self._process.returncode is None:
                code = self.stop()
                assert code == 0, f"the agent ended with {code}: {self.log()[-2000:]}"
            left = self.left_behind()
            assert not left, f"left behind: {left}"
            assert "Traceback" not in self.log(), self.log()[-4000:]
        finally:
            if self._process.returncode is None:
                self.kill()
            shutil.rmtree(self.state, ignore_errors=True)

    def left_behind(self) -> list[str]:
        """What is still there of an agent that has ended; a moment is allowed for the kernel's part."""
        deadline = time.monotonic() + WAIT_S / 2
        while (left := [*self._processes_left(), *self._things_left()]) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left

    def restarted(self) -> Self:
        """A new life on the same state folder."""
        return self.start(self.state, isolation=self.isolation, env=self.env, **self.settings)

    def _release(self) -> None:
        self._log.close()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _note_processes(self) -> None:
        with suppress(psutil.Error):
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.Error):
                    self._seen[child.pid] = child.create_time()

    def _processes_left(self) -> Iterable[str]:
        again = {pid for pid, since in self._seen.items() if _created(pid) == since}
        for pid in self.marked() | again:
            with suppress(psutil.Error):
                yield f"process {pid} ({' '.join(psutil.Process(pid).cmdline())[:60]})"

    def _things_left(self) -> Iterable[str]:
        yield from (f"cgroup {path}" for path in self.groups())
        boxes = [tree / "mee6" / f"{self.id}-deps" for tree in _own_groups()]
        yield from (f"cgroup {path}" for path in boxes if path.exists())
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        yield from (f"mount {line}" for line in mounts if str(self.state) in line)
        for socket in (self.state / "agent.sock", self.state / "lane" / "agent.sock", self.state / "agent.json"):
            if socket.exists():
                yield str(socket)
        for folder in ("workers", "tmp", "scratch"):
            with suppress(FileNotFoundError):
                yield from (f"file {path}" for path in (self.state / folder).iterdir())

    # What runs, seen from outside

    def groups(self) -> list[Path]:
        """Its folders in all control group trees, down to the workers'."""
        bases = [tree / "mee6" / self.id for tree in _own_groups()]
        return [path for base in bases if base.is_dir() for path in (base, *filter(Path.is_dir, base.iterdir()))]

    def groups_of(self, worker: str) -> list[Path]:
        """A worker's folders in all control group trees."""
        return [path for path in self.groups() if path.name == worker]

    def workers(self) -> set[str]:
        """Workers that have a control group."""
        return {path.name for path in self.groups()} - {self.id}

    def processes(self) -> set[int]:
        """All of its processes' descendants."""
        return {child.pid for child in psutil.Process(self.pid).children(recursive=True)}

    def marked(self) -> set[int]:
        """Processes of the whole machine that say that they are this agent's workers or launchers."""
        mark = f"MEE6_AGENT_ID={self.id}".encode()
        found = set()
        for pid in psutil.pids():
            with suppress(OSError):
                if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.add(pid)
        return found

    def launcher(self) -> list[int]:
        """The launcher's processes, from the outside in."""
        (outer,) = psutil.Process(self.pid).children()
        if self.isolation == "none":
            return [outer.pid]
        (inner,) = outer.children()
        return [outer.pid, inner.pid]

    def inside(self, worker: str) -> Inside:
        """The worker's processes by what they are.

        Raises:
            LookupError: it has none.
        """
        parents = {pid: parent_of(pid) for pid in self.processes_of(worker)}
        first = self._first(worker, parents)
        if first not in parents:
            raise LookupError(f"no processes of worker {worker}")
        proxy, runtimes, others = 0, [], []
        for pid, parent in sorted(parents.items()):
            if parent == first:
                with suppress(OSError):  # it has just ended
                    if int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == _PROXY_OOM:
                        proxy = pid
                    else:
                        runtimes.append(pid)
            elif parent and pid != first:
                others.append(pid)
        return Inside(first, proxy, runtimes, others)

    def _first(self, worker: str, parents: dict[int, int]) -> int:
        """A worker's first process; 0 where it has none."""
        top = self.launcher()[-1]
        return next((pid for pid, parent in parents.items() if parent == top), 0)

    def processes_of(self, worker: str) -> set[int]:
        """All processes of a worker."""
        found: set[int] = set()
        for path in self.groups_of(worker):
            with suppress(OSError):
                found |= {int(pid) for pid in (path / "cgroup.procs").read_text().split()}
        return found

    def flow_of(self, worker: str) -> Path:
        """What the worker has at `/act/flow` as long as no other worker's is shown there."""
        if self.isolation == "none":
            return self.state / "workers" / worker / "flow"
        return Path(f"/proc/{self.inside(worker).init}/root{FLOWS}", worker, "flow")

    def let_go(self, worker: str) -> None:
        """Lets a `HELD` function of the worker's workflow return."""
        (self.flow_of(worker) / "go").touch()

    def runtime(self, worker: str, pid_inside: int) -> int:
        """The process of a worker's runtime, by its number inside the worker."""
        return next(pid for pid in self.inside(worker).runtimes if number_inside(pid) == pid_inside)

    def is_frozen(self, worker: str) -> bool:
        """Whether the kernel says that all of the worker's processes are frozen or stopped."""
        for path in self.groups_of(worker):
            with suppress(OSError):
                if "frozen 1" in (path / "cgroup.events").read_text():
                    return True
            with suppress(OSError):
                if (path / "freezer.state").read_text().strip() == "FROZEN":
                    return True
        with suppress(LookupError, psutil.Error):
            found = self.inside(worker)
            stopped = [pid for pid in (found.proxy, *found.runtimes) if pid]
            return all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in stopped)
        return False


@dataclass(frozen=True, slots=True)
class Inside:
    """A worker's processes, by the machine's numbers."""

    init: int
    proxy: int
    """0 where there is none."""
    runtimes: list[int]
    others: list[int]
    """What functions have started."""


def _created(pid: int) -> float:
    with suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return 0.0


def _own_groups() -> set[Path]:
    """This process's own group in every mounted tree: where an agent that it starts makes its own."""
    membership = Path("/proc/self/cgroup").read_text()
    trees = hierarchies(Path("/proc/self/mountinfo").read_text(), membership)
    return {tree.own for tree in trees}


def number_inside(pid: int) -> int:
    """A process's number in its own pid namespace."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return pid


def parent_of(pid: int) -> int:
    """The parent of a process; 0 for one that has ended, zombies included."""
    with suppress(OSError):
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        return 0 if state in "ZX" else int(parent)
    return 0


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    return parent_of(pid) > 0


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


@overload
async def until(probe: Callable[[], Coroutine[Any, Any, T]], what: str, limit_s: float = WAIT_S) -> T: ...


@overload
async def until(probe: Callable[[], T], what: str, limit_s: float = WAIT_S) -> T: ...


async def until(probe: Callable[[], Any], what: str, limit_s: float = WAIT_S) -> Any:
    """What `probe` returns once it is true.

    Raises:
        AssertionError: it was not within the limit.
    """
    deadline = time.monotonic() + limit_s
    while True:
        found = probe()
        value = await found if isinstance(found, Awaitable) else found
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(0.01)


async def running_worker(client: Client) -> str:
    """The worker that runs a step of the latest invocation; empty while none does."""
    with suppress(InvocationNotFound):
        return next((step.worker for step in (await client.trace()).steps if step.state == "running"), "")
    return ""


def write_function(
    base: Path,
    name: str,
    code: str,
    *,
    runtime: str = "python",
    calls: dict[str, str] | None = None,
    **manifest: Any,
) -> Path:
    """The folder of a function.

    Args:
        calls: function -> outflow, empty for none.
        manifest: more of it, by its JSON names.
    """
    folder = base / f"{name}-{runtime}"
    folder.mkdir(parents=True, exist_ok=True)
    dependencies = {callee: {"outflow": outflow} if outflow else {} for callee, outflow in (calls or {}).items()}
    said = {"name": name, "runtime": runtime, "dependencies": dependencies, **manifest}
    (folder / "activity.json").write_text(json.dumps(said))
    (folder / ("main.py" if runtime == "python" else "main.js")).write_text(code)
    return folder
