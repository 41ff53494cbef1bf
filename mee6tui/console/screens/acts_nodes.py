"""The commands that act on agents: drain, undrain, settings.

Each acts on the keys that were captured when it was asked for. What cannot be taken back asks first; whatever is
done, or fails, stands in the command log as the `mee6` line that does the same.
"""

from __future__ import annotations

from typing import Any, Final

from mee6.errors import InvalidInput
from mee6.records import Node
from mee6tui.cli import policy, units
from mee6tui.console import shell
from mee6tui.console.commands import Command, Context
from mee6tui.console.screens.dialogs import Field, Form, Question, Values
from mee6tui.console.screens.jobs import Job, ask, carry_out
from mee6tui.console.targets import barred, completes, fitting, needs, targets


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
    ask(context, Question(title, items, "Drain", [job.line for job in jobs], warning), jobs)


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
        "look-ahead": ("load ahead", "off, declared or learnt"),
        "memory-budget": ("memory of all", "4G; 0 = no limit"),
        "prewarm": ("kept ready", "python=2 nodejs=1"),
        "ceiling": ("at most", "python=16; 0 = no ceiling"),
        "wait-for-busy": ("wait for busy ones", "on or off"),
        "order": ("who is first", "arrival or deadline"),
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
        "look-ahead": node.look_ahead,
        "memory-budget": units.size_given(node.memory_budget_bytes) or "0",
        "prewarm": " ".join(f"{pool.name}={pool.floor}" for pool in node.pools),
        "ceiling": " ".join(f"{pool.name}={pool.ceiling}" for pool in node.pools),
        "wait-for-busy": "on" if node.wait_for_busy else "off",
        "order": node.order,
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


ACTS: Final = (
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
