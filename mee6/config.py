"""Which agent to talk to, as whom: flags, environment, the configuration file, defaults.

Each value is taken from the first that says it:

1. a flag (`--address`, `--user`), then what the context named by the flag `--context` says;
2. `MEE6_ADDRESS`, `MEE6_USER`, `MEE6_OUTPUT`;
3. the context named by `MEE6_CONTEXT`, or else by `current` in the file;
4. the default.

The file is `config.toml` in the user's configuration folder (`MEE6_CONFIG` names another):

    current = "edge"

    [context.edge]
    address = "10.0.0.7:5122"
    user = "ann"
    read_only = true  # the console only looks at it
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from mee6.errors import InvalidInput, NotFound
from mee6.manifest import NAME_RULE, is_name

DEFAULT_ADDRESS: Final = "127.0.0.1:5122"
DEFAULT_USER: Final = "default"
DEFAULT_OUTPUT: Final = "table"
OUTPUTS: Final = ("table", "plain", "json", "jsonl", "yaml", "name")

_HEADER: Final = "# Written by `mee6 context`; comments are not kept.\n"
_TYPES: Final[dict[str, type]] = {"address": str, "user": str, "read_only": bool}
"""Of what a context's table holds."""


class Value(msgspec.Struct, frozen=True):
    """A setting and where it came from."""

    value: str
    origin: str
    """For people: `--address`, `MEE6_ADDRESS`, `context 'edge'`, `default`."""

    def __str__(self) -> str:
        return self.value


class Settings(msgspec.Struct, frozen=True):
    """What a client needs to know."""

    address: Value
    user: Value
    output: Value
    context: Value | None = None
    """The named context that was looked at, where there is one."""
    read_only: bool = False
    """Whether that context is one that the console only looks at."""


class Context(msgspec.Struct, frozen=True):
    """An agent with a name; empty = not said."""

    address: str = ""
    user: str = ""
    read_only: bool = False
    """The console only looks at it."""


class ConfigFile(msgspec.Struct, frozen=True):
    """What the configuration file holds."""

    path: Path
    current: str = ""
    contexts: dict[str, Context] = {}

    def save(self) -> None:
        """Writes it, whole or not at all.

        Raises:
            InvalidInput: it cannot be written.
        """
        import json

        lines = [_HEADER, f"current = {json.dumps(self.current)}\n"] if self.current else [_HEADER]
        for name, context in sorted(self.contexts.items()):
            lines.append(f"\n[context.{json.dumps(name)}]\n")
            lines += [f"{key} = {json.dumps(getattr(context, key))}\n" for key in _TYPES if getattr(context, key)]
        new = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text("".join(lines), "utf-8")
            new.replace(self.path)
        except OSError as error:
            raise InvalidInput(f"cannot write {self.path}: {error.strerror}") from error


def config_path(env: Mapping[str, str] = os.environ) -> Path:
    """Where the configuration file is, or would be."""
    if named := env.get("MEE6_CONFIG"):
        return Path(named)
    import platformdirs

    return platformdirs.user_config_path("mee6") / "config.toml"


def state_path(env: Mapping[str, str] = os.environ) -> Path:
    """The agent's state folder where no flag names one."""
    if named := env.get("MEE6_STATE_DIR"):
        return Path(named)
    import platformdirs

    return platformdirs.user_state_path("mee6")


