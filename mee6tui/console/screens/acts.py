"""The commands that act on agents: invoke, add, remove, cancel, evict, pause, limits, drain, settings.

Each acts on the keys that were captured when it was asked for. What cannot be taken back asks first; whatever is
done, or fails, stands in the command log as the `mee6` line that does the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mee6.errors import InvalidInput, Mee6Error
from mee6.records import Invocation, Node, Worker
from mee6tui.cli import policy, units
from mee6tui.console import shell
from mee6tui.console.commands import Command, Context, Key
from mee6tui.console.payload import Payload
from mee6tui.console.screens.dialogs import Confirm, Field, Form, Question, Values
from mee6tui.console.screens.editor import edit
from mee6tui.console.targets import barred, completes, fitting, needs, targets

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6tui.console.app import ConsoleApp

AT_ONCE: Final = 16
"""Requests under way to one agent for one act."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one command line does: the same to each of some things of one agent."""

    source: str
    line: str
    names: Sequence[str]
    run: Callable[[Client, str], Awaitable[Any]]
    past: str
    """What was done, as `evicted`."""


async def carry_out(app: ConsoleApp, jobs: Iterable[Job]) -> None:
    """Does them; each is noted in the command log with what went wrong."""
    for job in jobs:
        gate = asyncio.Semaphore(AT_ONCE)
        errors = await asyncio.gather(*(_one(app.clients[job.source], job, name, gate) for name in job.names))
        ended = list(zip(job.names, errors, strict=True))
        done = [name for name, error in ended if not error]
        failed = [error if len(ended) == 1 else f"{name}: {error}" for name, error in ended if error]
        said = f"{job.past} {_listed(done)}" if done else f"not {job.past}"
        app.did(job.line, said, "\n".join(failed))


async def _one(client: Client, job: Job, name: str, gate: asyncio.Semaphore) -> str:
    async with gate:
        try:
            await job.run(client, name)
        except Mee6Error as error:
            return error.message
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{len(names)}: {', '.join(names[:3])} …"


