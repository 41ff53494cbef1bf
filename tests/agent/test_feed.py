from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress

import pytest

from agent.feed import (
    RING_EVENTS,
    RING_LOG_BYTES,
    Batch,
    Event,
    Feed,
    FiguresView,
    Filter,
    FunctionView,
    HandoverView,
    InvocationView,
    LogLine,
    NodeView,
    Picture,
    Snapshot,
    Subscription,
    WorkerView,
)
from mee6.lane.messages import Step

PICTURE = Picture(
    NodeView("n1", "0.1.0", 1),
    (WorkerView("w1", "python", "warm", function="echo"), WorkerView("w2", "python", "prewarmed")),
    (FunctionView("ann", "echo", 1, "python"),),
    (InvocationView("i1", "ann", "echo", 1, "running", worker="w1"),),
)


def a_feed() -> Feed:
    return Feed(lambda: PICTURE, flush_s=0.001, steady_s=0.001)


def a_line(text: str, number: int = 1) -> LogLine:
    return LogLine(number, "i1", "echo", "w1", "out", text)


def an_invocation(id_: str, state: str = "running", function: str = "echo") -> InvocationView:
    return InvocationView(id_, "ann", function, 1, state)


async def the_next(subscription: Subscription) -> Snapshot | Batch:
    return await asyncio.wait_for(anext(subscription), 5)


async def the_events(subscription: Subscription) -> list[Event]:
    batch = await the_next(subscription)
    assert isinstance(batch, Batch)
    return [event for _at, event in batch.events]


async def test_a_watcher_gets_a_snapshot_and_then_what_comes_after_it() -> None:
    feed = a_feed()
    feed.publish(1, an_invocation("before"))
    with feed.subscribe() as watcher:
        snapshot = await the_next(watcher)
        assert snapshot == Snapshot(1, PICTURE)
        feed.publish(2, an_invocation("after"))
        assert await the_next(watcher) == Batch(1, [(2, an_invocation("after"))])


async def test_a_watcher_may_do_without_the_snapshot() -> None:
    feed = a_feed()
    with feed.subscribe(skip_snapshot=True) as watcher:
        feed.publish(1, an_invocation("i1"))
        assert await the_events(watcher) == [an_invocation("i1")]


async def test_only_the_last_of_several_views_of_one_thing_is_delivered() -> None:
    feed = a_feed()
    step = Step("i1", "", "echo", 1, "w1", "warm", "direct", "running")
    with feed.subscribe(skip_snapshot=True) as watcher:
        for state in ("starting", "prewarmed", "busy"):
            feed.publish(1, WorkerView("w1", "python", state))
            feed.publish(1, an_invocation("i1", state))
            feed.publish(1, HandoverView("w1", state))
            feed.publish(1, FunctionView("ann", "echo", len(state), "python"))
            feed.publish(1, step)
        assert await the_events(watcher) == [
            WorkerView("w1", "python", "busy"),
            an_invocation("i1", "busy"),
            HandoverView("w1", "busy"),
            FunctionView("ann", "echo", 4, "python"),
            step,
        ]


async def test_what_changes_often_is_looked_at_once_for_each_batch() -> None:
    feed, looks = a_feed(), 0

    def view() -> Event:
        nonlocal looks
        looks += 1
        return an_invocation("i1", f"state {looks}")

    feed.later("i1", 1, view)
    with feed.subscribe(skip_snapshot=True) as watcher:
        for at in range(2, 100):
            feed.later("i1", at, view)
        feed.later("i2", 100, view)
        feed.drop("i2", "i3")
        assert await the_events(watcher) == [an_invocation("i1", "state 1")]
        feed.later("i1", 101, view)
        assert await the_next(watcher) == Batch(1, [(101, an_invocation("i1", "state 2"))])
        feed.later("i1", 102, view)
    with feed.subscribe(skip_snapshot=True) as watcher:
        feed.publish(103, a_line("new"))
        assert await the_events(watcher) == [a_line("new")], "nothing from before"


async def test_every_log_line_counts() -> None:
    feed = a_feed()
    with feed.subscribe(skip_snapshot=True) as watcher:
        feed.publish(1, a_line("same\n"))
        feed.publish(1, a_line("same\n"))
        assert await the_events(watcher) == [a_line("same\n")] * 2


async def test_a_change_stands_where_its_last_view_was() -> None:
    feed = a_feed()
    with feed.subscribe(skip_snapshot=True) as watcher:
        feed.publish(1, an_invocation("i1", "running"))
        feed.publish(2, a_line("working\n"))
        feed.publish(3, an_invocation("i1", "succeeded"))
        assert await the_events(watcher) == [a_line("working\n"), an_invocation("i1", "succeeded")]


async def test_two_watchers_see_the_same() -> None:
    feed = a_feed()
    with feed.subscribe(skip_snapshot=True) as one, feed.subscribe(skip_snapshot=True) as other:
        feed.publish(1, an_invocation("i1"))
        assert await the_next(one) == await the_next(other)


async def test_a_watcher_that_fell_behind_the_ring_gets_a_fresh_snapshot_and_goes_on() -> None:
    feed = a_feed()
    with feed.subscribe() as watcher:
        await the_next(watcher)
        for number in range(RING_EVENTS + 1):
            feed.publish(number, an_invocation(f"i{number}"))
        assert await the_next(watcher) == Snapshot(RING_EVENTS + 1, PICTURE, missed=RING_EVENTS + 1)
        feed.publish(1, an_invocation("next"))
        assert await the_events(watcher) == [an_invocation("next")]


