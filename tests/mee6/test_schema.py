"""The Node.js runtime's messages are those of `mee6.lane.messages`, and travel both ways unchanged."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from mee6.lane import messages, schema
from mee6.lane.codec import Decoder, encode
from mee6.lane.messages import (
    AnyMessage,
    AskHandover,
    Block,
    Call,
    Cancel,
    Chunk,
    Credit,
    Expect,
    Fault,
    Function,
    Goodbye,
    Guess,
    Guessed,
    Handover,
    Head,
    Header,
    Hello,
    Hop,
    Hops,
    Introduce,
    Introduced,
    Invoke,
    Limits,
    Load,
    Log,
    Next,
    Report,
    Request,
    Response,
    Result,
    Span,
    Step,
    Steps,
    Stored,
    Welcome,
)

FUNCTION = Function("f", 3, "nodejs", "/act/rsc/f", {"g": "optional:1"}, 2, 1.5, {"KEY": "value"})
FAULT = Fault("function_raised", "no", "f", "Error", "Error: no\n    at main.js:1")
STEP = Step("i.1", "i", "f", 3, "w1", "warm", "proxy", "running", 7, "", [Span("run", 2**52, 0)])
BLOCK = Block("w1-7-1", 2**33, 2**20)
HOP = Hop(3, "i.1", 2**52, 2**52 + 1, "function_raised", "größer")
MESSAGES: list[AnyMessage] = [
    Hello("t", "runtime", "nodejs", 12, direct=True, store=True),
    Welcome("w1", Limits(100, 2**33), "/elsewhere", direct=False, one_core=False),
    Load("l", FUNCTION, {"f": FUNCTION}),
    Invoke("i", b"\x00\xff", messages.BINARY, ["f"]),
    Invoke("i", b"", messages.TEXT, ["f", "g"], above=[HOP]),
    Invoke("i", b"", messages.TEXT, ["f"], stored=BLOCK, room=BLOCK),
    Report("i", stored=2**33),
    Stored("i", 3, 2**33, 1),
    Report("i", b"done"),
    Report("i", b"done", below=[HOP, HOP], told=True, put_back=True),
    Report("i", fault=FAULT, handed_over=True),
    Invoke("i", b"", messages.JSON, ["f"], Request("GET", "/a", "b=1", {"accept": "*/*"}, streams=True), 2**18),
    Report("i", b"", messages.TEXT, response=Response(404, [Header("X-A", "1"), Header("X-A", "2")])),
    Head("i", "text/event-stream", Response(200, [])),
    Head("i", "text/plain"),
    Chunk("i", b"\x00piece"),
    Chunk("i", b"", last=True),
    Credit("i", 2**17),
    Call("i.1", "i", "g", b"{}", messages.JSON, ["f"]),
    Call("i.1", "i", "g", b"", messages.JSON, ["f"], stored=BLOCK, room=BLOCK),
    Result("i.1", "größer".encode()),
    Result("i.1", stored=17),
    Log("i", "err", "line\n", 2**52, 5),
    Steps([STEP]),
    Introduce(1, "/act/.lane-1", "g"),
    Introduced(1, ready=True),
    Hops([HOP], lost=True),
    Expect([Next("f", "g", 0.5, 2**40, 2**33), Next("g", "h", 1.0)], 2),
    Guessed([Guess("f", "g", used=True, took_ns=2**33, saved_ns=2**32), Guess("f", "h", used=False)]),
    Cancel("i"),
    AskHandover(),
    Handover("t", "/run/lane.sock"),
    Goodbye(),
]

REPEATER = """
const { ENCODERS, DECODERS } = require(process.argv[1] + "/messages.js");
const { encode, decode } = require(process.argv[1] + "/vendor/msgpack.js");
const input = require("node:fs").readFileSync(0);
for (let at = 0; at < input.length; ) {
  const size = input.readUInt32BE(at);
  const array = decode(input.subarray(at + 4, at + 4 + size));
  const body = encode(ENCODERS[array[0]](DECODERS[array[0]](array)), { useBigInt64: true });
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  process.stdout.write(Buffer.concat([head, body]));
  at += 4 + size;
}
"""


def repeated(frames: bytes) -> list[AnyMessage]:
    """What Node.js makes of the frames: decoded and encoded again by the generated code."""
    node = shutil.which("node")
    assert node is not None
    command = [node, "-e", REPEATER, str(schema.TARGET.parent)]
    answer = subprocess.run(command, input=frames, capture_output=True, check=True, timeout=30)
    return Decoder().feed(answer.stdout)


def test_the_committed_file_is_what_the_messages_say() -> None:
    assert schema.TARGET.read_text(encoding="utf-8") == schema.render(), "run: python -m mee6.lane.schema --write"


def test_the_command_prints_or_writes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "messages.js"
    monkeypatch.setattr(schema, "TARGET", target)
    assert schema.main([]) == 0
    assert not target.exists()
    assert schema.main(["--write"]) == 0
    assert target.read_text(encoding="utf-8") == capsys.readouterr().out == schema.render()


def test_a_type_that_javascript_has_no_form_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(messages.Frame, frozen=True):
        """Holds what the generator was never taught."""

        numbers: set[int]

    monkeypatch.setattr(messages, "Odd", Odd, raising=False)
    with pytest.raises(TypeError, match="no JavaScript for SetType"):
        schema.render()


def test_every_message_is_tried_below() -> None:
    assert {type(message) for message in MESSAGES} == set(AnyMessage.__args__)


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
def test_messages_come_back_from_javascript_unchanged() -> None:
    assert repeated(b"".join(encode(message) for message in MESSAGES)) == MESSAGES


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
def test_fields_that_an_older_peer_does_not_send_get_their_defaults() -> None:
    bodies = [
        ["welcome", "w"],
        ["report", "i"],
        ["load", "l", ["f", 1, "nodejs", "/f"]],
        ["call", "i.1", "i", "g", b"", ""],
    ]
    frames = b""
    for body in bodies:
        packed = msgspec.msgpack.encode(body)
        frames += len(packed).to_bytes(4, "big") + packed
    assert repeated(frames) == [
        Welcome("w"),
        Report("i"),
        Load("l", Function("f", 1, "nodejs", "/f")),
        Call("i.1", "i", "g", b"", ""),
    ]
