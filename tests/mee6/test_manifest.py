"""`activity.json`, right and wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mee6.errors import InvalidManifest
from mee6.manifest import Manifest, is_name, parse, read


def manifest(**fields: Any) -> Manifest:
    return parse(json.dumps({"name": "f", "runtime": "python", **fields}))


@pytest.mark.parametrize(
    ("runtime", "language"),
    [
        ("python", "python"),
        ("nodejs:latest", "nodejs"),
        ("mee6aas/runtime-nodejs", "nodejs"),
        ("mee6aas/runtime-nodejs:latest", "nodejs"),
    ],
)
def test_a_runtime_of_the_first_mee6aas_is_understood(runtime: str, language: str) -> None:
    assert manifest(runtime=runtime).runtime == language


def test_a_function_with_dependencies_is_a_workflow() -> None:
    assert not manifest().is_workflow
    workflow = manifest(dependencies={"a": {}, "b": {"outflow": "always"}, "c": {"outflow": "optional:1"}})
    assert workflow.is_workflow
    assert workflow.outflows == {"a": "no", "b": "always", "c": "optional:1"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[]", "Expected `object`"),
        ('{"name": "f"}', "missing required field `runtime`"),
        ('{"name": 1, "runtime": "python"}', "at `$.name`"),
        ('{"name": "a/b", "runtime": "python"}', "name 'a/b' is not allowed: 1 to 63 letters"),
        ('{"name": "..", "runtime": "python"}', "name '..' is not allowed"),
        ('{"name": "a..b", "runtime": "python"}', "name 'a..b' is not allowed"),
        ('{"name": "", "runtime": "python"}', "name '' is not allowed"),
        ('{"name": "f", "runtime": "Py thon"}', "runtime 'Py thon' is not a runtime's name"),
        ('{"name": "f", "runtime": "python", "dependancies": {}}', "unknown field `dependancies`"),
        ('{"name": "f", "runtime": "python", "dependencies": {"../x": {}}}', "dependency '../x' is not allowed"),
        ('{"name": "f", "runtime": "python", "dependencies": {"g": {"outflow": "some"}}}', "use 'no', 'always'"),
        ('{"name": "f", "runtime": "python", "dependencies": {"g": {"outflow": "optional:"}}}', "use 'no', 'always'"),
        ('{"name": "f", "runtime": "python", "maxParallelism": -1}', "at `$.maxParallelism`"),
        ('{"name": "f", "runtime": "python", "timeoutS": 0}', "at `$.timeoutS`"),
        ('{"name": "f", "runtime": "python", "env": {"A=B": "c"}}', "env 'A=B' is not a variable's name"),
        ('{"name": "f", "runtime": "python", "network": "host"}', "at `$.network`"),
        ('{"name": "f", "runtime": "python", "limits": {"memory": 64}}', "unknown field `memory`"),
        ('{"name": "f", "runtime": "python", "limits": {"memoryMib": 8}}', "at `$.limits.memoryMib`"),
        ('{"name": "f", "runtime": "python", "limits": {"cpus": 0}}', "at `$.limits.cpus`"),
        ('{"name": "f", "runtime": "python", "limits": {"pids": 1.5}}', "at `$.limits.pids`"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_line_that_names_the_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidManifest) as raised:
        parse(text)
    assert complaint in raised.value.message
    assert raised.value.message.startswith("activity.json")
    assert "\n" not in raised.value.message


def test_a_folder_without_a_manifest_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"no activity\.json in .*; make one with: mee6 init NAME"):
        read(tmp_path)


@given(st.text(max_size=70))
def test_a_name_is_always_a_safe_file_name(text: str) -> None:
    if is_name(text):
        assert Path("/x", text).parent == Path("/x")
        assert text not in (".", "..")
        assert len(text.encode()) < 64
