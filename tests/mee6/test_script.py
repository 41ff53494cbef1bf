"""`import mee6` in a script: the same calls, through an agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import mee6
from mee6.errors import FunctionRaised
from tests.support.fake_agent import FakeAgent


@pytest.fixture(autouse=True)
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAgent]:
    monkeypatch.setenv("MEE6_CONFIG", str(tmp_path / "none.toml"))
    with FakeAgent(tmp_path) as agent:
        agent.know()
        monkeypatch.setenv("MEE6_ADDRESS", agent.address)
        yield agent


def test_a_script_calls_a_function_by_its_name() -> None:
    assert mee6.invoke("echo", {"a": 1}) == {"a": 1}
    with pytest.raises(FunctionRaised, match="division by zero"):
        mee6.invoke("fail")


def test_a_script_gathers_many_at_once_in_order() -> None:
    assert mee6.gather(*(mee6.call("echo", n) for n in range(60))) == list(range(60))


async def test_an_async_script_does_the_same() -> None:
    assert await mee6.aio.invoke("echo", "x") == "x"
    assert await mee6.aio.gather(("echo", 1), ("echo", 2)) == [1, 2]
