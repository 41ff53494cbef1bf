"""The page of a trace: what it shows of a real run, what comes while it is seen, and where its keys lead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from mee6.errors import NotFound
from mee6.records import Batch, Event, Invocation, Node, Span, Step, Trace
from mee6tui.console.screens.page import Place
from tests.console.conftest import Play, Stage
from tests.console.made import MS

pytestmark = pytest.mark.slow


class Agent:
    """A client of an agent that knows these traces, by id."""

    def __init__(self, *traces: Trace) -> None:
        self.traces = {trace.invocation.id: trace for trace in traces}
        self.asked: list[tuple[str, str | None]] = []

    async def trace(self, invocation: str, *, user: str | None = None) -> Trace:
        self.asked.append((invocation, user))
        if invocation not in self.traces:
            raise NotFound(f"no invocation {invocation!r}")
        return self.traces[invocation]

    async def logs(self, function: str = "", **_asked: Any) -> AsyncIterator[Any]:
        none: tuple[Any, ...] = ()
        for line in none:
            yield line


def id_of(stage: Stage, function: str) -> str:
    return next(call.id for call in stage.app.store.invocations.values() if call.function == function)


async def show(stage: Stage, identity: str) -> str:
    stage.app.go(Place("trace", ("desk", identity), "invocation"))
    return await stage.settle()


async def test_enter_and_t_on_an_invocation_show_its_steps(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("4", "slash", *"pipeline", "enter")
        text = await stage.press("t")
        assert f"mee6  trace {id_of(stage, 'pipeline')}" in stage.lines[0]
        assert "✓ succeeded  pipeline v1  of default" in text
        assert "4 steps  in w3" in text
        assert [line.split()[1] for line in stage.lines[5:8]] == ["clean", "enrich", "publish"]
        await stage.press("escape")
        assert "mee6  invocations /pipeline" in stage.lines[0]
        assert "4 steps" in await stage.press("enter")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_a_step_is_told_in_its_parts_with_the_handover_beside_them(
    play: Play, handed: Any, size: tuple[int, int]
) -> None:
    async with play(size, items=handed) as stage:
        text = await show(stage, id_of(stage, "boom"))
        assert "queued 7.27ms → load 11.4ms → run 6.98ms" in text
        assert "beside it" in text
        assert ("gone 1.95ms" in text) == (size[0] >= 200)
        assert "lease" not in text
        assert max(map(len, stage.lines)) <= size[0]


async def test_an_error_of_many_lines_is_shown_below_and_whole_on_its_own(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        identity = id_of(stage, "boom")
        known = next(step for step in stage.app.store.steps.values() if step.id == identity)
        lines = "\n".join(f"line {number} of the traceback" for number in range(40))
        failed = replace(known, error=f"{lines}\nPriceError: no price in \x1b[31m'x'")
        stage.sources[0].say(Batch(9_000, (Event(0, failed),)))
        text = await show(stage, identity)
        assert "failed with 36 more lines above; e shows all" in text
        assert "PriceError: no price in 'x'" in text
        text = await stage.press("e")
        assert f"What {identity} failed with" in text
        assert "line 0 of the traceback" in text
        await stage.press("c")
        assert stage.app.clipboard.startswith("line 0")
        assert stage.app.clipboard.endswith("PriceError: no price in 'x'")
        assert "line 1 of the traceback" not in await stage.press("escape")
        assert "mee6  trace" in stage.lines[0]


async def test_what_has_not_failed_says_so_when_asked_for_its_error(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await show(stage, id_of(stage, "echo"))
        await stage.press("e")
        assert "It has not failed" in stage.said()


async def test_steps_lead_to_their_worker_their_logs_and_their_handover(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await show(stage, id_of(stage, "pipeline"))
        await stage.press("G")
        await stage.press("enter")
        assert "mee6  worker w3" in stage.lines[0]
        await stage.press("escape", "l")
        assert f"logs of step {id_of(stage, 'pipeline')}.3" in stage.lines[0]
        assert "total 5.00" in stage.text
        await stage.press("escape", "L")
        assert f"logs of invocation {id_of(stage, 'pipeline')}" in stage.lines[0]
        await stage.press("escape", "h")
        assert "mee6  handover of w3" in stage.lines[0]
        await stage.press("escape")
        assert "4 steps" in stage.text


async def test_the_id_and_the_command_are_copied(play: Play, handed: Any) -> None:
    async with play(items=handed, flags={"desk": " --context desk"}) as stage:
        identity = id_of(stage, "wordcount")
        await show(stage, identity)
        await stage.press("c")
        assert stage.app.clipboard == identity
        await stage.press("j", "c")
        assert stage.app.clipboard == f"{identity}.1"
        await stage.press("Y")
        assert stage.app.clipboard == f"mee6 trace {identity} --context desk"


async def test_a_running_invocation_grows_and_ends_while_it_is_seen(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        store = stage.app.store
        now = store.agent_now("desk", stage.time.now)
        call = Invocation("f" * 12, "ann", "watcher", 2, "running", "w9", "cold", now, 0, "")
        queued = Step(
            call.id, "", "watcher", 2, "w9", "cold", "proxy", "running", 7, "",
            (Span("start", now, now + 50 * MS), Span("load", now + 50 * MS, 0)), call.id,
        )  # fmt: skip
        stage.sources[0].say(Batch(9_000, (Event(now, call), Event(now, queued))))
        text = await show(stage, call.id)
        assert "▶ running  watcher v2  of ann" in text
        assert "so far" in text
        assert "1 step, 1 going on  in w9" in text
        assert "load" in text
        end = now + 900 * MS
        ended = replace(
            queued, state="succeeded",
            spans=(queued.spans[0], Span("load", now + 50 * MS, now + 70 * MS), Span("run", now + 70 * MS, end)),
        )  # fmt: skip
        done = replace(call, state="succeeded", ended_ns=end)
        stage.sources[0].say(Batch(9_002, (Event(end, ended), Event(end, done))))
        text = await stage.settle()
        assert "✓ succeeded  watcher v2" in text
        assert "took 900ms" in text
        assert "start 50.0ms → load 20.0ms → run 830ms" in text
        assert "so far" not in text


async def test_what_the_store_does_not_know_is_asked_of_the_agent(play: Play, handed: Any) -> None:
    old = Invocation("a" * 12, "ann", "report", 3, "succeeded", "w2", "cold", 5 * MS, 95 * MS, "")
    steps = tuple(
        Step(f"{old.id}{'.' * bool(n)}{n or ''}", old.id if n else "", f"part{n}", 1, "w2", "warm", "direct",
             "succeeded", 7, "", (Span("run", (5 + n) * MS, (90 - n) * MS),), old.id)
        for n in range(3)
    )  # fmt: skip
    agent = Agent(Trace(old, steps, 0, 12, 34_567))
    async with play(items=handed, clients={"desk": agent}) as stage:
        text = await show(stage, old.id)
        assert "✓ succeeded  report v3  of ann  took 90.0ms" in text
        assert "3 steps  in w2  argument 12 B  result 33.8 KiB" in text
        assert "part2" in text
        assert agent.asked == [(old.id, None), (old.id, None)]  # once more when it has ended
        text = await show(stage, "b" * 12)
        assert f"no invocation '{'b' * 12}'; esc goes back" in text


async def test_a_recording_says_what_it_does_not_know(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        assert "no more is known of it; esc goes back" in await show(stage, "c" * 12)


async def test_hundreds_of_steps_are_shown_and_walked_through(play: Play, handed: Any) -> None:
    async with play((120, 40), items=handed) as stage:
        store = stage.app.store
        now = store.agent_now("desk", stage.time.now)
        call = Invocation("d" * 12, "ann", "fan", 1, "running", "w9", "warm", now, 0, "")
        root = Step(call.id, "", "fan", 1, "w9", "warm", "direct", "running", 7, "", (Span("run", now, 0),), call.id)
        children = [
            replace(root, id=f"{call.id}.{n}", parent=call.id, function="leaf", worker=f"w{n % 9}",
                    spans=(Span("queued", now, now + n * MS), Span("run", now + n * MS, now + (n + 5) * MS)))
            for n in range(1, 801)
        ]  # fmt: skip
        stage.sources[0].say(Batch(9_000, (Event(now, call), *(Event(now, step) for step in (root, *children)))))
        text = await show(stage, call.id)
        assert "801 steps, 1 going on" in text
        assert "in w9 w1 w2 w3 w4 w5 and 4 more" in text
        await stage.press("G")
        assert stage.app.page.copy_text() == f"{call.id}.800"
        assert "leaf" in stage.lines[30]


async def test_a_worker_and_a_function_lead_to_their_latest_trace(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("3", "slash", *"boom", "enter")
        await stage.press("t")
        assert f"trace {id_of(stage, 'boom')}" in stage.lines[0]
        await stage.press("2", "slash", *"worker=w3", "enter", "t")
        assert f"trace {id_of(stage, 'pipeline')}" in stage.lines[0]


async def test_a_frozen_trace_shows_the_moment(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await show(stage, id_of(stage, "pipeline"))
        await stage.press("F")
        for _ in range(200):
            await stage.pilot.press("left_curly_bracket")
            if "going on" in await stage.settle():
                break
        assert "going on" in stage.text
        assert "✓ succeeded" in await stage.press("F")


async def test_ascii_is_all_there_is(play: Play, handed: Any) -> None:
    async with play(items=handed, ascii_only=True) as stage:
        for function in ("pipeline", "boom"):
            text = await show(stage, id_of(stage, function))
            assert text.isascii(), sorted({letter for letter in text if not letter.isascii()})


async def test_help_names_the_keys_of_the_waterfall(play: Play, handed: Any) -> None:
    async with play((100, 50), items=handed) as stage:
        await show(stage, id_of(stage, "pipeline"))
        text = await stage.press("question_mark")
        assert "leave out idle time" in text
        assert "Logs of the step" in text


async def test_w_says_why_it_took_that_long_wherever_an_invocation_is_meant(play: Play, handed: Any) -> None:
    agent = Explained()
    async with play(items=handed, clients={"desk": agent}) as stage:
        identity = id_of(stage, "boom")
        call = stage.app.store.invocations["desk", identity]
        steps = tuple(step for step in stage.app.store.steps.values() if step.id == identity)
        agent.traces[identity] = Trace(call, steps, wall_offset_ns=0, arg_bytes=0, result_bytes=0)
        agent.told = next(iter(stage.app.store.nodes.values()))
        for keys in (("4", "slash", *"boom", "enter"), ("t",)):
            await stage.press(*keys)
            text = await stage.press("w")
            assert f"Why {identity} took as long as it did" in text
            assert f"{identity}  boom v1  failed" in text
            assert "␊" not in text, "lines are lines"
            assert "too few runs to compare" in " ".join(text.split())
            assert "took as long as it did" not in await stage.press("escape")


async def test_a_recording_is_not_asked_for_reasons(play: Play, handed: Any) -> None:
    async with play(items=handed, clients={}) as stage:
        await stage.press("4", "w")
        assert "This is a recording: there is no agent to ask" in stage.said()


class Explained(Agent):
    """A client of an agent that also knows its functions and itself."""

    user = "default"

    told: Node

    async def trace(self, invocation: str, *, user: str | None = None, usual: bool = False) -> Trace:
        return await super().trace(invocation, user=user)

    async def nodes(self) -> tuple[Node, ...]:
        return (self.told,)

    async def describe(self, name: str, *, user: str | None = None) -> None:
        raise NotFound(f"{name} of {user} was removed")
