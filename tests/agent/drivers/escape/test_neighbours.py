"""The escape list, platform, as far as the driver holds it: other workers, their files, tokens and sockets.

What the agent itself has to withstand (forged frames, floods, calls, recursion) is tried through a whole one:
`tests/e2e/test_hostile.py`.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.agent.drivers.contract import Rig
from tests.agent.drivers.escape.attempts import LIMITS, Function, function, natively

pytestmark = [pytest.mark.slow, pytest.mark.docker]


async def test_another_workers_files_and_processes_are_not_there(rig: Rig) -> None:
    mine, other = await function(rig, "w1"), await function(rig, "w2")
    rig.driver.bind("w2", {"theirs": rig.bundle("sha-2", "two")}, "w2")
    await other.deed("Path('/act/flow/secret').write_text('s'); Path('/tmp/secret').write_text('s'); return 1")
    assert (
        await other.deed("return Path('/act/rsc/theirs/main.py').read_text() + Path('/tmp/secret').read_text()")
        == "twos"
    )
    assert await mine.deed("return os.listdir('/act/flow') + os.listdir('/act/rsc')") == []
    await mine.is_refused("return Path('/act/rsc/theirs/main.py').read_text()")
    await mine.is_refused("return Path('/tmp/secret').read_text()")
    assert await mine.deed("return os.listdir('/dev/shm')") == []


async def test_another_workers_memory_and_queues_are_not_there(rig: Rig) -> None:
    mine, other = await function(rig, "w1"), await function(rig, "w2")
    put = """
        libc = ctypes.CDLL(None, use_errno=True)
        shared = libc.shmget(0x6D656536, 4096, 0o1666)
        queue = libc.msgget(0x6D656536, 0o1666)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind("\\0mee6-abstract")
        sock.listen()
        sys.modules["sys"].kept = sock
        return [shared >= 0, queue >= 0]
        """
    look = """
        libc = ctypes.CDLL(None, use_errno=True)
        found = [libc.shmget(0x6D656536, 4096, 0) >= 0, libc.msgget(0x6D656536, 0) >= 0]
        try:
            socket.socket(socket.AF_UNIX).connect("\\0mee6-abstract")
            return [*found, True]
        except OSError:
            return [*found, False]
        """
    assert await other.deed(put) == [True, True]
    assert await other.deed(look) == [True, True, True]
    assert await mine.deed(look) == [False, False, False]


async def test_its_own_token_is_nowhere_to_be_read(rig: Rig) -> None:
    one = await function(rig)
    assert await one.deed("return [name for name in os.environ if 'TOKEN' in name]") == []
    got = await one.deed(
        """
        found = {}
        for pid in [name for name in os.listdir("/proc") if name.isdigit()] + ["self"]:
            try:
                found[pid] = [v for v in Path(f"/proc/{pid}/environ").read_text().split("\\0") if "TOKEN=" in v]
            except OSError as error:
                found[pid] = error.strerror
        return found
        """
    )
    assert got.pop("1") == "Permission denied"
    assert got["self"] == ["MEE6_CONTROL_TOKEN="], "the name is left of what its memory was forked from"
    assert all(isinstance(found, str) or found in ([], got["self"]) for found in got.values()), got


async def test_it_cannot_pass_for_another_worker_on_the_control_socket(rig: Rig) -> None:
    one = await function(rig)
    await function(rig, "w2")
    driver: Any = rig.driver
    used = [worker.claim for worker in driver._workers]
    assert used == ["", ""], "a claim is used once, and forgotten"
    said = await one.deed(
        """
        from mee6.lane import control as wire
        said = []
        for token in ("", "0" * 32, "token-of-w2", "token-of-w1"):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.settimeout(5)
            sock.connect("/mee6/lane/control.sock")
            sock.send(wire.encode(wire.Claim(token)))
            said.append(sock.recv(4096).decode("latin1"))
        return said
        """
    )
    assert said == [""] * 4


async def test_a_claim_that_is_known_is_good_for_its_own_container_alone(rig: Rig) -> None:
    one = await function(rig, "w1")
    await function(rig, "w2")
    driver: Any = rig.driver
    victim = driver._workers["w2"]
    control, victim.claim, victim.control = victim.control, "0123456789abcdef0123456789abcdef", None
    try:  # as if w2 had not come yet, and w1 had got hold of what it will say
        said = await one.deed(
            """
            from mee6.lane import control as wire
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.settimeout(5)
            sock.connect("/mee6/lane/control.sock")
            sock.send(wire.encode(wire.Claim("0123456789abcdef0123456789abcdef")))
            return sock.recv(4096).decode("latin1")
            """
        )
        assert said == ""
        assert victim.claim, "it is still there for whom it was meant"
    finally:
        victim.control = control


async def test_a_pid_on_the_lane_is_owned_by_its_worker_alone(rig: Rig) -> None:
    await rig.start("w1")
    await rig.start("w2")
    driver: Any = rig.driver
    pids = {worker: driver._workers[worker].pid for worker in ("w1", "w2")}
    assert rig.driver.owns("w1", pids["w1"])
    assert not rig.driver.owns("w1", pids["w2"])
    assert not rig.driver.owns("w1", os.getpid())


async def test_another_workers_processes_get_no_signal(rig: Rig) -> None:
    one = await function(rig)
    talk = await rig.start("w2", LIMITS)
    other = Function(talk, await talk.spawn())
    driver: Any = rig.driver
    pid = driver._workers["w2"].pid
    assert natively(f"return os.kill({pid}, 0) or 'there'") == "there"
    await one.is_refused(f"return os.kill({pid}, 9) or 'killed'")
    await one.is_refused("return os.kill(1, 9) or [time.sleep(0.1), os.kill(2**22, 0)]")
    assert await other.deed("return 'alive'") == "alive"
