"""The words that agent, proxy and runtime speak on a lane.

Each message is a tagged, array-like MessagePack value: `["invoke", id, arg, ...]`. Fields are only ever
added at the end, with a default, so that an older peer still reads a newer message. The agent and the
proxy serve one and the same contract to a runtime; `docs` of who sends what stand on each class.

`runtimes/nodejs/messages.js` is generated from this module (`make protos`).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

PROTOCOL: Final = 1
"""Raised when a peer that knows only the older number could not work any more."""

TEXT: Final = "text/plain"
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"

CHUNK_BYTES: Final = 64 << 10
"""Of one piece of a body or a result; what is longer is sent as several."""

Role = Literal["proxy", "runtime"]
Stream = Literal["out", "err"]
Start = Literal["cold", "prewarmed", "ahead", "warm"]
"""How a step found its runtime: started for it, waiting without a function, with the function loaded or being loaded
ahead of its call, or holding the function from a call before."""


class Frame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The shape all messages and their parts share: a MessagePack array without cyclic references."""


class Message(Frame, frozen=True, gc=False, tag=lambda name: name.lower()):
    """What travels as a frame of its own: its first element is the class name in lower case."""


class Limits(Frame, frozen=True, gc=False):
    """What a peer may send. Bytes; a message over a limit is refused by name, not cut."""

    result_bytes: int = 8 << 20
    log_bytes: int = 1 << 20
    """Kept of one invocation's output; what is over is counted, not carried."""


class Fault(Frame, frozen=True, gc=False):
    """Why something failed, in a form that crosses processes and languages."""

    code: str
    """The `code` of a class in `mee6.errors`."""
    message: str
    function: str = ""
    error_type: str = ""
    """The remote exception's class, e.g. `ZeroDivisionError`."""
    traceback: str = ""
    """The remote traceback, ready to print; empty where there is none."""
    invocation: str = ""
    """Filled in by the agent, for whoever asked for it."""


class Function(Frame, frozen=True, gc=False):
    """One version of a function as a worker needs it."""

    name: str
    version: int
    runtime: str
    path: str
    """The folder of the code, as seen from inside the worker."""
    dependencies: dict[str, str] = {}
    """Name of a function it may call -> its outflow (`no`, `always`, `optional:n`)."""
    max_parallelism: int = 0
    """Calls running in other workers at once, for one invocation; 0 = the agent's default."""
    timeout_s: float = 60.0
    env: dict[str, str] = {}
    packages: str = ""
    """The folder of what it depends on, as seen from inside the worker; empty for nothing."""
    concurrency: int = 1
    """`Invoke`s that may come before each other's `Report`: to a runtime that is `many`, on the agent's own lane."""
    store_bytes: int = 0
    """Of the store that one process of it may have for what it passes to those it calls; 0 = none."""
    declaration: bytes = b""
    """Of a declared workflow, which has no code: its `mee6.declared.graph.Declaration`, as JSON."""


class Block(Frame, frozen=True, gc=False):
    """A part of a workflow's store, for bytes that a message tells of and does not carry; see `mee6.lane.store`."""

    file: str
    """Its name in the folder of the workflow's store."""
    offset: int
    size: int


class Span(Frame, frozen=True, gc=False):
    """A part of a step's life: `queued start resume load handover run`. Nanoseconds, monotonic clock."""

    kind: str
    start_ns: int
    end_ns: int = 0
    """0 while it is going on."""


class Step(Frame, frozen=True, gc=False):
    """One function's run within an invocation: the row that a trace draws. Sent again when it changes."""

    id: str
    """The invocation's id for the first step, `<parent>.<n>` for the n-th call its parent made."""
    parent: str
    function: str
    version: int
    worker: str
    start: str
    """`cold`, `prewarmed`, `ahead` or `warm`; empty until a runtime was found."""
    via: str
    """`proxy`, `direct` (agent to runtime, after a handover) or `lane` (runtime to runtime); empty until known."""
    state: str
    """A state of `agent.core.invocation`: queued, starting, running, succeeded, failed, ..."""
    pid: int = 0
    """The runtime's process, as seen inside the worker."""
    error: str = ""
    spans: list[Span] = []
    name: str = ""
    """In a declared workflow, the step's own name; empty for any other call."""
    result_bytes: int = 0


class Hop(Frame, frozen=True, gc=False):
    """A call over a direct lane, as its caller or its callee tells the proxy of it."""

    lane: int
    """The number that `Introduce` gave it."""
    id: str
    """The callee's step id."""
    start_ns: int
    end_ns: int = 0
    """0 while it goes on."""
    code: str = ""
    """Of its fault; empty where it went well, or goes on."""
    error: str = ""


class Next(Frame, frozen=True, gc=False):
    """A call that a run of a function is expected to make."""

    caller: str
    function: str
    chance: float
    """That a run makes it at all: 0 to 1."""
    after_ns: int = 0
    """When it comes at the earliest, from the beginning of the run; 0 = at once, or not known."""
    lead_ns: int = 0
    """What it takes to have a runtime start and load it."""


