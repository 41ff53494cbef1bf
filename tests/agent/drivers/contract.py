"""What every driver promises, as tests: a class that a driver's own test module inherits.

A `Rig` is a driver with a lane to listen on and the news it told; the module's fixture `rig` makes one.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import Capabilities, Driver, Hooks, PoolKey, WorkerLimits, WorkerSpec, packages_name
from mee6.errors import Mee6Error
from mee6.manifest import is_name
from tests.support.waiting import until

PATIENCE_S = 20.0


@dataclass
class Talk:
    """The lane of a stand-in proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    token: str
    pid: int

    async def ask(self, *request: Any, patience_s: float = PATIENCE_S) -> Any:
        self.tell(*request)
        return await self.hear(patience_s)

    def tell(self, *request: Any) -> None:
        self.writer.write(json.dumps(request).encode() + b"\n")

    async def hear(self, patience_s: float = PATIENCE_S) -> Any:
        line = await asyncio.wait_for(self.reader.readline(), patience_s)
        assert line, "the proxy has gone"
        return json.loads(line)

    async def eval(self, text: str) -> Any:
        return await self.ask("eval", text)

    async def spawn(self, runtime: str = "python") -> int:
        kind, pid = await self.ask("spawn", runtime)
        assert kind == "Spawned", pid
        return int(pid)

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), PATIENCE_S) == b""