def load(path: Path) -> ConfigFile:
    """Reads the configuration file; one that does not exist is empty.

    Raises:
        InvalidInput: one line that names the file, the place and what is wrong there.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ConfigFile(path)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    import tomllib  # there mostly is no file

    try:
        data = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}; mend it, or remove it") from error
    unknown = sorted(data.keys() - {"current", "context"})
    _demand(not unknown, path, f"unknown key {', '.join(unknown)}; use 'current' and [context.NAME]")
    current, tables = data.get("current", ""), data.get("context", {})
    _demand(isinstance(current, str), path, "'current' must be a context's name")
    _demand(isinstance(tables, dict), path, "'context' must be tables, as in [context.edge]")
    return ConfigFile(path, current, {name: _context(path, name, table) for name, table in tables.items()})


def resolve(
    *,
    address: str | None = None,
    user: str | None = None,
    output: str | None = None,
    context: str | None = None,
    env: Mapping[str, str] = os.environ,
    path: Path | None = None,
) -> Settings:
    """The settings, from all that may say something; see the module.

    Args:
        address: the flag's value, None where it was not given; so are `user`, `output` and `context`.

    Raises:
        InvalidInput: the file, an address, a user or an output is not valid.
        NotFound: there is no context of that name.
    """
    file = load(path or config_path(env))
    name, named_by = _first(
        (context, "--context"), (env.get("MEE6_CONTEXT"), "MEE6_CONTEXT"), (file.current, file.path)
    )
    if name and name not in file.contexts:
        known = ", ".join(sorted(file.contexts)) or "none"
        raise NotFound(f"no context {name!r} (named by {named_by}); there are: {known}; see: mee6 context ls")
    chosen = file.contexts.get(name, Context())

    def pick(flag: str | None, key: str, default: str) -> Value:
        said = (getattr(chosen, key, ""), f"context {name!r}")
        by_flag = said if context else (None, "")
        environment = (env.get(f"MEE6_{key.upper()}"), f"MEE6_{key.upper()}")
        value, origin = _first((flag, f"--{key}"), by_flag, environment, said, (default, "default"))
        return Value(value, origin)

    settings = Settings(
        address=pick(address, "address", DEFAULT_ADDRESS),
        user=pick(user, "user", DEFAULT_USER),
        output=resolve_output(output, env),
        context=Value(name, named_by) if name else None,
        read_only=chosen.read_only,
    )
    check_address(settings.address)
    if not is_name(settings.user.value):
        raise InvalidInput(f"user {settings.user.value!r} (from {settings.user.origin}) is not allowed: {NAME_RULE}")
    return settings


def resolve_output(flag: str | None, env: Mapping[str, str] = os.environ) -> Value:
    """The form of output that was asked for.

    Raises:
        InvalidInput: there is none of that name.
    """
    asked = (flag, "--output"), (env.get("MEE6_OUTPUT"), "MEE6_OUTPUT"), (DEFAULT_OUTPUT, "default")
    value, origin = _first(*asked)
    if value not in OUTPUTS:
        raise InvalidInput(f"no output {value!r} (from {origin}); use one of: {', '.join(OUTPUTS)}")
    return Value(value, origin)


def check_address(address: Value) -> None:
    """Refuses what can be no agent's address.

    Raises:
        InvalidInput: it is neither `host:port` nor `unix:/path`.
    """
    text = address.value
    host, _, port = text.rpartition(":")
    is_socket = text.startswith("unix:") and len(text) > len("unix:")
    if "/" in host and not is_socket:
        raise InvalidInput(f"address {text!r} (from {address.origin}) is no HOST:PORT; leave out what stands around it")
    if not is_socket and not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise InvalidInput(f"address {text!r} (from {address.origin}) is neither HOST:PORT nor unix:/PATH")


def _context(path: Path, name: str, table: Any) -> Context:
    _demand(is_name(name), path, f"context {name!r} is not allowed: {NAME_RULE}")
    _demand(isinstance(table, dict), path, f"[context.{name}] must be a table")
    for key, value in table.items():
        _demand(key in _TYPES, path, f"[context.{name}] has unknown key {key!r}; use {', '.join(_TYPES)}")
        wanted = "text" if _TYPES[key] is str else "true or false"
        _demand(isinstance(value, _TYPES[key]), path, f"[context.{name}] {key} must be {wanted}")
    return Context(**table)


def _first(*choices: tuple[str | None, object]) -> tuple[str, str]:
    return next(((value, str(origin)) for value, origin in choices if value), ("", ""))


def _demand(holds: bool, path: Path, complaint: str) -> None:
    if not holds:
        raise InvalidInput(f"{path}: {complaint}")
