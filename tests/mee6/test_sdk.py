"""The SDK's face, with a backend that remembers; how calls travel is the conformance suite's business."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path

import pytest

import mee6
from mee6 import sdk
from mee6.errors import CallRefused, Conflict, FunctionRaised
from mee6.http import Request
from mee6.sdk import CallTo, Context, Outcome


class Remembering:
    """Answers a call to `name` with `name` and its argument; to `bad` with an error."""

    def __init__(self) -> None:
        self.calls: list[list[CallTo]] = []

    def invoke(self, name: str, arg: object, view: bool) -> object:
        return self.run((CallTo(name, arg, view),))[0].unwrap()

    def run(self, calls: Sequence[CallTo]) -> list[Outcome]:
        self.calls.append(list(calls))
        return [
            Outcome(error=FunctionRaised(f"no {arg}", function=name)) if name == "bad" else Outcome((name, arg))
            for name, arg, _view in calls
        ]

    def start(self, calls: Sequence[CallTo]) -> list[Awaitable[Outcome]]:
        async def one(outcome: Outcome) -> Outcome:
            await asyncio.sleep(0)
            return outcome

        return [one(outcome) for outcome in self.run(calls)]

    def flow(self) -> Path:
        return Path("/act/flow")

    def scratch(self) -> Path:
        return Path("/act/i")

    def context(self) -> Context:
        return Context("i", "f", 1, ("f",), 5.0)

    def request(self) -> Request:
        return Request("GET", "/a", "b=1")


@pytest.fixture
def backend() -> Iterator[Remembering]:
    one = Remembering()
    sdk.install(one)
    yield one
    sdk.install(None)


def test_invoke_returns_the_value(backend: Remembering) -> None:
    assert mee6.invoke("g") == ("g", None)
    assert mee6.invoke("g", 3) == ("g", 3)


def test_invoke_raises_the_error(backend: Remembering) -> None:
    with pytest.raises(FunctionRaised, match="no 1") as caught:
        mee6.invoke("bad", 1)
    assert caught.value.function == "bad"


def test_gather_makes_all_calls_at_once_and_keeps_their_order(backend: Remembering) -> None:
    assert mee6.gather(mee6.call("a", 1), ("b", 2), "c") == [("a", 1), ("b", 2), ("c", None)]
    assert backend.calls == [[CallTo("a", 1), CallTo("b", 2), CallTo("c")]]


def test_gather_raises_the_first_failure_or_returns_all(backend: Remembering) -> None:
    with pytest.raises(FunctionRaised, match="no 1"):
        mee6.gather(("a", 0), ("bad", 1), ("bad", 2))
    values = mee6.gather(("a", 0), ("bad", 1), return_exceptions=True)
    assert values[0] == ("a", 0)
    assert isinstance(values[1], FunctionRaised)


def test_gather_of_nothing_calls_nothing(backend: Remembering) -> None:
    assert mee6.gather() == []
    assert not backend.calls


@pytest.mark.parametrize("wrong", [3, ("a",), ("a", 1, 2), (1, "a")])
def test_gather_says_what_it_takes(backend: Remembering, wrong: object) -> None:
    with pytest.raises(TypeError, match=r"mee6\.call"):
        mee6.gather(wrong)  # type: ignore[call-overload]


async def test_the_async_form_is_the_same(backend: Remembering) -> None:
    assert await mee6.aio.invoke("g", 3) == ("g", 3)
    assert await mee6.aio.gather(("a", 1), "b") == [("a", 1), ("b", None)]
    assert list(await asyncio.gather(mee6.aio.invoke("a"), mee6.aio.invoke("b"))) == [("a", None), ("b", None)]
    with pytest.raises(FunctionRaised):
        await mee6.aio.invoke("bad")


def test_surroundings_are_those_of_the_moment(backend: Remembering, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mee6.flow == Path("/act/flow")
    assert mee6.context.invocation == "i"
    monkeypatch.setattr(backend, "scratch", lambda: Path("/act/j"))
    assert mee6.scratch == Path("/act/j")


@pytest.mark.parametrize("name", ["flow", "scratch", "context"])
def test_a_script_has_no_surroundings_and_is_told_so(name: str) -> None:
    with pytest.raises(Conflict, match=f"mee6.{name} exists only while a function runs"):
        getattr(mee6, name)


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'invocation'"):
        mee6.invocation  # noqa: B018
    assert set(dir(mee6)) >= {"invoke", "gather", "call", "aio", "flow", "scratch", "log", "context", "Client"}


def test_an_error_has_the_facts() -> None:
    with pytest.raises(CallRefused) as caught:
        Outcome(error=CallRefused("no", function="f", traceback="T", error_type="E")).unwrap()
    assert (caught.value.function, caught.value.traceback, caught.value.error_type) == ("f", "T", "E")


def test_importing_mee6_imports_nothing_else() -> None:
    script = "import sys; before = set(sys.modules); import mee6; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["__future__", "mee6"]


def test_the_function_sdk_does_not_import_the_client() -> None:
    script = "import sys, mee6; mee6.invoke; mee6.log; print(*(n in sys.modules for n in ('grpc', 'mee6.client')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
