"""The agent's process: lock, loop, driver, node, gRPC server, signals, and the file that says where it is.

`STATE/agent.lock` is held for the agent's life, so that a state folder has one agent; `STATE/agent.json`
says where it listens, and is gone once it has stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvloop

from agent import told
from agent.choice import AUTO, choose
from agent.config import OFF, AgentConfig
from agent.drivers.base import Driver, SweepsUp, record_name
from agent.drivers.process.driver import ProcessDriver
from agent.node import Node, agent_id
from agent.services.server import Server
from agent.substrate.local import LocalSubstrate
from mee6.errors import Conflict, InvalidInput
from mee6.version import VERSION
from runtimes.catalog import RUNTIMES

_log: Final = logging.getLogger("mee6.agent")

LOCK: Final = "agent.lock"
FACTS: Final = "agent.json"
SOCKET: Final = "agent.sock"


def _docker(agent: str, state_dir: Path, lane_dir: Path) -> Driver:
    from agent.drivers.docker.driver import DockerDriver  # the SDK costs 0.15 s and 10 MB

    return DockerDriver(agent, state_dir, lane_dir)


DRIVERS: Final[Mapping[str, Callable[[str, Path, Path], Driver]]] = {"process": ProcessDriver, "docker": _docker}
"""Name -> what makes one of the agent's id, its state folder and the folder of its lane socket."""


def run(config: AgentConfig, on_ready: Callable[[str], None] | None = None) -> int:
    """Serves until SIGTERM or SIGINT, then drains; a second signal stops at once.

    Args:
        on_ready: called once with the address it listens on.

    Returns:
        The process's exit code: 0.

    Raises:
        Mee6Error: it could not start; the message says why and what to do.
    """
    told.check(config)
    if config.driver == AUTO:
        driver, why = choose()
        sys.stderr.write(f"mee6: --driver auto takes {driver}: {why}\n")
        config = replace(config, driver=driver)
    with _sole_agent_of(config.state_dir), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, on_ready or _say_ready))
    return 0


async def _serve(config: AgentConfig, on_ready: Callable[[str], None]) -> None:
    stop = _stop_on_signals()
    lane_dir = config.state_dir / "lane"
    lane_dir.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(config.state_dir / "tmp", ignore_errors=True)  # uploads that a killed agent left half done
    async with LocalSubstrate(config.state_dir) as substrate:
        node = Node(config, _driver(config, lane_dir), substrate, RUNTIMES)
        async with (
            node.running(lane_dir / SOCKET),
            Server(node, config.listen, config.state_dir / SOCKET) as server,
            _door(node) as door,
        ):
            node.listen, node.http = server.address, door
            with _facts(config, server.address, door):
                _settle_memory()
                for address in (server.address, door):
                    if address and not _is_loopback(address):
                        _log.warning("%s can be reached from elsewhere: whoever connects can run code", address)
                if door:
                    _log.info("HTTP on http://%s", door)
                on_ready(server.address)
                await stop.wait()
                _log.info("stopping: waiting for what runs, at most %g s", config.drain_s)
                stop.clear()
                draining = asyncio.create_task(node.wind_down())
                again = asyncio.create_task(stop.wait())
                await asyncio.wait([draining, again], return_when=asyncio.FIRST_COMPLETED)
                again.cancel()
                draining.cancel()


@contextlib.asynccontextmanager
async def _door(node: Node) -> AsyncIterator[str]:
    """The HTTP front door, for as long as the context lasts; its address, empty where there is to be none."""
    if node.config.http_listen == OFF:
        yield ""
        return
    from agent.http.door import Door

    async with Door(node, node.config.http_listen) as door:
        yield door.address


def sweep(state_dir: Path) -> None:
    """Removes what an agent of this state folder that was killed left on the machine, beside that folder.

    Raises:
        Conflict: some of it cannot be removed now; the message says what to do.
    """
    for name, make in DRIVERS.items():
        if (state_dir / record_name(name)).exists():  # kept while there may be something to remove
            driver = make(agent_id(state_dir), state_dir, state_dir / "lane")
            if isinstance(driver, SweepsUp):
                asyncio.run(driver.sweep())


def _driver(config: AgentConfig, lane_dir: Path) -> Driver:
    return DRIVERS[config.driver](agent_id(config.state_dir), config.state_dir, lane_dir)


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host == "localhost" or ((host[:1].isdigit() or ":" in host) and ip_address(host).is_loopback)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _settle_memory() -> None:
    """Takes what start-up made out of the collector's sight, and has it look less often: for the tails."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _say_ready(address: str) -> None:
    sys.stderr.write(f"mee6 agent {VERSION} listens on {address}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _sole_agent_of(state_dir: Path) -> Iterator[None]:
    """Holds the state folder's lock.

    Raises:
        Conflict: another agent has it.
        InvalidInput: the folder cannot be made or written.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (state_dir / LOCK).open("a+")
    except OSError as error:
        raise InvalidInput(f"cannot use the state folder {state_dir}: {error.strerror}; see --state-dir") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"an agent already uses {state_dir}; stop it with: mee6 agent stop, or choose another --state-dir"
            ) from error
        yield


@contextlib.contextmanager
def _facts(config: AgentConfig, address: str, http: str) -> Iterator[None]:
    path = config.state_dir / FACTS
    socket = str(config.state_dir / SOCKET)
    facts = {"pid": os.getpid(), "listen": address, "http": http, "socket": socket, "version": VERSION}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(facts))
    fresh.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