def _by_source(keys: Iterable[Key]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source, identity in keys:
        found.setdefault(source, []).append(identity)
    return found


def _at(context: Context, source: str) -> str:
    """Which agent, where there are several."""
    return f" on {source}" if len(context.app.store.links) > 1 else ""


def _how_many(kind: str, keys: Sequence[Key]) -> str:
    return f"{kind} {keys[0][1].rpartition('/')[2]}" if len(keys) == 1 else f"these {len(keys)} {kind}s"


def _ask(context: Context, question: Question, jobs: Sequence[Job]) -> None:
    context.app.push_screen(Confirm(context, question, lambda: carry_out(context.app, jobs)))


# Functions


def _open_form(context: Context, key: Key, payload: Payload, *, at_once: bool = False, note: str = "") -> None:
    from mee6tui.console.screens.invoke import InvokeScreen  # 50 ms that starting the console need not take

    context.app.push_screen(InvokeScreen(context, key, payload, at_once=at_once, note=note))


def _invoke(context: Context) -> None:
    (key,) = targets(context, "function")
    known = context.app.recall.of(key[1])
    _open_form(context, key, known.payloads[-1] if known.payloads else Payload())


def _invoke_again(context: Context) -> None:
    (key,) = targets(context, "function")
    _open_form(context, key, context.app.recall.of(key[1]).payloads[-1], at_once=True)


def _never_invoked(context: Context) -> str | None:
    reason = needs("function", one=True)(context)
    if reason is None and not context.app.recall.of(targets(context, "function")[0][1]).payloads:
        return "it was never invoked from here; i invokes it"
    return reason


def _rerun(context: Context) -> None:
    app = context.app
    ((source, identity),) = targets(context, "invocation")
    found: Invocation = app.shown.invocations[source, identity]
    key = (source, f"{found.username}/{found.function}")
    payload = app.invoked.get((source, identity))
    if payload is not None:
        _open_form(context, key, payload, at_once=True)
        return
    note = f"the agent does not keep what {identity} was invoked with: give it again"
    _open_form(context, key, Payload(), note=note)


def _remove(context: Context) -> None:
    app, keys = context.app, targets(context, "function")
    jobs, items = [], []
    grouped: dict[tuple[str, str], list[str]] = {}
    for source, identity in keys:
        user, _, name = identity.rpartition("/")
        grouped.setdefault((source, user), []).append(name)
        found = app.shown.functions.get((source, identity))
        version = f" v{found.version}" if found else ""
        items.append(f"{name}{version} of {user}{_at(context, source)}")
    for (source, user), names in grouped.items():
        line = shell.line(["act", "rm", *names], app.flags.get(source, ""), other_user(app, source, user))

        def run(client: Client, name: str, user: str = user) -> Awaitable[None]:
            return client.remove(name, user=user)

        jobs.append(Job(source, line, names, run, "removed"))
    title = f"Remove {_how_many('function', keys)}?"
    warning = "All versions go. What runs of it finishes; adding the folder again brings it back."
    _ask(context, Question(title, items, "Remove", [job.line for job in jobs], warning), jobs)


def other_user(app: ConsoleApp, source: str, user: str) -> str:
    """The user, where it is another than the one the client speaks for."""
    client = app.clients.get(source)
    return "" if client is None or client.user == user else user


def _add(context: Context) -> None:
    from mee6tui.console.screens.add import AddScreen  # 50 ms that starting the console need not take

    context.app.push_screen(AddScreen(context, _sources(context)))


def _sources(context: Context) -> list[str]:
    """The agents that something can be added to, the selected one first."""
    app = context.app
    open_ = [source for source in app.clients if barred(app, source) is None]
    chosen = context.selection.key[0] if context.selection else ""
    return sorted(open_, key=lambda source: source != chosen)


def _nowhere_to_add(context: Context) -> str | None:
    app = context.app
    if _sources(context):
        return None
    return barred(app, next(iter(app.store.links), ""))


async def _edit(context: Context) -> None:
    ((_source, identity),) = targets(context, "function")
    await edit(context.app, context.app.recall.of(identity).folder)


def _no_folder(context: Context) -> str | None:
    keys = targets(context, "function")
    if len(keys) != 1:
        return needs("function", one=True)(context)
    if not context.app.recall.of(keys[0][1]).folder:
        return "it was not added from here, so its folder is not known; n adds one"
    return None


# Invocations


def _ended(record: Any) -> str | None:
    if not isinstance(record, Invocation):
        return "it is not known any more"
    return f"invocation {record.id} has ended" if record.ended_ns else None


def _cancel(context: Context) -> None:
    app, keys = context.app, fitting(context, "invocation", _ended)
    items = []
    for source, identity in keys:
        found = app.shown.invocations[source, identity]
        items.append(f"{identity} of {found.function}, {found.state}{_at(context, source)}")
    jobs = [
        Job(source, shell.line(["act", "cancel", name], app.flags.get(source, "")), [name], _cancels, "cancelled")
        for source, name in keys
    ]
    title = f"Cancel {_how_many('invocation', keys)}?"
    warning = "What it does is ended where it stands; whoever waits for it is told so."
    _ask(
        context,
        Question(title, items, "Cancel it" if len(keys) == 1 else "Cancel them", [j.line for j in jobs], warning),
        jobs,
    )


def _cancels(client: Client, name: str) -> Awaitable[None]:
    return client.cancel(name)


# Workers


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
        items.append(f"{identity}, {what}{_at(context, source)}" + (": its invocation is lost" if busy else ""))
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
    _ask(
        context, Question(f"Evict {_how_many('worker', keys)}?", items, "Evict", [j.line for j in jobs], warning), jobs
    )


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
            for source, names in _by_source(fitting(context, "worker", fits)).items()
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
        Field("memory", "memory", _size(found.memory_limit_bytes), "256M; empty = as it is"),
        Field("cpus", "cores", f"{found.cpus_limit:g}" if found.cpus_limit else "", "0.5; 0 = all; empty = as it is"),
    ]
    note = (
        f"It uses {units.mebibytes(found.memory_bytes)} now; less than it uses is refused."
        if found.memory_bytes
        else ""
    )
    app.push_screen(
        Form(context, f"What worker {name} may use{_at(context, source)}", fields, "Set", submit, line, note)
    )


