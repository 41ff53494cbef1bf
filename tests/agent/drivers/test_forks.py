"""A fork into a control group of version 2, on the machine's own kernel; skipped where its tree cannot be written."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.drivers.process import forks
from agent.drivers.process.cgroups import hierarchies


@pytest.fixture
def group() -> Iterator[Path]:
    here = Path("/proc/self")
    trees = hierarchies((here / "mountinfo").read_text(), (here / "cgroup").read_text())
    folder = next((tree.own / f"mee6-test-{uuid.uuid4().hex}" for tree in trees if tree.version == 2), None)
    if folder is None:
        pytest.skip("no tree of version 2 is mounted")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made: {error.strerror}")
    yield folder
    folder.rmdir()


def _said(group: Path, say: Callable[[bool], str], *, new_pids: bool = False) -> str:
    """What a fork into the group says; `say` is told whether it is in."""
    reader, writer = os.pipe()
    fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    pid, is_in = forks.fork([fd], new_pids=new_pids)
    if pid == 0:
        try:
            os.write(writer, say(is_in).encode())
        finally:
            os._exit(0)
    for end in (writer, fd):
        os.close(end)
    with os.fdopen(reader, "rb") as words:
        said = words.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return said


def _place(_is_in: bool) -> str:
    return Path("/proc/self/cgroup").read_text()


def test_a_fork_starts_in_the_group(group: Path) -> None:
    assert group.name in _said(group, _place)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_fork_is_the_first_process_of_its_namespace_and_forks_itself(group: Path) -> None:
    def say(_is_in: bool) -> str:
        child = os.fork()
        if child == 0:
            os._exit(os.getpid())
        return f"{os.getpid()} {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"

    assert _said(group, say, new_pids=True) == "1 2"


@pytest.mark.parametrize(
    "new_pids", [pytest.param(True, marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root")), False]
)
def test_where_it_cannot_be_had_the_fork_moves_by_itself(
    group: Path, monkeypatch: pytest.MonkeyPatch, new_pids: bool
) -> None:
    monkeypatch.setattr(forks, "_SYS_CLONE3", 1 << 20)  # a call that no kernel has

    def say(is_in: bool) -> str:
        before = _place(is_in)
        fd = os.open(group, os.O_RDONLY)
        door = forks.procs(fd)
        os.write(door, b"0")
        return f"{is_in} {os.getpid() == 1} {group.name in before} {group.name in _place(is_in)}"

    assert _said(group, say, new_pids=new_pids) == f"False {new_pids} False True"
    assert os.getpid() > 1
    child = os.fork()  # this process itself is where it was: a child of its is no first process
    if child == 0:
        os._exit(int(os.getpid() == 1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
