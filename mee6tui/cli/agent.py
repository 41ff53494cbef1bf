"""`mee6 agent`: serve, stop, status, set, drain, destroy."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from agent.config import DEFAULT_HTTP_LISTEN, DEFAULT_LISTEN, AgentConfig
from mee6.config import state_path
from mee6.errors import AgentUnreachable, Conflict, InvalidInput, Mee6Error, NotFound, TimedOut
from mee6.records import asdict
from mee6tui.cli import daemon, output, policy, units
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, connected, local, waiting

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6.records import Node

app = group("Run the agent, which runs the functions.")

_DEFAULTS = AgentConfig(Path())
STATUS_S: Final = 5.0
"""How long a sound agent may take to say how it is."""

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        envvar="MEE6_STATE_DIR",
        help="The agent's folder.",
        show_default="XDG state folder",
    ),
]


@app.command(
    epilog=examples(
        "mee6 agent serve",
        "mee6 agent serve --detach",
        "mee6 agent serve --listen 127.0.0.1:0 --state-dir /tmp/two --prewarm python=4",
    )
)
@local
def serve(
    here: Session,
    ctx: typer.Context,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", envvar="MEE6_LISTEN", help="Port 0 takes a free one.")
    ] = DEFAULT_LISTEN,
    http_listen: Annotated[
        str,
        typer.Option(
            "--http-listen",
            metavar="HOST:PORT",
            envvar="MEE6_HTTP_LISTEN",
            help="For functions over HTTP; off for none.",
            show_default=f"{DEFAULT_HTTP_LISTEN}, or a free port where that is taken",
        ),
    ] = "",
    http_host: Annotated[
        list[str] | None,
        typer.Option(
            "--http-host",
            metavar="NAME",
            help="A name that HTTP on loopback answers to, as behind a proxy. May be given again.",
        ),
    ] = None,
    http_inflight: Annotated[
        int, typer.Option("--http-inflight", min=1, help="Invocations over HTTP at once, at most; more are refused.")
    ] = _DEFAULTS.http_inflight,
    http_late: Annotated[
        str,
        typer.Option(
            "--http-late",
            metavar="5ms",
            help="Let fewer in where most take so much longer than at their quickest; 0s = never.",
        ),
    ] = "0s",
    http_idle: Annotated[
        str, typer.Option("--http-idle", metavar="60s", help="How long a stream may be without a piece.")
    ] = "60s",
    state_dir: StateDir = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Go on in the background once it answers.")] = False,
    driver: Annotated[
        str, typer.Option("--driver", metavar="NAME", help="What makes workers: process, docker or auto.")
    ] = _DEFAULTS.driver,
    prewarm: Annotated[
        list[str] | None,
        typer.Option("--prewarm", metavar="RUNTIME=N", help="Workers kept ready. May be given again."),
    ] = None,
    max_workers: Annotated[int, typer.Option("--max-workers", min=1, help="Workers at once.")] = _DEFAULTS.max_workers,
    parallel_calls: Annotated[
        int,
        typer.Option(
            "--parallel-calls",
            min=0,
            help="Calls of one workflow in other workers at once, at each depth; 0 = the default.",
            show_default="half of --max-workers, at least 8",
        ),
    ] = _DEFAULTS.parallel_calls,
    queue_limit: Annotated[
        int, typer.Option("--queue-limit", min=0, help="Invocations that may wait.")
    ] = _DEFAULTS.queue_limit,
    keep_alive: Annotated[
        str, typer.Option("--keep-alive", metavar="10m", help="How long a worker keeps an idle function.")
    ] = "10m",
    linger: Annotated[
        str, typer.Option("--linger", metavar="1s", help="How long a worker is idle before it is paused.")
    ] = "1s",
    pause: Annotated[
        str,
        typer.Option(
            "--pause",
            metavar="POLICY",
            help="Which idle workers are paused: always, after-use or never.",
            show_default="always; after-use where each pause is a request to an engine",
        ),
    ] = "",
    ceiling: Annotated[
        list[str] | None,
        typer.Option("--ceiling", metavar="RUNTIME=N", help="Workers at most. May be given again."),
    ] = None,
    memory_budget: Annotated[
        str, typer.Option("--memory-budget", metavar="4G", help="Of all workers together; 0 = none.")
    ] = "0",
    no_wait_for_busy: Annotated[
        bool,
        typer.Option(
            "--no-wait-for-busy", help="Start workers for all who wait, even where one in use is free sooner."
        ),
    ] = False,
    order: Annotated[
        str,
        typer.Option("--order", metavar="RULE", help="Who is served first of those that wait: arrival or deadline."),
    ] = _DEFAULTS.order,
    timeout: Annotated[str, typer.Option("--timeout", metavar="60s", help="For functions that say none.")] = "60s",
    drain: Annotated[str, typer.Option("--drain", metavar="10s", help="How long a stop waits for what runs.")] = "10s",
    memory: Annotated[str, typer.Option("--memory", metavar="512M", help="Of one worker.")] = "512M",
    cpus: Annotated[float, typer.Option("--cpus", min=0.0, help="Cores of one worker; 0 = all.")] = 0.0,
    no_direct_lanes: Annotated[
        bool, typer.Option("--no-direct-lanes", help="Have all calls within a worker go through its proxy.")
    ] = False,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Have large arguments and results within a workflow go over sockets.")
    ] = False,
    schedule: Annotated[
        Literal["worker", "spread", "master"],
        typer.Option(
            "--schedule",
            help="Who runs declared workflows: the worker that holds one, the same with steps spread, or the agent.",
        ),
    ] = _DEFAULTS.schedule,
    no_one_core: Annotated[
        bool, typer.Option("--no-one-core", help="Never put a worker's processes on one core.")
    ] = False,
    look_ahead: Annotated[
        str,
        typer.Option(
            "--look-ahead",
            metavar="BY",
            help="Load functions ahead of their calls: off, as declared, or as learnt from runs too.",
        ),
    ] = _DEFAULTS.look_ahead,
    ahead_loads: Annotated[
        int, typer.Option("--ahead-loads", min=1, max=16, help="Loads ahead under way at once, in one worker.")
    ] = _DEFAULTS.ahead_loads,
    bundle_limit: Annotated[
        str, typer.Option("--bundle-limit", metavar="100M", help="Of a function's folder.")
    ] = "100M",
    package_limit: Annotated[
        str, typer.Option("--package-limit", metavar="1G", help="Of the packages that a function depends on.")
    ] = "1G",
    package_timeout: Annotated[
        str, typer.Option("--package-timeout", metavar="5m", help="For resolving them, when it is added.")
    ] = "5m",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option("--log-level", help="What to log.")
    ] = "info",
) -> None:
    """Serve until told to stop.

    In the foreground, or with --detach in the background, where -o json tells address, pid and log. Ctrl-C, SIGTERM
    or `mee6 agent stop` let what runs finish; a second one stops at once.
    """
    config = AgentConfig(
        state_dir=(state_dir or state_path()).absolute(),
        driver=driver,
        listen=listen,
        http_listen=http_listen,
        http_hosts=tuple(http_host or ()),
        http_inflight=http_inflight,
        http_late_s=units.seconds(http_late),
        http_idle_s=units.seconds(http_idle),
        prewarm={**_DEFAULTS.prewarm, **policy.counts("--prewarm", prewarm)},
        ceiling=policy.counts("--ceiling", ceiling),
        memory_budget_bytes=units.size(memory_budget),
        max_workers=max_workers,
        parallel_calls=parallel_calls,
        queue_limit=queue_limit,
        keep_alive_s=units.seconds(keep_alive),
        linger_s=units.seconds(linger),
        pause=pause,
        wait_for_busy=not no_wait_for_busy,
        order=order,
        timeout_s=units.seconds(timeout),
        drain_s=units.seconds(drain),
        memory_bytes=units.size(memory),
        cpus=cpus,
        direct_lanes=not no_direct_lanes,
        schedule=schedule,
        one_core=not no_one_core,
        store=not no_store,
        look_ahead=look_ahead,
        ahead_loads=ahead_loads,
        bundle_limit_bytes=units.size(bundle_limit),
        dependency_bytes=units.size(package_limit),
        dependency_timeout_s=units.seconds(package_timeout),
    )
    from agent.told import check

    check(config)
    if detach:
        _detach(here, config.state_dir, _given(ctx))
        return
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s %(message)s", stream=sys.stderr
    )
    from agent.main import run

    raise typer.Exit(run(config))


@app.command(epilog=examples("mee6 agent stop", "mee6 agent stop --now"))
@local
def stop(
    here: Session,
    state_dir: StateDir = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for what runs.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="60s", help="How long to wait for it.")] = "60s",
) -> None:
    """Stop the agent; what runs may finish first."""
    state = state_dir or state_path()
    with waiting("waiting for the agent to finish what runs"):
        pid = daemon.stop(state, now=now, patience_s=units.seconds(timeout))
    here.note(f"the agent (pid {pid}) has stopped")


@app.command(epilog=examples("mee6 agent status", "mee6 agent status -o json", "mee6 agent status --address edge:5122"))
@connected
def status(here: Session, state_dir: StateDir = None) -> None:
    """Show what the agent can do and does."""
    nodes = _at(here, state_dir).run(_nodes)
    rows = [asdict(node) for node in nodes]
    if not here.for_people or here.quiet:
        output.show(here.listing, rows, [], name="id")
        return
    output.write("\n\n".join("\n".join(_portrait(node)) for node in nodes))


@app.command(
    "set",
    epilog=examples(
        "mee6 agent set pause=never",
        "mee6 agent set prewarm=python=4 ceiling=python=16",
        "mee6 agent set memory-budget=4G keep-alive=5m linger=500ms",
    ),
)
@connected
def change(
    here: Session,
    settings: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="What to change.")],
    state_dir: StateDir = None,
) -> None:
    """Change how a serving agent keeps its workers, until it ends.

    Names are pause (always, after-use, never), keep-alive, linger, memory-budget, prewarm and ceiling. Workers that
    are paused already stay so until they are used.
    """
    changes = policy.changes(settings)
    node = _at(here, state_dir).run(lambda client: client.configure(**changes))
    if not here.for_people:
        output.show(here.form, [asdict(node)], [], name="id")
        return
    output.write("\n".join(output.facts(_policy(node))))


@app.command(epilog=examples("mee6 agent drain", "mee6 agent drain --wait 5m && mee6 agent stop"))
@connected
def drain(
    here: Session,
    state_dir: StateDir = None,
    wait: Annotated[str, typer.Option("--wait", metavar="5m", help="Wait so long for what runs; 0 = do not.")] = "0",
) -> None:
    """Have the agent take no new invocations; what runs finishes.

    New ones are refused until `mee6 agent undrain`. With --wait it returns once nothing runs; the exit code is 124
    when something still does after that time, and the agent drains on.
    """
    patience_s = units.seconds(wait)

    async def work(client: Client) -> Node:
        node = await client.drain()
        if patience_s and (node.busy or node.queued):
            return await _idle(client, patience_s)
        return node

    node = _at(here, state_dir).run(work, "waiting for what runs to finish")
    rest = f"; {node.busy} run and {node.queued} wait" if node.busy or node.queued else "; nothing runs"
    output.show_one(here.form, asdict(node), lambda: [f"agent {node.id} drains{rest}"], name="id")


@app.command(epilog=examples("mee6 agent undrain"))
@connected
def undrain(here: Session, state_dir: StateDir = None) -> None:
    """Have a drained agent take invocations again."""
    node = _at(here, state_dir).run(lambda client: client.undrain())
    output.show_one(here.form, asdict(node), lambda: [f"agent {node.id} serves again"], name="id")


async def _nodes(client: Client) -> tuple[Node, ...]:
    """The nodes, from an agent that answers soon or does not."""
    import asyncio

    try:
        async with asyncio.timeout(STATUS_S):
            return await client.nodes()
    except TimeoutError:
        raise TimedOut(
            f"the agent at {client.address} says nothing for {STATUS_S:g} s: it is frozen or overloaded; "
            "see its log, or end it with: mee6 agent stop --now"
        ) from None


async def _idle(client: Client, patience_s: float) -> Node:
    """The node once nothing runs on it."""
    import asyncio

    from mee6.records import Node, Snapshot

    try:
        async with asyncio.timeout(patience_s):
            async for item in client.watch(kinds=["node"]):
                events = (item.node,) if isinstance(item, Snapshot) else (event.what for event in item.events)
                for what in events:
                    if isinstance(what, Node) and not what.busy and not what.queued:
                        return what
    except TimeoutError:
        raise TimedOut(f"something still runs after {patience_s:g} s; the agent drains on") from None
    raise AgentUnreachable(f"the agent at {client.address} has ended; see: mee6 agent status")


def _at(here: Session, state_dir: Path | None) -> Session:
    """The session with the agent of a state folder that was named, unless an address was; a flag beats the rest."""
    if state_dir is None:
        return here
    by_flag = str(state_dir) != os.environ.get("MEE6_STATE_DIR")
    origin = here.settings.address.origin
    if origin == "default" or (by_flag and origin != "--address"):
        return here.at(daemon.serving(state_dir).address)
    return here


@app.command(epilog=examples("mee6 agent destroy", "mee6 agent destroy -y --state-dir /tmp/two"))
@local
def destroy(
    here: Session,
    state_dir: StateDir = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Stop the agent and remove its state folder.

    All functions, results and logs go with it.
    """
    state = (state_dir or state_path()).absolute()
    _check_is_an_agents(state)
    if not yes:
        if not sys.stdin.isatty():
            raise InvalidInput(f"to remove {state} and all functions in it without a question, give -y")
        typer.confirm(f"Remove {state} and all functions in it?", abort=True, err=True)
    if daemon.running(state):
        with waiting("stopping the agent"):
            daemon.stop(state, now=True, patience_s=20.0)
    from agent.main import sweep

    sweep(state)  # of an agent that was killed, then or earlier
    try:
        shutil.rmtree(state)
    except OSError as error:
        raise Mee6Error(f"cannot remove all of {state}: {error.strerror} ({error.filename})") from error
    here.note(f"removed {state}")


