"""The commands that act on functions and on what was invoked: invoke, add, edit, remove, cancel.

Each acts on the keys that were captured when it was asked for. What cannot be taken back asks first; whatever is
done, or fails, stands in the command log as the `mee6` line that does the same.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from mee6.records import Invocation
from mee6tui.console import shell
from mee6tui.console.commands import Command, Context, Key
from mee6tui.console.payload import Payload
from mee6tui.console.screens.dialogs import Question
from mee6tui.console.screens.editor import edit
from mee6tui.console.screens.jobs import KILL, Job, ask, at, how_many
from mee6tui.console.targets import barred, completes, fitting, needs, other_user, targets

if TYPE_CHECKING:
    from mee6.client import Client

_FUNCTION: Final = frozenset({"function", "worker", "invocation"})


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
        items.append(f"{name}{version} of {user}{at(context, source)}")
    for (source, user), names in grouped.items():
        line = shell.line(["act", "rm", *names], app.flags.get(source, ""), other_user(app, source, user))

        def run(client: Client, name: str, user: str = user) -> Awaitable[None]:
            return client.remove(name, user=user)

        jobs.append(Job(source, line, names, run, "removed"))
    title = f"Remove {how_many('function', keys)}?"
    warning = "All versions go. What runs of it finishes; adding the folder again brings it back."
    ask(context, Question(title, items, "Remove", [job.line for job in jobs], warning), jobs)


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


def _ended(record: Any) -> str | None:
    if not isinstance(record, Invocation):
        return "it is not known any more"
    return f"invocation {record.id} has ended" if record.ended_ns else None


def _cancel(context: Context) -> None:
    app, keys = context.app, fitting(context, "invocation", _ended)
    items = []
    for source, identity in keys:
        found = app.shown.invocations[source, identity]
        items.append(f"{identity} of {found.function}, {found.state}{at(context, source)}")
    jobs = [
        Job(source, shell.line(["act", "cancel", name], app.flags.get(source, "")), [name], _cancels, "cancelled")
        for source, name in keys
    ]
    title = f"Cancel {how_many('invocation', keys)}?"
    warning = "What it does is ended where it stands; whoever waits for it is told so."
    ask(
        context,
        Question(title, items, "Cancel it" if len(keys) == 1 else "Cancel them", [j.line for j in jobs], warning),
        jobs,
    )


def _cancels(client: Client, name: str) -> Awaitable[None]:
    return client.cancel(name)


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
        keys=KILL,
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
        keys=KILL,
        names=("cancel", "kill"),
        on=frozenset({"invocation"}),
        when=needs("invocation", _ended),
        complete=completes("invocation"),
    ),
)
