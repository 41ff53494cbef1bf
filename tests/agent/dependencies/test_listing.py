from __future__ import annotations

import json
from pathlib import Path

from agent.dependencies.listing import packages


def test_packages_of_pip_are_read_from_what_it_leaves(tmp_path: Path) -> None:
    for name in ("ruamel_yaml-0.18.6", "tiny-1.0", "six-1.16.0"):
        (tmp_path / f"{name}.dist-info").mkdir()
    (tmp_path / "ruamel_yaml-0.18.6.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: ruamel.yaml\n\n")
    (tmp_path / "notes.dist-info").mkdir()
    found = packages(tmp_path, "python", ("Ruamel-YAML", "tiny-1.0-py3-none-any.whl"))
    assert [(one.name, one.version, one.asked) for one in found] == [
        ("ruamel.yaml", "0.18.6", True), ("tiny", "1.0", True), ("six", "1.16.0", False),
    ]  # fmt: skip


def test_packages_of_npm_are_read_from_its_lock(tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    lock = {"packages": {
        "node_modules/@scope/thing": {"version": "2.0.0"},
        "node_modules/left/node_modules/right": {"version": "1.0.0"},
        "node_modules/left": {"version": "3.0.0"},
    }}  # fmt: skip
    (tmp_path / "node_modules" / ".package-lock.json").write_text(json.dumps(lock))
    found = packages(tmp_path, "nodejs", ("left", "@scope/thing"))
    assert [(one.name, one.version, one.asked) for one in found] == [
        ("@scope/thing", "2.0.0", True), ("left", "3.0.0", True), ("right", "1.0.0", False),
    ]  # fmt: skip


def test_what_cannot_be_told_is_nothing(tmp_path: Path) -> None:
    assert packages(tmp_path / "none", "python", ("a",)) == ()
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / ".package-lock.json").write_text("[]")
    assert packages(tmp_path, "nodejs", ("a",)) == ()
