"""The agents that tests share: one with the best isolation the machine has, one with none, one with containers.

`agent` and `client` are the first and the last of them in turn, `any_agent` and `any_client` all three; `start` and
`any_start` start further ones of the same kinds, for a test that kills things, or counts them. Each test is a user of
its own, so that functions of the same name do not meet.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from mee6.client import Client
from tests.agent.drivers.engines import need_engine
from tests.support.agents import Agent
from tests.support.docker_agents import DockerAgent

SHARED: dict[str, Any] = {"linger_s": 0.2, "prewarm": {"python": 2, "nodejs": 1}}
ON_DOCKER: dict[str, Any] = {
    "linger_s": 0.2,
    "prewarm": {"python": 4, "nodejs": 2},  # a container takes a fifth of a second and more
    "pause": "always",
    "start_timeout_s": 60.0,
}
DOCKER = pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow])
Start = Callable[..., Agent]


def starter(kind: str) -> Start:
    """What starts an agent of this kind; skips or fails the test where there can be none."""
    if kind == "docker":
        need_engine("python")
        need_engine("nodejs")
        return DockerAgent.start
    return partial(Agent.start, isolation="none" if kind == "bare" else "")


@pytest.fixture(scope="session")
def isolated_agent() -> Iterator[Agent]:
    with starter("isolated")(**SHARED) as agent:
        yield agent


@pytest.fixture(scope="session")
def bare_agent() -> Iterator[Agent]:
    with starter("bare")(**SHARED) as agent:
        yield agent


@pytest.fixture(scope="session")
def docker_agent() -> Iterator[Agent]:
    with starter("docker")(**ON_DOCKER) as agent:
        yield agent


@pytest.fixture(params=["isolated", DOCKER])
def agent(request: pytest.FixtureRequest) -> Agent:
    found: Agent = request.getfixturevalue(f"{request.param}_agent")
    return found


@pytest.fixture(params=["isolated", "bare", DOCKER])
def any_agent(request: pytest.FixtureRequest) -> Agent:
    found: Agent = request.getfixturevalue(f"{request.param}_agent")
    return found


@pytest.fixture(params=["isolated", DOCKER])
def start(request: pytest.FixtureRequest) -> Start:
    return starter(request.param)


@pytest.fixture(params=["isolated", "bare", DOCKER])
def any_start(request: pytest.FixtureRequest) -> Start:
    return starter(request.param)


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
    with DockerAgent.start(prewarm={"python": 2}, linger_s=0.2, start_timeout_s=60.0, **small) as agent:
        yield agent


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def hostile(request: pytest.FixtureRequest) -> Agent:
    """An agent that isolates its workers."""
    found: Agent = request.getfixturevalue("contained_agent" if request.param == "docker" else "isolated_agent")
    return found


@pytest.fixture
async def here(hostile: Agent, user: str) -> AsyncIterator[Client]:
    async with user_of(hostile, user) as client:
        yield client