def _detach(here: Session, state: Path, options: list[str]) -> None:
    if daemon.running(state):
        raise Conflict(f"an agent already runs on {state}; see: mee6 agent status, or choose another --state-dir")
    log = state / daemon.LOG
    seen = log.stat().st_size if log.exists() else 0
    with waiting("starting the agent"):
        found = daemon.start(state, options, answers)
    said = log.read_bytes()[seen:].decode("utf-8", "replace").splitlines(keepends=True)
    for line in said:
        if line.startswith("mee6: --driver auto takes"):
            here.note(line.removeprefix("mee6: ").rstrip("\n"))
    row = {"address": found.listen, "pid": found.pid, "log": str(log), "state_dir": str(state)}
    text = f"mee6 agent listens on {found.listen} (pid {found.pid}, log {log})"
    output.show_one(here.form, row, lambda: [text], name="address")
    if here.for_people and found.listen != here.settings.address.value:
        here.note(f"to have commands use it: export MEE6_ADDRESS={found.listen}")


_OF_THE_COMMAND: Final = {"detach", "state_dir", "output", "json", "no_color", "quiet", "debug"}


def _given(ctx: typer.Context) -> list[str]:
    """The options as they were given, for the agent in the background; its state folder is told apart."""
    given: list[str] = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        value = ctx.params.get(name)
        if name in _OF_THE_COMMAND or not value or value == parameter.default:
            continue
        option = parameter.opts[0]
        values = value if isinstance(value, list | tuple) else [value]
        given += [option] if value is True else [part for one in values for part in (option, str(one))]
    return given


