"""What a function in a container tries and does not get: each attempt is seen to run, and to fail.

`deed` runs in a runtime forked as a function's is. It answers a value, or what kept it from one.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import WorkerLimits
from tests.agent.drivers.contract import Rig, Talk
from tests.agent.drivers.engines import need_engine
from tests.agent.drivers.test_docker import MIB, _opened, left_behind
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.docker]

REFUSED = {"PermissionError", "OSError", "FileNotFoundError", "ProcessLookupError", "BlockingIOError"}
LIMITS = WorkerLimits(memory_bytes=128 * MIB, pids=40, scratch_bytes=16 * MIB)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    need_engine()
    rig = await _opened(tmp_path)
    yield rig
    await rig.close()
    assert left_behind(tmp_path) == []


class Function:
    """A runtime's process in a worker of its own."""

    def __init__(self, talk: Talk, pid: int) -> None:
        self._talk = talk
        self.pid = pid

    async def deed(self, text: str) -> Any:
        """Runs a function's body, and returns what it returned: seen to run, or the test fails."""
        body = textwrap.indent(textwrap.dedent(text), "    ")
        code = f"import ctypes, subprocess\ndef deed():\n{body}\nsys.modules['sys'].got = deed()\n"
        done = await self._talk.ask("ask", 0, ["exec", "sys.modules['sys'].got = 'did not run'\n" + code])
        if done is not None:
            return done
        return await self._talk.ask("ask", 0, ["eval", "sys.got"])

    async def is_refused(self, text: str) -> None:
        """Asserts that the deed was tried, and that the system said no."""
        got = await self.deed(text)
        assert isinstance(got, dict), f"it was done: {got!r}"
        assert got["error"] in REFUSED, got


async def function(rig: Rig, worker: str = "w1", limits: WorkerLimits = LIMITS) -> Function:
    talk = await rig.start(worker, limits)
    return Function(talk, await talk.spawn())


async def test_it_runs_as_nobody_without_any_capability(rig: Rig) -> None:
    got = await (await function(rig)).deed(
        """
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return [os.getuid(), status["CapEff"].strip(), status["CapBnd"].strip(), status["NoNewPrivs"].strip(),
                status["Seccomp"].strip()]
        """
    )
    assert got == [65534, "0" * 16, "0" * 16, "1", "2"]


async def test_the_machines_files_are_not_there(rig: Rig, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o644)
    one = await function(rig)
    await one.is_refused(f"return Path({str(secret)!r}).read_text()")
    await one.is_refused("return Path('/etc/shadow').read_text()")
    await one.is_refused("return Path('/proc/1/root/etc/shadow').read_text()")
    await one.is_refused("return os.listdir('/proc/1/root')")
    await one.is_refused("return Path('/proc/kcore').open('rb').read(4096) or 1 / 0")
    await one.is_refused("return Path('/proc/sys/kernel/core_pattern').write_text('|/tmp/x')")
    hosts = await one.deed("return sorted(p.name for p in Path('/proc').iterdir() if p.name.isdigit())")
    assert len(hosts) < 10, "processes of others are seen"
    assert str(os.getpid()) not in hosts


async def test_the_root_and_its_own_code_cannot_be_written(rig: Rig) -> None:
    one = await function(rig)
    bundle = rig.bundle("sha-1", "one")
    rig.driver.bind("w1", {"first": bundle}, "w1")
    await one.is_refused("return Path('/opt/mee6/x').write_text('x')")
    await one.is_refused("return Path('/x').write_text('x')")
    await one.is_refused("return Path('/act/rsc/first/main.py').write_text('x')")
    await one.is_refused("return os.chmod('/act/rsc/first/main.py', 0o777) or 'done'")
    await one.is_refused("return os.rename('/act/rsc', '/act/mine') or 'done'")
    await one.is_refused("return os.symlink('/etc', '/act/rsc/second') or 'done'")
    await one.is_refused("return os.rmdir('/act/flow') or 'done'")
    assert (bundle / "main.py").read_text() == "one"


async def test_there_is_no_engine_to_talk_to(rig: Rig) -> None:
    one = await function(rig)
    for path in ("/var/run/docker.sock", "/run/containerd/containerd.sock"):
        await one.is_refused(f"return socket.socket(socket.AF_UNIX).connect({path!r}) or 'connected'")


async def test_it_can_neither_mount_nor_make_namespaces_nor_devices(rig: Rig) -> None:
    one = await function(rig)
    check = "; n = ctypes.get_errno()\nif result == 0: return 'done'\nraise OSError(n, os.strerror(n))"
    libc = "libc = ctypes.CDLL(None, use_errno=True)\n"
    await one.is_refused(libc + "result = libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)" + check)
    await one.is_refused(libc + "result = libc.umount2(b'/act/flow', 2)" + check)
    await one.is_refused(libc + "result = libc.unshare(0x10000000)" + check)
    await one.is_refused(libc + "result = libc.setns(os.open('/proc/1/ns/mnt', os.O_RDONLY), 0)" + check)
    await one.is_refused("return os.mknod('/tmp/disk', 0o60666, os.makedev(254, 0)) or 'made'")


