"""Manifests in YAML: the JSON they stand for, what of YAML is refused, and that a bundle holds JSON."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mee6 import bundle, manifest
from mee6.errors import InvalidManifest
from mee6.manifest_yaml import NotYaml, as_json
from mee6tui.console.folder import check

F = "name: f\nruntime: python\n"
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e6, 1e6)
    | st.text(st.characters(codec="ascii")),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("abc$ #:-", max_size=4), below, max_size=3),
)


def folder(base: Path, **files: str) -> Path:
    base.mkdir(exist_ok=True)
    for name, text in files.items():
        (base / name.replace("_", ".")).write_text(text)
    return base


@given(JSON_VALUES)
def test_json_is_yaml_and_stays_what_it_is(value: Any) -> None:
    assert json.loads(as_json(json.dumps({"x": value}))) == {"x": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("true", True), ("~", None), ("", None), ("12", 12), ("012", "012"),
        ("1e3", 1000.0), ("-0.5", -0.5), ("2026-01-01", "2026-01-01"), (".inf", ".inf"), ("1:30", "1:30"), ("'1'", "1"),
        ("$args.x", "$args.x"), ("0x10", "0x10"), ("1_000", "1_000"), ("a # b", "a"),
        ("[no, on: 1]", ["no", {"on": 1}]),
    ],
)  # fmt: skip
def test_plain_words_are_what_yaml_1_2_says(text: str, value: Any) -> None:
    assert json.loads(as_json(f"x: {text}\n")) == {"x": value}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ": the file is empty; it begins like name: greet"),
        ("a: &x 1\nb: *x", ", line 1, column 4: a manifest has no anchors"),
        ("a: 1\na: 2", ", line 2, column 1: 'a' stands here twice"),
        ("a: {1: b}", ", line 1, column 5: a key is text; write it in quotes"),
        ("a: [1,\n b", ", line 2, column 3: not valid YAML: while parsing a flow sequence, expected"),
        ("a: !!python/object:os.system x", ", line 1, column 4: a manifest has no tags (!os.system)"),
        ("---\na: 1\n---\nb: 1", ", line 3, column 1: not valid YAML: expected a single document"),
        ("\tx: 1", ", line 1, column 1: not valid YAML: while scanning for the next token, found character"),
        ("a: \0", ": not valid YAML: "),
        ("[" * 5000 + "]" * 5000, ": not valid YAML: nested too deeply"),
        ("#" * 200_000, " has 200000 characters, over the limit of 131072 for YAML"),
    ],
)
def test_what_a_manifest_cannot_be_is_refused_by_line(text: str, complaint: str) -> None:
    with pytest.raises(NotYaml) as caught:
        as_json(text)
    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (F + "timeoutS: soon\n", 'activity.yaml, line 3: timeoutS is the text "soon", but must be a number'),
        ("name: a/b\nruntime: python\n", "activity.yaml, line 1: name 'a/b' is not allowed"),
        ("name: w\nsteps:\n  a:\n    function: f\n    after: b\n", "activity.yaml, line 5: "),
        (
            "name: f\nruntime: py: x\n",
            "activity.yaml, line 2, column 12: not valid YAML: mapping values are not allowed",
        ),
        ("name: \udce9\n", "activity.yaml, line 1: not UTF-8 text"),
    ],
)
def test_faults_name_the_file_and_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "activity.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidManifest) as caught:
        manifest.read(tmp_path)
    assert caught.value.message.startswith(complaint)
    assert check(str(tmp_path / "activity.yaml")).error == caught.value.message, "the console says the same"


@pytest.mark.parametrize("name", ["activity_yaml", "activity_yml"])
def test_a_bundle_holds_the_manifest_as_json(tmp_path: Path, name: str) -> None:
    told = F + "dependencies:\n  g: {outflow: no}\n"
    found = folder(tmp_path / "f", **{name: told, "main_py": "def main(arg):\n    return arg\n"})
    packed = bundle.pack(found)
    with tarfile.open(packed.path) as archive:
        assert sorted(archive.getnames()) == ["activity.json", "main.py"]
    assert bundle.unpack(packed.path, tmp_path / "there") == packed.manifest == manifest.read(found)
    assert packed.manifest.outflows == {"g": "no"}
    again = bundle.pack(found)
    assert again.sha256 == packed.sha256
    for one in (packed, again):
        one.path.unlink()


def test_the_sample_in_yaml_is_what_readme_shows_in_json() -> None:
    root = Path(__file__).parents[2]
    shown = next(one for one in (root / "README.md").read_text().split("```json\n")[1:] if '"till"' in one)
    in_readme, sample = manifest.parse(shown.partition("```")[0]), manifest.read(root / "samples/declared/till")
    assert in_readme.steps.keys() == sample.steps.keys()
    assert in_readme.output == sample.output


def test_of_two_manifests_neither_is_taken(tmp_path: Path) -> None:
    found = folder(tmp_path, activity_json='{"name": "f", "runtime": "python"}', activity_yml=F)
    with pytest.raises(InvalidManifest, match=r"has activity.json and activity.yml; keep one of them"):
        bundle.pack(found)
