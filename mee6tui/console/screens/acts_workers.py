"""The commands that act on workers: evict, pause, resume, limits.

Each acts on the keys that were captured when it was asked for. What cannot be taken back asks first; whatever is
done, or fails, stands in the command log as the `mee6` line that does the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from mee6.errors import InvalidInput
from mee6.records import Worker
from mee6tui.cli import units
from mee6tui.console import shell
from mee6tui.console.commands import Command, Context
from mee6tui.console.screens.dialogs import Field, Form, Question, Values
from mee6tui.console.screens.jobs import KILL, Job, ask, at, by_source, carry_out, how_many
from mee6tui.console.targets import completes, fitting, needs, targets

if TYPE_CHECKING:
    from mee6.client import Client


def _gone(record: Any) -> str | None:
    if not isinstance(record, Worker) or record.state == "gone":
        return "it is gone already"
    return None


def _not_idle(record: Any) -> str | None:
    if (reason := _gone(record)) is not None:
        return reason
    return (
        None if record.state in {"warm", "prewarmed"} else f"worker {record.id} is {record.state}; only idle ones pause"
    )


def _not_paused(record: Any) -> str | None:
    if (reason := _gone(record)) is not None:
        return reason
    return None if record.state == "paused" else f"worker {record.id} is {record.state}, not paused"


def _evict(context: Context) -> None:
    app, keys = context.app, fitting(context, "worker", _gone)
    items, loses, jobs = [], False, []
    grouped: dict[tuple[str, bool], list[str]] = {}
    for source, identity in keys:
        found = app.shown.workers[source, identity]
        busy = bool(found.invocation) or found.state == "busy"
        loses = loses or busy
        grouped.setdefault((source, busy), []).append(identity)
        what = f"{found.state} with {found.function}" if found.function else found.state
        items.append(f"{identity}, {what}{at(context, source)}" + (": its invocation is lost" if busy else ""))
    for (source, force), names in grouped.items():
        line = shell.line(["worker", "evict", *names, *(["--force"] if force else [])], app.flags.get(source, ""))
        run = _evicts_by_force if force else _evicts
        jobs.append(Job(source, line, names, run, "evicted"))
    warning = (
        ""
        if loses
        else "One that begins to work meanwhile is left alone; its pool makes others where it keeps some ready."
    )
    if loses:
        warning = "An invocation that is lost fails, and what it has done so far is not undone."
    ask(context, Question(f"Evict {how_many('worker', keys)}?", items, "Evict", [j.line for j in jobs], warning), jobs)


def _evicts(client: Client, name: str) -> Awaitable[None]:
    return client.evict(name)


def _evicts_by_force(client: Client, name: str) -> Awaitable[None]:
    return client.evict(name, force=True)


async def _pause(context: Context) -> None:
    await _harmless(context, "pause", _not_idle, lambda client, name: client.pause(name), "paused")


async def _resume(context: Context) -> None:
    await _harmless(context, "resume", _not_paused, lambda client, name: client.resume(name), "resumed")


async def _harmless(
    context: Context,
    verb: str,
    fits: Callable[[Any], str | None],
    run: Callable[[Client, str], Awaitable[Any]],
    past: str,
) -> None:
    """Does it to workers without asking: nothing is lost by it."""
    app = context.app
    await carry_out(
        app,
        [
            Job(source, shell.line(["worker", verb, *names], app.flags.get(source, "")), names, run, past)
            for source, names in by_source(fitting(context, "worker", fits)).items()
        ],
    )


def _limits(context: Context) -> None:
    app = context.app
    ((source, name),) = targets(context, "worker")
    found = app.shown.workers[source, name]
    flags = app.flags.get(source, "")

    def line(values: Values) -> str:
        memory, cpus = values["memory"], values["cpus"]
        given = [*(["--memory", memory] if memory else []), *(["--cpus", cpus] if cpus else [])]
        return shell.line(["worker", "limits", name, *given], flags)

    async def submit(values: Values) -> None:
        memory = units.size(values["memory"]) if values["memory"] else None
        cpus = _number("cores", values["cpus"]) if values["cpus"] else None
        if memory is None and cpus is None:
            raise InvalidInput("say what it may use: memory as 256M, cores as 0.5")
        held, cores = await app.clients[source].set_limits(name, memory_bytes=memory, cpus=cpus)
        may = f"{units.mebibytes(held) if held else 'any memory'} and {f'{cores:g} cores' if cores else 'all cores'}"
        app.did(line(values), f"{name} may use {may}")

    fields = [
        Field("memory", "memory", units.size_given(found.memory_limit_bytes), "256M; empty = as it is"),
        Field("cpus", "cores", f"{found.cpus_limit:g}" if found.cpus_limit else "", "0.5; 0 = all; empty = as it is"),
    ]
    note = (
        f"It uses {units.mebibytes(found.memory_bytes)} now; less than it uses is refused."
        if found.memory_bytes
        else ""
    )
    app.push_screen(
        Form(context, f"What worker {name} may use{at(context, source)}", fields, "Set", submit, line, note)
    )


def _number(what: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InvalidInput(f"{what} {text!r} is not a number, as in 0.5")
    return number


ACTS: Final = (
    Command(
        "worker.evict",
        "Evict the worker",
        "Ends the worker, after a question.",
        _evict,
        keys=KILL,
        names=("evict",),
        on=frozenset({"worker"}),
        when=needs("worker", _gone),
        complete=completes("worker"),
    ),
    Command(
        "worker.pause",
        "Pause the worker",
        "Freezes an idle worker until it is used or resumed.",
        _pause,
        keys=("p",),
        names=("pause",),
        on=frozenset({"worker"}),
        when=needs("worker", _not_idle),
        complete=completes("worker"),
    ),
    Command(
        "worker.resume",
        "Resume the worker",
        "Thaws a paused worker.",
        _resume,
        keys=("P",),
        names=("resume",),
        on=frozenset({"worker"}),
        when=needs("worker", _not_paused),
        complete=completes("worker"),
    ),
    Command(
        "worker.limits",
        "Set what it may use",
        "Changes the memory and the cores that a live worker may use.",
        _limits,
        keys=("m",),
        names=("limits",),
        on=frozenset({"worker"}),
        when=needs("worker", _gone, one=True),
        complete=completes("worker"),
    ),
)
