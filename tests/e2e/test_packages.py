"""Functions with packages and an environment, from add to invoke, on real agents; the packages are made on the spot.

Those marked `network` ask this machine's own indexes, and are skipped where they are out of reach.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mee6.client import Client
from mee6.errors import DependencyFailed, InvalidBundle, InvalidInput, LoadFailed, NotFound
from tests.agent.drivers.engines import need_engine
from tests.support import packages
from tests.support.agents import Agent, until, write_function
from tests.support.bases import extension_wheel, why_no_compiler

pytestmark = pytest.mark.slow
SAMPLES = Path(__file__).parents[2] / "samples" / "packages"
NODE = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on PATH")
ENV = "import os\ndef main(arg): return [os.environ.get(name) for name in arg.split()]\n"


@pytest.fixture(scope="module", params=["isolated", "bare", pytest.param("docker", marks=pytest.mark.docker)])
def offline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent whose index is a folder of wheels."""
    index = tmp_path_factory.mktemp("index")
    packages.wheel(index)
    if not why_no_compiler():
        extension_wheel(index)
    told: dict[str, Any] = {}
    if request.param == "docker":
        for runtime in ("python", "nodejs"):
            need_engine(runtime)
        told = {"driver": "docker"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(index))
        isolation = "none" if request.param == "bare" else ""
        agent = Agent.start(isolation=isolation, prewarm={"python": 1, "nodejs": 0}, **told)
    with agent:
        yield agent


def with_packages(base: Path, name: str = "answer", requirement: str = "tiny==1.0") -> Path:
    folder = write_function(base, name, "import tiny\n\ndef main(arg): return [tiny.ANSWER, tiny.__file__]\n")
    (folder / "requirements.txt").write_text(requirement + "\n")
    return folder


async def test_a_function_finds_its_packages_and_others_do_not(offline: Agent, user: str, tmp_path: Path) -> None:
    lines: list[str] = []
    async with offline.client(user) as client:
        added = await client.add(with_packages(tmp_path), on_line=lines.append)
        assert lines[:1] in ([], ["resolving 1 package: tiny"])
        answer, place = await client.invoke("answer")
        assert answer == 42
        assert "answer@packages" in place
        lines.clear()
        assert (await client.add(with_packages(tmp_path))).unchanged
        await client.add(with_packages(tmp_path, "second"), on_line=lines.append)
        assert lines == []
        assert (await client.invoke("second"))[0] == 42
        await client.add(write_function(tmp_path, "without", "import tiny\ndef main(arg): return 1\n"))
        with pytest.raises(LoadFailed, match="tiny"):
            await client.invoke("without")
        told = await client.describe(added.function.name)
        assert [(package.name, package.version, package.asked) for package in told.requirements] == [
            ("tiny", "1.0", True)
        ]
        key = told.packages
        assert (offline.state / "deps" / key).is_dir()
        await client.remove("answer")
        assert (offline.state / "deps" / key).is_dir()
        await client.remove("second")
        assert not (offline.state / "deps" / key).exists()


@pytest.mark.skipif(bool(why_no_compiler()), reason=why_no_compiler())
async def test_an_extension_module_is_loaded_where_the_function_runs(offline: Agent, user: str, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "native", "import fast\ndef main(arg): return [fast.answer(), fast.__file__]\n")
    (folder / "requirements.txt").write_text("fast\n")
    async with offline.client(user) as client:
        await client.add(folder)
        answer, place = await client.invoke("native")
        assert answer == 42
        assert place.endswith("/native@packages/fast.abi3.so")
        await client.remove("native")


async def test_all_workers_that_need_the_same_packages_share_one_folder(
    offline: Agent, user: str, tmp_path: Path
) -> None:
    code = (
        "import os, time, tiny\ndef main(arg):\n    open(f'/act/flow/{arg}', 'w').close()\n"
        "    while len(os.listdir('/act/flow')) < 2: time.sleep(0.01)\n"
        "    return [os.stat(tiny.__file__).st_ino, os.stat(tiny.__file__).st_mode & 0o222]\n"
    )
    whole = "import mee6\ndef main(arg): return mee6.gather(('part', 'a'), ('part', 'b'))\n"
    folder = write_function(tmp_path, "part", code)
    (folder / "requirements.txt").write_text("tiny==1.0\n")
    if offline.isolation == "none":
        pytest.skip("without a sandbox there is no /act")
    async with offline.client(user) as client:
        await client.add(folder)
        await client.add(write_function(tmp_path, "whole", whole, calls={"part": "always"}))
        first, second = await client.invoke("whole")
        assert first == second
        assert first[1] == 0
        assert len({step.worker for step in (await client.trace()).steps if step.function == "part"}) == 2
        for name in ("whole", "part"):
            await client.remove(name)


