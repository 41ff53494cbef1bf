"""`mee6 init`: a folder with a working function, or a small workflow, to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from mee6.errors import Conflict, InvalidInput, Mee6Error
from mee6.manifest import FILE_NAME, NAME_RULE, is_name
from mee6tui.cli import output
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, local

app = group()

_PYTHON: Final = '''"""{title}"""


def main(arg):
    """Returns a greeting; what is printed goes to the log: mee6 act logs {name}"""
    print(f"greeting {{arg!r}}")
    return f"hello, {{arg or 'world'}}"
'''

_PYTHON_WORKFLOW: Final = '''"""{title}"""

import mee6


def main(arg):
    """Calls the function `echo`, once, and then twice in parallel."""
    first = mee6.invoke("echo", arg or "world")
    more = mee6.gather(mee6.call("echo", "again"), mee6.call("echo", "and again"))
    return ", ".join([first, *more])
'''

_NODEJS: Final = """"use strict";

// {title}
// What is printed goes to the log: mee6 act logs {name}
module.exports = async (arg) => {{
  console.log("greeting", arg);
  return `hello, ${{arg || "world"}}`;
}};
"""

_NODEJS_WORKFLOW: Final = """"use strict";

const Box = require("@m6s/box");

// {title}
// Calls the function `echo`, once, and then twice in parallel.
module.exports = async (arg) => {{
  const first = await Box.invoke("echo", arg || "world");
  const more = await Promise.all([Box.invoke("echo", "again"), Box.invoke("echo", "and again")]);
  return [first, ...more].join(", ");
}};
"""

_FILES: Final = {
    ("python", False): ("main.py", _PYTHON),
    ("python", True): ("main.py", _PYTHON_WORKFLOW),
    ("nodejs", False): ("main.js", _NODEJS),
    ("nodejs", True): ("main.js", _NODEJS_WORKFLOW),
}

_README: Final = """# {name}

{title}

    mee6 agent serve --detach
{callee}    mee6 act add {folder}
    mee6 act invoke {name} you
    mee6 trace

`{file}` is the code, `activity.json` what mee6 knows of it: its name, its language, the functions it may call.
"""


@app.command(epilog=examples("mee6 init hello", "mee6 init greeter --runtime nodejs --workflow"))
@local
def init(
    here: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The function's name.")],
    runtime: Annotated[Literal["python", "nodejs"], typer.Option("--runtime", "-r", help="Its language.")] = "python",
    workflow: Annotated[bool, typer.Option("--workflow", help="One that calls another function, `echo`.")] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where to write it.", show_default="./NAME")
    ] = None,
) -> None:
    """Write a working function into a new folder."""
    if not is_name(name) and is_name(Path(name).name):
        import shlex

        instead = f"mee6 init {Path(name).name} --dir {shlex.quote(name)}"
        raise InvalidInput(f"name {name!r} is not allowed, since it is a path; use: {instead}")
    if not is_name(name):
        raise InvalidInput(f"name {name!r} is not allowed: {NAME_RULE}")
    folder = directory or Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} exists and is not empty; choose another name or --dir")
    title = "A workflow that greets through the function echo." if workflow else "A function that greets."
    file, code = _FILES[runtime, workflow]
    manifest = {"name": name, "runtime": runtime, "description": title}
    dependencies = {"dependencies": {"echo": {"outflow": "optional:1"}}} if workflow else {}
    facts = {"name": name, "title": title, "file": file, "folder": folder}
    facts["callee"] = f"    mee6 init echo -r {runtime} && mee6 act add echo\n" if workflow else ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(json.dumps({**manifest, **dependencies}, indent=2) + "\n")
        (folder / file).write_text(code.format_map(facts))
        (folder / "README.md").write_text(_README.format_map(facts))
    except OSError as error:
        raise Mee6Error(f"cannot write {folder}: {error.strerror}") from error
    row = {"name": name, "folder": str(folder), "runtime": runtime}
    output.show_one(here.form, row, lambda: [str(folder)])
    first = f"mee6 init echo -r {runtime} && mee6 act add echo && " if workflow else ""
    here.note(f"next: {first}mee6 act add {folder} && mee6 act invoke {name} you")
