"""The process driver keeps the contract at both levels of isolation, and by each means of pausing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from agent.drivers.base import LimitsWorkers, WorkerLimits
from agent.drivers.process import cgroups
from agent.drivers.process.cgroups import Cgroups, Hierarchy
from agent.drivers.process.driver import ISOLATION, ProcessDriver
from mee6.errors import Conflict, Mee6Error
from runtimes.catalog import Runtime
from tests.agent.drivers.contract import DriverContract, Rig
from tests.support.waiting import until

pytestmark = pytest.mark.slow

RUNTIMES = {
    "python": Runtime("python", kind="fork", main_file="main.py", entry="tests.agent.drivers.standins:runtime"),
    "shell": Runtime(
        "shell", kind="exec", main_file="main.sh", program="sh", script=Path(__file__).parent / "shell.sh"
    ),
}
MIB = 1 << 20


def make_driver(base: Path, agent_id: str) -> ProcessDriver:
    return ProcessDriver(
        agent_id,
        base / "state",
        base / "lane",
        runtimes=RUNTIMES,
        proxy="tests.agent.drivers.standins:proxy",
        extra_packages=["tests"],
    )


def agent_id_of(base: Path) -> str:
    return f"test-{os.getpid()}-{base.stat().st_ino}"


def _trees() -> list[Hierarchy]:
    here = Path("/proc/self")
    return cgroups.hierarchies((here / "mountinfo").read_text(), (here / "cgroup").read_text())


_probe = Cgroups.probe


def _without_freezer(self: Cgroups) -> None:
    _probe(self)
    self.freezer, self.freezer_version = None, 0


def _first_version_only(self: Cgroups) -> None:
    trees = [tree for tree in _trees() if tree.version == 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cgroups, "hierarchies", lambda *_: trees)
        _probe(self)


def _no_cgroups(self: Cgroups) -> None:
    self.notes.append("no cgroups: none is mounted")


MEANS = {"best": _probe, "cgroup1": _first_version_only, "signals": _without_freezer, "no-cgroups": _no_cgroups}


@pytest.fixture(params=["namespaces", "none"])
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "none":
        monkeypatch.setenv(ISOLATION, "none")
    else:
        monkeypatch.delenv(ISOLATION, raising=False)
    return str(request.param)


@pytest.fixture(autouse=True)
def _no_descriptor_leaks() -> Iterator[None]:
    before = psutil.Process().num_fds()
    yield
    assert psutil.Process().num_fds() <= before + 2  # a selector and a pipe of the next loop


async def _opened(tmp_path: Path) -> Rig:
    rig = Rig(make_driver(tmp_path, agent_id_of(tmp_path)), tmp_path / "lane" / "agent.sock", tmp_path / "state/code")
    await rig.open()
    return rig


def left_behind(base: Path) -> list[str]:
    """Processes, groups, mounts and files of a driver that should have left none."""
    mark = f"MEE6_AGENT_ID={agent_id_of(base)}".encode()
    found = []
    for process in psutil.process_iter():
        try:
            if mark in Path(f"/proc/{process.pid}/environ").read_bytes() and process.pid != os.getpid():
                found.append(f"process {process.pid}")
        except OSError:
            continue
    for tree in _trees():
        group = tree.own / "mee6" / agent_id_of(base)
        found += [str(group)] if group.exists() else []
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(base) in line]
    found += [str(entry) for entry in (base / "state" / "workers").glob("*")]
    return found


@pytest.fixture
async def rig(tmp_path: Path, isolation: str) -> AsyncIterator[Rig]:
    rig = await _opened(tmp_path)
    assert rig.capabilities is not None
    if rig.capabilities.isolation != isolation:
        await rig.close()
        pytest.skip(f"this machine: {rig.capabilities.notes}")
    yield rig
    await rig.close()
    assert left_behind(tmp_path) == []


class TestProcessDriver(DriverContract):
    """The contract, at both levels."""


def host_pids(rig: Rig, worker: str) -> list[int]:
    return [pid for pid in psutil.pids() if rig.driver.owns(worker, pid)]


def states(pids: list[int]) -> set[str]:
    return {psutil.Process(pid).status() for pid in pids}


@pytest.mark.parametrize("means", MEANS)
async def test_pause_stops_every_process_and_resume_starts_them(
    tmp_path: Path, isolation: str, means: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cgroups, "probe", MEANS[means])
    rig = await _opened(tmp_path)
    try:
        assert rig.capabilities is not None
        assert means in {"best", "no-cgroups", rig.capabilities.pause}
        talk = await rig.start("w1")
        await talk.spawn()
        counting = "import threading; n = [0]\ndef count():\n  while True: n[0] += 1; time.sleep(0.0001)\n"
        keep = "sys.counter = n; threading.Thread(target=count, daemon=True).start()"
        await talk.ask("ask", 0, ["exec", counting + keep.replace("sys.counter", "sys.modules['sys'].counter")])
        await talk.ask(
            "ask", 0, ["exec", "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)"]
        )
        for _ in range(5):
            await rig.driver.pause("w1")
            talk.tell("ask", 0, ["eval", "sys.counter[0]"])
            with pytest.raises(TimeoutError):
                await talk.hear(0.05)
            await rig.driver.resume("w1")
            assert await talk.hear() > 0
        await rig.driver.pause("w1")
        async with asyncio.timeout(10):
            await rig.driver.stop("w1")
    finally:
        await rig.close()
    assert left_behind(tmp_path) == []


async def test_a_worker_owns_its_processes_and_no_others(rig: Rig) -> None:
    one = await rig.start("w1")
    await rig.start("w2")
    await one.spawn()
    mine, others = host_pids(rig, "w1"), host_pids(rig, "w2")
    assert len(mine) >= 2
    assert others
    assert not set(mine) & set(others)
    assert not rig.driver.owns("w1", os.getpid())


async def test_the_end_of_each_process_is_told_to_proxy_and_agent(rig: Rig) -> None:
    talk = await rig.start("w1")
    pid = await talk.spawn()
    assert await talk.ask("kill", pid) is None
    assert await talk.ask("exited") == ["Exited", pid, -signal.SIGKILL]
    await until(lambda: rig.process_exits, "news for the agent")
    assert rig.process_exits == [("w1", pid, -signal.SIGKILL, "")]
    second = await talk.spawn()
    talk.tell("ask", 1, ["exec", "os._exit(3)"])
    assert await talk.hear() == "closed"
    assert await talk.ask("exited") == ["Exited", second, 3]


async def test_runtimes_live_on_without_the_proxy_and_the_worker_ends_with_the_last(rig: Rig) -> None:
    talk = await rig.start("w1")
    pid = await talk.spawn()
    waiting = rig._waiting["handed-over"] = asyncio.get_running_loop().create_future()
    assert await talk.ask("ask", 0, ["exec", _detached(rig)]) is None
    direct = await asyncio.wait_for(waiting, 10)
    talk.tell("exec", "os._exit(0)")
    await until(lambda: [news for news in rig.process_exits if news[1] == talk.pid or news[2] == 0], "the proxy's end")
    assert rig.exits == []
    direct.writer.write(b"x")
    await until(lambda: rig.exits, "the worker's end")
    assert ("w1", pid, 7, "") in rig.process_exits


def _detached(rig: Rig) -> str:
    """Code for a runtime: connects to the agent, survives its lane's end, and exits with 7 when written to."""
    return textwrap.dedent(f"""
        import threading
        lane = socket.socket(socket.AF_UNIX)
        lane.connect({rig.driver.lane_path("w1")!r})
        lane.sendall(b"hello handed-over python 1\\n")
        def wait():
            lane.recv(1)
            os._exit(7)
        thread = threading.Thread(target=wait)
        thread.start()
    """)


