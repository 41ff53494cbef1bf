"""The agents that tests share: one with the best isolation the machine has, one with none.

A test that kills things, or counts them, starts its own. Each test is a user of its own, so that functions of
the same name do not meet.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mee6.client import Client
from tests.agent.drivers.engines import need_engine
from tests.support.agents import Agent

SHARED: dict[str, Any] = {"linger_s": 0.2, "prewarm": {"python": 2, "nodejs": 1}}


@pytest.fixture(scope="session")
def agent() -> Iterator[Agent]:
    with Agent.start(**SHARED) as agent:
        yield agent


@pytest.fixture(scope="session")
def bare_agent() -> Iterator[Agent]:
    with Agent.start(isolation="none", **SHARED) as agent:
        yield agent


@pytest.fixture(params=["isolated", "bare"])
def any_agent(request: pytest.FixtureRequest) -> Agent:
    found: Agent = request.getfixturevalue("agent" if request.param == "isolated" else "bare_agent")
    return found


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    return f"u{zlib.crc32(request.node.nodeid.encode()):08x}"


@pytest.fixture
async def client(agent: Agent, user: str) -> AsyncIterator[Client]:
    async with user_of(agent, user) as client:
        yield client


@pytest.fixture
async def any_client(any_agent: Agent, user: str) -> AsyncIterator[Client]:
    async with user_of(any_agent, user) as client:
        yield client


@asynccontextmanager
async def user_of(agent: Agent, user: str) -> AsyncIterator[Client]:
    """A client whose functions are removed at the end, so that their workers do not fill the agent up."""
    async with agent.client(user) as client:
        yield client
        for function in await client.list():
            await client.remove(function.name)


@pytest.fixture(scope="session")
def contained_agent() -> Iterator[Agent]:
    need_engine("python")
    small: dict[str, Any] = {"memory_bytes": 256 << 20, "scratch_bytes": 64 << 20}
    with Agent.start(driver="docker", prewarm={"python": 2}, linger_s=0.2, start_timeout_s=60.0, **small) as agent:
        yield agent


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def hostile(request: pytest.FixtureRequest) -> Agent:
    """An agent that isolates its workers."""
    found: Agent = request.getfixturevalue("contained_agent" if request.param == "docker" else "agent")
    return found


@pytest.fixture
async def here(hostile: Agent, user: str) -> AsyncIterator[Client]:
    async with user_of(hostile, user) as client:
        yield client
