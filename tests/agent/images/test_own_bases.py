"""Images of workers on bases that users bring: what their functions find, and what is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import images
from mee6.client import Client
from mee6.errors import Conflict, InvalidInput, Mee6Error, NotFound
from tests.agent.drivers.engines import containers
from tests.support import packages
from tests.support.agents import write_function
from tests.support.bases import base_image, compile_native, other_python, why_no_compiler
from tests.support.docker_agents import DockerAgent
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.docker,
    pytest.mark.timeout(400),  # an image for each test, on an engine that others may use
    pytest.mark.usefixtures("restored"),
]
SITE = "import shutil, site, sys; shutil.copytree('/native', site.getsitepackages()[0] + '/native')"
FACTS = "import os, sys\ndef main(arg): return [list(sys.version_info[:2]), sys.executable, os.getuid()]\n"


async def answer(client: Client, tmp_path: Path, code: str, name: str = "asks") -> Any:
    await client.add(write_function(tmp_path, name, code))
    return await client.invoke(name)


@pytest.mark.skipif(bool(why_no_compiler()), reason=why_no_compiler())
async def test_a_function_uses_the_native_code_of_a_base_whose_user_and_entrypoint_are_its_own(tmp_path: Path) -> None:
    compile_native(tmp_path / "native")
    steps = [
        "COPY lib /opt/native/lib",
        "COPY bin /opt/native/bin",
        "COPY package/native /native",
        f'RUN ["python3", "-c", "{SITE}"]',
        "ENV LD_LIBRARY_PATH=/opt/native/lib GREETING=hello PATH=/opt/native/bin:/usr/bin:/bin",
        'ENTRYPOINT ["/bin/false"]',
        'CMD ["nothing"]',
        "WORKDIR /nowhere",
        "HEALTHCHECK CMD false",
        "USER 1000:1000",
    ]
    code = """
import os, subprocess, native
def main(arg):
    tool = subprocess.check_output(['native-tool']).decode().strip()
    return [native.answer(), tool, os.environ['GREETING'], os.getuid(), os.environ.get('MEE6_BASE_PATH')]
