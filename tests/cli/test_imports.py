"""Imports are a budget: what a command may load, by name and by number; no clock is looked at.

A limit is what is loaded now and about a tenth more. Whoever comes near it looks for what can be imported where it is
used, and raises it only for what the command cannot do without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.fake_agent import FakeAgent

REMOTE = {"grpc", "google", "asyncio", "mee6.client", "mee6.api"}
DRAWN = {"textual", "rich", "markdown_it", "pygments", "mee6tui.console"}
HEAVY = {"pydantic", "docker", "requests", "aiohttp", "textual_serve", "uvloop", "yaml", "psutil", "agent.main"}
LOCAL = {"msgspec", "mee6.config", "mee6.records", "platformdirs", "agent"}
"""What only a command that does something needs."""
ADDING = {"mee6.bundle", "tarfile", "hashlib"}
CODE = """
import json, sys
from mee6tui.cli.main import main
sys.argv = ["mee6", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
sys.stdout.flush()
sys.stderr.write("\\n" + json.dumps(sorted(sys.modules)))
"""


def imported(args: tuple[str, ...], **env: str) -> set[str]:
    """The modules that are there once the command has done what it was told."""
    command = [sys.executable, "-c", CODE, json.dumps(args)]
    given = {**os.environ, "MEE6_CONFIG": "/nowhere/config.toml", **env}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20, env=given)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.rpartition("\n")[2]))


def held(budget: set[str], modules: set[str]) -> list[str]:
    """Those of the budget's packages and modules that were loaded."""
    return sorted(name for name in budget if name in modules or any(one.startswith(f"{name}.") for one in modules))


@pytest.mark.parametrize("args", [("--help",), ("--version",)])
def test_help_and_version_load_no_command(args: tuple[str, ...]) -> None:
    modules = imported(args)
    assert held(REMOTE | DRAWN | HEAVY | LOCAL, modules) == []
    assert held({"mee6tui"}, modules) == ["mee6tui"]
    ours = {name for name in modules if name.startswith("mee6tui.cli.")}
    assert ours == {f"mee6tui.cli.{name}" for name in ("main", "root", "groups", "values", "failure")}
    assert len(modules) < 175


@pytest.mark.parametrize("group", ["act", "agent", "worker", "context", "image", "explain", "bench"])
def test_the_help_of_a_group_connects_to_nothing(group: str) -> None:
    modules = imported((group, "--help"))
    assert held(REMOTE | DRAWN | HEAVY | ADDING, modules) == []
    assert len(modules) < 215


def test_completion_of_commands_connects_to_nothing() -> None:
    typed = {"_MEE6_COMPLETE": "complete_bash", "COMP_WORDS": "mee6 act inv", "COMP_CWORD": "2"}
    modules = imported((), **typed)
    assert held(REMOTE | DRAWN | HEAVY, modules) == []


@pytest.mark.parametrize(
    "args",
    [
        ("act", "invoke", "echo", "hi"),
        ("act", "ls"),
        ("act", "logs", "echo"),
        ("version",),
        ("act", "describe", "echo"),
        ("agent", "status"),
        ("bench", "echo", "--duration", "50ms", "--warmup", "0", "--rate", "100"),
    ],
    ids=" ".join,
)
def test_a_command_that_asks_an_agent_loads_its_connection_and_no_more(agent: FakeAgent, args: tuple[str, ...]) -> None:
    modules = imported(args, MEE6_ADDRESS=agent.address)
    assert held(DRAWN | HEAVY | ADDING, modules) == []
    assert len(modules) < 360
