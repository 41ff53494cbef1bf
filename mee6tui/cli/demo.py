"""`mee6 demo`: an agent of its own, the samples, a few invocations and their traces; then all of it is gone.

The agent has a temporary state folder and a free port, so that it disturbs nobody. What is shown stands on
standard output and reads like a terminal session; what each sample is given comes from `expected.json`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mee6.errors import Mee6Error, NotFound
from mee6.manifest import folders_below
from mee6tui.cli import daemon, output, waterfall
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import waiting

if TYPE_CHECKING:
    from mee6.client import Client

app = group()

_SHOWN: Final = ("echo", "echo", "pinger", "pipeline", "wordcount")
"""`echo` twice: its first run hands the worker over, its second goes straight to the runtime."""
_LANGUAGES: Final = {"python": "Python", "nodejs": "Node.js"}
_LINE: Final = 300


@app.command(epilog=examples("mee6 demo", "mee6 demo --keep"))
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the agent running, and say how to reach it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the Python traceback of a failure.")] = False,  # noqa: ARG001 - looked at where failures are told
) -> None:
    """Run the samples and draw what they did.

    It starts an agent, adds the samples and runs them in each language. It takes a free port and a temporary
    folder, and leaves nothing behind unless --keep is given. On a terminal it offers the console at the end.
    """
    import tempfile

    samples = samples_folder()
    state = Path(tempfile.mkdtemp(prefix="mee6-demo-"))
    interruption = _Interruption()
    with _clean_up(state, interruption, keep=keep):
        from mee6tui.cli.agent import answers

        with waiting("starting an agent"):
            found = daemon.start(state, ["--listen", "127.0.0.1:0"], answers)
        output.write(f"$ mee6 agent serve --detach\nmee6 agent listens on {found.listen}")
        _run(_tour(found.address, samples), interruption)
        if not keep and _wants_console():
            # A process of its own: the console has its own ways with signals, and this one still cleans up.
            subprocess.run(
                [sys.executable, "-P", "-m", "mee6tui.cli.main", "console", "--address", found.address], check=False
            )
    if keep:
        output.write(
            f"\nThe agent goes on. To use it:  export MEE6_ADDRESS={found.listen} MEE6_STATE_DIR={state}"
            f"\nTo end it:                     mee6 agent destroy -y"
        )
    elif sys.stdout.isatty():
        output.write(
            "\nTo go on:  mee6 agent serve --detach; mee6 init hello; mee6 act add hello; mee6 act invoke hello you"
        )


def _wants_console() -> bool:
    """Asks, where there is somebody to ask and a terminal to draw on."""
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)) or os.environ.get("TERM") == "dumb":
        return False
    output.write("")
    return typer.confirm("Look at this agent in the console, and invoke the samples there?", default=True)


def samples_folder() -> Path:
    """Where the samples are: in the installed package, or beside it in a checkout.

    Raises:
        NotFound: in neither.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "samples", package.parent / "samples"):
        if (folder / "expected.json").is_file():
            return folder
    raise NotFound(f"no samples beside {package}; this installation is not whole")


class _Interruption:
    """SIGINT and SIGTERM from now on: raised as KeyboardInterrupt, or, within `noted`, remembered for later."""

    def __init__(self) -> None:
        self.came = False
        self._noted = 0
        self.then: Callable[[], object] | None = None
        """Called when one comes while they are noted; in the main thread, between two of its steps."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        if not self._noted:
            raise KeyboardInterrupt
        if self.then is not None:
            self.then()

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Lets nothing be torn down half way."""
        self._noted += 1
        try:
            yield
        finally:
            self._noted -= 1


@contextlib.contextmanager
def _clean_up(state: Path, interruption: _Interruption, *, keep: bool) -> Iterator[None]:
    """Stops the agent and removes its folder however it ends."""
    try:
        yield
    except BaseException:
        keep = False
        raise
    finally:
        with interruption.noted():
            if not keep:
                if daemon.running(state):
                    with waiting("stopping the agent"):
                        daemon.stop(state, now=True, patience_s=20.0)
                shutil.rmtree(state, ignore_errors=True)


def _run(tour: Coroutine[Any, Any, None], interruption: _Interruption) -> None:
    """Runs the tour; an interruption ends it at its next wait.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    import asyncio

    async def until_interrupted() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(tour)
        interruption.then = lambda: loop.call_soon_threadsafe(task.cancel)
        if interruption.came:
            task.cancel()
        try:
            await task
        finally:
            interruption.then = None

    with interruption.noted():
        try:
            asyncio.run(until_interrupted())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _tour(address: str, samples: Path) -> None:
    from mee6.client import Client

    calls = {call["name"]: call for call in json.loads((samples / "expected.json").read_text("utf-8"))}
    async with Client(address) as client:
        node = (await client.nodes())[0]
        output.write(f"\nisolation {node.isolation}, pause {node.pause}, limits {node.limits}")
        for line in node.missing:
            output.write(f"left out: {line}")
        here = [language for language in _LANGUAGES if language in node.runtimes]
        for language in here:
            output.write(f"\n--- {_LANGUAGES[language]} ---")
            await _add(client, samples, language)
            for name in _SHOWN:
                await _show(client, samples, calls[name])
        if len(here) > 1:
            output.write("\n--- both in one workflow ---")
            await _add(client, samples, "mixed")
            await _show(client, samples, calls["announce"])


async def _add(client: Client, samples: Path, language: str) -> None:
    output.write(f"\n$ mee6 act add samples/{language}/...")
    added = [await client.add(folder) for folder in folders_below(samples / language)]
    output.write(", ".join(f"{one.function.name} v{one.function.version}" for one in added))


async def _show(client: Client, samples: Path, call: dict[str, Any]) -> None:
    """Runs one and draws its trace.

    Raises:
        Mee6Error: it failed, or its result is not what it should be.
    """
    name = call["name"]
    file = call.get("arg_file")
    arg = (samples / file).read_text("utf-8") if file else call["arg"]
    given = f"-f samples/{file}" if file else _quoted(arg)
    output.write(f"\n$ mee6 act invoke {name} {given} --trace")
    sys.stdout.flush()
    with waiting(f"running {name}"):
        outcome = await client.invoke_raw(name, arg.encode(), "text/plain")
        trace = await client.trace(outcome.id)
    text = outcome.data.decode("utf-8", "replace").rstrip("\n")
    output.write(text if len(text) <= _LINE else text[:_LINE] + "...")
    output.write("")
    waterfall.draw(trace, sys.stdout, color=sys.stdout.isatty())
    if "result" in call and outcome.value != call["result"]:
        raise Mee6Error(f"{name!r} gave {text[:_LINE]!r}, which is not what the sample promises")


def _quoted(arg: str) -> str:
    """As a shell would take it."""
    import shlex

    return "$" + repr(arg) if "\n" in arg else shlex.quote(arg)
