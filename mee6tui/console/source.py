"""Where the store's contents come from: an agent that is watched, for as long as the console runs.

A source never fails: what goes wrong is the state of its link, and it tries again, later each time. After every
reconnection the agent sends a picture of how things stand, so nothing stale is ever shown as new.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from enum import StrEnum
from typing import Final, Protocol

from mee6.errors import Exhausted, Mee6Error
from mee6.records import Batch, Snapshot
from mee6tui.console.store import Store

FIRST_RETRY_S: Final = 0.25
LAST_RETRY_S: Final = 10.0
STEADY_S: Final = 5.0
"""A link that held for so long begins again with the first delay."""
PART: Final = 2_000
"""Events that are taken in at once, in about 5 ms; keys are answered before the next."""
LAGGING_S: Final = 5.0
"""How long it is shown that events were left out, that one was cut off, or that the agent was restarted."""
Item = Snapshot | Batch


class LinkState(StrEnum):
    """How a source is doing; words of `look.LINKS`."""

    CONNECTING = "connecting"
    LIVE = "live"
    LAGGING = "lagging"  # the agent left events out: we were too slow
    RESTARTED = "restarted"  # it answers again, and is another process than before
    CUT_OFF = "cut off"  # the agent ended the stream, since we did not read
    RECONNECTING = "reconnecting"
    REPLAY = "replay"
    ENDED = "ended"


class Watched(Protocol):
    """What a source needs of `mee6.client.Client`."""

    def watch(self) -> AsyncGenerator[Item, None]:
        """A picture, then what happens, until the connection ends."""
        ...


class Source(Protocol):
    """Fills the store under its name until it is cancelled."""

    name: str

    async def run(self, sink: Sink) -> None:
        """Goes on for as long as there is something to be told."""
        ...


class Sink:
    """Where sources put what they are told.

    Args:
        now: seconds, monotonic.
        note: told of every item before the store takes it in: the history, a recording.
    """

    def __init__(self, store: Store, now: Callable[[], float], note: Callable[[str, Item, float], None]) -> None:
        self.store = store
        self.now = now
        self._note = note

    def put(self, source: str, item: Item) -> None:
        """Takes an item in."""
        at = self.now()
        self._note(source, item, at)
        self.store.apply(source, item, at)

    async def take(self, source: str, item: Item) -> None:
        """Takes an item in, a long batch in parts."""
        if isinstance(item, Batch) and len(item.events) > PART:
            for start in range(0, len(item.events), PART):
                self.put(source, Batch(item.seq + start, item.events[start : start + PART]))
                await asyncio.sleep(0)
        else:
            self.put(source, item)

    def link(self, source: str, state: LinkState, *, error: str = "", attempt: int = 0, retry_s: float = 0.0) -> None:
        """Notes how the source is doing now."""
        at = self.now()
        self.store.link(source, state=state, since=at, error=error, attempt=attempt, retry_at=at + retry_s)


class AgentSource:
    """One agent, watched.

    Args:
        name: how the console calls it: the context's name or the address.
    """

    def __init__(self, name: str, client: Watched) -> None:
        self.name = name
        self.client = client
        self._again = asyncio.Event()

    def retry_now(self) -> None:
        """Ends the wait for the next attempt."""
        self._again.set()

    async def run(self, sink: Sink) -> None:
        """Watches, and watches again whenever that ends."""
        sink.link(self.name, LinkState.CONNECTING)
        delay_s, attempt = FIRST_RETRY_S, 0
        state = LinkState.CONNECTING
        while True:
            began = sink.now()
            try:
                await self._watch(sink, was_cut_off=state is LinkState.CUT_OFF)
                error, state = "the agent ended the stream", LinkState.RECONNECTING
            except Exhausted as refused:
                error, state = refused.message, LinkState.CUT_OFF
            except Mee6Error as failure:
                error, state = failure.message, LinkState.RECONNECTING
            if sink.now() - began >= STEADY_S:
                delay_s, attempt = FIRST_RETRY_S, 0
            attempt += 1
            sink.link(self.name, state, error=error, attempt=attempt, retry_s=delay_s)
            self._again.clear()
            try:
                async with asyncio.timeout(delay_s):
                    await self._again.wait()
            except TimeoutError:
                delay_s = min(LAST_RETRY_S, delay_s * 2)

    async def _watch(self, sink: Sink, *, was_cut_off: bool) -> None:
        first, lagging_until = True, 0.0
        async with aclosing(self.client.watch()) as items:
            async for item in items:
                lost = self._lost(sink.store, item) if first and isinstance(item, Snapshot) else None
                await sink.take(self.name, item)
                if isinstance(item, Snapshot):
                    if lost is not None:
                        sink.link(self.name, LinkState.RESTARTED, error=lost)
                        lagging_until = sink.now() + LAGGING_S
                    elif first and was_cut_off:  # the retry came too soon for anybody to read why
                        error = (
                            "cut off, since nothing was read; connected again, what is shown is how things stand now"
                        )
                        sink.link(self.name, LinkState.LAGGING, error=error)
                        lagging_until = sink.now() + LAGGING_S
                    elif first:
                        sink.link(self.name, LinkState.LIVE)
                    else:
                        dropped = sink.store.links[self.name].dropped + max(1, item.missed)
                        sink.store.link(self.name, dropped=dropped)
                        error = f"too slow: {dropped:,} events were left out; what is shown is how things stand now"
                        sink.link(self.name, LinkState.LAGGING, error=error)
                        lagging_until = sink.now() + LAGGING_S
                    first = False
                elif lagging_until and sink.now() >= lagging_until:
                    lagging_until = 0.0
                    sink.link(self.name, LinkState.LIVE)

    def _lost(self, store: Store, picture: Snapshot) -> str | None:
        """What went with the agent that was seen here before, if this is another; None where it is the same."""
        before = store.nodes.get(self.name)
        if before is None or (before.pid, before.started_ns) == (picture.node.pid, picture.node.started_ns):
            return None
        known = {invocation.id for invocation in picture.invocations}
        lost = sum(source == self.name and identity not in known for source, identity in store.running)
        what = "1 invocation that went on is" if lost == 1 else f"{lost} invocations that went on are"
        return f"the agent was started again; {what} lost, the rest forgotten"