async def test_a_language_that_is_a_program_gets_its_lane_as_descriptor_3(rig: Rig) -> None:
    talk = await rig.start("w1")
    await talk.spawn("shell")
    answer = await talk.ask("ask", 0, "list")
    assert answer["fds"] == "0123"
    assert "MEE6_PROCESS" not in answer["env"]
    assert sorted(line.split("=")[0] for line in answer["env"].split()) == sorted(
        ["HOME", "LANG", "MEE6_AGENT_ID", "PATH", "PWD", "TMPDIR"]
    )


async def test_an_unknown_language_is_refused(rig: Rig) -> None:
    talk = await rig.start("w1")
    kind, message = await talk.ask("spawn", "cobol")
    assert kind == "SpawnFailed"
    assert "cobol" in message
    assert await talk.ask("runtimes") == ["python", "shell"]


async def test_a_function_imports_the_standard_library_and_mee6_and_nothing_else_of_ours(
    rig: Rig, tmp_path: Path
) -> None:
    talk = await rig.start("w1")
    await talk.spawn()
    bundle = rig.bundle("sha-1", "")
    for name in ("agent", "proxy", "runtimes"):
        (bundle / f"{name}.py").write_text("whose = 'mine'")
    rig.driver.bind("w1", {"f": bundle}, "w1")
    assert await talk.ask("ask", 0, ["exec", "import mee6.errors, msgspec, sqlite3, asyncio"]) is None
    for name in ("agent", "proxy", "runtimes", "psutil", "grpc", "tests", "pytest"):
        answer = await talk.ask("ask", 0, ["exec", f"import {name}"])
        assert answer["error"] == "ModuleNotFoundError", name
    path = rig.driver.code_path("w1", "f", bundle)
    for name in ("agent", "proxy", "runtimes"):
        answer = await talk.ask("ask", 0, ["eval", f"(sys.path.insert(0, {path!r}), __import__({name!r}).whose)[1]"])
        assert answer == "mine", name


