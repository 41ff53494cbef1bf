"""`mee6 watch`: what happens, as it happens, for scripts and screen readers."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mee6.errors import AgentUnreachable, Exhausted, InvalidInput, Mee6Error
from mee6.records import Batch, Event, Snapshot, What, Worker
from mee6tui.cli import completion, failure
from mee6tui.cli.groups import examples, group
from mee6tui.cli.sentences import KINDS, sentence, subject
from mee6tui.cli.session import Session, connected

if TYPE_CHECKING:
    from mee6.client import Client

app = group()

FIRST_WAIT_S: Final = 0.5
LAST_WAIT_S: Final = 5.0
"""Between attempts to reach an agent that is gone; doubled from the first to the last."""


@app.command(
    epilog=examples(
        "mee6 watch",
        "mee6 watch --kind worker --kind handover",
        "mee6 watch -o jsonl --function echo --reconnect | jq .",
    )
)
@connected
def watch(
    here: Session,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", "-k", metavar="KIND", help=f"{', '.join(KINDS.values())}. May be given again."),
    ] = None,
    function: Annotated[
        list[str] | None,
        typer.Option("--function", metavar="NAME", help="May be given again.", autocompletion=completion.functions),
    ] = None,
    worker: Annotated[list[str] | None, typer.Option("--worker", metavar="ID", help="May be given again.")] = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Begin with how things stand.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what is told every second with nothing new but measured figures.")
    ] = False,
    reconnect: Annotated[bool, typer.Option("--reconnect", help="Wait for an agent that is gone, and go on.")] = False,
) -> None:
    """Print what the agent does, as it does it, until Ctrl-C.

    A line is a sentence, or with -o jsonl an object: `kind`, `time`, `at_ns` of the agent's monotonic clock, and the
    record under the name of its kind. Sentences tell what changed; with --all, as in JSON, also each second's
    measurements of what does as it did. All users' functions are shown. Whoever reads too slowly misses events, which
    is said on standard error, and is cut off in the end.
    """
    if here.form not in {"table", "plain", "json", "jsonl"}:
        raise InvalidInput(f"-o {here.form} does not go with what never ends; use one of: plain, jsonl")
    import asyncio

    printer = _Printer(as_json=here.form in {"json", "jsonl"}, with_snapshot=snapshot, everything=everything)

    async def work(client: Client) -> None:
        with _ends_with_its_reader():
            wait_s = FIRST_WAIT_S
            while True:
                try:
                    async for item in client.watch(kinds=kind or (), functions=function or (), workers=worker or ()):
                        printer.show(item)
                        wait_s = FIRST_WAIT_S
                    gone: Mee6Error = AgentUnreachable(f"the agent at {client.address} has ended its stream")
                except (AgentUnreachable, Exhausted) as error:
                    gone = error
                if not reconnect:
                    raise gone
                failure.say(f"{gone.message}; trying again")
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LAST_WAIT_S)

    here.run(work, quiet=True)


class _Printer:
    """Writes what a watcher is told, and flushes after each batch.

    Args:
        as_json: lines of JSON instead of sentences.
        with_snapshot: also how things stand, at first and after a gap.
        everything: also sentences about what has not changed but in what is measured.
    """

    def __init__(self, *, as_json: bool, with_snapshot: bool, everything: bool) -> None:
        import msgspec

        self._json = msgspec.json.Encoder()
        self._as_json = as_json
        self._with_snapshot = with_snapshot
        self._everything = everything
        self._told: dict[tuple[type[What], str], object] = {}
        """What each thing was last told to be, but for what is measured."""
        self._offset_ns = time.time_ns() - time.monotonic_ns()  # the agent's, once it has said it

    def show(self, item: Snapshot | Batch) -> None:
        """Writes a snapshot or a batch."""
        if isinstance(item, Batch):
            sys.stdout.writelines(f"{line}\n" for event in item.events if (line := self._line(event)))
            sys.stdout.flush()
            return
        self._offset_ns = item.node.wall_offset_ns
        if item.missed:
            failure.say(f"missed {item.missed} events: what reads this was too slow")
        self._told.clear()
        if not self._with_snapshot:
            at_first: tuple[What, ...] = (item.node, *item.workers, *item.figures)
            for record in at_first:
                self._is_news(record)
            return
        if self._as_json:
            now = item.node.now_ns
            whole = {"kind": "snapshot", "time": self._time(now), "at_ns": now, "snapshot": item}
            sys.stdout.write(self._json.encode(whole).decode() + "\n")
        else:
            records: tuple[What, ...] = (item.node, *item.functions, *item.workers, *item.invocations)
            events = (Event(item.node.now_ns, record) for record in records)
            sys.stdout.writelines(f"{line}\n" for event in events if (line := self._line(event)))
        sys.stdout.flush()

    def _line(self, event: Event) -> str:
        """The event as a line; empty for one that says nothing new."""
        when = self._time(event.at_ns)
        if not self._as_json:
            if not self._is_news(event.what) and not self._everything:
                return ""
            return f"{when[11:23]} {sentence(event)}"
        kind = KINDS[type(event.what)]
        line = {"kind": kind, "time": when, "at_ns": event.at_ns, kind: event.what}
        return self._json.encode(line).decode()

    def _is_news(self, what: What) -> bool:
        """Whether it differs from what was last told of the same thing; measurements come every second."""
        key, state = subject(what)
        if state is None:
            return True
        known = self._told.get((type(what), key))
        if isinstance(what, Worker) and what.state == "gone":
            self._told.pop((type(what), key), None)
        else:
            self._told[type(what), key] = state
        return state != known

    def _time(self, at_ns: int) -> str:
        moment = datetime.fromtimestamp((at_ns + self._offset_ns) / 1e9, UTC)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@contextlib.contextmanager
def _ends_with_its_reader() -> Iterator[None]:
    """Ends what runs within when standard output is a pipe whose reader goes, though nothing more is written to it.

    Raises:
        BrokenPipeError: it has gone.
    """
    import asyncio

    descriptor = -1
    try:
        descriptor = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except (OSError, ValueError):  # no file at all
        is_pipe = False
    if not is_pipe:
        yield
        return
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    gone = False

    def look() -> None:  # a pipe's writing end becomes ready to read only by an error
        nonlocal gone
        gone = True
        loop.remove_reader(descriptor)
        if task is not None:
            task.cancel()

    loop.add_reader(descriptor, look)
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(descriptor)
