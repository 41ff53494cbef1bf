"""How an act is done: jobs, each of them one command line, carried out and noted with what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mee6.errors import Mee6Error
from mee6tui.console.commands import Context, Key
from mee6tui.console.screens.dialogs import Confirm, Question

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6tui.console.app import ConsoleApp

KILL: Final = ("ctrl+k", "ctrl+d", "delete")
"""The keys of what ends something."""
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


def by_source(keys: Iterable[Key]) -> dict[str, list[str]]:
    """The ids, by agent."""
    found: dict[str, list[str]] = {}
    for source, identity in keys:
        found.setdefault(source, []).append(identity)
    return found


def at(context: Context, source: str) -> str:
    """Which agent, where there are several."""
    return f" on {source}" if len(context.app.store.links) > 1 else ""


def how_many(kind: str, keys: Sequence[Key]) -> str:
    """One by its name, several by their number."""
    return f"{kind} {keys[0][1].rpartition('/')[2]}" if len(keys) == 1 else f"these {len(keys)} {kind}s"


def ask(context: Context, question: Question, jobs: Sequence[Job]) -> None:
    """Does them if that is what is wanted."""
    context.app.push_screen(Confirm(context, question, lambda: carry_out(context.app, jobs)))
