"""What people get wrong: each mistake is refused at once, with its one line, and nothing is left of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc.aio
import pytest

from mee6.api.faults import API_KEY, from_rpc_error
from mee6.api.v1 import invoker_pb2 as pb
from mee6.api.v1.invoker_pb2_grpc import InvokerStub
from mee6.client import Client
from mee6.errors import (
    AgentUnreachable,
    FunctionNotFound,
    InvalidBundle,
    InvalidInput,
    InvalidManifest,
    Mee6Error,
    TooLarge,
    UnknownRuntime,
    VersionMismatch,
)
from mee6.manifest import NAME_RULE
from tests.support.agents import Agent, StartFailed, temporary_state, write_function

ECHO = "def main(arg):\n    return arg\n"


async def refused(client: Client, folder: Path, kind: type[Mee6Error]) -> str:
    """The one line that refused the folder."""
    with pytest.raises(kind) as caught:
        await client.add(folder)
    assert type(caught.value) is kind
    assert "\n" not in caught.value.message
    assert await client.list() == ()
    return caught.value.message


async def test_a_folder_that_does_not_exist(client: Client, tmp_path: Path) -> None:
    said = await refused(client, tmp_path / "nowhere", InvalidBundle)
    assert said == f"{tmp_path}/nowhere does not exist; give the folder that holds activity.json"


async def test_an_empty_folder(client: Client, tmp_path: Path) -> None:
    said = await refused(client, tmp_path, InvalidBundle)
    assert said == f"{tmp_path} is empty; make a function with: mee6 init NAME"


async def test_no_manifest(client: Client, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(ECHO)
    said = await refused(client, tmp_path, InvalidManifest)
    assert said == f"no activity.json in {tmp_path}; make one with: mee6 init NAME"


async def test_broken_json(client: Client, tmp_path: Path) -> None:
    (tmp_path / "activity.json").write_text('{"name": "f",')
    said = await refused(client, tmp_path, InvalidManifest)
    assert said.startswith(f"{tmp_path.name}/activity.json, line 1, column 14: not valid JSON: it ends too early")


async def test_a_misspelt_key(client: Client, tmp_path: Path) -> None:
    said = await refused(client, write_function(tmp_path, "f", ECHO, maxParalelism=3), InvalidManifest)
    assert said.startswith("f-python/activity.json, line 1: no key 'maxParalelism'; did you mean 'maxParallelism'?")


async def test_an_unknown_runtime(client: Client, tmp_path: Path) -> None:
    said = await refused(client, write_function(tmp_path, "f", ECHO, runtime="cobol"), UnknownRuntime)
    assert said == "runtime 'cobol' is not known here; known are: nodejs, python"


@pytest.mark.parametrize("name", ["a/b", "../f", "a..b", "", ".", "x" * 64, "-f", "f\nname: g"])
async def test_a_name_that_is_no_name(client: Client, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, "f", ECHO)
    manifest = {"name": name, "runtime": "python"}
    (folder / "activity.json").write_text(json.dumps(manifest))
    said = await refused(client, folder, InvalidManifest)
    assert said == f"f-python/activity.json, line 1: name {name!r} is not allowed: {NAME_RULE}"


@pytest.mark.parametrize("name", ["a/b", "../f", "a..b", "x" * 64])
async def test_invoking_a_name_that_is_no_name(client: Client, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await client.invoke(name)
    assert caught.value.message == f"function {name!r} is not allowed: {NAME_RULE}"


async def test_invoking_what_was_never_added(client: Client) -> None:
    with pytest.raises(FunctionNotFound) as caught:
        await client.invoke("ghost", "x")
    assert caught.value.message == f"no function 'ghost' for user '{client.user}'; see: mee6 act ls"


async def test_a_main_file_that_is_missing(client: Client, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "f", ECHO)
    (folder / "main.py").rename(folder / "mian.py")
    said = await refused(client, folder, InvalidBundle)
    assert said == "a python function needs 'main.py', which is not in its folder"


async def test_a_symbolic_link(client: Client, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "f", ECHO)
    (folder / "secrets").symlink_to("/etc/passwd")
    said = await refused(client, folder, InvalidBundle)
    assert said == "'secrets' is a symbolic link; a bundle holds only files and folders"


async def test_a_pipe(client: Client, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "f", ECHO)
    os.mkfifo(folder / "pipe")
    said = await refused(client, folder, InvalidBundle)
    assert said == "'pipe' is a device, pipe or socket; a bundle holds only files and folders"


async def test_a_bundle_over_the_limit_is_refused_before_it_is_read(client: Client, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "f", ECHO)
    with (folder / "model.bin").open("wb") as file:
        file.truncate(1 << 40)  # who reads a terabyte is not done within this test's time
    said = await refused(client, folder, TooLarge)
    assert said == f"{folder} packs to 1024.0 GiB, over the limit of 100.0 MiB; name what is not needed in .mee6ignore"


# What a client of somebody else's making may send


def crafted(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    manifest = json.dumps({"name": "f", "runtime": "python"}).encode()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, data in [(plain("activity.json"), manifest), (plain("main.py"), ECHO.encode()), *members]:
            if info.isreg():
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def plain(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


async def upload(client: Client, data: bytes, *, sha256: str = "", size: int = -1, level: str = "1") -> pb.AddResponse:
    """Uploads bytes as they are, with the stubs alone; raises as a client does."""

    async def pieces() -> AsyncIterator[pb.UploadRequest]:
        digest = sha256 or hashlib.sha256(data).hexdigest()
        header = pb.UploadHeader(username=client.user, sha256=digest, size=len(data) if size < 0 else size)
        yield pb.UploadRequest(header=header)
        for at in range(0, len(data), 1 << 16):
            yield pb.UploadRequest(chunk=data[at : at + (1 << 16)])

    async with grpc.aio.insecure_channel(client.address) as channel:
        try:
            upload = InvokerStub(channel).Upload  # type: ignore[no-untyped-call]
            answer: pb.AddResponse = await upload(pieces(), metadata=((API_KEY, level),), timeout=20)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, client.address) from error
        return answer


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ((plain("../outside.py"), b"x"), "'../outside.py' leaves the bundle's folder"),
        ((plain("/etc/cron.d/x"), b"x"), "'/etc/cron.d/x' leaves the bundle's folder"),
        ((plain("a/../../x"), b"x"), "'a/../../x' leaves the bundle's folder"),
        ((link("l", "/etc"), b""), "'l' is a link; a bundle holds only files and folders"),
        ((link("l", "main.py", tarfile.LNKTYPE), b""), "'l' is a link; a bundle holds only files and folders"),
        ((link("p", "", tarfile.FIFOTYPE), b""), "'p' is neither a file nor a folder; a bundle holds only those"),
        ((plain("main.py"), b"x"), "'main.py' stands in the bundle twice"),
        ((plain("main.py/x"), b"x"), "'main.py/x' is both a file and a folder in the bundle"),
    ],
)
async def test_a_crafted_bundle_is_refused(
    agent: Agent, client: Client, member: tuple[tarfile.TarInfo, bytes], said: str
) -> None:
    before = sorted((agent.state / "code").rglob("*"))
    with pytest.raises(InvalidBundle) as caught:
        await upload(client, crafted(member))
    assert caught.value.message == said
    assert not list(agent.state.parent.glob("outside.py"))
    assert sorted((agent.state / "code").rglob("*")) == before
    assert not list((agent.state / "tmp").iterdir())


async def test_a_bundle_that_is_no_archive(client: Client) -> None:
    with pytest.raises(InvalidBundle) as caught:
        await upload(client, b"MZ" + bytes(4000))
    assert caught.value.message.startswith("not a bundle: ")


async def test_a_bundle_with_another_sum(client: Client) -> None:
    with pytest.raises(InvalidBundle) as caught:
        await upload(client, crafted(), sha256="0" * 64)
    assert "sum" in caught.value.message or "SHA-256" in caught.value.message


async def test_an_upload_that_announces_too_much_is_refused_at_its_header(client: Client) -> None:
    with pytest.raises(TooLarge) as caught:  # whoever reads on finds less than was announced
        await upload(client, b"x" * 100, size=200 << 20)
    assert "200.0 MiB" in caught.value.message
    assert "100.0 MiB" in caught.value.message


async def test_an_upload_of_more_than_it_announced(client: Client) -> None:
    with pytest.raises(InvalidInput):
        await upload(client, crafted(), size=100)


async def test_an_argument_over_the_limit(client: Client, tmp_path: Path) -> None:
    await client.add(write_function(tmp_path, "f", ECHO))
    with pytest.raises(TooLarge) as caught:
        await client.invoke("f", "x" * ((8 << 20) + 1))
    assert caught.value.message == "the argument has 8388609 bytes; the limit is 8388608"
    assert await client.invoke("f", "small") == "small"


async def test_an_argument_at_the_limit_passes(client: Client, tmp_path: Path) -> None:
    await client.add(write_function(tmp_path, "f", "def main(arg):\n    return len(arg)\n"))
    assert await client.invoke("f", "x" * (8 << 20)) == 8 << 20


# Agents that cannot be


async def test_an_agent_that_is_not_running() -> None:
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(AgentUnreachable) as caught:
            await client.invoke("f")
    assert caught.value.message == "no agent answers at 127.0.0.1:1; start one with: mee6 agent serve --detach"


@pytest.fixture
def state() -> Iterator[Path]:
    folder = temporary_state()
    yield folder
    shutil.rmtree(folder)


def test_a_port_in_use_is_told_and_nothing_of_the_agent_stays(agent: Agent, state: Path) -> None:
    with pytest.raises(StartFailed) as caught:
        Agent.start(state, listen=agent.address)
    assert caught.value.code == 7
    port = agent.address.rpartition(":")[2]
    assert caught.value.said == (
        f"port {port} on 127.0.0.1 is in use; is another agent running? choose another with --listen"
    )
    assert not caught.value.agent.left_behind()


def test_a_second_agent_on_the_same_state_folder(agent: Agent) -> None:
    with pytest.raises(StartFailed) as caught:
        Agent.start(agent.state)
    assert caught.value.code == 7
    assert caught.value.said.splitlines()[-1] == (
        f"an agent already uses {agent.state}; stop it with: mee6 agent stop, or choose another --state-dir"
    )


def test_a_state_folder_that_cannot_be(state: Path) -> None:
    (state / "file").write_text("")
    with pytest.raises(StartFailed) as caught:
        Agent.start(state, state_dir_suffix="file/below")
    assert caught.value.code == 2
    assert caught.value.said == f"cannot use the state folder {state}/file/below: Not a directory; see --state-dir"


async def test_an_agent_of_another_version(client: Client) -> None:
    with pytest.raises(VersionMismatch) as caught:
        await upload(client, crafted(), level="99")
    assert "\n" not in caught.value.message
    assert "99" in caught.value.message