@dataclass
class Rig:
    """A driver under test."""

    driver: Driver
    lane: Path
    code: Path
    exits: list[tuple[str, str]] = field(default_factory=list)
    process_exits: list[tuple[str, int, int, str]] = field(default_factory=list)
    output: list[tuple[str, str, str]] = field(default_factory=list)
    capabilities: Capabilities | None = None
    _waiting: dict[str, asyncio.Future[Talk]] = field(default_factory=dict)
    _talks: list[Talk] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        self.lane.parent.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._connected, self.lane)
        hooks = Hooks(
            on_exit=lambda *news: self.exits.append(news),
            on_process_exit=lambda *news: self.process_exits.append(news),
            on_output=lambda *news: self.output.append(news),
        )
        self.capabilities = await self.driver.open(hooks)

    async def close(self) -> None:
        await self.driver.close()
        for talk in self._talks:
            talk.writer.close()
        assert self._server is not None
        self._server.close()

    async def start(self, worker: str, limits: WorkerLimits | None = None, network: str = "none") -> Talk:
        token = f"token-of-{worker}"
        waiting = self._waiting[token] = asyncio.get_running_loop().create_future()
        await self.driver.start(WorkerSpec(worker, PoolKey("python", network), token, limits or WorkerLimits()))
        return await asyncio.wait_for(waiting, PATIENCE_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, token, _, pid = (await reader.readline()).decode().split()
        talk = Talk(reader, writer, token, int(pid))
        self._talks.append(talk)
        self._waiting.pop(token).set_result(talk)

    def bundle(self, name: str, text: str) -> Path:
        folder = self.code / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.py").write_text(text)
        return folder

    def packages(self, name: str, text: str) -> Path:
        folder = self.code.parent / "deps" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tiny.py").write_text(text)
        return folder

    def written(self, worker: str) -> str:
        return "".join(text for name, _, text in self.output if name == worker)


class DriverContract:
    """Inherit, and give a fixture `rig`."""

    async def test_a_started_worker_connects_with_its_token(self, rig: Rig) -> None:
        talk = await rig.start("w1")
        assert talk.token == "token-of-w1"

    async def test_a_worker_id_is_not_given_twice(self, rig: Rig) -> None:
        talk = await rig.start("w1")
        with pytest.raises(Mee6Error):
            await rig.driver.start(WorkerSpec("w1", PoolKey("python"), "other"))
        assert await talk.eval("1 + 1") == 2

    async def test_stop_ends_a_worker_and_is_idempotent(self, rig: Rig) -> None:
        talk = await rig.start("w1")
        await rig.driver.stop("w1")
        assert await talk.ended()
        await rig.driver.stop("w1")
        await rig.driver.stop("never-was")
        assert rig.exits == []

    async def test_a_worker_that_ends_by_itself_is_told_once(self, rig: Rig) -> None:
        talk = await rig.start("w1")
        talk.tell("exec", "os._exit(0) if os.getpid() != 0 else 0")
        await until(lambda: rig.exits, "news of the end")
        await rig.driver.stop("w1")
        assert [worker for worker, _ in rig.exits] == ["w1"]

    async def test_bound_code_is_there_and_what_is_bound_no_more_is_gone(self, rig: Rig) -> None:
        talk = await rig.start("w1")
        one, two = rig.bundle("sha-1", "one"), rig.bundle("sha-2", "two")
        rig.driver.bind("w1", {"first": one, "second": two}, "w1")
        path = rig.driver.code_path("w1", "second", two)
        assert await talk.eval(f"Path({path + '/main.py'!r}).read_text()") == "two"
        rig.driver.bind("w1", {"second": one}, "w1")
        assert await talk.eval(f"Path({path + '/main.py'!r}).read_text()") == "one"
        assert await talk.eval(f"os.listdir({rig.driver.act_path('w1') + '/rsc'!r})") == ["second"]

    async def test_packages_are_there_beside_the_code_and_shared(self, rig: Rig) -> None:
        one, shared = rig.bundle("sha-1", "one"), rig.packages("python-1", "ANSWER = 42")
        name = packages_name("first")
        assert not is_name(name)
        for worker in ("w1", "w2"):
            talk = await rig.start(worker)
            rig.driver.bind(worker, {"first": one, name: shared}, worker)
            path = rig.driver.code_path(worker, name, shared)
            assert await talk.eval(f"Path({path + '/tiny.py'!r}).read_text()") == "ANSWER = 42"

    async def test_code_can_be_bound_to_a_paused_worker(self, rig: Rig) -> None:
        talk = await rig.start("w1")
        await rig.driver.pause("w1")
        rig.driver.bind("w1", {"first": rig.bundle("sha-1", "one")}, "w1")
        await rig.driver.resume("w1")
        assert await talk.eval(f"os.listdir({rig.driver.act_path('w1') + '/rsc'!r})") == ["first"]

    async def test_workers_of_one_workflow_share_its_flow(self, rig: Rig) -> None:
        one, two = await rig.start("w1"), await rig.start("w2")
        here, there = (rig.driver.act_path(worker) + "/flow" for worker in ("w1", "w2"))
        await one.ask("exec", f"Path({here + '/x'!r}).write_text('shared')")
        assert await two.eval(f"os.listdir({there!r})") == []
        rig.driver.bind("w2", {}, "w1")
        assert await two.eval(f"Path({there + '/x'!r}).read_text()") == "shared"
        rig.driver.bind("w2", {}, "w2")
        assert await two.eval(f"os.listdir({there!r})") == []
        assert await one.eval(f"os.listdir({here!r})") == ["x"]

    async def test_a_cleared_flow_is_empty_and_usable(self, rig: Rig) -> None:
        talk = await rig.start("w1")
        flow = rig.driver.act_path("w1") + "/flow"
        rig.driver.clear_flow("w1")
        await talk.ask("exec", f"os.makedirs({flow + '/a/b'!r}); Path({flow + '/a/b/c'!r}).write_text('x')")
        rig.driver.clear_flow("w1")
        assert await talk.eval(f"os.listdir({flow!r})") == []
        for _ in range(3):  # at once, within the grain of the file system's times
            await talk.ask("exec", f"Path({flow + '/y'!r}).write_text('z')")
            rig.driver.clear_flow("w1")
            assert await talk.eval(f"os.listdir({flow!r})") == []

    async def test_a_flow_that_a_function_removed_or_replaced_is_there_again(self, rig: Rig) -> None:
        talk = await rig.start("w1")
        flow = rig.driver.act_path("w1") + "/flow"
        for spoil in ("os.rmdir(p)", "os.rmdir(p) or Path(p).write_text('x')", "os.rmdir(p) or os.symlink('/', p)"):
            await talk.ask("exec", f"p = os.path.realpath({flow!r}); {spoil}")
            rig.driver.clear_flow("w1")
            await talk.ask("exec", f"Path({flow + '/y'!r}).write_text('z')")
            assert await talk.eval(f"os.listdir({flow!r})") == ["y"]
            rig.driver.clear_flow("w1")

    async def test_a_gone_worker_owns_and_uses_nothing(self, rig: Rig) -> None:
        await rig.start("w1")
        assert rig.driver.usage("w1").processes > 0
        await rig.driver.stop("w1")
        assert rig.driver.usage("w1").processes == 0
        assert not rig.driver.owns("w1", 1)
        with pytest.raises(Mee6Error, match="w1"):
            await rig.driver.pause("w1")

    async def test_close_ends_all_and_is_idempotent(self, rig: Rig) -> None:
        talks = [await rig.start(f"w{number}") for number in range(3)]
        await rig.driver.close()
        for talk in talks:
            assert await talk.ended()
        await rig.driver.close()
        assert rig.exits == []
