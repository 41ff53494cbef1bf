"""What goes into an image: our packages, a msgspec that its Python can load, and how a worker starts.

Equal content gives equal bytes, by which the engine's cache goes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from agent.images.bases import DEFAULT_BASES, Base
from mee6.errors import Mee6Error
from mee6.version import VERSION

INSIDE: Final = "/opt/mee6"
"""Where the packages are in an image."""
_LEFT_OUT: Final = frozenset({"__pycache__", "api", "client.py", "script.py", "README.md", "Dockerfile"})
_PACKAGES: Final = ("mee6", "proxy", "runtimes")
_MSGSPEC: Final = "msgspec"
_PIP_TIMEOUT_S: Final = 120.0
_START: Final = """import os, sys
os.environ["MEE6_BASE_PATH"] = {path!r}
sys.path.insert(0, {inside!r})
from proxy.container import main
main()
"""


@cache
def build_id() -> str:
    """Names what an image made here would hold: the version, and a digest of the packages' files."""
    digest = hashlib.sha256()
    for name, path in [*_files(), *((name, _dockerfile(name)) for name in DEFAULT_BASES)]:
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(_START.encode())
    return f"{VERSION}-{digest.hexdigest()[:12]}"


def _files() -> Iterator[tuple[str, Path]]:
    """Our packages' files, as (name in the image, path here), in a fixed order."""
    for package in _PACKAGES:
        folder = _folder(package)
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not _LEFT_OUT.intersection(inside.parts) and path.suffix != ".pyc":
                yield f"{package}/{inside}", path


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def context(runtime: str, base: Base) -> bytes:
    """The build context of a runtime's image on a base, as a tar.

    Raises:
        Mee6Error: there is no msgspec for the base's Python.
    """
    with tempfile.TemporaryDirectory(prefix="mee6-context-") as scratch, io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            _put(tar, "Dockerfile", _dockerfile(runtime).read_bytes())
            _put(tar, "mee6/start.py", _START.format(path=":".join(base.path), inside=INSIDE).encode())
            for name, path in _files():
                _put(tar, f"mee6/{name}", path.read_bytes())
            msgspec = _msgspec_for(base, Path(scratch))
            for path in sorted(msgspec.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    _put(tar, f"mee6/{_MSGSPEC}/{path.relative_to(msgspec)}", path.read_bytes())
        return buffer.getvalue()


def _dockerfile(runtime: str) -> Path:
    return _folder("runtimes") / runtime / "Dockerfile"


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # No times and no owners: the engine's cache goes by what is in the context.
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(data))


def _msgspec_for(base: Base, scratch: Path) -> Path:
    """The folder of a msgspec that the base's Python can load: our own one, or a wheel for it."""
    major, minor = base.python[:2]
    is_glibc = base.libc == "glibc"
    if (major, minor, base.machine) == (*sys.version_info[:2], platform.machine()) and is_glibc:
        return _folder(_MSGSPEC)
    wanted = ("manylinux2014_" if is_glibc else "musllinux_1_2_") + base.machine
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--retries=2", f"--python-version={major}.{minor}"]
    command += [f"--platform={wanted}", f"--dest={scratch}", f"{_MSGSPEC}=={metadata.version(_MSGSPEC)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
    except subprocess.TimeoutExpired:
        said = f"pip took more than {_PIP_TIMEOUT_S:g} s"
    wheel = next(scratch.glob("*.whl"), None)
    if wheel is None:
        raise Mee6Error(
            f"no msgspec could be had for the Python {major}.{minor} ({wanted}) of base image {base.name!r}: {said}; "
            f"a base with this agent's Python {sys.version_info[0]}.{sys.version_info[1]} needs none"
        )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch / "wheel")  # noqa: S202  a wheel whose digest pip has checked
    return scratch / "wheel" / _MSGSPEC