def _number(what: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InvalidInput(f"{what} {text!r} is not a number, as in 0.5")
    return number


def _size(count: int) -> str:
    if not count:
        return ""
    return f"{count >> 20}M" if count % (1 << 20) == 0 else str(count)


# Nodes


def _drains(record: Any) -> str | None:
    return "it drains already" if isinstance(record, Node) and record.draining else None


def _serves(record: Any) -> str | None:
    return None if isinstance(record, Node) and record.draining else "it serves; D drains it"


def _drain(context: Context) -> None:
    app, keys = context.app, fitting(context, "node", _drains)
    items, jobs = [], []
    for source, identity in keys:
        node = app.store.nodes[source]
        items.append(f"{source} ({identity}): {node.busy} run, {node.queued} wait")
        line = shell.line(["agent", "drain"], app.flags.get(source, ""))
        jobs.append(Job(source, line, [source], lambda client, _name: client.drain(), "draining"))
    title = f"Drain {keys[0][0]}?" if len(keys) == 1 else f"Drain these {len(keys)} nodes?"
    warning = "It takes no new invocations from then on; what runs finishes. U takes it back."
    _ask(context, Question(title, items, "Drain", [job.line for job in jobs], warning), jobs)


async def _undrain(context: Context) -> None:
    app = context.app
    await carry_out(
        app,
        [
            Job(
                source,
                shell.line(["agent", "undrain"], app.flags.get(source, "")),
                [source],
                lambda client, _name: client.undrain(),
                "serving again:",
            )
            for source, _identity in fitting(context, "node", _serves)
        ],
    )


def _settings(context: Context) -> None:
    app = context.app
    ((source, _identity),) = targets(context, "node")
    before = _policy(app.store.nodes[source])

    def given(values: Values) -> list[str]:
        found = []
        for name, value in values.items():
            if value == before[name]:
                continue
            if name in {"prewarm", "ceiling"}:
                old = before[name].split()
                found += [f"{name}={part}" for part in value.replace(",", " ").split() if part not in old]
            else:
                found.append(f"{name}={value}")
        if not found:
            raise InvalidInput("nothing is changed yet")
        return found

    def line(values: Values) -> str:
        return shell.line(["agent", "set", *given(values)], app.flags.get(source, ""))

    async def submit(values: Values) -> None:
        await app.clients[source].configure(**policy.changes(given(values)))
        app.did(line(values), f"{source} keeps its workers so from now on")

    labels = {
        "pause": ("pause idle ones", "always, after-use or never"),
        "keep-alive": ("keep alive for", "10m"),
        "linger": ("pause after", "500ms"),
        "memory-budget": ("memory of all", "4G; 0 = no limit"),
        "prewarm": ("kept ready", "python=2 nodejs=1"),
        "ceiling": ("at most", "python=16; 0 = no ceiling"),
    }
    fields = [Field(name, labels[name][0], before[name], labels[name][1]) for name in policy.CHANGEABLE]
    app.push_screen(
        Form(context, f"How {source} keeps its workers", fields, "Set", submit, line, "It holds until the agent ends.")
    )


def _policy(node: Node) -> dict[str, str]:
    return {
        "pause": node.pause_policy,
        "keep-alive": f"{node.keep_alive_s:g}s",
        "linger": f"{node.linger_s:g}s",
        "memory-budget": _size(node.memory_budget_bytes) or "0",
        "prewarm": " ".join(f"{pool.name}={pool.floor}" for pool in node.pools),
        "ceiling": " ".join(f"{pool.name}={pool.ceiling}" for pool in node.pools),
    }


async def _set(context: Context) -> None:
    app = context.app
    wanted = context.arg.split()
    (source,) = [source for source in app.clients if barred(app, source) is None][:1]
    line = shell.line(["agent", "set", *wanted], app.flags.get(source, ""))
    await app.clients[source].configure(**policy.changes(wanted))
    app.did(line, f"{source} keeps its workers so from now on")


def _one_agent(context: Context) -> str | None:
    app = context.app
    if len(app.clients) > 1:
        return "there are several agents; S on page nodes sets one's"
    return barred(app, next(iter(app.store.links), ""))


_KILL: Final = ("ctrl+k", "ctrl+d", "delete")
_FUNCTION: Final = frozenset({"function", "worker", "invocation"})

ACTS: Final = (
    Command(
        "invoke",
        "Invoke the function",
        "Asks for the argument, runs the function and shows what comes of it.",
        _invoke,
        keys=("i",),
        names=("invoke",),
        on=_FUNCTION,
        when=needs("function", one=True),
        complete=completes("function"),
        hint=2,
        short="invoke",
    ),
    Command(
        "invoke.again",
        "Invoke again with the last argument",
        "Runs the function at once with what it was last invoked with from here.",
        _invoke_again,
        keys=("I",),
        names=("again",),
        on=_FUNCTION,
        when=_never_invoked,
        complete=completes("function"),
    ),
    Command(
        "invocation.rerun",
        "Run it again",
        "Runs the function again with the same argument, where it was invoked from here.",
        _rerun,
        keys=("r",),
        on=frozenset({"invocation"}),
        when=needs("invocation", one=True),
    ),
    Command(
        "add",
        "Add a function",
        "Adds the function in a folder, or its next version.",
        _add,
        keys=("n",),
        names=("add",),
        when=_nowhere_to_add,
    ),
    Command(
        "edit",
        "Edit its code",
        "Opens the function's main file in $EDITOR, where it was added from here.",
        _edit,
        keys=("e",),
        on=frozenset({"function"}),
        when=_no_folder,
    ),
    Command(
        "function.remove",
        "Remove the function",
        "Removes the function with all its versions, after a question.",
        _remove,
        keys=_KILL,
        names=("remove",),
        on=frozenset({"function"}),
        when=needs("function"),
        complete=completes("function"),
    ),
    Command(
        "invocation.cancel",
        "Cancel the invocation",
        "Ends what it does where it stands, after a question.",
        _cancel,
        keys=_KILL,
        names=("cancel", "kill"),
        on=frozenset({"invocation"}),
        when=needs("invocation", _ended),
        complete=completes("invocation"),
    ),
    Command(
        "worker.evict",
        "Evict the worker",
        "Ends the worker, after a question.",
        _evict,
        keys=_KILL,
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
    Command(
        "node.drain",
        "Drain the node",
        "Has the agent take no new invocations while what runs finishes, after a question.",
        _drain,
        keys=("D",),
        names=("drain",),
        on=frozenset({"node"}),
        when=needs("node", _drains),
        complete=completes("node"),
    ),
    Command(
        "node.undrain",
        "Take invocations again",
        "Has a drained agent take invocations again.",
        _undrain,
        keys=("U",),
        names=("undrain",),
        on=frozenset({"node"}),
        when=needs("node", _serves),
        complete=completes("node"),
    ),
    Command(
        "node.settings",
        "Set how workers are kept",
        "Changes pausing, keep-alive, prewarming and ceilings of an agent, until it ends.",
        _settings,
        keys=("S",),
        names=("settings",),
        on=frozenset({"node"}),
        when=needs("node", one=True),
        complete=completes("node"),
    ),
    Command(
        "node.set",
        "Set one thing of how workers are kept",
        "Does what mee6 agent set does, as in :set pause=never prewarm=python=4.",
        _set,
        names=("set",),
        when=_one_agent,
        complete=lambda _app: [f"{name}=" for name in policy.CHANGEABLE],
        menu=False,
    ),
)
