from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.dependencies.wanted import Wanted, read
from mee6.errors import InvalidBundle
from tests.support import packages


def python(folder: Path, text: str) -> Wanted | None:
    (folder / "requirements.txt").write_text(text)
    return read(folder, "python")


def nodejs(folder: Path, package: object, lock: object = None) -> Wanted | None:
    (folder / "package.json").write_text(json.dumps(package))
    if lock is not None:
        (folder / "package-lock.json").write_text(json.dumps(lock))
    return read(folder, "nodejs")


def test_nothing_is_wanted_where_nothing_is_asked_for(tmp_path: Path) -> None:
    assert read(tmp_path, "python") is None
    assert read(tmp_path, "nodejs") is None
    assert read(tmp_path, "cobol") is None
    assert python(tmp_path, "# nothing yet\n\n") is None
    assert nodejs(tmp_path, {"type": "module", "scripts": {"postinstall": "false"}}) is None


def test_comments_and_spaces_make_no_difference_and_versions_do(tmp_path: Path) -> None:
    plain = python(tmp_path, "a==1\nb[x]>=2 ; python_version > '3'\n")
    assert plain is not None
    same = python(tmp_path, "# why\n  a==1   # this one\n\nb[x]>=2 \\\n ; python_version > '3'")
    other = python(tmp_path, "a==1\nb[x]>=3 ; python_version > '3'\n")
    assert same is not None
    assert other is not None
    assert plain.names == ("a", "b")
    assert plain.digest == same.digest != other.digest


def test_hashes_and_ways_to_choose_are_kept(tmp_path: Path) -> None:
    wanted = python(tmp_path, "--require-hashes\n--only-binary :all:\na==1 --hash=sha256:00 \\\n  --hash=sha256:11\n")
    assert wanted is not None
    assert wanted.files["requirements.txt"] == (
        b"--require-hashes\n--only-binary :all:\na==1 --hash=sha256:00 --hash=sha256:11\n"
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-r other.txt", "'-r' is not allowed: put all requirements into this file"),
        ("-rother.txt", "is not allowed"),
        ("-e .", "'-e' is not allowed"),
        ("--editable=./here", "'--editable' is not allowed"),
        ("-c limits.txt", "'-c' is not allowed"),
        ("--index-url https://me:secret@index.example/simple", "'--index-url' is not allowed: the index is chosen by"),
        ("--extra-index-url=https://index.example", "'--extra-index-url' is not allowed"),
        ("-f /srv/wheels", "'-f' is not allowed"),
        ("--no-index", "'--no-index' is not allowed"),
        ("--trusted-host example", "is not allowed"),
        ("a==1 --config-settings=x=y", "only --hash is"),
        ("a==${SECRET}", "takes from the agent's environment"),
        ("../other", "is a path"),
        ("./folder", "is a path"),
        ("/etc", "is a path"),
        (".", "is a path"),
        ("folder/sub", "is a path"),
        ("../a-1.0-py3-none-any.whl", "no file in the function's folder"),
        ("/tmp/a-1.0-py3-none-any.whl", "no file in the function's folder"),
        ("a @ file:///etc/passwd", "'file' addresses are not allowed"),
        ("a @ git+https://example/a.git", "'git+https' addresses are not allowed"),
        ("a @ https://me:secret@example/a.whl", "holds a password"),
        ("https://example/a.whl", "write the package's name before the address"),
        ("git+ssh://example/a.git", "write the package's name before the address"),
    ],
)
def test_what_reaches_outside_is_refused_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(InvalidBundle) as refused:
        python(tmp_path, f"fine==1\n{line}\n")
    assert refused.value.message.startswith("requirements.txt, line 2: ")
    assert says in refused.value.message
    assert "\n" not in refused.value.message


def test_an_archive_in_the_bundle_goes_along_and_counts(tmp_path: Path) -> None:
    packages.wheel(tmp_path / "wheels")
    first = python(tmp_path, "./wheels/tiny-1.0-py3-none-any.whl\n")
    packages.wheel(tmp_path / "wheels", code="ANSWER = 43\n")
    second = read(tmp_path, "python")
    assert first is not None
    assert second is not None
    assert set(first.files) == {"requirements.txt", "wheels/tiny-1.0-py3-none-any.whl"}
    assert first.digest != second.digest


def test_two_functions_of_other_names_and_scripts_want_the_same(tmp_path: Path) -> None:
    wanted = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        lock = {"name": name, "lockfileVersion": 3, "packages": {"": {"name": name, "dependencies": {"ms": "2.1.3"}}}}
        found = nodejs(folder, {"name": name, "scripts": {"install": name}, "dependencies": {"ms": "2.1.3"}}, lock)
        assert found is not None
        assert found.locked
        assert "scripts" not in json.loads(found.files["package.json"])
        wanted.append(found)
    assert wanted[0].digest == wanted[1].digest


def test_a_folder_that_brings_its_packages_along_wants_nothing(tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    assert nodejs(tmp_path, {"dependencies": {"ms": "2.1.3"}}) is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("file:../other", "is a folder"),
        ("../other", "is a folder"),
        ("file:/etc/x.tgz", "no file in the function's folder"),
        ("~/x.tgz", "no file in the function's folder"),
        ("link:../other", "leads out of the folder"),
        ("workspace:*", "leads out of the folder"),
        ("git+ssh://git@example/a.git", "is a repository"),
        ("github:me/it", "is a repository"),
        ("me/it", "is a repository"),
        ("https://me:secret@example/a.tgz", "holds a password"),
    ],
)
def test_what_leads_out_of_package_json_is_refused(tmp_path: Path, spec: str, says: str) -> None:
    for package in ({"dependencies": {"a": spec}}, {"dependencies": {"b": "1"}, "overrides": {"b": {"a": spec}}}):
        with pytest.raises(InvalidBundle, match=says):
            nodejs(tmp_path, package)


@pytest.mark.parametrize("spec", ["^1.2.3", "latest", "*", "npm:@me/it@1", ">=1 <2", "https://example/a.tgz"])
def test_what_an_index_answers_is_fine(tmp_path: Path, spec: str) -> None:
    assert nodejs(tmp_path, {"dependencies": {"@me/it": spec}}) is not None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"node_modules/a": {"resolved": "../a", "link": True}}, "is a link to a folder"),
        ({"../a": {}}, "is not an entry of this folder"),
        ({"node_modules/a": {"resolved": "file:../a.tgz"}}, "no file in the function's folder"),
        ({"node_modules/a": {"resolved": "git+ssh://git@example/a.git#1"}}, "is a repository"),
    ],
)
def test_what_leads_out_of_the_lock_is_refused(tmp_path: Path, entry: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidBundle, match=says):
        nodejs(tmp_path, {"dependencies": {"a": "1"}}, {"lockfileVersion": 3, "packages": {"": {}, **entry}})


@pytest.mark.parametrize("text", ["{", "[]", '{"dependencies": []}', '{"dependencies": 3}'])
def test_a_broken_package_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "package.json").write_text(text)
    if text == '{"dependencies": []}':
        assert read(tmp_path, "nodejs") is None
        return
    with pytest.raises(InvalidBundle, match=r"package\.json"):
        read(tmp_path, "nodejs")


def test_a_lock_of_the_old_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match="is of an old form"):
        nodejs(tmp_path, {"dependencies": {"a": "1"}}, {"lockfileVersion": 1, "dependencies": {}})
