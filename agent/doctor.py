"""What this machine can do for an agent: one finding for each thing that workers need or profit from.

Looks and never changes: files are asked whether they may be written, namespaces are tried in a process that ends at
once, the engine is only asked. What is a failure depends on the driver: without an engine the process driver serves.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from agent.choice import AUTO, choose
from agent.config import DEFAULT_HTTP_LISTEN
from agent.drivers.process.cgroups import Hierarchy, hierarchies
from agent.listening import SOCKET_PATH_BYTES, probe, split_listen
from mee6.errors import Conflict, Mee6Error
from mee6.sizes import size_text
from runtimes.catalog import RUNTIMES

MIN_KERNEL: Final = (5, 12)
"""Of `mount_setattr`, by which code is made read-only before it enters a worker."""
MIN_API: Final = (1, 41)
MIN_FREE_BYTES: Final = 1 << 30
MIN_FREE_FILES: Final = 10_000
_ENGINE_S: Final = 3.0
_TRY_S: Final = 10.0
_FLAGS: Final = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000}
_TRY_NAMESPACES: Final = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(0 if libc.unshare(int(sys.argv[1])) == 0 else os.strerror(ctypes.get_errno()))
"""


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"  # it works, but worse than it could
    FAILING = "failing"  # workers cannot be made without it


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome."""

    check: str
    level: Level
    found: str
    mend: str = ""
    """A command, or what to do; empty when all is well."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at: what `mee6 agent serve` would be told."""

    state_dir: Path
    driver: str
    """`process` or `docker`; or `auto` until it is `settled`."""
    listen: str
    http: str = ""
    """Where HTTP is to be served; empty for nowhere."""

    def settled(self) -> tuple[Patient, list[Finding]]:
        """The patient with the driver that `auto` takes here, and what there is to say of that."""
        if self.driver != AUTO:
            return self, []
        driver, why = choose()
        return replace(self, driver=driver), [Finding("driver", Level.OK, f"auto takes {driver}: {why}")]

    def engine(self, found: str, mend: str) -> Finding:
        """A finding about the engine that only the docker driver cannot do without."""
        level = Level.FAILING if self.driver == "docker" else Level.WARNING
        return Finding("engine", level, found, mend)


def examine(patient: Patient) -> Iterator[Finding]:
    """Makes all checks, one after the other; none takes longer than some seconds."""
    for check in _CHECKS:
        yield from check(patient)


def _kernel(_patient: Patient) -> Iterator[Finding]:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if sys.platform != "linux":
        yield Finding("kernel", Level.FAILING, sys.platform, "use Linux, or a virtual machine with it")
    elif numbers < MIN_KERNEL:
        yield Finding("kernel", Level.WARNING, f"Linux {release}; 5.12 is wanted", "update the kernel")
    else:
        yield Finding("kernel", Level.OK, f"Linux {release}")


def _python(_patient: Patient) -> Iterator[Finding]:
    level = Level.OK if sys.version_info >= (3, 11) else Level.FAILING
    yield Finding(
        "python", level, platform.python_version(), "" if level is Level.OK else "install Python 3.11 or later"
    )


def _node(patient: Patient) -> Iterator[Finding]:
    why = RUNTIMES["nodejs"].missing()
    if why and patient.driver == "docker":
        yield Finding("node", Level.OK, "not on PATH; the image brings its own")
    elif why:
        yield Finding("node", Level.WARNING, "not on PATH: no functions in JavaScript", "apt-get install -y nodejs")
    else:
        yield Finding("node", Level.OK, _said(["node", "--version"]))


def _packages(_patient: Patient) -> Iterator[Finding]:
    """What resolves the packages of functions, whatever makes the workers."""
    tools = {
        "pip": (importlib.util.find_spec("pip") is not None, f"{sys.executable} -m ensurepip"),
        "npm": (bool(shutil.which("npm") and shutil.which("node")), "apt-get install -y npm"),
    }
    there = [name for name, (found, _) in tools.items() if found]
    if len(there) == len(tools):
        yield Finding("packages", Level.OK, f"{' and '.join(there)} can resolve what functions depend on")
        return
    for name, (found, mend) in tools.items():
        if not found:
            files = "requirements.txt" if name == "pip" else "package.json"
            yield Finding("packages", Level.WARNING, f"no {name}: no functions with a {files}", mend)