class Guess(Frame, frozen=True, gc=False):
    """A function that was loaded ahead of its call, and what became of it."""

    caller: str
    function: str
    used: bool
    """It was called before its invocation ended."""
    took_ns: int = 0
    """To start its runtime and load it; 0 = not known: it was called before, or could not be loaded."""
    saved_ns: int = 0
    """Of that, what its caller did not wait for."""


class Header(Frame, frozen=True, gc=False):
    """One field of an HTTP message's head."""

    name: str
    value: str


class Request(Frame, frozen=True, gc=False):
    """The HTTP request that an invocation came with, its body apart."""

    method: str
    path: str
    """What follows the function's name, decoded: empty, or beginning with `/`."""
    query: str
    """As it was sent, without its `?`."""
    headers: dict[str, str] = {}
    """By name in lower case; of a name that came more than once the values are joined as RFC 9110 has it."""
    streams: bool = False
    """The body is not in `Invoke.arg`: it comes as `Chunk`s."""


class Response(Frame, frozen=True, gc=False):
    """What a function says of its answer over HTTP, besides the body and its type."""

    status: int = 200
    headers: list[Header] = []


class Hello(Message, frozen=True, gc=False):
    """proxy or runtime -> server, first frame on a lane: who I am."""

    token: str
    """One-time; empty on a lane that was inherited ready-made from the proxy."""
    role: Role
    runtime: str
    pid: int = 0
    protocol: int = PROTOCOL
    direct: bool = False
    """A runtime that understands `Introduce`."""
    many: bool = False
    """A runtime that takes as many `Invoke`s at once as `Function.concurrency` says, and understands `Cancel`."""
    store: bool = False
    """Understands `Block`s: a runtime, or a proxy all of whose runtimes do."""


class Welcome(Message, frozen=True, gc=False):
    """server -> peer: the answer to `Hello`; tasks may follow."""

    worker: str
    limits: Limits = Limits()
    act: str = "/act"
    """The worker's storage as seen from inside: `rsc/NAME`, `flow`, `cur`, `<invocation id>`."""
    direct: bool = True
    """For a proxy: it may introduce its runtimes to each other."""
    one_core: bool = True
    """For a proxy: it may have them share a core."""


class Load(Message, frozen=True, gc=False):
    """server -> peer: get this function ready. Answered by `Report` with the same id."""

    id: str
    function: Function
    functions: dict[str, Function] = {}
    """All that the function may reach, itself included: for a proxy; empty towards a runtime."""


class Invoke(Message, frozen=True, gc=False):
    """server -> peer: run the loaded function once. Answered by `Report` with the same id."""

    id: str
    arg: bytes
    content_type: str
    chain: list[str]
    """Function names from the workflow's first down to this one; its length is the depth."""
    request: Request | None = None
    """Where it came over HTTP; a workflow's first function alone has it."""
    window: int = 0
    """Bytes that may be under way of a result in pieces, and of a body in pieces; 0 = the result comes as a whole."""
    above: list[Hop] = []
    """On a direct lane: the direct calls above this one, outermost first; the proxy may not have been told of them."""
    stored: Block | None = None
    """The argument lies there, until the `Report`; `arg` is empty."""
    room: Block | None = None
    """The result may be put there, if it is too large to travel well."""
    groups: dict[str, int] = {}
    """For a declared workflow: which steps share a worker, see `mee6.declared.parts`."""
    part: bool = False
    """For a declared workflow: `arg` is a `mee6.declared.parts.Part` of it, and the result the outcomes of that."""


class Report(Message, frozen=True, gc=False):
    """peer -> server: the outcome of the `Load` or `Invoke` with this id; `fault` is None when it went well."""

    id: str
    result: bytes = b""
    content_type: str = TEXT
    fault: Fault | None = None
    handed_over: bool = False
    """Only for a `Load` reported by a proxy: the runtime has connected to the agent."""
    response: Response | None = None
    """Only for an `Invoke` with a request: what the function said of its answer."""
    below: list[Hop] = []
    """On a direct lane: calls that ended below this one, of which the proxy has yet to be told."""
    told: bool = False
    """On a direct lane: the proxy knows of this call, and must be told at once that it has ended."""
    put_back: bool = False
    """`cur` is what it was before: the caller's again."""
    stored: int = 0
    """Bytes of the result, which lies at the beginning of `Invoke.room`; `result` is empty. 0 = it is not there."""


class Head(Message, frozen=True, gc=False):
    """peer -> server, only for an `Invoke` with a window: the result comes as `Chunk`s, up to the `Report`."""

    id: str
    content_type: str
    response: Response | None = None