def answers(found: daemon.Facts) -> bool:
    """Whether the agent answers where it says it listens."""
    import asyncio

    from mee6.client import Client

    async def ask() -> bool:
        async with Client(found.address) as client:
            return bool(await asyncio.wait_for(client.nodes(), 2.0))

    try:
        return asyncio.run(ask())
    except (Mee6Error, TimeoutError):
        return False


def _check_is_an_agents(state: Path) -> None:
    if not state.is_dir():
        raise NotFound(f"no state folder {state}; nothing to remove")
    if not (state / "agent.lock").is_file() or state.is_symlink():
        raise InvalidInput(f"{state} is not an agent's state folder; nothing was removed")


def _doing(node: Node) -> str:
    return "stopping" if node.stopping else "draining" if node.draining else "serving"


def _policy(node: Node) -> list[tuple[str, str]]:
    kept = f"paused ({node.pause_policy}) after {node.linger_s:g} s, ended after {units.age(node.keep_alive_s)}"
    if node.pause_policy == "never":
        kept = f"never paused, ended after {units.age(node.keep_alive_s)}"
    used = f"{node.memory_bytes / (1 << 20):.0f} MiB"
    budget = f" of {node.memory_budget_bytes / (1 << 20):.0f} MiB" if node.memory_budget_bytes else ", no budget"
    return [
        ("idle workers", kept),
        ("their memory", used + budget),
        ("looks ahead", _ahead(node)),
        *([("waiting", _waiting(node))] if node.order else []),
        *(
            (
                "pool",
                f"{pool.name}: {pool.ready} ready of {pool.floor}"
                + (f", {pool.starting} starting" if pool.starting else "")
                + (f", at most {pool.ceiling}" if pool.ceiling else "")
                + (f"; {pool.failure}" if pool.failure else ""),
            )
            for pool in node.pools
        ),
    ]