def _cgroups(patient: Patient) -> Iterator[Finding]:
    try:
        trees = hierarchies(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    except OSError as error:
        trees = []
        yield Finding("cgroups", Level.WARNING, f"cannot be read: {error.strerror}")
    writable = [tree for tree in trees if os.access(tree.own, os.W_OK | os.X_OK)]
    versions = ", ".join(sorted({f"v{tree.version}" for tree in trees})) or "none mounted"
    mend = "systemd-run --scope -p Delegate=yes mee6 agent serve" if trees else "mount -t cgroup2 none /sys/fs/cgroup"
    if writable:
        yield Finding("cgroups", Level.OK, f"{versions}, writable")
    else:
        yield Finding("cgroups", Level.WARNING, f"{versions}, not writable by this user", mend)
    offered = {name for tree in writable for name in _controllers(tree)}
    slow = "api, 8 ms" if patient.driver == "docker" else "signals"
    if "freezer" in offered:
        yield Finding("freezer", Level.OK, "direct: a worker is resumed in some 0.1 ms")
    else:
        yield Finding("freezer", Level.WARNING, f"not within reach: workers are paused by {slow}", mend)
    missing = sorted({"memory", "cpu", "pids"} - offered)
    if missing:
        yield Finding("limits", Level.WARNING, f"not for a whole worker: {', '.join(missing)}", mend)
    else:
        yield Finding("limits", Level.OK, "memory, cpu and pids of a whole worker")


def _controllers(tree: Hierarchy) -> set[str]:
    if tree.version != 2:
        return set(tree.controllers)
    try:
        return {"freezer", *(tree.own / "cgroup.controllers").read_text().split()}
    except OSError:
        return {"freezer"}


def _namespaces(patient: Patient) -> Iterator[Finding]:
    root = os.geteuid() == 0
    flags = sum(flag for name, flag in _FLAGS.items() if not (root and name == "user"))
    tried = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TRY_NAMESPACES, str(flags)],
        capture_output=True,
        text=True,
        timeout=_TRY_S,
        check=False,
    )
    who = "root" if root else "user namespaces"
    if tried.returncode == 0:
        yield Finding("namespaces", Level.OK, f"mount, pid, net and ipc, as {who}")
    else:
        yield Finding(
            "namespaces",
            Level.WARNING,
            f"not allowed ({tried.stderr.strip()}): the process driver serves trusted code only",
            "sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if patient.driver == "docker" and not root:
        yield Finding("root", Level.FAILING, "the docker driver mounts and needs root", "sudo mee6 agent serve")


def _engine(patient: Patient) -> Iterator[Finding]:
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    scheme, _, path = where.partition("://")
    if scheme != "unix":
        yield patient.engine(f"{where} is not on this machine", "unset DOCKER_HOST")
        return
    try:
        version, info = _ask(path, "/version"), _ask(path, "/info")
    except PermissionError:
        yield patient.engine(
            f"{path} is not for this user", "run as root, or: usermod -aG docker $USER, and log in again"
        )
        return
    except (OSError, ValueError) as error:
        installed = shutil.which("dockerd")
        mend = "systemctl start docker, or: dockerd &" if installed else "apt-get install -y docker.io"
        yield patient.engine(f"none answers at {path}: {getattr(error, 'strerror', None) or error}", mend)
        return
    api = tuple(int(part) for part in str(version.get("ApiVersion", "0")).split("."))
    name = f"Docker {version.get('Version')}, API {version.get('ApiVersion')}, cgroup driver {info.get('CgroupDriver')}"
    if api < MIN_API:
        yield patient.engine(f"{name}; API 1.41 is wanted", "update Docker to 20.10 or later")
        return
    yield Finding("engine", Level.OK, name)
    root = Path(str(info.get("DockerRootDir") or "/"))
    if patient.driver == "docker" and _nearest(root) == root:
        yield from _room("engine disk", root, "remove images that nobody needs: docker image ls")
    yield from _images(patient)


def _images(patient: Patient) -> Iterator[Finding]:
    try:
        from agent.images import list_images
    except ImportError:
        mend = "pip install docker"
        yield Finding("images", patient.engine("", "").level, "the library for Docker is not installed", mend)
        return
    try:
        images = {image.runtime: image for image in list_images(_ENGINE_S)}
    except Mee6Error as error:
        yield Finding("images", patient.engine("", "").level, error.message)
        return
    for runtime in RUNTIMES:
        image = images.get(runtime)
        mend = f"mee6 image build {runtime}"
        if image is None:
            # One language is enough to serve.
            level = Level.FAILING if patient.driver == "docker" and not images else Level.WARNING
            yield Finding(f"image {runtime}", level, "not built", mend)
        elif not image.is_current:
            what = f"of another build ({image.version or 'not by mee6'})"
            yield Finding(f"image {runtime}", Level.WARNING, what, image.build_command)
        else:
            yield Finding(f"image {runtime}", Level.OK, f"{image.name}, {image.size_bytes >> 20} MiB")


def _state(patient: Patient) -> Iterator[Finding]:
    state = patient.state_dir
    elsewhere = "mee6 agent serve --state-dir DIR"
    base = _nearest(state)
    longest = state / "lane" / "agent.sock"
    if base is None:
        yield Finding("state folder", Level.FAILING, f"{state} is not for this user to see", elsewhere)
        return
    if not base.is_dir():
        yield Finding("state folder", Level.FAILING, f"{base} is not a folder", elsewhere)
        return
    if not os.access(base, os.W_OK | os.X_OK):
        yield Finding("state folder", Level.FAILING, f"{base} is not writable by this user", elsewhere)
    elif len(os.fsencode(longest)) > SOCKET_PATH_BYTES:
        yield Finding("state folder", Level.FAILING, f"{state} is too long for sockets", elsewhere)
    else:
        yield Finding("state folder", Level.OK, f"{state} {'can be used' if base == state else 'can be made'}")
    yield from _room("disk", base, f"make room, or: {elsewhere}")
    disk = os.statvfs(base)
    if disk.f_files and disk.f_favail < MIN_FREE_FILES:
        yield Finding("inodes", Level.WARNING, f"{disk.f_favail} free at {base}", f"remove files, or: {elsewhere}")
    elif disk.f_files:
        yield Finding("inodes", Level.OK, f"{disk.f_favail} free")


def _nearest(path: Path) -> Path | None:
    """The path, or its nearest parent that is there; None where this user may not look."""
    try:
        return next(place for place in (path, *path.parents) if place.exists())
    except PermissionError:
        return None


def _room(check: str, place: Path, mend: str) -> Iterator[Finding]:
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    found = f"{size_text(free)} free at {place}"
    if free < MIN_FREE_BYTES // 10:
        yield Finding(check, Level.FAILING, found, mend)
    elif free < MIN_FREE_BYTES:
        yield Finding(check, Level.WARNING, found, mend)
    else:
        yield Finding(check, Level.OK, found)


def _sockets(_patient: Patient) -> Iterator[Finding]:
    try:
        with tempfile.TemporaryDirectory(prefix="m6d") as folder, socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(Path(folder, "s")))
    except OSError as error:
        yield Finding("unix sockets", Level.FAILING, error.strerror or str(error), "set TMPDIR to a local file system")
    else:
        yield Finding("unix sockets", Level.OK, "can be made")


