"""Values that are read without pydantic mean what they mean with it, and all others are left to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from mee6tui.cli import values
from tests.cli.test_desk import LEAVES

TYPED = ("", "x", "3", "-1", "0", "007", "1_0", " 3", "3.5", "1e3", "nan", "true", "python", "info", "/", "a/../b")
GIVEN = (None, True, 7, 0.5, Path("x"), *TYPED)


def _parameters() -> list[Any]:
    """One parameter of each type and bounds that a command has."""
    found = {}
    for _, command in LEAVES:
        for parameter in command.params:
            told = parameter.type_descriptor.parameter_info
            found[str(parameter.type_descriptor.annotation), parameter.nargs, told.min, told.max] = parameter
    return list(found.values())


PARAMETERS = _parameters()


def _outcome(reader: Any, parameter: Any, value: Any) -> object:
    try:
        found = reader(parameter.type_descriptor).coerce(value, param=parameter, ctx=None)
    except typer.BadParameter as error:
        return error.format_message()
    return type(found), str(found)  # a nan is not itself


@pytest.mark.parametrize(
    "parameter", PARAMETERS, ids=lambda parameter: f"{parameter.name}-{parameter.type_descriptor.annotation}"
)
def test_a_value_means_what_typer_takes_it_for(parameter: Any) -> None:
    several = parameter.multiple or parameter.nargs == -1
    for value in GIVEN:
        given = (value, value) if several and value is not None else value
        assert _outcome(values._built, parameter, given) == _outcome(values._full, parameter, given), value


def test_there_are_parameters_of_every_sort() -> None:
    kinds = {str(parameter.type_descriptor.annotation) for parameter in PARAMETERS}
    assert {str(str), str(bool), str(int), str(float), str(Path), str(list[str]), str(list[Path])} <= kinds
    assert any("Literal" in kind for kind in kinds)


@pytest.mark.parametrize(
    ("args", "refused", "loaded"),
    [
        (("init", "a/b", "-r", "nodejs"), "name 'a/b' is not allowed", False),
        (("act", "logs", "-n", "7", "--id", "x"), "no agent answers", False),
        (("act", "logs", "-n", "-7"), "'--tail'", True),
        (("top", "--rounds", "many"), "'--rounds'", True),
    ],
)
def test_pydantic_is_imported_for_what_is_not_plain(args: tuple[str, ...], refused: str, loaded: bool) -> None:
    code = (
        "import sys\n"
        "from mee6tui.cli.main import app\n"
        f"try: app({list(args)})\n"
        "except SystemExit: print('pydantic' in sys.modules)"
    )
    env = {"MEE6_ADDRESS": "unix:/nowhere/x.sock", "MEE6_CONFIG": "/nowhere/c.toml", "GRPC_VERBOSITY": "NONE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20, env=env)
    assert refused in done.stderr
    assert done.stdout == f"{loaded}\n"
