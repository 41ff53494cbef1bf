"""The fake driver keeps the contract, and fails as told."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import WorkerSpec
from agent.drivers.fake import FakeDriver
from mee6.errors import Exhausted, WorkerLost
from tests.agent.drivers.contract import DriverContract, Rig
from tests.support.waiting import until


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    lane = tmp_path / "lane" / "agent.sock"

    def evaluate(word: str, text: str) -> Any:
        names = {"os": os, "Path": Path}
        if word == "eval":
            return eval(text, names)
        exec(text, names)
        return None

    async def proxy(spec: WorkerSpec) -> None:
        reader, writer = await asyncio.open_unix_connection(lane)
        try:
            writer.write(f"hello {spec.token} {spec.pool.runtime} {os.getpid()}\n".encode())
            while line := await reader.readline():
                word, text = json.loads(line)
                if "_exit" in text:
                    return
                answer = evaluate(word, text)
                writer.write(json.dumps(answer).encode() + b"\n")
        finally:
            writer.close()

    rig = Rig(FakeDriver(tmp_path / "workers", lane, proxy), lane, tmp_path / "code")
    await rig.open()
    yield rig
    await rig.close()


class TestFakeDriver(DriverContract):
    """The contract."""


def _fake(rig: Rig) -> FakeDriver:
    assert isinstance(rig.driver, FakeDriver)
    return rig.driver


async def test_it_refuses_to_start_when_told(rig: Rig) -> None:
    _fake(rig).trouble.start = Exhausted("no room")
    with pytest.raises(Exhausted, match="no room"):
        await rig.start("w1")
    assert _fake(rig).workers == {}


async def test_a_start_can_be_held_up(rig: Rig) -> None:
    gate = _fake(rig).trouble.start_blocks = asyncio.Event()
    start = asyncio.create_task(rig.start("w1"))
    await until(lambda: ("start", "w1") in _fake(rig).calls, "the call")
    assert _fake(rig).workers == {}
    gate.set()
    assert (await start).token == "token-of-w1"


async def test_workers_end_after_their_time(rig: Rig) -> None:
    _fake(rig).trouble.exit_after_s = 0.01
    await rig.start("w1")
    await until(lambda: rig.exits == [("w1", "told to end")], "the end")


async def test_a_pause_fails_when_told(rig: Rig) -> None:
    await rig.start("w1")
    _fake(rig).trouble.pause = WorkerLost("frozen solid")
    with pytest.raises(WorkerLost, match="solid"):
        await rig.driver.pause("w1")
    assert not _fake(rig).workers["w1"].paused