async def test_a_watcher_just_within_the_ring_loses_nothing() -> None:
    feed = a_feed()
    with feed.subscribe(skip_snapshot=True) as watcher:
        for number in range(RING_EVENTS):
            feed.publish(number, an_invocation(f"i{number}"))
        assert len(await the_events(watcher)) == RING_EVENTS


async def test_the_ring_holds_a_bounded_amount_of_output() -> None:
    feed = a_feed()
    text = "x" * (RING_LOG_BYTES // 4)
    with feed.subscribe(skip_snapshot=True) as watcher:
        for number in range(6):
            feed.publish(number, a_line(text, number))
        assert isinstance(await the_next(watcher), Snapshot)
        assert len(feed.cut(2) or ()) == 4
        assert feed.cut(1) is None


async def test_nothing_is_kept_while_nobody_watches() -> None:
    feed = a_feed()
    feed.publish(1, an_invocation("i1"))
    assert not feed.watched
    with feed.subscribe():
        assert feed.watched
        feed.publish(2, an_invocation("i2"))
    assert not feed.watched
    assert all(slot is None for slot in feed._ring)
    assert feed.seq == 2


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(kinds=frozenset(["log"])), ["log"]),
        (
            Filter(functions=frozenset(["echo"])),
            ["worker", "invocation", "step", "log", "handover", "function", "figures"],
        ),
        (Filter(functions=frozenset(["other"])), []),
        (Filter(workers=frozenset(["w1"])), ["worker", "step", "log", "handover"]),
        (Filter(kinds=frozenset(["log", "node"]), workers=frozenset(["w1"])), ["log"]),
        (Filter(), ["worker", "invocation", "step", "log", "handover", "function", "node", "figures"]),
    ],
)
def test_a_filter_lets_through_what_was_asked_for(wanted: Filter, expected: list[str]) -> None:
    events: dict[str, Event] = {
        "worker": WorkerView("w1", "python", "warm", function="echo"),
        "invocation": an_invocation("i1"),
        "step": Step("i1", "", "echo", 1, "w1", "", "", "running"),
        "log": a_line(""),
        "handover": HandoverView("w1", "direct", function="echo"),
        "function": FunctionView("ann", "echo", 1, "python"),
        "node": PICTURE.node,
        "figures": FiguresView("ann", "echo"),
    }
    assert [kind for kind, event in events.items() if wanted.passes(event)] == expected


async def test_a_filter_holds_for_snapshot_and_batches() -> None:
    feed = a_feed()
    with feed.subscribe(Filter(workers=frozenset(["w2"]))) as watcher:
        snapshot = await the_next(watcher)
        assert isinstance(snapshot, Snapshot)
        assert [worker.id for worker in snapshot.picture.workers] == ["w2"]
        assert snapshot.picture.invocations == ()
        assert snapshot.picture.node is PICTURE.node
        feed.publish(1, WorkerView("w1", "python", "busy"))
        feed.publish(1, WorkerView("w2", "python", "busy"))
        assert await the_events(watcher) == [WorkerView("w2", "python", "busy")]


async def test_closing_ends_every_watcher() -> None:
    feed = a_feed()
    with feed.subscribe(skip_snapshot=True) as watcher:
        waiting = asyncio.ensure_future(anext(watcher, None))
        await asyncio.sleep(0)
        feed.close()
        assert await asyncio.wait_for(waiting, 5) is None
        feed.publish(1, an_invocation("late"))


async def test_events_of_a_burst_come_in_few_batches() -> None:
    feed = Feed(lambda: PICTURE)
    with feed.subscribe(skip_snapshot=True) as watcher:
        batches, seen, ids = 0, 0, itertools.count()

        async def publish() -> None:
            for _ in range(100):
                feed.publish(1, an_invocation(f"i{next(ids)}"))
                await asyncio.sleep(0)

        publisher = asyncio.ensure_future(publish())
        while seen < 100:
            seen += len(await the_events(watcher))
            batches += 1
        await publisher
    assert batches <= 20


async def test_what_happens_after_a_pause_is_told_sooner_than_what_always_happens() -> None:
    feed, loop = Feed(lambda: PICTURE, flush_s=0.01, steady_s=0.06), asyncio.get_running_loop()
    came = list[float]()
    with feed.subscribe(skip_snapshot=True) as watcher:
        for number in range(3):
            feed.publish(1, an_invocation(f"i{number}"))  # as soon as the batch before has come
            await the_events(watcher)
            came.append(loop.time())
        assert came[1] - came[0] >= 0.03
        assert came[2] - came[1] >= 0.03
        await asyncio.sleep(0.07)
        assert feed._timer is None
        feed.publish(1, an_invocation("after a pause"))
        assert feed._timer is not None
        assert feed._timer.when() - loop.time() <= 0.01
        await the_events(watcher)


async def test_a_cancelled_watcher_leaves_the_feed_usable() -> None:
    feed = a_feed()
    with feed.subscribe(skip_snapshot=True) as watcher:
        waiting = asyncio.ensure_future(anext(watcher))
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        feed.publish(1, an_invocation("i1"))
        assert await the_events(watcher) == [an_invocation("i1")]