async def test_a_workflows_functions_each_find_their_own(offline: Agent, user: str, tmp_path: Path) -> None:
    code = "import mee6\ndef main(arg): return mee6.invoke('answer', '')[0] + 1\n"
    async with offline.client(user) as client:
        await client.add(with_packages(tmp_path))
        await client.add(write_function(tmp_path, "root", code, calls={"answer": ""}))
        assert await client.invoke("root") == 43
        assert len({step.worker for step in (await client.trace()).steps}) == 1
        for name in ("answer", "root"):
            await client.remove(name)


async def test_a_packages_code_cannot_be_written(offline: Agent, user: str, tmp_path: Path) -> None:
    code = "import tiny\ndef main(arg):\n    with open(tiny.__file__, 'a') as file: file.write('x')\n"
    folder = write_function(tmp_path, "writer", code)
    (folder / "requirements.txt").write_text("tiny\n")
    if offline.isolation == "none" and os.geteuid() == 0:
        pytest.skip("root without a sandbox writes anything")
    async with offline.client(user) as client:
        await client.add(folder)
        with pytest.raises(Exception, match=r"Read-only|Permission"):
            await client.invoke("writer")
        await client.remove("writer")


async def test_what_cannot_be_had_adds_nothing(offline: Agent, user: str, tmp_path: Path) -> None:
    broken = with_packages(tmp_path, "broken", "./broken-1.0.tar.gz")
    packages.source(broken, "broken", "raise SystemExit('no compiler for this')")
    async with offline.client(user) as client:
        for requirement, error in (("tiny==9", DependencyFailed), ("-e .", InvalidBundle)):
            with pytest.raises(error):
                await client.add(with_packages(tmp_path, requirement=requirement))
        if offline.isolation != "none":
            with pytest.raises(DependencyFailed, match="could not be built") as caught:
                await client.add(broken)
            assert "no compiler for this" in caught.value.traceback
        assert await client.list() == ()
    assert not list((offline.state / "deps").glob(".*"))


@pytest.mark.node
@NODE
async def test_require_and_import_find_the_packages_of_a_function(offline: Agent, user: str, tmp_path: Path) -> None:
    common = "module.exports = async () => [require('tiny'), (await import('tiny')).default];\n"
    module = "import tiny from 'tiny';\nimport { log } from '@m6s/box';\nexport default () => [tiny, typeof log];\n"
    asked = {"dependencies": {"tiny": "file:tiny-1.0.0.tgz"}}
    archive = packages.npm_archive(tmp_path)
    async with offline.client(user) as client:
        for name, code, more in (("common", common, {}), ("module", module, {"type": "module"})):
            folder = write_function(tmp_path, name, code, runtime="nodejs")
            (folder / "package.json").write_text(json.dumps({**asked, **more}))
            shutil.copy(archive, folder)
            await client.add(folder)
        assert await client.invoke("common") == [42, 42]
        assert await client.invoke("module") == [42, "function"]
        assert len(list((offline.state / "deps").glob("nodejs-*"))) == 1
        missing = write_function(tmp_path, "missing", "require('not-asked-for');\n", runtime="nodejs")
        (missing / "package.json").write_text(json.dumps(asked))
        shutil.copy(archive, missing)
        await client.add(missing)
        with pytest.raises(LoadFailed, match="not-asked-for"):
            await client.invoke("missing")
        for name in ("common", "module", "missing"):
            await client.remove(name)


async def test_the_environment_is_part_of_the_version_and_goes_over_the_manifests(
    offline: Agent, user: str, tmp_path: Path
) -> None:
    folder = write_function(tmp_path, "env", ENV, env={"A": "manifest", "B": "manifest"})
    async with offline.client(user) as client:
        await client.add(folder)
        assert await client.invoke("env", "A B C") == ["manifest", "manifest", None]
        second = await client.add(folder, env={"B": "given", "C": "=secret"})
        assert (second.function.version, second.unchanged) == (2, False)
        assert await client.invoke("env", "A B C") == ["manifest", "given", "=secret"]
        assert (await client.add(folder, env={"C": "=secret", "B": "given"})).unchanged
        assert (await client.describe("env")).env == {"B": "", "C": ""}
        assert (await client.describe("env", show_env=True)).env == {"B": "given", "C": "=secret"}
        await client.add(write_function(tmp_path, "other", ENV))
        assert await client.invoke("other", "A B C") == [None, None, None]
        for wrong in ({"1": "x"}, {"A": "\0"}, {"A": "x" * 70_000}):
            with pytest.raises(InvalidInput):
                await client.add(folder, env=wrong)
        for name in ("env", "other"):
            await client.remove(name)


