"""Every runtime passes large values by the store, alone and behind a proxy: as a callee, and as a caller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mee6.content import pack, unpack
from mee6.lane.messages import BINARY, JSON, TEXT, Block, Call, Fault, Function, Invoke, Report, Result, Stored
from mee6.lane.store import FOLDER, INLINE_BYTES, Region, copied
from tests.runtimes.conformance import LANGUAGES, Language
from tests.support.lane import Bare, Worker, end

LARGE = "größer" * INLINE_BYTES
ROOM = Block("w9-1-1", 4096, 1 << 20)
Served = Bare | Worker


@pytest.fixture(
    params=[
        pytest.param(one, marks=[pytest.mark.node] if one.program else [], id=one.name) for one in LANGUAGES.values()
    ]
)
def language(request: pytest.FixtureRequest) -> Language:
    found: Language = request.param
    if found.missing():
        pytest.skip(f"{found.program} is not on PATH")
    return found


@pytest.fixture(params=["bare", "proxy"])
def server(request: pytest.FixtureRequest, language: Language, tmp_path: Path) -> Iterator[Served]:
    act = tmp_path / "act"
    (act / FOLDER).mkdir(parents=True)
    made: Served = Bare(language.name, act) if request.param == "bare" else Worker([language.name], act, tmp_path)
    with made:
        yield made


@pytest.fixture
def folder(server: Served) -> str:
    return str(server.act / FOLDER)


@pytest.fixture
def region(folder: str) -> Region:
    """Of a caller in another worker."""
    return Region(folder, ROOM.file, 2 << 20)


def run(server: Served, arg: Any, room: Block | None, stored: Block | None = None) -> Report:
    data, kind = pack(arg)
    server.lane.send(Invoke("i", b"" if stored else data, kind, ["f"], stored=stored, room=room))
    return server.report("i")


def loaded(server: Served, language: Language, store_bytes: int = 0) -> None:
    caller, callee = language.function(dependencies={"g": "always"}), language.function("g")
    caller = msgspec.structs.replace(caller, store_bytes=store_bytes)
    assert server.load(caller, [caller, callee]).fault is None


def test_it_knows_what_a_block_is(server: Served) -> None:
    assert server.hello.store


@pytest.mark.parametrize(
    ("value", "kind"), [(LARGE, TEXT), (LARGE.encode(), BINARY), ([LARGE, 1], JSON)], ids=["text", "bytes", "JSON"]
)
def test_a_large_result_lies_where_there_is_room_for_it(
    server: Served, language: Language, folder: str, region: Region, value: Any, kind: str
) -> None:
    loaded(server, language)
    data, _kind = pack(value)
    assert region.write(0, b"untouched")
    report = run(server, value, ROOM)
    assert (report.fault, report.result, report.content_type, report.stored) == (None, b"", kind, len(data))
    assert unpack(copied(folder, msgspec.structs.replace(ROOM, size=report.stored)), kind) == value
    assert copied(folder, Block(ROOM.file, 0, 9)) == b"untouched"


@pytest.mark.usefixtures("region")
def test_a_small_result_and_one_without_room_travel(server: Served, language: Language) -> None:
    loaded(server, language)
    for value, room in ((LARGE[:99], ROOM), (LARGE, None), (LARGE, Block(ROOM.file, 0, 40_000))):
        report = run(server, value, room)
        assert (report.stored, unpack(report.result, report.content_type)) == (0, value)


@pytest.mark.parametrize("name", ["w9-9-9", "../act", "link"])
def test_a_result_whose_room_is_none_travels(server: Served, language: Language, name: str) -> None:
    loaded(server, language)
    (server.act / "other").write_bytes(bytes(2 << 20))
    (server.act / FOLDER / "link").symlink_to(server.act / "other")
    report = run(server, LARGE, Block(name, 0, 1 << 20))
    assert (report.stored, unpack(report.result, report.content_type)) == (0, LARGE)
    assert (server.act / "other").read_bytes() == bytes(2 << 20)


@pytest.mark.parametrize("value", [LARGE, LARGE.encode(), [LARGE]], ids=["text", "bytes", "JSON"])
def test_an_argument_in_the_store_is_read(server: Served, language: Language, region: Region, value: Any) -> None:
    loaded(server, language)
    data, kind = pack(value)
    region.write(8192, data)
    report = run(server, value, None, Block(ROOM.file, 8192, len(data)))
    assert (report.content_type, unpack(report.result, report.content_type)) == (kind, value)


@pytest.mark.parametrize("block", [Block(ROOM.file, 2 << 20, 1), Block("w9-9-9", 0, 1), Block("../flow", 0, 1)])
@pytest.mark.usefixtures("region")
def test_an_argument_that_is_not_there_is_an_invalid_one(server: Served, language: Language, block: Block) -> None:
    loaded(server, language)
    fault = run(server, "", None, block).fault
    assert fault is not None
    assert fault.code == "invalid_input"
    assert run(server, "still there", None).fault is None


def called(server: Served, arg: Any) -> Call:
    server.begin({"do": "call", "name": "g", "arg": arg}, number="i")
    return server.until(Call)


def test_a_caller_gives_room_for_the_result_and_is_told_how_much_of_it_was_used(
    server: Served, language: Language, folder: str
) -> None:
    loaded(server, language, 4 << 20)
    call = called(server, LARGE)
    assert call.stored is not None
    assert call.room is not None
    assert call.arg == b""
    assert unpack(copied(folder, call.stored), call.content_type) == LARGE
    data, kind = pack([LARGE])
    Region(folder, call.room.file).write(call.room.offset, data)
    server.lane.send(Result(call.id, b"", kind, stored=len(data)))
    report = server.report("i")
    assert (report.fault, unpack(report.result, report.content_type)) == (None, [LARGE])
    (told,) = [message for message in server.seen if isinstance(message, Stored)]
    assert told == Stored("i", 2, call.stored.size + len(data))


def test_a_caller_without_a_quota_sends_everything(server: Served, language: Language, folder: str) -> None:
    loaded(server, language)
    call = called(server, LARGE)
    assert (call.stored, call.room, unpack(call.arg, call.content_type)) == (None, None, LARGE)
    server.answer(call, LARGE)
    assert unpack(server.report("i").result, TEXT) == LARGE
    assert not list(Path(folder).iterdir())


@pytest.mark.parametrize("stored", [1 << 40, -7])
def test_a_result_that_cannot_be_where_it_is_said_to_be_is_refused(
    server: Served, language: Language, stored: int
) -> None:
    loaded(server, language, 4 << 20)
    call = called(server, "x")
    server.lane.send(Result(call.id, stored=stored))
    fault = server.report("i").fault
    assert fault is not None
    assert "no room for one" in fault.message


def test_the_same_pages_serve_one_invocation_after_the_other(server: Served, language: Language, folder: str) -> None:
    loaded(server, language, 4 << 20)
    blocks = set()
    for _ in range(5):
        call = called(server, LARGE)
        assert call.stored is not None
        blocks.add((call.stored, call.room))
        server.answer(call, "done")
        assert server.report("i").fault is None
    assert len(blocks) <= 2, "the first call of all came before there was room that stays"
    (file,) = Path(folder).iterdir()
    assert file.stat().st_blocks * 512 <= 2 * len(LARGE.encode()) + 8192


@pytest.mark.parametrize("code", ["function_exited", "function_raised"])
def test_after_a_call_that_failed_the_next_has_room(server: Served, language: Language, folder: str, code: str) -> None:
    loaded(server, language, 4 << 20)
    first = called(server, LARGE)
    server.lane.send(Result(first.id, fault=Fault(code, "it is gone")))
    assert server.report("i").fault is not None
    second = called(server, LARGE)
    assert second.stored is not None
    assert (second.stored == first.stored) == (code == "function_raised"), "one that was killed may still be writing"
    server.answer(second, "done")
    assert server.report("i").fault is None
    assert folder


def test_a_proxy_removes_what_a_runtime_left(language: Language, tmp_path: Path) -> None:
    act = tmp_path / "act"
    (act / FOLDER).mkdir(parents=True)
    with Worker([language.name], act, tmp_path) as server:
        f: Function = msgspec.structs.replace(language.function(dependencies={"g": "no"}), store_bytes=4 << 20)
        assert server.load(f, [f, language.function("g")]).fault is None
        assert server.invoke({"do": "call", "name": "g", "arg": LARGE}).fault is None
        (step,) = [one for one in server.steps().values() if not one.parent]
        (file,) = (act / FOLDER).iterdir()
        assert file.name.startswith(f"w1-{step.pid}-")
        end(step.pid)
        lost = server.begin()  # it finds out, and starts another
        server.report(lost)
        assert server.invoke({"do": "call", "name": "g", "arg": LARGE}).fault is None
        (other,) = (act / FOLDER).iterdir()
        assert other != file