"""
    files = {name: tmp_path / "native" / name for name in ("lib", "bin", "package")}
    with base_image(*steps, files=files) as base:
        made = images.build("python", base)
        assert (made.base, made.is_current) == (base, True)
        with DockerAgent.start(prewarm={"python": 1, "nodejs": 0}) as agent:
            async with agent.client() as client:
                found = await answer(client, tmp_path, code)
        assert found == [42, "a native tool", "hello", 65534, None]


async def test_what_a_function_brings_goes_before_what_the_base_has_installed(tmp_path: Path) -> None:
    step = (
        "import site, pathlib; folder = pathlib.Path(site.getsitepackages()[0]); "
        "folder.mkdir(parents=True, exist_ok=True); "
        "[(folder / (name + '.py')).write_text('WHOSE = 1') for name in ('mine', 'json', 'basic')]"
    )
    folder = write_function(
        tmp_path,
        "order",
        "import mine, json, basic\ndef main(arg): return [mine.WHOSE, hasattr(json, 'WHOSE'), basic.WHOSE]\n",
    )
    (folder / "mine.py").write_text("WHOSE = 'the function'\n")
    with base_image("USER 0", f'RUN ["python3", "-c", "{step}"]') as base:
        images.build("python", base)
        with DockerAgent.start(prewarm={"python": 1, "nodejs": 0}) as agent:
            async with agent.client() as client:
                await client.add(folder)
                assert await client.invoke("order") == ["the function", False, 1]


@pytest.mark.network
async def test_a_base_with_another_python_gets_a_msgspec_and_packages_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = other_python(tmp_path / "python")
    if not version:
        pytest.skip("this machine has no second Python to make a base of")
    path = "/usr/local/bin:/usr/bin:/bin"
    steps = ["COPY python /usr/local", f"ENV PATH={path} LD_LIBRARY_PATH=/usr/local/lib"]
    with base_image(*steps, files={"python": tmp_path / "python"}) as base:
        try:
            made = images.build("python", base)
        except Mee6Error as error:
            if "no msgspec could be had" in str(error):
                pytest.skip(str(error))
            raise
        assert made.python.startswith(f"{version}.")
        for number, whose in (
            (version, "the image's"),
            (f"{sys.version_info[0]}.{sys.version_info[1]}", "the agent's"),
        ):
            tag = f"cp{number.replace('.', '')}-none-any"
            packages.wheel(tmp_path / "index", "whose", f"NAME = {whose!r}\n", tag=tag)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
        with DockerAgent.start(prewarm={"python": 1, "nodejs": 0}) as agent:
            async with agent.client() as client:
                numbers, program, uid = await answer(client, tmp_path, FACTS)
                needs = write_function(tmp_path, "needs", "import whose\ndef main(arg): return whose.NAME\n")
                (needs / "requirements.txt").write_text("whose\n")
                await client.add(needs)
                assert await client.invoke("needs") == "the image's"
    assert numbers == [int(part) for part in version.split(".")]
    assert program == f"/usr/local/bin/python{version}"
    assert uid == 65534


OLD = (
    b"#!/bin/sh\nexec /usr/bin/python3 -c "
    b"""'import sys; sys.version_info = (3, 9, 2, "final", 0); exec(sys.argv[-1])' "$@"\n"""
)
REFUSED = {
    "an old Python": (["COPY old /usr/local/bin/python3"], "python", r"has Python 3\.9\.2; the proxy needs 3\.11"),
    "no Python": (["ENV PATH=/nowhere"], "python", r"has no python3 on its PATH"),
    "a Python of root's": (
        ["""RUN ["python3", "-c", "import os, sys; os.chmod(os.path.realpath(sys.executable), 0o700)"]"""],
        "python",
        r"only its owner may run",
    ),
    "something else for a Python": (["COPY echo /usr/local/bin/python3"], "python", r"that is no Python 3: .*'hello'"),
    "a Python that fails": (["COPY fails /usr/local/bin/python3"], "python", r"cannot run Python: out of order"),
    "no Node.js": (
        ["""RUN ["python3", "-c", "import os, shutil; os.remove(shutil.which('node'))"]"""],
        "nodejs",
        r"has no node on its PATH",
    ),
    "a broken Node.js": (["COPY fails /usr/local/bin/node"], "nodejs", r"has /usr/local/bin/node, but it cannot be"),
    "a volume": (["VOLUME /data"], "python", r"declares volumes \(/data\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_base_that_cannot_serve_is_refused_with_the_reason(what: str) -> None:
    steps, runtime, message = REFUSED[what]
    files = {
        "old": OLD,
        "echo": b"#!/bin/sh\necho hello\n",
        "fails": b"#!/bin/sh\necho out of order\nexit 3\n",
    }
    with images.connect() as api:
        before = images.find_image(api, runtime)
    with base_image("USER 0", *steps, files=files) as base:
        with pytest.raises(InvalidInput, match=message) as caught:
            images.build(runtime, base)
        assert repr(base) in caught.value.message
    with images.connect() as api:
        assert images.find_image(api, runtime) == before


async def test_a_new_image_takes_the_place_of_an_old_one_that_workers_go_on_using(tmp_path: Path) -> None:
    def dangling() -> set[str]:
        with images.connect() as api:
            found = api.images(filters={"dangling": True, "label": "mee6.runtime=python"})
            return {image["Id"] for image in found}

    with base_image("ENV WHICH=first") as first, base_image("ENV WHICH=second") as second:
        old = images.build("python", first)
        others = dangling()  # containers that are not this test's, on an engine that others use too, keep theirs
        code = "import os\ndef main(arg): return os.environ['WHICH']\n"
        with DockerAgent.start(prewarm={"python": 1, "nodejs": 0}) as agent:
            async with agent.client() as client:
                assert await answer(client, tmp_path, code) == "first"
                new = images.build("python", second)
                assert new.image_id != old.image_id
                assert dangling() - others == {old.image_id}
                assert await client.invoke("asks") == "first"  # its worker is one of the old image's
        again = images.build("python", second)
        assert again.image_id == new.image_id
        assert dangling() <= others


async def test_an_image_in_use_is_not_removed_and_says_whose_it_is() -> None:
    with base_image("ENV WHICH=used") as base, images.connect() as api:
        images.build("python", base)
        with DockerAgent.start(prewarm={"python": 1, "nodejs": 0}) as agent:
            await until(lambda: containers(api, agent.id), "its container")
            with pytest.raises(Conflict, match=rf"in use by 1 container of agent {agent.id}; .*mee6 agent stop"):
                images.remove("python")
        images.remove("python")
        with pytest.raises(NotFound, match="mee6 image ls"):
            images.remove("python")


def test_what_a_base_loses_by_its_own_making_is_an_error_of_the_build() -> None:
    step = 'ONBUILD RUN ["python3", "-c", "raise SystemExit(5)"]'
    failed = r"building mee6/runtime-python failed: .*returned a non-zero code: 5"
    with base_image("USER 0", step) as base, pytest.raises(Mee6Error, match=failed):
        images.build("python", base)
