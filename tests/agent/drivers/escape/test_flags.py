"""What the engine itself says of a worker's container: the flags that all other refusals rest on."""

from __future__ import annotations

from typing import Any

import pytest

from agent import images
from tests.agent.drivers.contract import Rig
from tests.agent.drivers.escape.attempts import LIMITS, function
from tests.agent.drivers.test_docker import container_of

pytestmark = [pytest.mark.slow, pytest.mark.docker]


async def inspected(rig: Rig, network: str = "none") -> dict[str, Any]:
    await rig.start("w1", LIMITS, network)
    with images.connect() as api:
        return dict(api.inspect_container(container_of(rig, "w1")))


async def test_a_container_has_no_privileges_to_lose(rig: Rig) -> None:
    found = await inspected(rig)
    host = found["HostConfig"]
    assert found["Config"]["User"] == "65534:65534"
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"], "and no word on seccomp: the engine's default holds"
    assert not host["Devices"]
    assert not host["DeviceCgroupRules"]
    assert not host["GroupAdd"]


async def test_the_engine_filters_system_calls_by_default(rig: Rig) -> None:
    with images.connect() as api:
        assert any(
            option.startswith("name=seccomp") and "unconfined" not in option for option in api.info()["SecurityOptions"]
        )
    assert "Seccomp:\t2" in await (await function(rig)).deed("return Path('/proc/self/status').read_text()")


async def test_a_container_shares_no_namespace_with_the_machine(rig: Rig) -> None:
    found = await inspected(rig)
    host = found["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["PidMode"] == ""
    assert host["UTSMode"] == ""
    assert host["IpcMode"] == "private"
    assert host["UsernsMode"] == ""
    assert not found["NetworkSettings"]["Ports"]
    assert not host["Links"]


async def test_a_container_is_given_a_network_only_when_its_function_asks(rig: Rig) -> None:
    assert (await inspected(rig, "bridge"))["HostConfig"]["NetworkMode"] == "bridge"


async def test_a_container_writes_to_folders_of_limited_size_alone(rig: Rig) -> None:
    found = await inspected(rig)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert list(host["Tmpfs"]) == ["/tmp"]
    options = host["Tmpfs"]["/tmp"].split(",")
    assert {"nosuid", "nodev", f"size={LIMITS.scratch_bytes}"} <= set(options)
    assert any(option.startswith("nr_inodes=") for option in options)
    assert host["ShmSize"] <= LIMITS.scratch_bytes
    places = {mount["Destination"]: mount for mount in found["Mounts"]}
    ours = {place: mount["Mode"] for place, mount in places.items() if not mount["Source"].endswith("/tests")}
    assert set(ours) == {"/act", "/mee6/lane"}, "the storage, and the folder of the agent's sockets"
    assert not any("docker.sock" in mount["Source"] or mount["Source"] in ("/", "/etc") for mount in found["Mounts"])


async def test_a_container_has_limits_of_everything(rig: Rig) -> None:
    host = (await inspected(rig))["HostConfig"]
    assert host["Memory"] == LIMITS.memory_bytes
    assert host["MemorySwap"] == LIMITS.memory_bytes, "no swap beside it"
    assert host["PidsLimit"] == LIMITS.pids
    assert host["OomScoreAdj"] > 0
    assert not host["OomKillDisable"]
    limits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]}
    assert limits["nofile"] == (LIMITS.open_files, LIMITS.open_files)
    assert limits["core"] == (0, 0)
    assert host["LogConfig"]["Type"] == "none", "what is printed fills no log of the engine's"
    assert host["RestartPolicy"]["Name"] in ("", "no"), "one that crashes is not started again by the engine"


async def test_a_limit_of_processors_is_the_engines_too(rig: Rig) -> None:
    from dataclasses import replace

    await rig.start("w1", replace(LIMITS, cpus=0.5))
    with images.connect() as api:
        assert api.inspect_container(container_of(rig, "w1"))["HostConfig"]["NanoCpus"] == 500_000_000
