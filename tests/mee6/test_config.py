from __future__ import annotations

from pathlib import Path

import pytest

from mee6.config import ConfigFile, Context, config_path, load, resolve, state_path
from mee6.errors import InvalidInput, NotFound

FILE = """
current = "edge"

[context.edge]
address = "10.0.0.7:5122"
user = "ann"

[context.lab]
address = "unix:/run/lab.sock"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("flags", "env", "address", "origin"),
    [
        ({"address": "h:1"}, {"MEE6_ADDRESS": "h:2"}, "h:1", "--address"),
        ({"address": "h:1", "context": "lab"}, {}, "h:1", "--address"),
        ({"context": "lab"}, {"MEE6_ADDRESS": "h:2"}, "unix:/run/lab.sock", "context 'lab'"),
        ({}, {"MEE6_ADDRESS": "h:2", "MEE6_CONTEXT": "lab"}, "h:2", "MEE6_ADDRESS"),
        ({}, {"MEE6_CONTEXT": "lab"}, "unix:/run/lab.sock", "context 'lab'"),
        ({}, {}, "10.0.0.7:5122", "context 'edge'"),
        ({}, {"MEE6_ADDRESS": ""}, "10.0.0.7:5122", "context 'edge'"),
    ],
)
def test_the_first_that_says_it_wins(
    path: Path, flags: dict[str, str], env: dict[str, str], address: str, origin: str
) -> None:
    found = resolve(**flags, env=env, path=path)
    assert (found.address.value, found.address.origin) == (address, origin)


@pytest.mark.parametrize(
    ("flags", "env", "user", "origin"),
    [
        ({"user": "bob"}, {"MEE6_USER": "eve"}, "bob", "--user"),
        ({}, {"MEE6_USER": "eve"}, "eve", "MEE6_USER"),
        ({}, {}, "ann", "context 'edge'"),
        ({"context": "lab"}, {}, "default", "default"),
    ],
)
def test_so_for_the_user(path: Path, flags: dict[str, str], env: dict[str, str], user: str, origin: str) -> None:
    found = resolve(**flags, env=env, path=path)
    assert (found.user.value, found.user.origin) == (user, origin)


def test_without_a_file_all_is_default(tmp_path: Path) -> None:
    found = resolve(env={}, path=tmp_path / "none.toml")
    assert [str(value) for value in (found.address, found.user, found.output)] == ["127.0.0.1:5122", "default", "table"]
    assert found.context is None


def test_output_comes_from_flag_then_environment(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert resolve(output="json", env={"MEE6_OUTPUT": "yaml"}, path=path).output.value == "json"
    assert resolve(env={"MEE6_OUTPUT": "yaml"}, path=path).output.value == "yaml"


@pytest.mark.parametrize(
    ("flags", "env", "says"),
    [
        ({"address": "nowhere"}, {}, "'nowhere' (from --address) is neither"),
        ({}, {"MEE6_ADDRESS": "h:99999"}, "(from MEE6_ADDRESS)"),
        ({"address": "unix:"}, {}, "neither HOST:PORT nor unix:/PATH"),
        ({"user": "../x"}, {}, "user '../x' (from --user) is not allowed"),
        ({"output": "xml"}, {}, "no output 'xml' (from --output); use one of: table"),
    ],
)
def test_what_cannot_be_is_refused_with_its_origin(
    tmp_path: Path, flags: dict[str, str], env: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(**flags, env=env, path=tmp_path / "none.toml")
    assert says in caught.value.message


@pytest.mark.parametrize(("flag", "env", "by"), [("x", {}, "--context"), (None, {"MEE6_CONTEXT": "x"}, "MEE6_CONTEXT")])
def test_a_context_that_is_not_there_is_named(path: Path, flag: str | None, env: dict[str, str], by: str) -> None:
    with pytest.raises(NotFound) as caught:
        resolve(context=flag, env=env, path=path)
    assert caught.value.message == f"no context 'x' (named by {by}); there are: edge, lab; see: mee6 context ls"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('current = "a"\nx = = 1\n', "line 2"),
        ("colour = 1", "unknown key colour"),
        ("current = 1", "'current' must be"),
        ("context = 1", "must be tables"),
        ("[context.a]\nport = 1", "unknown key 'port'"),
        ("[context.a]\naddress = 1", "address must be text"),
        ('[context."../a"]\naddress = "h:1"', "is not allowed"),
    ],
)
def test_a_broken_file_is_one_line_with_its_place(path: Path, text: str, says: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load(path)
    assert str(path) in caught.value.message
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    file = ConfigFile(
        tmp_path / "deep" / "c.toml", "a.b", {"a.b": Context("h:1", "ann"), "c": Context(address='unix:/\u00fc"\\')}
    )
    file.save()
    assert load(file.path) == file


def test_the_environment_names_files_and_folders() -> None:
    env = {"MEE6_CONFIG": "/c.toml", "MEE6_STATE_DIR": "/state"}
    assert (config_path(env), state_path(env)) == (Path("/c.toml"), Path("/state"))
    assert (config_path({}).name, state_path({}).name) == ("config.toml", "mee6")


def test_a_context_may_be_read_only(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    ConfigFile(path, "prod", {"prod": Context("h:1", read_only=True), "lab": Context("l:1")}).save()
    assert load(path).contexts["prod"].read_only
    assert resolve(env={}, path=path).read_only
    assert not resolve(context="lab", env={}, path=path).read_only
    path.write_text("[context.a]\nread_only = 'yes'")
    with pytest.raises(InvalidInput, match="read_only must be true or false"):
        load(path)