async def test_children_inherit_nothing(rig: Rig) -> None:
    talk = await rig.start("w1")
    await talk.spawn()
    await talk.spawn()
    fds = await talk.ask(
        "ask",
        1,
        [
            "eval",
            "sorted(os.readlink(f).split(':')[0] for f in list(Path('/proc/self/fd').iterdir()) if os.path.lexists(f))",
        ],
    )
    assert fds == ["/dev/null", "pipe", "pipe", "socket"]
    numbers = [await talk.ask("ask", n, ["eval", "__import__('random').random()"]) for n in (0, 1)]
    assert numbers[0] != numbers[1]
    assert "MEE6_AGENT_ID" in await talk.ask("ask", 0, ["eval", "list(os.environ)"])
    assert "VIRTUAL_ENV" not in await talk.ask("ask", 0, ["eval", "list(os.environ)"])


async def test_what_is_written_to_raw_descriptors_arrives(rig: Rig) -> None:
    talk = await rig.start("w1")
    await talk.spawn()
    await talk.ask("ask", 0, ["exec", "os.write(1, 'grüße'.encode()); os.write(2, b'oops')"])
    await until(lambda: rig.written("w1").count("oops"), "the output")
    assert ("w1", "out", "grüße") in rig.output
    assert ("w1", "err", "oops") in rig.output


async def test_a_gigabyte_written_neither_blocks_nor_arrives(rig: Rig) -> None:
    talk = await rig.start("w1")
    await talk.spawn()
    code = "block = b'x' * 65536\nfor _ in range(16384): os.write(1, block)\nos.write(2, b'done')"
    assert await talk.ask("ask", 0, ["exec", code], patience_s=60) is None
    await until(lambda: "discarded" in rig.written("w1"), "the count of what was lost")
    assert len(rig.written("w1")) < 8 * MIB
    assert rig.driver.usage("w1").memory_bytes < 200 * MIB


@pytest.fixture
def isolated(rig: Rig) -> Rig:
    assert rig.capabilities is not None
    if rig.capabilities.isolation != "namespaces":
        pytest.skip("needs namespaces")
    return rig


async def test_a_worker_cannot_write_to_the_machine_or_to_code(isolated: Rig, tmp_path: Path) -> None:
    talk = await isolated.start("w1")
    bundle = isolated.bundle("sha-1", "x")
    isolated.driver.bind("w1", {"f": bundle}, "w1")
    places = [
        "/x",
        "/etc/x",
        "/usr/x",
        "/root/x",
        "/home/x",
        "/mee6/x",
        "/mee6/lane/x",
        "/mee6/code/x",
        "/mee6/flows/x",
        "/dev/x",
        "/proc/sys/kernel/core_pattern",
        "/act/rsc/f/x",
        "/act/rsc/f/main.py",
        "/var/x",
    ]
    for place in places:
        answer = await talk.ask("exec", f"open({place!r}, 'w')")
        assert answer is not None, place
        assert "Read-only" in answer["text"] or "denied" in answer["text"], (place, answer)
    for place in ("/act/x", "/tmp/x", "/dev/shm/x", "/act/flow/x", "/dev/null"):
        assert await talk.ask("exec", f"open({place!r}, 'w').write('x')") is None, place


async def test_a_worker_sees_neither_the_agents_state_nor_other_processes(isolated: Rig, tmp_path: Path) -> None:
    (tmp_path / "state" / "secret").write_text("x")
    talk = await isolated.start("w1")
    assert not await talk.eval(f"os.path.exists({str(tmp_path / 'state' / 'secret')!r})")
    assert await talk.eval("[name for name in os.listdir('/proc') if name.isdigit()]") == ["1", "2", "3"]
    assert await talk.eval("os.uname().nodename") == "w1"
    assert await talk.eval("[os.listdir('/run'), os.listdir('/sys')]") == [[], []]