class Chunk(Message, frozen=True, gc=False):
    """A piece of the result (peer -> server, after `Head`), or of a request's body (server -> peer).

    The sender has `Invoke.window` bytes to begin with, and is given more by `Credit`: it sends while it has any, so
    that what is under way is at most the window and one piece.
    """

    id: str
    data: bytes
    last: bool = False
    """Of a body: nothing follows. A result ends with its `Report`."""


class Credit(Message, frozen=True, gc=False):
    """Whoever takes `Chunk`s -> who sends them: so many bytes have been used up, and as many more may come."""

    id: str
    size: int


class Call(Message, frozen=True, gc=False):
    """peer -> server: a running function calls another. Answered by `Result` with the same id."""

    id: str
    """`<invocation>.<n>`, n counting this invocation's calls from 1: the callee's step id."""
    invocation: str
    name: str
    arg: bytes
    content_type: str
    chain: list[str] = []
    """Filled in by the proxy when it passes the call on to the agent: the caller's chain."""
    group: str = ""
    """The id of the first of those calls without all of whose results the caller waits on; empty for one alone."""
    stored: Block | None = None
    """As in `Invoke`, and so is the next."""
    room: Block | None = None
    step: str = ""
    """By the proxy: the step of a declared workflow that this is a call of."""
    part: bool = False
    """By the proxy: it is a part of the declared workflow of this name, see `Invoke`."""
    timeout_s: float = 0.0
    """By the proxy: of a step, where that is less than its function has; 0 = as long as that may take."""


class Result(Message, frozen=True, gc=False):
    """server -> peer: the outcome of the `Call` with this id."""

    id: str
    result: bytes = b""
    content_type: str = TEXT
    fault: Fault | None = None
    put_back: bool = False
    """As in the `Report`."""
    stored: int = 0
    """As in `Report`, of `Call.room`."""


class Log(Message, frozen=True, gc=False):
    """peer -> server: what a function wrote; whole lines wherever possible."""

    invocation: str
    stream: Stream
    text: str
    at_ns: int = 0
    dropped_bytes: int = 0
    """Bytes not carried since the last `Log`, because of `Limits.log_bytes`."""


class Stored(Message, frozen=True, gc=False):
    """peer -> server: what an invocation has passed to those it called by its store, before its `Report`."""

    invocation: str
    blocks: int
    size: int
    """Bytes."""
    over: int = 0
    """Arguments and results that would have gone there, had there been room."""


class Steps(Message, frozen=True, gc=False):
    """proxy -> agent: steps that began, changed or ended inside the worker, batched."""

    steps: list[Step]


class Introduce(Message, frozen=True, gc=False):
    """proxy -> runtime: have a direct lane.

    Without a function, await a caller at the address, and answer with `Introduced`. With one, connect there: calls of
    that function may go over it. Without an address, there is no such lane any more.
    """

    lane: int
    address: str = ""
    """A Unix socket's path, as seen inside the worker; for one connection."""
    function: str = ""


class Introduced(Message, frozen=True, gc=False):
    """runtime -> proxy: the callee of a direct lane awaits its caller, or (either side) there is no such lane here."""

    lane: int
    ready: bool


class Hops(Message, frozen=True, gc=False):
    """runtime -> proxy: calls over direct lanes that began or ended, outer ones before inner ones; batched."""

    hops: list[Hop]
    lost: bool = False
    """The lane of the last has ended and brought no outcome: it comes as the call's `Result`."""


class Expect(Message, frozen=True, gc=False):
    """agent -> proxy: what the functions of a workflow will call, to load it ahead. Replaces what was said before."""

    calls: list[Next]
    at_once: int
    """Loads ahead that may be under way; 0 = none at all."""


class Guessed(Message, frozen=True, gc=False):
    """proxy -> agent, after a `Report`: what was loaded ahead during that invocation."""

    guesses: list[Guess]


class Cancel(Message, frozen=True, gc=False):
    """agent -> runtime, one of several that run: end this `Invoke`. Answered by its `Report`, whatever it says.

    What has not ended after a while is ended with the whole process.
    """

    id: str


class AskHandover(Message, frozen=True, gc=False):
    """proxy -> agent, once after a `Load`: my runtime could be yours. Answered by `Handover`, granted or refused.

    The agent's silence is a refusal too, after a second of it.
    """


class Handover(Message, frozen=True, gc=False):
    """agent -> proxy -> runtime: connect to the agent with this one-time token, then report the load.

    With an empty token it is a refusal, for the proxy alone: it keeps its runtime and reports the load itself.
    """

    token: str
    address: str
    """Path of the agent's lane socket, as seen inside the worker."""


class Goodbye(Message, frozen=True, gc=False):
    """server -> peer: you are no longer needed; leave at once."""


AnyMessage = (
    Hello
    | Welcome
    | Load
    | Invoke
    | Report
    | Head
    | Chunk
    | Credit
    | Call
    | Result
    | Log
    | Stored
    | Steps
    | Introduce
    | Introduced
    | Hops
    | Expect
    | Guessed
    | Cancel
    | AskHandover
    | Handover
    | Goodbye
)
