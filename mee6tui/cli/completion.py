"""Completion in the shell, function and context names included."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from mee6.errors import Mee6Error
from mee6tui.cli import output, session
from mee6tui.cli.groups import examples, group

app = group()

_PATIENCE_S = 0.7
"""What a Tab may take."""


def functions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of functions that begin so; none where no agent answers quickly."""
    root = {**ctx.params}
    import asyncio

    try:
        here = session.session(address=root.get("address"), user=root.get("user"), context=root.get("context"))

        async def names() -> list[str]:
            from mee6.client import Client

            async with Client(here.settings.address.value, user=here.settings.user.value) as client:
                return [found.name for found in await asyncio.wait_for(client.list(), _PATIENCE_S)]

        return [name for name in asyncio.run(names()) if name.startswith(incomplete)]
    except (Mee6Error, TimeoutError):
        return []


def contexts(incomplete: str) -> list[str]:
    """Names of contexts that begin so."""
    from mee6 import config

    try:
        return [name for name in sorted(config.load(config.config_path()).contexts) if name.startswith(incomplete)]
    except Mee6Error:
        return []


@app.command(epilog=examples('eval "$(mee6 completion bash)"', "mee6 completion fish | source"))
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell to complete in.")],
    debug: Annotated[bool, typer.Option("--debug", help="Show the Python traceback of a failure.")] = False,  # noqa: ARG001 - looked at where failures are told
) -> None:
    """Print the script for completion in a shell."""
    import typer.completion

    made: Any = typer.completion  # where typer keeps it, though not among what it exports
    script = made.get_completion_script(prog_name="mee6", complete_var="_MEE6_COMPLETE", shell=shell)
    output.write(script)
    if sys.stdout.isatty():
        hint = {"bash": 'eval "$(mee6 completion bash)"', "zsh": 'eval "$(mee6 completion zsh)"'}
        line = hint.get(shell, "mee6 completion fish | source")
        sys.stderr.write(f"\nTo use it now and in every shell, add to its start file: {line}\n")