async def test_a_worker_has_no_privileges(isolated: Rig) -> None:
    talk = await isolated.start("w1")
    status = await talk.eval("open('/proc/self/status').read()")
    facts = dict(line.split(":\t", 1) for line in status.splitlines())
    assert {int(facts[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {0}
    assert facts["NoNewPrivs"] == "1"


async def test_a_worker_has_no_network_unless_it_is_given_one(isolated: Rig) -> None:
    talk = await isolated.start("w1")
    assert await talk.eval("[name for _, name in socket.if_nameindex()]") == ["lo"]
    local = "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname(), 1)"
    assert await talk.ask("exec", local) is None
    open_talk = await isolated.start("w2", network="bridge")
    assert await open_talk.eval("socket.if_nameindex()") == [list(item) for item in __import__("socket").if_nameindex()]


async def test_scratch_is_limited(isolated: Rig) -> None:
    talk = await isolated.start("w1", WorkerLimits(scratch_bytes=MIB))
    answer = await talk.ask("exec", f"open('/act/x', 'wb').write(bytes({2 * MIB}))")
    assert "No space left" in answer["text"]


@pytest.mark.parametrize(
    "filling",
    ["open(f'{flow}/big', 'wb').write(bytes(2 << 20))", "[open(f'{flow}/{n}', 'w').close() for n in range(2000)]"],
    ids=["bytes", "files"],
)
async def test_a_full_flow_is_full_for_its_own_workflow_only_and_can_be_cleared(isolated: Rig, filling: str) -> None:
    small = WorkerLimits(scratch_bytes=MIB)
    one, other = [await isolated.start(name, small) for name in ("w1", "w2")]
    flow = isolated.driver.act_path("w1") + "/flow"
    for _ in range(3):  # the first takes the spare folder's place
        answer = await one.ask("exec", f"flow = {flow!r}\nexec({filling!r}, globals() | {{'flow': flow}})")
        assert "No space left" in answer["text"]
        assert await other.ask("exec", f"Path({flow + '/x'!r}).write_bytes(bytes(500_000))") is None
        for name in ("w1", "w2"):
            isolated.driver.clear_flow(name)
        assert await one.eval(f"os.listdir({flow!r})") == []
        await until(lambda: _hidden(isolated, "w1") == [".spare"], "what was there is gone")
        assert await one.ask("exec", f"Path({flow + '/x'!r}).write_bytes(bytes(500_000))") is None
        isolated.driver.clear_flow("w1")
        await until(lambda: _hidden(isolated, "w1") == [".spare"], "what was there is gone")


def _hidden(rig: Rig, worker: str) -> list[str]:
    """What stands beside a worker's flow."""
    assert isinstance(rig.driver, ProcessDriver)
    with_flow = os.listdir(rig.driver._workers[worker].folders._base)
    return sorted(set(with_flow) - {"flow", "store"})


async def test_a_flow_ends_with_its_worker_and_one_that_comes_later_is_seen_by_all(isolated: Rig) -> None:
    assert isinstance(isolated.driver, ProcessDriver)
    early = await isolated.start("w1")
    late = await isolated.start("w2")
    isolated.driver.bind("w1", {}, "w2")
    assert await early.ask("exec", "Path('/act/flow/x').write_text('from w1')") is None
    assert await late.eval("Path('/act/flow/x').read_text()") == "from w1"
    assert await early.eval("sorted(os.listdir('/mee6/flows'))") == ["w1", "w2"]
    await isolated.driver.stop("w2")
    assert await early.eval("os.listdir('/mee6/flows')") == ["w1"]
    assert not await early.eval("[line for line in open('/proc/self/mountinfo') if '/mee6/flows/w2' in line]")


async def test_what_a_worker_stored_is_freed_in_a_thread_and_not_on_the_loop(
    isolated: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel frees a file system in memory when its last descriptor is closed, and only then returns."""
    assert isinstance(isolated.driver, ProcessDriver)
    await isolated.start("w1")
    folders = isolated.driver._workers["w1"].folders
    stores = {os.fstat(fd).st_dev for fd in (folders._act, folders._base)}
    closed_by: list[int] = []

    def close(fd: int, really: Callable[[int], None] = os.close) -> None:
        if os.fstat(fd).st_dev in stores:
            closed_by.append(threading.get_ident())
        really(fd)

    monkeypatch.setattr(os, "close", close)
    await isolated.driver.stop("w1")
    assert len(closed_by) == 3
    assert threading.get_ident() not in closed_by


@pytest.fixture
def limited(rig: Rig) -> Rig:
    assert rig.capabilities is not None
    if not rig.capabilities.limits.startswith("cgroup"):
        pytest.skip("needs a cgroup with memory and pids")
    return rig


async def test_out_of_memory_kills_the_runtime_and_is_named(limited: Rig) -> None:
    talk = await limited.start("w1", WorkerLimits(memory_bytes=64 * MIB))
    pid = await talk.spawn()
    talk.tell("ask", 0, ["exec", f"hog = bytearray({256 * MIB})\nfor i in range(0, len(hog), 4096): hog[i] = 1"])
    assert await talk.hear() == "closed"
    await until(lambda: limited.process_exits, "news of it")
    assert limited.process_exits == [("w1", pid, -signal.SIGKILL, "out of memory (limit 64 MiB)")]
    assert await talk.eval("1 + 1") == 2


async def test_a_fork_bomb_is_bounded_and_stopped(limited: Rig) -> None:
    talk = await limited.start("w1", WorkerLimits(pids=24))
    await talk.spawn()
    bomb = "while True:\n  try:\n    os.fork()\n  except OSError:\n    time.sleep(0.01)"
    talk.tell("ask", 0, ["exec", bomb])
    await until(lambda: limited.driver.usage("w1").processes >= 20, "the bomb")
    assert limited.driver.usage("w1").processes <= 24
    await limited.driver.stop("w1")
    assert limited.driver.usage("w1").processes == 0


async def test_open_files_are_limited(rig: Rig) -> None:
    talk = await rig.start("w1", WorkerLimits(open_files=64))
    answer = await talk.ask("exec", "sys.kept = [open('/dev/null') for _ in range(100)]")
    assert "Too many open files" in answer["text"]


async def test_what_a_runtime_started_goes_with_it(rig: Rig) -> None:
    talk = await rig.start("w1")
    pid = await talk.spawn()
    child = await talk.ask("ask", 0, ["eval", "__import__('subprocess').Popen(['sleep', '1000']).pid"])
    before = len(host_pids(rig, "w1"))
    await talk.ask("kill", pid)
    await talk.ask("exited")
    await until(lambda: len(host_pids(rig, "w1")) <= before - 2, f"the end of {child}")


async def test_workers_of_a_killed_launcher_are_told_of_and_the_next_start_works(rig: Rig) -> None:
    talks = [await rig.start(f"w{number}") for number in range(2)]
    await talks[0].spawn()
    driver = rig.driver
    assert isinstance(driver, ProcessDriver)
    assert driver._link is not None
    os.kill(driver._link.pid, signal.SIGKILL)
    await until(lambda: len(rig.exits) == 2, "news of the workers' end")
    for talk in talks:
        assert await talk.ended()
    assert await (await rig.start("w3")).eval("1 + 1") == 2


async def test_a_cancelled_start_leaves_nothing(rig: Rig) -> None:
    start = asyncio.create_task(rig.start("w1"))
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    driver = rig.driver
    assert isinstance(driver, ProcessDriver)
    await until(lambda: not driver._workers, "its removal")


async def test_fifty_workers_in_a_row_leave_descriptors_and_memory_flat(rig: Rig) -> None:
    async def cycle(number: int) -> None:
        talk = await rig.start(f"w{number}")
        await rig.driver.pause(f"w{number}")
        await rig.driver.stop(f"w{number}")
        talk.writer.close()
        await talk.writer.wait_closed()

    for number in range(5):
        await cycle(number)
    me = psutil.Process()
    fds, memory = me.num_fds(), me.memory_info().rss
    for number in range(5, 55):
        await cycle(number)
    assert me.num_fds() <= fds + 1
    assert me.memory_info().rss < memory + 8 * MIB


AGENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {repo!r})
from tests.agent.drivers.test_process import make_driver
from tests.agent.drivers.contract import Rig

async def main():
    base = Path({base!r})
    rig = Rig(make_driver(base, {agent!r}), base / "lane" / "agent.sock", base / "state" / "code")
    await rig.open()
    for name in ("w1", "w2"):
        talk = await rig.start(name)
        await talk.spawn()
        code = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)"
        await talk.ask("ask", 0, ["exec", code])
    await rig.driver.pause("w2")
    print("ready", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_what_a_killed_agent_leaves_is_gone_or_swept_by_the_next(tmp_path: Path, isolation: str) -> None:
    repo = str(Path(__file__).parents[3])
    code = AGENT.format(repo=repo, base=str(tmp_path), agent=agent_id_of(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        assert await asyncio.to_thread(agent.stdout.readline) == b"ready\n"
        agent.kill()
    (tmp_path / "lane" / "agent.sock").unlink()
    if isolation == "namespaces":
        await until(lambda: not [entry for entry in left_behind(tmp_path) if entry.startswith("process ")], "their end")
    rig = await _opened(tmp_path)
    await rig.close()
    assert left_behind(tmp_path) == []


async def test_a_machine_without_namespaces_is_told_and_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ISOLATION, "none")
    rig = await _opened(tmp_path)
    try:
        assert rig.capabilities is not None
        assert rig.capabilities.isolation == "none"
        assert any(ISOLATION in note for note in rig.capabilities.notes)
    finally:
        await rig.close()


async def test_an_entry_that_cannot_be_imported_is_an_error_of_open(tmp_path: Path, isolation: str) -> None:
    driver = ProcessDriver("x", tmp_path / "state", tmp_path / "lane", runtimes=RUNTIMES, proxy="no.such:thing")
    rig = Rig(driver, tmp_path / "lane" / "agent.sock", tmp_path / "state/code")
    with pytest.raises(Mee6Error, match="cannot start workers"):
        await rig.open()
    await rig.close()


ORDINARY = """
import asyncio, json
from pathlib import Path
from tests.agent.drivers.test_process import make_driver
from tests.agent.drivers.contract import Rig

async def main():
    base = Path({base!r})
    rig = Rig(make_driver(base, "ordinary"), base / "lane" / "agent.sock", base / "state" / "code")
    await rig.open()
    try:
        talk = await rig.start("w1")
        await talk.spawn()
        await rig.driver.pause("w1")
        rig.driver.bind("w1", {{"f": rig.bundle("sha-1", "code")}}, "w1")
        await rig.driver.resume("w1")
        path = rig.driver.act_path("w1") + "/rsc/f/main.py"
        read = await talk.ask("ask", 0, ["eval", f"Path({{path!r}}).read_text()"])
        print(json.dumps([rig.capabilities.isolation, read, await talk.eval("os.getpid()")]))
    finally:
        await rig.close()

asyncio.run(main())
"""


def _python_for_anybody() -> str:
    """An interpreter that an ordinary user may run, of this version."""
    for program in (sys.executable, "/usr/bin/python3"):
        asked = [program, "-c", "import sys; print(sys.version_info[:2])"]
        try:
            answer = subprocess.run(asked, user=65534, group=65534, extra_groups=[], capture_output=True, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        if answer.stdout.decode().strip() == str(sys.version_info[:2]):
            return program
    pytest.skip("an ordinary user may not run this interpreter")


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
async def test_an_ordinary_user_gets_workers_too() -> None:
    program = _python_for_anybody()
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        code = ORDINARY.format(base=folder)
        environment = {"PYTHONPATH": ":".join([str(Path(__file__).parents[3]), *sys.path[1:]]), "HOME": folder}
        answer = await asyncio.to_thread(
            subprocess.run,
            [program, "-B", "-c", code],
            user=65534,
            group=65534,
            extra_groups=[],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr.decode()[-2000:]
        isolation, read, pid = json.loads(answer.stdout)
        assert read == "code"
        assert (pid == 3) == (isolation == "namespaces")


async def test_limits_can_be_changed_while_it_lives_but_not_below_its_use(rig: Rig) -> None:
    assert isinstance(rig.driver, LimitsWorkers)
    assert rig.capabilities is not None
    if rig.capabilities.limits == "rlimits":
        pytest.skip(f"this machine: {rig.capabilities.notes}")
    talk = await rig.start("w1", WorkerLimits(memory_bytes=96 * MIB))
    await talk.spawn()
    await talk.ask("ask", 0, ["exec", "sys.modules['sys'].kept = bytearray(40 << 20)"])
    with pytest.raises(Conflict, match="cannot shrink"):
        await rig.driver.set_limits("w1", 30 * MIB, 0.5)
    await rig.driver.set_limits("w1", 256 * MIB, 0.5)
    assert await talk.ask("ask", 0, ["eval", "len(bytearray(120 << 20))"]) == 120 * MIB