def _ahead(node: Node) -> str:
    guesses = node.ahead_hits + node.ahead_misses
    if node.look_ahead in ("", "off") or not guesses:
        return node.look_ahead
    saved = units.duration(node.ahead_saved_ns)
    return f"{node.look_ahead}: {node.ahead_hits} of {guesses} loads ahead were called for, {saved} saved"


def _waiting(node: Node) -> str:
    order = "first whose time runs out first" if node.order == "deadline" else "first come, first served"
    return order + (", for workers in use where these are free sooner" if node.wait_for_busy else "")


def _portrait(node: Node) -> list[str]:
    up_s = (node.now_ns - node.started_ns) / 1e9
    starting = sum(pool.starting for pool in node.pools)
    idle = max(0, node.workers - node.busy - node.paused - starting)
    kinds = [f"{node.busy} busy", f"{idle} idle", f"{node.paused} paused", f"{starting} starting"]
    return output.facts(
        [
            ("node", node.id),
            ("version", f"{node.version} (API {node.api})"),
            ("listens on", node.listen),
            ("http", f"http://{node.http}" if node.http else "not served"),
            (
                "state",
                f"{_doing(node)}, up {units.age(up_s)}, pid {node.pid}, {node.state_dir}",
            ),
            ("runtimes", ", ".join(node.runtimes)),
            *(("missing", line) for line in node.missing),
            ("driver", f"{node.driver} (isolation {node.isolation}, pause {node.pause}, limits {node.limits})"),
            *(("note", line) for line in node.notes),
            ("workers", f"{node.workers} of {node.max_workers}: {', '.join(kinds)}"),
            *_policy(node),
            ("waiting", str(node.queued)),
            ("invocations", f"{node.invocations}, of which failed {node.failures}"),
            ("memory", f"{node.rss_bytes / (1 << 20):.0f} MiB"),
            ("store", units.stored(node.stored_blocks, node.stored_bytes, node.stored_over)),
        ]
    )