async def test_packages_and_environment_outlive_the_agent_and_lost_packages_are_told(tmp_path: Path) -> None:
    folder = with_packages(tmp_path, requirement="./tiny-1.0-py3-none-any.whl")
    packages.wheel(folder)
    agent = Agent.start(prewarm={"python": 0, "nodejs": 0})
    async with agent.client() as client:
        await client.add(folder, env={"A": "1"})
    (agent.state / "deps" / ".torn-x").mkdir()
    agent.kill()
    with agent.restarted() as again:
        assert [path.name[:7] for path in (again.state / "deps").iterdir()] == ["python-"]
        async with again.client() as client:
            assert (await client.invoke("answer"))[0] == 42
            assert (await client.describe("answer")).env == {"A": ""}
    agent = Agent.start(prewarm={"python": 0, "nodejs": 0})
    with agent:
        async with agent.client() as client:
            await client.add(folder)
            for path in (agent.state / "deps").iterdir():
                path.rename(tmp_path / "gone")
            with pytest.raises(NotFound, match=r"the packages of 'answer' are missing .*; add it again"):
                await client.invoke("answer")
            assert (await client.add(folder)).unchanged
            assert (await client.invoke("answer"))[0] == 42


async def test_ctrl_c_calls_the_resolving_off_and_leaves_nothing(tmp_path: Path) -> None:
    folder = with_packages(tmp_path, requirement="./endless-1.0.tar.gz")
    packages.source(folder, "endless", "time.sleep(600)")
    with Agent.start(prewarm={"python": 0, "nodejs": 0}) as agent:
        command = [sys.executable, "-m", "mee6tui.cli.main", "act", "add", str(folder), "--address", agent.address]
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        assert process.stderr is not None
        said = (await asyncio.wait_for(process.stderr.readline(), 20)).decode()
        assert said == "mee6: resolving 1 package: endless-1.0.tar.gz\n"
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 130
        await until(lambda: not list((agent.state / "deps").iterdir()), "what was being resolved is gone")
        async with agent.client() as client:
            assert await client.list() == ()


async def reached(client: Client, sample: str) -> None:
    try:
        await client.add(SAMPLES / sample)
    except DependencyFailed as error:
        if "out of the agent's reach" in error.message or "refuses the agent" in error.message:
            pytest.skip(error.message)
        raise


@pytest.mark.network
async def test_the_python_sample_runs_with_a_package_of_the_index(any_client: Client) -> None:
    await reached(any_client, "slug")
    assert await any_client.invoke("slug", "Hello, W\u00f6rld!") == "hello-world"
    await any_client.remove("slug")


@pytest.mark.network
@pytest.mark.node
@NODE
async def test_the_nodejs_sample_runs_with_a_package_of_the_index(any_client: Client) -> None:
    await reached(any_client, "span")
    assert await any_client.invoke("span", "2 days") == "172800000 ms"
    await any_client.remove("span")


@pytest.mark.network
@pytest.mark.parametrize("language", ["python", pytest.param("nodejs", marks=[pytest.mark.node, NODE])])
async def test_thumbnails_are_made_with_a_package_of_the_index(any_client: Client, language: str) -> None:
    for name in ("thumbnail", "gallery"):
        await reached(any_client, f"images/{language}/{name}")
    picture = (SAMPLES.parent / "pictures" / "sunset.png").read_bytes()
    told = await any_client.invoke("gallery", picture)
    assert [(one["name"], one["width"], one["height"]) for one in told] == [
        (f"thumbnail-{edge}.png", edge, round(edge * 2 / 3)) for edge in (128, 64, 32)
    ]
    for one in told:
        assert one["colour"] == pytest.approx([159, 103, 107], abs=6)  # of the picture; libraries round differently
    for name in ("gallery", "thumbnail"):
        await any_client.remove(name)