def _ports(patient: Patient) -> Iterator[Finding]:
    yield _port(patient, "port", "listen", patient.listen)
    if patient.http:
        yield _port(patient, "http port", "http", patient.http)


def _port(patient: Patient, check: str, key: str, listen: str) -> Finding:
    """Whether an address can be had; `key` is its name in what an agent says of itself."""
    option = "--listen" if key == "listen" else "--http-listen"
    elsewhere = f"mee6 agent serve {option} 127.0.0.1:0"
    try:
        host, port = split_listen(listen)
        probe(listen, host, port, option)
    except Conflict:
        if _serves_at(patient, key, listen):
            return Finding(check, Level.OK, f"{listen} is taken, by the agent of this state folder")
        level = Level.FAILING if key == "listen" or listen != DEFAULT_HTTP_LISTEN else Level.WARNING
        return Finding(check, level, f"{listen} is taken by another program", elsewhere)
    except Mee6Error as error:
        return Finding(check, Level.FAILING, error.message, elsewhere)
    return Finding(check, Level.OK, "a free one will be taken" if port == 0 else f"{listen} is free")


def _serves_at(patient: Patient, key: str, listen: str) -> bool:
    """Whether the agent of the state folder says that it listens there."""
    try:
        said = json.loads((patient.state_dir / "agent.json").read_text())
        return bool(said[key].rpartition(":")[2] == listen.rpartition(":")[2])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _clock(_patient: Patient) -> Iterator[Finding]:
    clock = time.get_clock_info("monotonic")
    year = time.gmtime().tm_year
    if year < 2024:
        yield Finding("clock", Level.WARNING, f"the year is {year}", "timedatectl set-ntp true")
    elif clock.resolution > 1e-6:
        yield Finding(
            "clock", Level.WARNING, f"coarse: {clock.resolution:g} s", "use a kernel with high-resolution timers"
        )
    else:
        yield Finding("clock", Level.OK, f"monotonic to {clock.resolution * 1e9:.0f} ns")


_CHECKS: Final[tuple[Callable[[Patient], Iterator[Finding]], ...]] = (
    _kernel, _python, _node, _packages, _namespaces, _cgroups, _engine, _state, _sockets, _ports, _clock,
)  # fmt: skip


def _said(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_TRY_S, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)


def _ask(path: str, resource: str) -> dict[str, Any]:
    """The engine's answer to one plain question, without its library: it may not be installed."""
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(_ENGINE_S)
        engine.connect(path)
        engine.sendall(f"GET {resource} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = b"".join(iter(lambda: engine.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.splitlines()[0] if head else True:
        raise ValueError("it did not answer as an engine does")
    said: dict[str, Any] = json.loads(body)
    return said
