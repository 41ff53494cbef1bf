"""Packages made on the spot, so that tests of dependencies need no index: wheels, sources of wheels, npm archives."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

BACKEND = """
import os, sys, time, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
{body}
    name = "{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("{name}.py", code)
        wheel.writestr("{name}-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("{name}-1.0.dist-info/WHEEL", kind)
        wheel.writestr("{name}-1.0.dist-info/RECORD", "")
    return name
"""


def wheel(
    folder: Path, name: str = "tiny", code: str = "ANSWER = 42\n", version: str = "1.0", tag: str = "py3-none-any"
) -> Path:
    """A wheel of one module."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def source(folder: Path, name: str, body: str) -> Path:
    """A source distribution whose build runs `body`, which sets `code`, the text of its one module."""
    indented = "".join(f"    {line}\n" for line in ('code = ""', *body.splitlines()))
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(name=name, body=indented),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    return _archive(folder / f"{name}-1.0.tar.gz", f"{name}-1.0", files)


def npm_archive(folder: Path, name: str = "tiny", code: str = "module.exports = 42;", **package: object) -> Path:
    """An npm package of one file."""
    said = {"name": name, "version": "1.0.0", "main": "index.js", **package}
    return _archive(folder / f"{name}-1.0.0.tgz", "package", {"package.json": json.dumps(said), "index.js": code})


def _archive(path: Path, top: str, files: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path