async def test_there_is_no_network_and_no_raw_socket(rig: Rig) -> None:
    one = await function(rig)
    await one.is_refused("return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno()")
    await one.is_refused("return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()")
    await one.is_refused("return socket.create_connection(('1.1.1.1', 53), 2).fileno()")
    await one.is_refused("return socket.create_connection(('172.17.0.1', 22), 2).fileno()")
    assert await one.deed("return [name for _, name in socket.if_nameindex()]") == ["lo"]


async def test_the_proxy_and_the_first_process_can_be_neither_traced_nor_read(rig: Rig) -> None:
    talk = await rig.start("w1", LIMITS)
    one = Function(talk, await talk.spawn())
    for pid in (1, talk_pid_inside(await talk.eval("os.getpid()"))):
        await one.is_refused(f"return Path('/proc/{pid}/environ').read_bytes().decode()")
        await one.is_refused(f"return open('/proc/{pid}/mem', 'rb').fileno()")
        await one.is_refused(f"return os.listdir('/proc/{pid}/fd')")
        await one.is_refused(
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            f"if libc.ptrace(16, {pid}, 0, 0) == 0: return 'attached'\n"
            "n = ctypes.get_errno()\nraise OSError(n, os.strerror(n))"
        )


def talk_pid_inside(pid: Any) -> int:
    return int(pid)


async def test_its_own_environment_holds_no_token(rig: Rig) -> None:
    one = await function(rig)
    assert await one.deed("return [name for name in os.environ if 'TOKEN' in name]") == []


async def test_another_workers_files_and_processes_are_not_there(rig: Rig) -> None:
    mine, other = await function(rig, "w1"), await function(rig, "w2")
    rig.driver.bind("w2", {"theirs": rig.bundle("sha-2", "two")}, "w2")
    await other.deed("Path('/act/flow/secret').write_text('s'); Path('/tmp/secret').write_text('s'); return 1")
    assert await mine.deed("return os.listdir('/act/flow') + os.listdir('/act/rsc')") == []
    await mine.is_refused("return Path('/act/rsc/theirs/main.py').read_text()")
    await mine.is_refused("return Path('/tmp/secret').read_text()")
    assert await mine.deed("return os.listdir('/dev/shm')") == []


async def test_it_cannot_pass_for_another_worker_on_the_control_socket(rig: Rig) -> None:
    one = await function(rig)
    await function(rig, "w2")
    said = await one.deed(
        """
        from mee6.lane import control as wire
        said = []
        for token in ("", "0" * 32, "token-of-w2"):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.settimeout(5)
            sock.connect("/mee6/lane/control.sock")
            sock.send(wire.encode(wire.Claim(token)))
            said.append(sock.recv(4096).decode("latin1"))
        return said
        """
    )
    assert said == ["", "", ""]


async def test_a_pid_on_the_lane_is_owned_by_its_worker_alone(rig: Rig) -> None:
    one, two = await rig.start("w1"), await rig.start("w2")
    del one, two
    driver: Any = rig.driver
    pids = {worker: driver._workers[worker].pid for worker in ("w1", "w2")}
    assert rig.driver.owns("w1", pids["w1"])
    assert not rig.driver.owns("w1", pids["w2"])
    assert not rig.driver.owns("w1", os.getpid())


async def test_a_fork_bomb_stays_within_its_worker(rig: Rig) -> None:
    one = await function(rig)
    got = await one.deed(
        """
        made = 0
        try:
            while made < 500:
                if os.fork() == 0:
                    time.sleep(30)
                    os._exit(0)
                made += 1
        except OSError:
            pass
        return made
        """
    )
    assert 0 < got < LIMITS.pids
    assert rig.driver.usage("w1").processes <= LIMITS.pids


async def test_a_memory_bomb_ends_its_process_alone(rig: Rig) -> None:
    talk = await rig.start("w1", LIMITS)
    await talk.spawn()
    other = await rig.start("w2", LIMITS)
    talk.tell("ask", 0, ["exec", "kept = []\nwhile True: kept.append(bytearray(8 << 20))"])
    await until(lambda: rig.process_exits, "the end of the runtime")
    assert "out of memory" in rig.process_exits[0][3]
    assert await other.eval("1 + 1") == 2


@pytest.mark.parametrize("place", ["/act/flow", "/act", "/tmp", "/dev/shm"])
async def test_a_disk_bomb_fills_its_own_share_alone(rig: Rig, place: str) -> None:
    one = await function(rig)
    await one.is_refused(
        f"""
        with open({place + "/bomb"!r}, "wb") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
                file.flush()
        return "written"
        """
    )
    assert await one.deed(f"os.unlink({place + '/bomb'!r}); return 'still here'") == "still here"
