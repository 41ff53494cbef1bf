"""Real runs of pip and npm in the box, on packages made on the spot: no index is asked."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.dependencies.resolver import ResolveLimits, Resolver, Say
from agent.dependencies.store import Dependencies
from agent.dependencies.wanted import Wanted
from mee6.errors import DependencyFailed, TimedOut, TooLarge
from tests.support import packages
from tests.support.agents import until

NODE = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on PATH")
pytestmark = pytest.mark.slow

WHAT_IT_SEES = """
def can(what):
    try:
        return repr(what())[:200]
    except BaseException as error:
        return type(error).__name__
code = "SEEN = " + repr({
    "state": can(lambda: os.listdir(STATE)),
    "home": can(lambda: os.listdir(os.path.expanduser("~"))),
    "root_home": can(lambda: os.listdir("/root")),
    "etc": can(lambda: open("/etc/mee6-was-here", "w")),
    "tmp": can(lambda: os.listdir("/tmp") and 1),
    "processes": can(lambda: sum(name.isdigit() for name in os.listdir("/proc"))),
    "mount": can(lambda: os.chroot("/")),
})
"""


class Counting(Resolver):
    """Counts its runs."""

    runs = 0

    async def resolve(self, wanted: Wanted, language_version: str, work: Path, say: Say) -> Path:
        self.runs += 1
        return await super().resolve(wanted, language_version, work, say)


class Rig:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.state = base / "state"
        self.state.mkdir()
        self.lines: list[str] = []

    def store(self, *, isolated: bool = True, **limits: Any) -> tuple[Dependencies, Counting]:
        resolver = Counting(f"t{os.getpid()}", self.state, ResolveLimits(**limits), isolated=isolated)
        return Dependencies(self.state, resolver), resolver

    def function(self, name: str = "f", **files: str) -> Path:
        folder = self.base / name
        folder.mkdir(exist_ok=True)
        for file, text in files.items():
            (folder / file.replace("__", "-").replace("_", ".")).write_text(text)
        return folder

    def left(self) -> list[str]:
        return sorted(path.name for path in (self.state / "deps").iterdir())


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """With a folder of wheels for an index."""
    for name in [name for name in os.environ if name.upper().startswith(("PIP_", "NPM_CONFIG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    packages.wheel(tmp_path / "index")
    yield Rig(tmp_path)
    assert not [
        child for child in psutil.Process().children(recursive=True) if "dependencies.box" in str(child.cmdline())
    ]


async def resolved(rig: Rig, store: Dependencies, folder: Path, language: str = "python") -> Path:
    async with store.provided(folder, language, rig.lines.append) as key:
        return store.path(key)


async def test_what_is_asked_for_is_there_read_only_and_asked_for_once(rig: Rig) -> None:
    store, resolver = rig.store()
    await store.open()
    folder = await resolved(rig, store, rig.function(requirements_txt="tiny==1.0\n"))
    assert (folder / "tiny.py").read_text() == "ANSWER = 42\n"
    assert all(not stat.S_IMODE(path.stat().st_mode) & 0o222 for path in [folder, *folder.rglob("*")])
    assert rig.lines[0] == "resolving 1 package: tiny"
    assert await resolved(rig, store, rig.function("g", requirements_txt="# the same\ntiny==1.0")) == folder
    assert resolver.runs == 1
    assert rig.left() == [folder.name]
    await store.close()


async def test_those_who_want_the_same_at_once_wait_for_one_run(rig: Rig) -> None:
    store, resolver = rig.store()
    await store.open()
    folders = [rig.function(f"f{number}", requirements_txt="tiny\n") for number in range(5)]
    found = await asyncio.gather(*(resolved(rig, store, folder) for folder in folders))
    assert len(set(found)) == resolver.runs == 1
    await store.close()


async def test_a_run_goes_on_while_somebody_waits_and_ends_with_the_last(rig: Rig) -> None:
    packages.source(rig.base / "index", "endless", "print('here', flush=True)\ntime.sleep(600)")
    store, resolver = rig.store()
    await store.open()
    folder = rig.function(requirements_txt="endless\n")
    first, second = (asyncio.create_task(resolved(rig, store, folder)) for _ in range(2))
    await until(lambda: any("Processing" in line or "Collecting" in line for line in rig.lines), "pip is at work")
    first.cancel()
    await asyncio.wait([first])
    assert rig.left()
    assert not second.done()
    second.cancel()
    await asyncio.wait([second])
    assert rig.left() == []
    assert resolver.runs == 1
    await store.close()


async def test_closing_calls_off_what_is_going_on(rig: Rig) -> None:
    packages.source(rig.base / "index", "endless", "time.sleep(600)")
    store, _ = rig.store()
    await store.open()
    waiting = asyncio.create_task(resolved(rig, store, rig.function(requirements_txt="endless\n")))
    await until(lambda: rig.lines, "it has begun")
    await store.close()
    with pytest.raises(Exception, match="the agent is stopping"):
        await waiting
    assert rig.left() == []


@pytest.mark.parametrize(
    ("body", "limits", "error", "says"),
    [
        ("time.sleep(600)", {"timeout_s": 2.5}, TimedOut, "were not there within 2.5 s"),
        ("code = 'x' * 3000000", {"result_bytes": 1 << 20}, TooLarge, "over the limit of 1.0 MiB"),
        ("open('big', 'wb').truncate(9000000)", {"result_bytes": 1 << 20}, TooLarge, "over the limit of 1.0 MiB"),
        ("raise SystemError('no compiler')", {}, DependencyFailed, "could not be built; what it said stands above"),
    ],
    ids=["time", "size", "file", "build"],
)
async def test_what_takes_too_much_or_fails_ends_in_one_line_and_leaves_nothing(
    rig: Rig, body: str, limits: dict[str, Any], error: type[Exception], says: str
) -> None:
    packages.source(rig.base / "index", "heavy", body)
    store, _ = rig.store(**limits)
    await store.open()
    with pytest.raises(error, match=says) as failed:
        await resolved(rig, store, rig.function(requirements_txt="heavy\n"))
    assert "\n" not in str(failed.value)
    if error is DependencyFailed:
        assert "no compiler" in failed.value.traceback  # type: ignore[attr-defined]
    assert rig.left() == []
    await store.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a control group")
async def test_memory_is_limited(rig: Rig) -> None:
    packages.source(rig.base / "index", "heavy", "code = 'x' * (600 << 20)\ncode = ''")
    store, _ = rig.store(memory_bytes=200 << 20)
    await store.open()
    with pytest.raises((TooLarge, DependencyFailed)):
        await resolved(rig, store, rig.function(requirements_txt="heavy\n"))
    await store.close()


async def test_a_build_sees_nothing_of_the_agent_and_writes_nowhere(rig: Rig) -> None:
    packages.source(rig.base / "index", "nosy", f"STATE = {str(rig.state)!r}\n{WHAT_IT_SEES}")
    store, resolver = rig.store()
    await store.open()
    (rig.state / "secret").write_text("x")
    await resolved(rig, store, rig.function("warm", requirements_txt="tiny\n"))
    if not resolver._isolated:
        pytest.skip("needs namespaces")
    folder = await resolved(rig, store, rig.function(requirements_txt="nosy\n"))
    said = (folder / "nosy.py").read_text()
    seen = eval(said.removeprefix("SEEN = "))
    assert seen["state"] in {"FileNotFoundError", "[]", "PermissionError"}
    assert "secret" not in said
    assert not any(name in seen["root_home"] for name in (".npmrc", ".ssh", ".config", ".bash"))
    assert seen["etc"] in {"OSError", "PermissionError"}
    assert int(seen["processes"]) < 10
    assert seen["mount"] == "PermissionError"
    assert "mee6-was-here" not in os.listdir("/etc")
    await store.close()


async def test_without_a_sandbox_nothing_of_a_package_runs(rig: Rig) -> None:
    packages.source(rig.base / "index", "source", "open('/tmp/never', 'w')")
    store, _ = rig.store(isolated=False)
    await store.open()
    assert (await resolved(rig, store, rig.function(requirements_txt="tiny\n")) / "tiny.py").exists()
    with pytest.raises(DependencyFailed, match="no package fits 'source'"):
        await resolved(rig, store, rig.function(requirements_txt="source\n"))
    await store.close()


async def test_a_version_that_is_not_there_is_named(rig: Rig) -> None:
    store, _ = rig.store()
    await store.open()
    with pytest.raises(DependencyFailed, match=r"no package fits \'tiny==9\.9\'") as failed:
        await resolved(rig, store, rig.function(requirements_txt="tiny==9.9\n"))
    assert "1.0" in failed.value.traceback
    with pytest.raises(DependencyFailed, match="a package is not what its hash says"):
        await resolved(rig, store, rig.function(requirements_txt=f"tiny==1.0 --hash=sha256:{'0' * 64}\n"))
    await store.close()


async def test_an_index_out_of_reach_is_told_without_its_name(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    store, _ = rig.store()
    await store.open()
    with pytest.raises(DependencyFailed, match="index is out of the agent's reach") as failed:
        await resolved(rig, store, rig.function(requirements_txt="elsewhere\n"))
    assert "secret" not in failed.value.message + failed.value.traceback
    assert "127.0.0.1" not in failed.value.message
    await store.close()


async def test_what_nobody_needs_goes_and_what_is_held_stays(rig: Rig) -> None:
    store, _ = rig.store()
    await store.open()
    async with store.provided(rig.function(requirements_txt="tiny\n"), "python", rig.lines.append) as key:
        assert await store.keep_only(set()) == 0
        assert store.is_there(key)
    assert await store.keep_only({key}) == 0
    assert await store.keep_only(set()) == 1
    assert not store.is_there(key)
    (rig.state / "deps" / ".torn-x" / "home").mkdir(parents=True)
    await store.open()
    assert rig.left() == []
    await store.close()


async def test_a_function_without_packages_costs_nothing(rig: Rig) -> None:
    store, resolver = rig.store()
    await store.open()
    async with store.provided(rig.function(), "python", rig.lines.append) as key:
        assert key == ""
    assert resolver.runs == 0
    await store.close()


async def test_another_python_than_the_agents_gets_its_own_folder_of_wheels(rig: Rig) -> None:
    store, _ = rig.store()
    other = Dependencies(rig.state, store._resolver, lambda _language: "3.99")
    await store.open()
    folder = rig.function(requirements_txt="tiny\n")
    assert (await resolved(rig, store, folder)).name.startswith(f"python-{sys.version_info[0]}.{sys.version_info[1]}-")
    assert (await resolved(rig, other, folder)).name.startswith("python-3.99-")
    await store.close()


# npm


@pytest.mark.node
@NODE
async def test_npm_installs_an_archive_of_the_bundle_and_runs_its_script_in_the_box(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = rig.base / "home"
    home.mkdir()
    (home / ".npmrc").write_text("fund=false\n")
    monkeypatch.setenv("HOME", str(home))
    look = "const fs = require('fs'), home = process.env.HOME;"
    look += "const seen = [home, fs.existsSync(home + '/.npmrc'), fs.existsSync(process.argv[1])];"
    look += "fs.writeFileSync('seen', JSON.stringify(seen))"
    folder = rig.function(package_json=json.dumps({"dependencies": {"tiny": "file:tiny-1.0.0.tgz"}}))
    packages.npm_archive(folder, scripts={"install": f'node -e "{look}" {rig.state}/deps'})
    store, resolver = rig.store()
    await store.open()
    made = await resolved(rig, store, folder, "nodejs")
    assert (made / "node_modules" / "tiny" / "index.js").exists()
    seen = made / "node_modules" / "tiny" / "seen"
    if resolver._isolated:
        assert json.loads(seen.read_text()) == ["/mee6/work/home", False, False]
    else:
        assert not seen.exists()
    await store.close()


@pytest.mark.node
@NODE
async def test_npm_follows_the_lock_and_says_when_it_does_not_fit(rig: Rig) -> None:
    folder = rig.function(package_json=json.dumps({"dependencies": {"tiny": "file:tiny-1.0.0.tgz"}}))
    packages.npm_archive(folder)
    command = ["npm", "install", "--package-lock-only", "--no-audit", "--no-fund", "--offline"]
    await asyncio.to_thread(subprocess.run, command, cwd=folder, check=True, capture_output=True, timeout=60)
    store, _ = rig.store()
    await store.open()
    made = await resolved(rig, store, folder, "nodejs")
    assert (made / "node_modules" / "tiny" / "index.js").exists()
    packages.npm_archive(folder, "other")
    both = {"tiny": "file:tiny-1.0.0.tgz", "other": "file:other-1.0.0.tgz"}
    (folder / "package.json").write_text(json.dumps({"dependencies": both}))
    with pytest.raises(DependencyFailed, match=r"package-lock\.json does not fit package\.json"):
        await resolved(rig, store, folder, "nodejs")
    await store.close()


@pytest.mark.node
@NODE
async def test_an_npm_index_out_of_reach_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    store, _ = rig.store()
    await store.open()
    with pytest.raises(DependencyFailed, match="index is out of the agent's reach"):
        await resolved(rig, store, rig.function(package_json='{"dependencies": {"ms": "2.1.3"}}'), "nodejs")
    await store.close()


async def test_a_machine_without_npm_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    store, _ = rig.store()
    await store.open()
    with pytest.raises(DependencyFailed, match="npm is not on the agent's PATH"):
        await resolved(rig, store, rig.function(package_json='{"dependencies": {"ms": "2.1.3"}}'), "nodejs")
    await store.close()
