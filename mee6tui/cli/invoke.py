"""`mee6 act invoke` and what goes with an invocation: its result later, its logs, calling it off."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mee6.errors import FunctionError, InvalidInput, Mee6Error
from mee6.visible import visible
from mee6tui.cli import completion, log_lines, output, units
from mee6tui.cli.groups import examples
from mee6tui.cli.session import Session, connected

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6.records import Outcome, Trace

Identity = Annotated[str, typer.Argument(metavar="ID", help="An invocation's id.")]

_TEXT = "text/plain"
_JSON = "application/json"
_BINARY = "application/octet-stream"


def mount(app: typer.Typer) -> None:
    """Adds the commands to the group of functions."""
    app.command(
        epilog=examples(
            "mee6 act invoke echo foo",
            "echo foo | mee6 act invoke echo -",
            "mee6 act invoke wordcount @book.txt --timeout 30s",
            "mee6 act invoke add -j '[1, 2]' --trace",
            "mee6 act invoke slow --async",
        )
    )(invoke)
    app.command(epilog=examples("mee6 act result 0c4f9a --wait 30s"))(result)
    app.command(epilog=examples("mee6 act cancel 0c4f9a"))(cancel)
    app.command(
        epilog=examples(
            "mee6 act logs echo",
            "mee6 act logs --id 0c4f9a",
            "mee6 act logs -f --tail 20",
            "mee6 act logs -t --since 5m",
        )
    )(logs)


@connected
def invoke(
    here: Session,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The function's name.", autocompletion=completion.functions)
    ],
    arg: Annotated[str | None, typer.Argument(metavar="ARG", help="Text, - for standard input, @FILE.")] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", metavar="FILE", help="Send the bytes of a file.")] = None,
    as_json: Annotated[bool, typer.Option("-j", "--as-json", help="Send the argument as JSON.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", "-t", metavar="30s", help="The longest it may take.")
    ] = None,
    schedule: Annotated[
        Literal["worker", "spread", "master"] | None,
        typer.Option(
            "--schedule",
            help="Who runs a declared workflow, and where its steps are.",
            show_default="as the agent is set",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--async", help="Print the invocation's id and do not wait.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Draw what it did on standard error afterwards.")] = False,
) -> None:
    """Run a function and print its result.

    Text and JSON results end with a newline; any other is written byte by byte. The exit code is 4 when
    the function failed, 124 when it took too long. Ctrl-C calls the invocation off.
    """
    data, kind = argument(arg, file, as_json=as_json)
    limit_s = None if timeout is None else units.seconds(timeout)

    async def work(client: Client) -> tuple[Outcome | FunctionError | str, Trace | None]:
        if detach:
            return await client.submit_raw(name, data, kind, timeout=limit_s, schedule=schedule or ""), None
        try:
            outcome = await client.invoke_raw(name, data, kind, timeout=limit_s, schedule=schedule or "")
        except FunctionError as error:
            return error, await _trace(here, client, error.invocation) if trace else None
        return outcome, await _trace(here, client, outcome.id) if trace else None

    found, traced = here.run(work, f"running {name}")
    if isinstance(found, str):
        output.show_one(here.form, {"id": found}, lambda: [found], name="id")
    elif not isinstance(found, FunctionError):
        write_result(here.form, found)
    if traced is not None:
        from mee6tui.cli import waterfall

        sys.stdout.flush()
        waterfall.draw(traced, sys.stderr, color=here.color and sys.stderr.isatty())
    if isinstance(found, FunctionError):
        raise found


@connected
def result(
    here: Session,
    identity: Identity,
    wait: Annotated[str, typer.Option("--wait", "-w", metavar="30s", help="Wait for it at most so long.")] = "0",
) -> None:
    """Print the result of an earlier invocation."""
    limit_s = units.seconds(wait)

    found = here.run(lambda client: client.result_raw(identity, wait=limit_s), f"waiting for {identity}")
    write_result(here.form, found)


@connected
def cancel(here: Session, identity: Identity) -> None:
    """Call an invocation off."""
    here.run(lambda client: client.cancel(identity))
    output.show_one(here.form, {"id": identity}, lambda: [f"cancelled {identity}"], name="id")


@connected
def logs(
    here: Session,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of one function.", autocompletion=completion.functions)
    ] = "",
    identity: Annotated[str, typer.Option("--id", metavar="ID", help="Of one invocation.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    tail: Annotated[
        int, typer.Option("--tail", "-n", min=0, max=1_000_000, help="At most so many remembered lines; 0 = all.")
    ] = 0,
    since: Annotated[
        str, typer.Option("--since", metavar="5m", help="Only so old, or since a time: 2026-01-31T08:00:00Z.")
    ] = "",
    timestamps: Annotated[
        bool, typer.Option("--timestamps", "-t", help="Begin with when it was written, UTC.")
    ] = False,
    prefix: Annotated[
        bool | None,
        typer.Option(
            "--prefix/--no-prefix",
            help="Begin with function, invocation, worker and stream.",
            show_default="yes, but with --id",
        ),
    ] = None,
) -> None:
    """Print what functions wrote.

    A line begins with the function, the invocation, the worker and the stream (out or err) it comes from, unless one
    invocation was asked for by --id. With -o jsonl each piece of output is an object with all of these, its `time`
    and `at_ns` of the agent's monotonic clock.
    """
    if here.form == "name":
        raise InvalidInput("-o name does not go with lines of output; use one of: plain, jsonl, yaml")
    with_prefix = not identity if prefix is None else prefix
    since_s = log_lines.seconds_since(since, time.time()) if since else 0.0

    async def work(client: Client) -> None:
        async for line in client.logs(name, invocation=identity, follow=follow, tail=tail, since_s=since_s):
            if here.for_people:
                for text in log_lines.lines(line, prefix=with_prefix, times=timestamps, color=here.color):
                    output.write(text)
            else:
                log_lines.write_record(here.form, line)
            if line.log.dropped_bytes and here.for_people:
                here.note(f"{line.log.dropped_bytes} bytes of output were over the limit and not kept")
            if follow:
                sys.stdout.flush()

    here.run(work, quiet=follow)


def argument(arg: str | None, file: Path | None, *, as_json: bool) -> tuple[bytes, str]:
    """The argument's bytes and content type, from wherever the command line says.

    Raises:
        InvalidInput: it says two places, a file cannot be read, or it is not the JSON it should be.
    """
    if file is not None and arg is not None:
        raise InvalidInput("give the argument as ARG or with -f FILE, not both")
    source: Path | None = file
    if arg is not None and arg.startswith("@"):
        source = Path(arg[1:])
    if source is not None and str(source) != "-":
        try:
            data = source.read_bytes()
        except OSError as error:
            raise InvalidInput(f"cannot read {str(source)!r}: {error.strerror}") from error
    elif arg == "-" or source is not None:
        data = sys.stdin.buffer.read()
    else:
        data = (arg or "").encode("utf-8", "surrogateescape")
    if as_json:
        return _checked_json(data), _JSON
    try:
        data.decode()
    except UnicodeDecodeError:
        return data, _BINARY
    return data, _TEXT


def write_result(form: str, outcome: Outcome) -> None:
    """A result on standard output, as it is; as a value with its id for `-o json` and its like."""
    if form == "name":
        output.write(outcome.id)
        return
    if form not in {"table", "plain"}:
        row = {"id": outcome.id, "content_type": outcome.content_type, "result": _printable(outcome)}
        output.show_one(form, row, list)
        return
    sys.stdout.flush()
    raw = sys.stdout.buffer
    data = outcome.data
    if sys.stdout.isatty():  # a program gets the bytes; a terminal would do what they say
        data = visible(data.decode("utf-8", "backslashreplace")).encode()
    raw.write(data)
    if outcome.content_type in {_TEXT, _JSON} and not outcome.data.endswith(b"\n"):
        raw.write(b"\n")
    raw.flush()


def _printable(outcome: Outcome) -> Any:
    value = outcome.value
    if not isinstance(value, bytes):
        return value
    import base64

    return base64.b64encode(value).decode()


def _checked_json(data: bytes) -> bytes:
    import json

    try:
        json.loads(data or b"null")
    except ValueError as error:
        raise InvalidInput(f"the argument is not valid JSON: {error}") from error
    return data or b"null"


async def _trace(here: Session, client: Client, identity: str) -> Trace | None:
    """The trace; None with a word on standard error where it cannot be had, which is not worth failing for."""
    if not identity:  # refused before it became an invocation
        return None
    try:
        return await client.trace(identity)
    except Mee6Error as error:
        here.note(f"no trace: {error.message}")
        return None
