"""The page of logs: of all, of one thing, merged over nodes, with what was written before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mee6.errors import AgentUnreachable
from mee6.records import Batch, Event, Log, LogLine
from mee6tui.console.screens.page import Place
from tests.console.conftest import Play, Stage

pytestmark = pytest.mark.slow


class Agent:
    """A client of an agent that remembers these lines; `lines` may be an error."""

    def __init__(self, lines: list[LogLine] | Exception) -> None:
        self.lines = lines
        self.asked: list[dict[str, Any]] = []

    async def logs(
        self, function: str = "", *, invocation: str = "", tail: int = 0, user: str | None = None
    ) -> AsyncIterator[LogLine]:
        self.asked.append({"function": function, "invocation": invocation, "tail": tail, "user": user})
        if isinstance(self.lines, Exception):
            raise self.lines
        for line in self.lines[-tail:]:
            yield line


def said(at_ns: int, text: str, *, function: str = "slow", invocation: str = "e" * 12, worker: str = "w9") -> LogLine:
    return LogLine(at_ns, Log(invocation, function, worker, "out", text, 0))


def say(stage: Stage, *lines: LogLine, source: int = 0) -> None:
    events = tuple(Event(line.at_ns, line.log) for line in lines)
    stage.sources[source].say(Batch(9_000 + stage.app.store.numbered, events))


def written(stage: Stage) -> list[str]:
    return [line.split("│", 1)[1].strip() for line in stage.lines if "│" in line]


async def test_all_logs_stand_in_the_order_of_time_and_go_on(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        text = await stage.press("8")
        assert "mee6  logs of all functions" in stage.lines[0]
        assert written(stage)[:2] == ["ping to ponger...", "pong from ponger: ponged"]
        assert "pinger/w2" in text
        assert "▸ follows  11 lines" in text
        assert "publish/w3 │       total 5.00, of which tax 0.45" in text
        now = stage.app.store.agent_now("desk", stage.time.now)
        say(stage, said(now, '{"level":"warning","msg":"low","left":3}\n'))
        text = await stage.settle()
        assert "WARN  low left=3" in text
        assert "12 lines" in text


async def test_what_is_written_without_an_end_of_line_has_no_empty_line_after_it(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("8")
        now = stage.app.store.agent_now("desk", stage.time.now)
        say(stage, said(now, "part"), said(now, "\n"), said(now, "\n"))
        await stage.settle()
        assert written(stage)[-2:] == ["part", ""]


@pytest.mark.parametrize(
    ("keys", "filter_", "title", "number"),
    [("4", "pinger", "logs of invocation", 2), ("3", "slow", "logs of function default/slow", 6)],
)
async def test_l_shows_the_logs_of_what_is_pointed_at(
    play: Play, handed: Any, keys: str, filter_: str, title: str, number: int
) -> None:
    async with play(items=handed) as stage:
        await stage.press(keys, "slash", *filter_, "enter")
        text = await stage.press("l")
        assert title in stage.lines[0]
        assert f"follows  {number} lines" in text


async def test_l_on_a_worker_and_capital_l_go_wider_and_wider(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("2", "slash", *"w10", "enter", "l")
        assert "logs of worker w10" in stage.lines[0]
        assert written(stage) == ["sleeping for 0.3 s", "sleeping for 30 s"]
        await stage.press("L")
        assert "logs of function default/slow" in stage.lines[0]
        await stage.press("L")
        assert "logs of all functions" in stage.lines[0]
        await stage.press("L")
        assert "These are all logs" in stage.said()
        await stage.press("escape", "escape", "escape")
        assert "mee6  workers" in stage.lines[0]


async def test_logs_of_several_agents_are_merged_by_the_time_of_day(play: Play, handed: Any) -> None:
    async with play((120, 40), items=handed, names=("edge", "lab")) as stage:
        text = await stage.press("8")
        assert "edge/pinger/w2" in text
        assert "lab/pinger/w2" in text
        assert written(stage)[:4] == ["ping to ponger..."] * 2 + ["pong from ponger: ponged"] * 2


async def test_what_was_before_is_asked_of_the_agent_once_and_merged_without_repeats(play: Play, handed: Any) -> None:
    agent = Agent([])
    async with play(items=handed, clients={"desk": agent}) as stage:
        known = stage.app.store.logs[0].line
        agent.lines = [said(known.at_ns - 1_000, "before that\n", function="pinger"), known]
        text = await stage.press("8")
        assert written(stage)[:3] == ["before that", "ping to ponger...", "pong from ponger: ponged"]
        assert "12 lines" in text
        assert [asked["tail"] for asked in agent.asked] == [1_000]
        await stage.press("3", "slash", *"pinger", "enter", "l")
        assert agent.asked[-1] == {"function": "pinger", "invocation": "", "tail": 1_000, "user": "default"}
        await stage.press("a")
        assert agent.asked[-1]["tail"] == 0
        await stage.press("a")
        assert any("all that the agent remembers is shown" in note.lower() for note in stage.said())


async def test_more_than_the_tail_is_offered(play: Play, handed: Any) -> None:
    lines = [said(number, f"line {number}\n") for number in range(3_000)]
    agent = Agent(lines)
    async with play(items=handed, clients={"desk": agent}) as stage:
        text = await stage.press("8")
        assert "from the last 1,000 lines on; a asks for all" in text
        assert "3,011 lines" in await stage.press("a")


async def test_an_agent_that_does_not_answer_is_named(play: Play, handed: Any) -> None:
    agent = Agent(AgentUnreachable("no agent answers at h:1"))
    async with play(items=handed, clients={"desk": agent}) as stage:
        text = await stage.press("8")
        assert "older lines are not known: no agent answers at h:1" in text
        assert "11 lines" in text


async def test_t_leads_to_the_trace_of_the_line_that_was_chosen(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("8", "g", "j")
        for _ in range(20):
            await stage.press("k")
        first = stage.app.store.logs[0].line.log.invocation
        await stage.press("t")
        assert f"trace {first}" in stage.lines[0]
        await stage.press("escape")
        assert "holds" in stage.text  # it is as it was left


async def test_a_line_is_searched_copied_and_seen_whole(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("8")
        now = stage.app.store.agent_now("desk", stage.time.now)
        say(stage, said(now, '{"msg":"order","items":[{"name":"apple"}]}\n'))
        await stage.settle()
        await stage.press("slash", *"order", "enter")
        assert "search 'order' n/N" in stage.text
        await stage.press("c")
        assert stage.app.clipboard == '{"msg":"order","items":[{"name":"apple"}]}'
        assert any("sent to the terminal's clipboard" in note for note in stage.said())
        text = await stage.press("enter")
        assert '"name": "apple"' in text
        await stage.press("escape", "escape")
        await stage.press("ampersand", *"ponged", "enter")
        assert "1 line of 12 with 'ponged'" in stage.text


async def test_the_command_that_shows_the_same_is_copied(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        identity = next(call.id for call in stage.app.store.invocations.values() if call.function == "pinger")
        for place, line in (
            (Place("logs"), "mee6 watch --kind log"),
            (Place("logs", ("desk", "default/echo"), "function"), "mee6 act logs echo --follow"),
            (Place("logs", ("desk", identity), "invocation"), f"mee6 act logs --id {identity}"),
            (Place("logs", ("desk", "w2"), "worker"), "mee6 watch --kind log --worker w2"),
        ):
            stage.app.go(place)
            await stage.press("Y")
            assert stage.app.clipboard == line


async def test_a_frozen_view_takes_no_more(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("8", "F")
        now = stage.app.store.agent_now("desk", stage.time.now)
        say(stage, said(now, "later\n"))
        assert "later" not in await stage.settle()
        assert "later" in await stage.press("F")


async def test_ascii_is_all_there_is(play: Play, handed: Any) -> None:
    async with play(items=handed, ascii_only=True) as stage:
        now = stage.app.store.agent_now("desk", stage.time.now)
        say(stage, said(now, "grüße ✓ to everybody who reads a line that is rather longer than the screen is wide\n"))
        text = await stage.press("8")
        assert text.isascii(), sorted({letter for letter in text if not letter.isascii()})


async def test_ctrl_c_copies_what_was_selected_by_mouse_and_does_not_speak_of_leaving(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("8")
        row = next(place for place, line in enumerate(stage.lines) if "ping to ponger" in line)
        start = stage.lines[row].index("ping to")
        await stage.pilot.mouse_down(offset=(start, row))
        await stage.pilot.hover(offset=(start + 3, row))
        await stage.pilot.mouse_up(offset=(start + 3, row))
        await stage.press("ctrl+c")
        assert stage.app.clipboard == "ping"
        assert all("leaves" not in said for said in stage.said())
