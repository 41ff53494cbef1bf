"""The escape list, resources: a bomb goes off inside a container, is seen to, and its neighbour goes on.

Through a real agent, with its time limits: `tests/e2e/test_hostile.py` (a limit slept past with SIGTERM ignored,
a daemon that survives the call, 10 GB of output, processors taken). *Infinite header*: there is no HTTP front
door yet, and of gRPC's metadata `tests/agent/services/test_invoker.py` has the bounds.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.agent.drivers.contract import Rig
from tests.agent.drivers.escape.attempts import LIMITS, SYSCALL, Function, function, number_of
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.docker]


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
    assert await (await function(rig, "w2")).deed("return os.fork() and 'forked' or os._exit(0)") == "forked"


async def test_a_thread_bomb_stays_within_its_worker(rig: Rig) -> None:
    one = await function(rig)
    got = await one.deed(
        """
        import threading
        made, stop = [], threading.Event()
        try:
            while len(made) < 500:
                thread = threading.Thread(target=stop.wait, daemon=True)
                thread.start()
                made.append(thread)
        except RuntimeError as error:
            return [len(made), str(error)]
        finally:
            stop.set()
        return [len(made), ""]
        """
    )
    assert 0 < got[0] < LIMITS.pids
    assert "can't start new thread" in got[1]


async def test_a_memory_bomb_ends_its_process_alone(rig: Rig) -> None:
    talk = await rig.start("w1", LIMITS)
    await talk.spawn()
    other = await rig.start("w2", LIMITS)
    talk.tell("ask", 0, ["exec", "kept = []\nwhile True: kept.append(bytearray(8 << 20))"])
    await until(lambda: rig.process_exits, "the end of the runtime")
    assert "out of memory" in rig.process_exits[0][3]
    assert await other.eval("1 + 1") == 2


async def test_a_huge_mapping_costs_nothing_until_it_is_touched_and_then_its_process(rig: Rig) -> None:
    talk = await rig.start("w1", LIMITS)
    one = Function(talk, await talk.spawn())
    mapped = "import mmap\nsys.modules['sys'].kept = mmap.mmap(-1, 1 << 36, flags=mmap.MAP_PRIVATE | 0x4000 | 0x20)\n"
    assert await one.deed(mapped + "return len(sys.modules['sys'].kept)") == 1 << 36
    before = rig.driver.usage("w1").memory_bytes
    assert before < LIMITS.memory_bytes
    talk.tell("ask", 0, ["exec", "import sys\nfor at in range(0, 1 << 36, 4096): sys.kept[at] = 1"])
    await until(lambda: rig.process_exits, "the end of the runtime")
    assert "out of memory" in rig.process_exits[0][3]
    assert await talk.hear() == "closed"
    assert await talk.eval("1 + 1") == 2


async def test_memory_can_be_neither_locked_nor_asked_for_beyond_the_limit(rig: Rig) -> None:
    one = await function(rig)
    await one.is_refused(f"{SYSCALL}\nreturn syscall({number_of((151, 230))}, 3)")  # mlockall


@pytest.mark.parametrize("place", ["/act/flow", "/act", "/tmp", "/dev/shm"])
async def test_a_disk_bomb_fills_its_own_share_alone(rig: Rig, place: str) -> None:
    one = await function(rig)
    said = await one.is_refused(
        f"""
        with open({place + "/bomb"!r}, "wb") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
                file.flush()
        return "written"
        """
    )
    assert "[Errno 28]" in said
    assert await one.deed(f"os.unlink({place + '/bomb'!r}); return 'still here'") == "still here"
    other = await function(rig, "w2")
    assert await other.deed(f"return Path({place + '/mine'!r}).write_bytes(bytes(1 << 20))") == 1 << 20


@pytest.mark.parametrize("place", ["/act/flow", "/act", "/tmp"])
async def test_files_without_content_run_out_too(rig: Rig, place: str) -> None:
    one = await function(rig)
    said = await one.is_refused(
        f"""
        os.mkdir({place + "/many"!r})
        for number in range(200_000):
            os.close(os.open(f"{place}/many/{{number}}", os.O_CREAT | os.O_WRONLY))
        return "made"
        """
    )
    assert "[Errno 28]" in said
    rig.driver.clear_flow("w1")
    assert await one.deed("return os.listdir('/act/flow')") == [], "nothing is left for the next, however full it was"
    assert await (await function(rig, "w2")).deed(f"return Path({place + '/mine'!r}).write_text('x')") == 1


async def test_descriptors_run_out_for_their_process_alone(rig: Rig) -> None:
    one = await function(rig)
    got = await one.deed(
        """
        kept = []
        try:
            while len(kept) < 100_000:
                kept.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            return [len(kept), error.errno]
        finally:
            for fd in kept:
                os.close(fd)
        """
    )
    assert 0 < got[0] < LIMITS.open_files
    assert got[1] == 24
    raising = "limit = (ctypes.c_ulong * 2)(1 << 20, 1 << 20)"
    await one.is_refused(f"{SYSCALL}\n{raising}\nreturn syscall({number_of((302, 261))}, 0, 7, ctypes.byref(limit), 0)")


async def test_a_folder_thousands_deep_is_removed_behind(rig: Rig) -> None:
    one = await function(rig)
    dig = """
        os.chdir("/act/flow")
        for depth in range(1500):
            os.mkdir("d")
            os.chdir("d")
        os.chdir("/act")
        return "dug"
        """
    assert await one.deed(dig) == "dug"
    rig.driver.clear_flow("w1")
    assert await one.deed("return os.listdir('/act/flow')") == []
    driver: Any = rig.driver
    await until(lambda: not driver._workers._tasks, "what was taken away is removed")
    left = list((driver._storage.folder("w1") / ".trash").iterdir())
    assert left == []


async def test_locks_waited_for_by_all_hold_up_nobody_else(rig: Rig) -> None:
    talk = await rig.start("w1", LIMITS)
    await talk.spawn()
    other = await function(rig, "w2")
    storm = """
import threading
lock = threading.Lock()
def fight():
    while True:
        with lock:
            pass
for _ in range(16):
    threading.Thread(target=fight, daemon=True).start()
sys.modules['sys'].storm = True
"""
    assert await talk.ask("ask", 0, ["exec", storm]) is None
    for number in range(20):
        assert await other.deed(f"return {number}") == number
    assert await talk.ask("ask", 0, ["eval", "sys.storm"]) is True
